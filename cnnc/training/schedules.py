"""Schedules: the learning rate over the course of training, counted in epochs."""

from __future__ import annotations

import math

from cnnc.recipe.statements import Cosine, OneCycle, Schedule, Step

START, END = 1 / 25, 1e-4 / 25  # of onecycle, as shares of the full rate: the usual choice


def factor(schedule: Schedule, epoch: float, epochs: int) -> float:
    """The factor on the learning rate at a point of training; `epoch` counts from 0, with its fraction.

    After a warmup, in which the rate rises in a straight line, a schedule has the rest of the time for itself.
    """
    if isinstance(schedule, OneCycle):
        return _one_cycle(schedule, min(1.0, epoch / epochs))
    if epoch < schedule.warmup:
        return epoch / schedule.warmup
    match schedule:
        case Step():
            return float(schedule.gamma ** (int(epoch) // schedule.every))
        case Cosine():
            rest = max(1e-9, epochs - schedule.warmup)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (epoch - schedule.warmup) / rest)))
    return 1.0


def _one_cycle(schedule: OneCycle, part: float) -> float:
    if part < schedule.rise:
        return _between(START, 1.0, part / schedule.rise)
    return _between(1.0, END, (part - schedule.rise) / (1 - schedule.rise))


def _between(start: float, end: float, part: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * part))
