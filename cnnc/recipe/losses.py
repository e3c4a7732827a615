"""The losses: their arguments and what they compare with. training/losses.py computes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from cnnc.core.arguments import Choice, Extents, Kind, LayerName, Numbers, Real, Whole, WordValue, arg
from cnnc.recipe.declaration import TargetKind, TrainStatement, register

# The last arguments of every loss: a loss with others before them declares these again.
_ON: Any = arg(
    LayerName(), default=None, help="the output that the loss is computed on (default: the last layer or first output)"
)
_WEIGHT: Any = arg(Real(0, open_below=True), default=1, help="factor of this loss in the sum of several losses")
_IGNORE: Any = arg(Whole(0), default=None, help="label that does not count, e.g. that of the border in label maps")
_TARGET: Any = arg(Choice(("input",)), default=None, help="compare with the network's input, as an autoencoder does")

BALANCED = "balanced"
"""The word in place of weights that training computes from its data."""

Balance = str | tuple[float, ...]
"""`BALANCED`, or the numbers."""


class ClassWeights(Kind):
    """`balanced`, or a list with a number of at least 0 for each class, not all of them 0."""

    words: ClassVar[tuple[str, ...]] = (BALANCED,)
    example: ClassVar[str] = BALANCED

    def take(self, value: Any, rank: int) -> Balance:
        if isinstance(value, WordValue):
            if value != BALANCED:
                raise self.reject()
            return BALANCED
        if not isinstance(value, tuple) or isinstance(value, Extents) or len(value) < 2:
            raise self.reject()
        numbers = Numbers(0).take(value, rank)
        if not any(numbers):
            raise self.reject("a weight of 0 leaves a class out; at least one is above 0")
        return numbers

    def describe(self) -> str:
        return "balanced, or a list of numbers of at least 0, one for each class, such as [1, 5]"


class PositiveWeights(Kind):
    """`balanced`, or a number above 0, or a list with one for each channel."""

    words: ClassVar[tuple[str, ...]] = (BALANCED,)

    def take(self, value: Any, rank: int) -> Balance:
        if isinstance(value, WordValue) and value == BALANCED:
            return BALANCED
        if isinstance(value, Extents):
            raise self.reject()
        return Numbers(0, open_below=True).take(value, rank)

    def describe(self) -> str:
        return f"{BALANCED}, {Numbers(0, open_below=True).describe()}"


def balanced_weights(counts: Sequence[float]) -> tuple[float, ...]:
    """n/(C*n_c) for each class, as `class_weight="balanced"` of scikit-learn: n labels, n_c of them of class c, C classes that
    occur. A class that does not occur has 1, the mean over the labels."""
    total, occurring = sum(counts), sum(count > 0 for count in counts)
    return tuple(total / (occurring * count) if count else 1.0 for count in counts)


class Loss(TrainStatement):
    """What training minimizes; several losses are summed with their weights.

    `included_layers` are the keywords of layers that are part of the loss: where the network ends with one, the loss is
    computed from its input. `target_range` bounds the targets. A loss on labels that `takes_probabilities` can also compare with
    those of mixed examples. `default_metric` is the metric where the section names none.
    """

    keyword = "loss"
    field = "losses"
    repeatable = True
    compares_with: ClassVar[TargetKind]
    default_metric: ClassVar[str]
    included_layers: ClassVar[tuple[str, ...]] = ()
    target_range: ClassVar[tuple[float, float] | None] = None
    takes_probabilities: ClassVar[bool] = False

    on: str | None = _ON
    weight: float = _WEIGHT

    @property
    def ignored_label(self) -> int | None:
        """The label that does not count."""
        return None

    @property
    def counts_every_label(self) -> bool:
        """Whether all labels count alike in the mean."""
        return self.ignored_label is None

    @property
    def averaging_weights(self) -> Balance | None:
        """The weights of classes whose sum over the labels divides the mean; None where the number of labels does."""
        return None

    @property
    def metric_unit(self) -> float | None:
        """Metrics compare the output in this unit, at most 1, with the target; None: the output as it is."""
        return None

    @property
    def of_input(self) -> bool:
        """Whether the target is the network's input."""
        return False

    @property
    def balance(self) -> Balance | None:
        """The weights of classes or channels; `BALANCED` before training has computed them, None without."""
        return None

    def with_balance(self, counts: Sequence[float], total: float) -> Self:
        """The loss with the weights in place of `BALANCED`.

        `counts` are those of the training examples: how often each class is the label, or the sum of the targets of each
        channel; `total` is the number of labels, or of the targets of one channel.
        """
        raise NotImplementedError

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
    takes_probabilities = True

    smoothing: float = arg(
        Real(0, 1, open_above=True),
        default=0,
        help="fraction of the target that is spread evenly over all classes (Szegedy et al. 2016)",
    )
    ignore: int | None = _IGNORE
    weights: Balance | None = arg(
        ClassWeights(),
        default=None,
        help="factor of each class in the mean, sum(w*loss)/sum(w); balanced: n/(C*n_c) of the training examples",
    )
    on: str | None = _ON
    weight: float = _WEIGHT

    @property
    def ignored_label(self) -> int | None:
        return self.ignore

    @property
    def counts_every_label(self) -> bool:
        return self.ignore is None and self.weights is None

    @property
    def averaging_weights(self) -> Balance | None:
        return self.weights

    @property
    def balance(self) -> Balance | None:
        return self.weights

    def with_balance(self, counts: Sequence[float], total: float) -> Self:
        return self.replace(weights=balanced_weights(counts))

    def chance_loss(self, classes: int) -> float:
        return math.log(classes)


