"""The metrics: what they compare with and how they are printed. training/metrics.py counts them.

Also `decimals` and `finite`, which prepare losses and metrics for print and for JSON.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from cnnc.recipe.declaration import TargetKind, TrainStatement, kinds_of, register


class Metric(TrainStatement):
    """What is computed besides the loss; the first metric decides which epoch is best.

    It is counted on the first loss that compares with the same kind of target.
    """

    keyword = "metric"
    field = "metrics"
    repeatable = True
    compares_with: ClassVar[TargetKind]
    less_is_better: ClassVar[bool] = False

    @property
    def recipe_value(self) -> str:
        return self.kind

    @classmethod
    def format(cls, value: float) -> str:
        """The value with its unit, for print: a fraction in percent, unless a metric says otherwise."""
        return f"{value:.2%}"


@register
class Accuracy(Metric):
    """The percentage of correct predictions; for label maps, of pixels."""

    kind = "accuracy"
    example = "metric accuracy"
    compares_with = "labels"


@register
class Top5(Metric):
    """The percentage of examples whose label is among the five highest scores."""

    kind = "top5"
    example = "metric top5"
    compares_with = "labels"


class MeanError(Metric):
    """What the means of errors share."""

    compares_with = "values"
    less_is_better = True

    @classmethod
    def format(cls, value: float) -> str:
        return decimals(value, 5)


@register
class MeanSquaredError(MeanError):
    """The mean of squared differences; less is better."""

    kind = "mse"
    example = "metric mse"


@register
class MeanAbsoluteError(MeanError):
    """The mean of absolute differences; less is better."""

    kind = "l1"
    example = "metric l1"


@register
class Psnr(Metric):
    """The peak signal-to-noise ratio in dB, for values from 0 to 1: -10 log10(mse)."""

    kind = "psnr"
    example = "metric psnr"
    compares_with = "values"

    @classmethod
    def format(cls, value: float) -> str:
        return f"{value:.2f} dB"


@register
class MeanIou(Metric):
    """The intersection over union of prediction and label, mean over the classes that occur (Everingham et al. 2015)."""

    kind = "iou"
    example = "metric iou"
    compares_with = "labels"


def metric_named(name: str) -> type[Metric]:
    """The metric of this name. Raises KeyError."""
    return kinds_of(Metric)[name]


def format_metric(name: str, value: float) -> str:
    """A metric for print: fractions in percent, psnr in dB."""
    return metric_named(name).format(value)


def decimals(value: float, places: int = 4) -> str:
    """A number with this many decimals; from a million on in short form, where decimals mean nothing."""
    return f"{value:.{places}f}" if abs(value) < 1e6 else f"{value:.4g}"


def finite(value: Any) -> Any:
    """A value for JSON: infinities and NaN, which JSON lacks, become null (the psnr of equal images is infinite)."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
