"""The metrics: what they compare with and how they are printed. training/metrics.py counts them.

Also `decimals` and `finite`, which prepare losses and metrics for print and for JSON.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from cnnc.core.arguments import Kind, arg, whole_number
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
        """The name of the metric, by which results are listed."""
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


class ClassName(Kind):
    """The name of a class, or its number from 0."""

    example: ClassVar[str] = "cat"

    def take(self, value: Any, rank: int) -> str:
        number = whole_number(value)
        if isinstance(value, str):
            return str(value)
        if number is None or number < 0:
            raise self.reject()
        return str(number)

    def describe(self) -> str:
        return "the name of a class, or its number from 0"


class ClassMetric(Metric):
    """A metric of each class. Without a class, the mean over the classes that occur as a label or prediction."""

    compares_with = "labels"

    of: str | None = arg(
        ClassName(),
        positional=True,
        default=None,
        long="class",
        help="the class (default: the mean over the classes that occur)",
    )

    @property
    def recipe_value(self) -> str:
        return self.kind if self.of is None else f"{self.kind}{_OF}{self.of}"


@register
class ClassPrecision(ClassMetric):
    """The percentage of the predictions of a class that are correct, 0 without such predictions."""

    kind = "precision"
    example = "metric precision 3"


@register
class ClassRecall(ClassMetric):
    """The percentage of the examples of a class that are predicted correctly, 0 without such examples."""

    kind = "recall"
    example = "metric recall 3"


@register
class ClassF1(ClassMetric):
    """The harmonic mean of precision and recall of a class."""

    kind = "f1"
    example = "metric f1 3"


@register
class MacroF1(Metric):
    """The mean of F1 over the classes that occur as a label or prediction: each class counts equally."""

    kind = "macro_f1"
    example = "metric macro_f1"
    compares_with = "labels"


@register
class BalancedAccuracy(Metric):
    """The mean of recall over the classes that have examples: each class counts equally."""

    kind = "balanced_accuracy"
    example = "metric balanced_accuracy"
    compares_with = "labels"


_OF = ":"


def metric_named(name: str) -> type[Metric]:
    """The metric of this name, such as `accuracy` or `recall:cat`. Raises KeyError."""
    return kinds_of(Metric)[name.partition(_OF)[0]]


def class_of_metric(name: str) -> str | None:
    """The class of a metric of one class: "cat" for `recall:cat`; None for other metrics."""
    return name.partition(_OF)[2] or None


def metric_text(name: str) -> str:
    """The name of a metric for print: `recall of cat` for `recall:cat`."""
    return name.replace(_OF, " of ", 1)


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
