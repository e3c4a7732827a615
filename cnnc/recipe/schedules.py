"""The schedules: their arguments and rules, the factor on the learning rate over the course of training."""

from __future__ import annotations

import math
from typing import Any

from cnnc.core.arguments import Real, Whole, arg
from cnnc.recipe.declaration import TrainStatement, register

ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1e-4 / 25  # fractions of the full rate, those of PyTorch's OneCycleLR

_WARMUP: Any = arg(Real(0), default=0, unit="epochs", help="duration of a linear rise from 0 to the full rate")


class Schedule(TrainStatement):
    """How the learning rate changes over the course of training."""

    keyword = "schedule"

    def factor(self, epoch: float, epochs: int) -> float:
        """The factor on the learning rate at a point of training: 0 <= epoch <= epochs, a fraction within an epoch.

        During a warmup it is epoch / warmup; the rule of the schedule applies after it.
        """
        raise NotImplementedError


@register
class Constant(Schedule):
    """Keeps the learning rate constant."""

    kind = "constant"
    example = "schedule constant warmup=1"

    warmup: float = _WARMUP

    def factor(self, epoch: float, epochs: int) -> float:
        return epoch / self.warmup if epoch < self.warmup else 1.0


@register
class StepDecay(Schedule):
    """Multiplies the rate by gamma every N epochs."""

    kind = "step"
    example = "schedule step every=10 gamma=0.5"

    every: int = arg(Whole(1), unit="epochs", help="number of epochs between two steps")
    gamma: float = arg(Real(0, open_below=True), default=0.1, help="factor on the rate at each step")
    warmup: float = _WARMUP

    def factor(self, epoch: float, epochs: int) -> float:
        if epoch < self.warmup:
            return epoch / self.warmup
        return float(self.gamma ** (int(epoch) // self.every))


@register
class Cosine(Schedule):
    """Lowers the rate along half a cosine, from the full rate to 0 (Loshchilov & Hutter 2017)."""

    kind = "cosine"
    example = "schedule cosine warmup=2"

    warmup: float = _WARMUP

    def factor(self, epoch: float, epochs: int) -> float:
        if epoch < self.warmup:
            return epoch / self.warmup
        rest = max(1e-9, epochs - self.warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (epoch - self.warmup) / rest)))


@register
class OneCycle(Schedule):
    """Raises the rate from 1/25 to the full rate, then lowers it to nearly 0, both along half a cosine (Smith & Topin 2018)."""

    kind = "onecycle"
    example = "schedule onecycle rise=0.25"

    rise: float = arg(
        Real(0, 1, open_below=True, open_above=True),
        default=0.3,
        unit="fraction of all epochs",
        help="part of training in which the rate rises",
    )

    def factor(self, epoch: float, epochs: int) -> float:
        part = min(1.0, epoch / epochs)
        if part < self.rise:
            return _half_cosine(ONE_CYCLE_START, 1.0, part / self.rise)
        return _half_cosine(1.0, ONE_CYCLE_END, (part - self.rise) / (1 - self.rise))


def _half_cosine(start: float, end: float, part: float) -> float:
    """The point of half a cosine from `start` (part 0) to `end` (part 1)."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * part))