@register
class Focal(Loss):
    """The mean of -(1-p)^gamma log p(label), which labels that are predicted well hardly enter (Lin et al. 2017).

    p is the softmax of the output. After a final softmax or log_softmax, the loss is computed from the logits before it. With
    gamma=0 it is the cross-entropy. Factors alpha do not divide the mean, as in the paper.
    """

    kind = "focal"
    example = "loss focal gamma=2 alpha=balanced"
    compares_with = "labels"
    default_metric = "accuracy"
    included_layers = ("softmax", "log_softmax")
    takes_probabilities = True

    gamma: float = arg(Real(0), default=2, help="exponent: the larger, the less do easy examples count")
    alpha: Balance | None = arg(
        ClassWeights(), default=None, help="factor of each class; balanced: n/(C*n_c) of the training examples"
    )
    ignore: int | None = _IGNORE
    on: str | None = _ON
    weight: float = _WEIGHT

    @property
    def ignored_label(self) -> int | None:
        return self.ignore

    @property
    def balance(self) -> Balance | None:
        return self.alpha

    def with_balance(self, counts: Sequence[float], total: float) -> Self:
        return self.replace(alpha=balanced_weights(counts))

    def chance_loss(self, classes: int) -> float | None:
        return None if self.alpha is not None else (1 - 1 / classes) ** self.gamma * math.log(classes)


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

    After a final sigmoid, the loss is computed from the logits before it, so it cannot overflow. Without one, metrics
    compare the sigmoid of the output with the target.
    """

    kind = "bce"
    example = "loss bce target=input"
    included_layers = ("sigmoid",)
    target_range = (0, 1)

    pos_weight: Balance | None = arg(
        PositiveWeights(),
        default=None,
        help="factor of the positive part of the loss; balanced: negatives/positives of each channel in training",
    )
    target: str | None = _TARGET
    on: str | None = _ON
    weight: float = _WEIGHT

    @property
    def balance(self) -> Balance | None:
        return self.pos_weight

    def with_balance(self, counts: Sequence[float], total: float) -> Self:
        return self.replace(pos_weight=tuple((total - count) / count if 0 < count < total else 1.0 for count in counts))


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

    @property
    def metric_unit(self) -> float:
        return self.margin
