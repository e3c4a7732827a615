"""The losses: their arguments and what they compare with. training/losses.py computes them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from cnnc.core.arguments import Choice, LayerName, Real, Whole, arg
from cnnc.recipe.declaration import TargetKind, TrainStatement, register

# The last arguments of every loss: a loss with others before them declares these again.
_ON: Any = arg(
    LayerName(), default=None, help="the output that the loss is computed on (default: the last layer or first output)"
)
_WEIGHT: Any = arg(Real(0, open_below=True), default=1, help="factor of this loss in the sum of several losses")
_TARGET: Any = arg(Choice(("input",)), default=None, help="compare with the network's input, as an autoencoder does")


class Loss(TrainStatement):
    """What training minimizes; several losses are summed with their weights.

    `included_layers` are the keywords of layers that are part of the loss: where the network ends with one, the loss is
    computed from its input. `target_range` bounds the targets. `default_metric` is the metric where the section names none.
    """

    keyword = "loss"
    field = "losses"
    repeatable = True
    compares_with: ClassVar[TargetKind]
    default_metric: ClassVar[str]
    included_layers: ClassVar[tuple[str, ...]] = ()
    target_range: ClassVar[tuple[float, float] | None] = None

    on: str | None = _ON
    weight: float = _WEIGHT

    @property
    def ignored_label(self) -> int | None:
        """The label that does not count."""
        return None

    @property
    def of_input(self) -> bool:
        """Whether the target is the network's input."""
        return False

    def chance_loss(self, classes: int) -> float | None:
        """The expected loss if all classes are predicted to be equally likely; None for losses without classes."""
        return None


class ValueLoss(Loss):
    """A loss that compares an output with numbers of its shape."""

    compares_with = "values"
    default_metric = "mse"

    target: str | None = _TARGET
    on: str | None = _ON
    weight: float = _WEIGHT

    @property
    def of_input(self) -> bool:
        return self.target == "input"


@register
class CrossEntropy(Loss):
    """The mean of -log p(label), with p the softmax of the output; for label maps, the mean over pixels.

    After a final softmax or log_softmax, the loss is computed from the logits before it, so it cannot overflow.
    """

    kind = "cross_entropy"
    example = "loss cross_entropy smoothing=0.1"
    compares_with = "labels"
    default_metric = "accuracy"
    included_layers = ("softmax", "log_softmax")

    smoothing: float = arg(
        Real(0, 1, open_above=True),
        default=0,
        help="fraction of the target that is spread evenly over all classes (Szegedy et al. 2016)",
    )
    ignore: int | None = arg(
        Whole(0), default=None, help="label that does not count, e.g. that of the border in label maps"
    )
    on: str | None = _ON
    weight: float = _WEIGHT

    @property
    def ignored_label(self) -> int | None:
        return self.ignore

    def chance_loss(self, classes: int) -> float:
        return math.log(classes)


@register
class Mse(ValueLoss):
    """The mean of squared differences."""

    kind = "mse"
    example = "loss mse target=input"


@register
class L1(ValueLoss):
    """The mean of absolute differences."""

    kind = "l1"
    example = "loss l1 target=input"


@register
class Huber(ValueLoss):
    """Quadratic for differences up to delta, linear beyond (Huber 1964)."""

    kind = "huber"
    example = "loss huber delta=0.5 target=input"

    delta: float = arg(
        Real(0, open_below=True),
        default=1,
        unit="unit of the output",
        help="difference at which the loss turns from quadratic to linear",
    )
    target: str | None = _TARGET
    on: str | None = _ON
    weight: float = _WEIGHT


@register
class Bce(ValueLoss):
    """Binary cross-entropy of the output's sigmoid; each element is a probability, with a target from 0 to 1.

    After a final sigmoid, the loss is computed from the logits before it, so it cannot overflow.
    """

    kind = "bce"
    example = "loss bce target=input"
    included_layers = ("sigmoid",)
    target_range = (0, 1)


@register
class Contrastive(Loss):
    """The mean of 0.5·((1 - t)·d² + t·max(margin - d, 0)²), for distances d of pairs (Hadsell et al. 2006).

    The target t is 0 for a pair of the same kind, which is pulled together, and 1 for a pair of different kinds, which is
    pushed apart up to the margin. Metrics compare with t the distance in margins, at most 1.
    """

    kind = "contrastive"
    example = "loss contrastive margin=2"
    compares_with = "values"
    default_metric = "mse"
    target_range = (0, 1)

    margin: float = arg(
        Real(0, open_below=True),
        default=1,
        unit="unit of the output",
        help="distance from which different pairs cost nothing",
    )
    on: str | None = _ON
    weight: float = _WEIGHT
