"""Schedules: the learning rate over the course of training, counted in epochs."""

from __future__ import annotations

import math

from cnnc.recipe import Cosine, Schedule, Step


def factor(schedule: Schedule, epoch: float, epochs: int) -> float:
    """The factor on the learning rate at a point of training; `epoch` counts from 0, with its fraction."""
    match schedule:
        case Step():
            return float(schedule.gamma ** (int(epoch) // schedule.every))
        case Cosine():
            return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / epochs)))
    return 1.0
