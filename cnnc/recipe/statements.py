"""How a network is trained: the statements of the train section, typed.

In: nothing; the fields are made by `arg`. Out: `Recipe` and the class of each statement, from which binding, error
messages and the reference are made. Loads no NumPy. train_section.py reads a section into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from cnnc.core.arguments import Choice, Declared, Flag, LayerName, Real, String, Whole, arg
from cnnc.core.record import Record
from cnnc.diagnostics import CnncError, Span
from cnnc.recipe.metrics import METRICS


class Data(Declared):
    """What it learns from."""

    name: str = arg(String(), positional=True, help="name of the data set")
    path: str | None = arg(String(bare=False), positional=True, default=None, help="file or folder, where it needs one")
    val: float = arg(Real(0, 1, open_above=True), default=0.1, help="share of the training data held back to validate")
    test: float = arg(
        Real(0, 1, open_below=True, open_above=True),
        default=0.1,
        help="share held back to test, where there is no test set",
    )


class Augment(Declared):
    """What is done to each picture before the network sees it in training."""

    flip: str | None = arg(Choice(("flip",)), default=None, positional=True, help="mirror every second image or so")
    crop: int = arg(Whole(0, 1024), default=0, help="pad by so many pixels, and crop the old size at random")
    shift: int = arg(Whole(0, 1024), default=0, help="move by up to so many pixels")
    rotate: float = arg(Real(0, 180), default=0, help="turn by up to so many degrees")
    noise: float = arg(Real(0, 1), default=0, help="add Gaussian noise of this deviation (the full range is 1)")
    cutout: int = arg(Whole(0, 1024), default=0, help="blank a square of this size")


# The last arguments of every loss.
_ON: Any = arg(LayerName(), default=None, help="the output it looks at, where there are several")
_WEIGHT: Any = arg(Real(0, open_below=True), default=1, help="its share of the sum, where there are several")
_TARGET: Any = arg(Choice(("input",)), default=None, help="compare with the input itself, as an autoencoder does")


class CrossEntropy(Declared):
    """-log of the probability of the right class; for label maps, of each pixel's."""

    kind: str = arg(Choice(("cross_entropy",)), positional=True, help="kind of loss")
    smoothing: float = arg(
        Real(0, 1, open_above=True), default=0, help="share of the target spread over all classes (Szegedy et al. 2016)"
    )
    ignore: int | None = arg(Whole(0), default=None, help="a class that does not count, as the border of label maps")
    on: str | None = _ON
    weight: float = _WEIGHT


class Mse(Declared):
    """The mean of squared differences."""

    kind: str = arg(Choice(("mse",)), positional=True, help="kind of loss")
    target: str | None = _TARGET
    on: str | None = _ON
    weight: float = _WEIGHT


class L1(Declared):
    """The mean of absolute differences."""

    kind: str = arg(Choice(("l1",)), positional=True, help="kind of loss")
    target: str | None = _TARGET
    on: str | None = _ON
    weight: float = _WEIGHT


class Huber(Declared):
    """Squared where the difference is small, absolute where it is large (Huber 1964)."""

    kind: str = arg(Choice(("huber",)), positional=True, help="kind of loss")
    delta: float = arg(Real(0, open_below=True), default=1, help="the difference at which one becomes the other")
    target: str | None = _TARGET
    on: str | None = _ON
    weight: float = _WEIGHT


class Bce(Declared):
    """Binary cross-entropy: each output is a probability of its own; targets are 0 to 1."""

    kind: str = arg(Choice(("bce",)), positional=True, help="kind of loss")
    target: str | None = _TARGET
    on: str | None = _ON
    weight: float = _WEIGHT


class Sgd(Declared):
    """Stochastic gradient descent with momentum (Polyak 1964; Nesterov as in Sutskever et al. 2013)."""

    kind: str = arg(Choice(("sgd",)), positional=True, help="kind of optimizer")
    lr: float = arg(Real(0, open_below=True), help="learning rate")
    momentum: float = arg(Real(0, 1, open_above=True), default=0, help="share of the last step that goes on")
    nesterov: bool = arg(Flag(), default=False, help="look ahead along the momentum")
    weight_decay: float = arg(Real(0), default=0, help="L2 penalty on the weights, added to the gradient")


_LR: Any = arg(Real(0, open_below=True), default=0.001, help="learning rate")
_BETA1: Any = arg(Real(0, 1, open_above=True), default=0.9, help="decay of the mean of gradients")
_BETA2: Any = arg(Real(0, 1, open_above=True), default=0.999, help="decay of the mean of their squares")
_EPS: Any = arg(Real(0, open_below=True), default=1e-8, help="added to the root of the mean square")


class Adam(Declared):
    """Adam (Kingma & Ba 2015), with bias correction."""

    kind: str = arg(Choice(("adam",)), positional=True, help="kind of optimizer")
    lr: float = _LR
    beta1: float = _BETA1
    beta2: float = _BETA2
    eps: float = _EPS
    weight_decay: float = arg(Real(0), default=0, help="L2 penalty on the weights, added to the gradient")


class AdamW(Declared):
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019)."""

    kind: str = arg(Choice(("adamw",)), positional=True, help="kind of optimizer")
    lr: float = _LR
    beta1: float = _BETA1
    beta2: float = _BETA2
    eps: float = _EPS
    weight_decay: float = arg(Real(0), default=0.01, help="share of the weight that each step takes away, times lr")


class RmsProp(Declared):
    """RMSprop (Tieleman & Hinton 2012): the gradient over the root of its running mean square."""

    kind: str = arg(Choice(("rmsprop",)), positional=True, help="kind of optimizer")
    lr: float = _LR
    decay: float = arg(Real(0, 1, open_above=True), default=0.99, help="decay of the mean of squares")
    momentum: float = arg(Real(0, 1, open_above=True), default=0, help="share of the last step that goes on")
    eps: float = _EPS
    weight_decay: float = arg(Real(0), default=0, help="L2 penalty on the weights, added to the gradient")


_WARMUP: Any = arg(Real(0), default=0, help="epochs in which the rate rises from nothing to the full rate")


class Constant(Declared):
    """The full rate all the way."""

    kind: str = arg(Choice(("constant",)), positional=True, help="kind of schedule")
    warmup: float = _WARMUP


class Step(Declared):
    """Times gamma after every so many epochs."""

    kind: str = arg(Choice(("step",)), positional=True, help="kind of schedule")
    every: int = arg(Whole(1), help="number of epochs between steps")
    gamma: float = arg(Real(0, open_below=True), default=0.1, help="factor of each step")
    warmup: float = _WARMUP


class Cosine(Declared):
    """Half a cosine, from the full rate to nothing (Loshchilov & Hutter 2017)."""

    kind: str = arg(Choice(("cosine",)), positional=True, help="kind of schedule")
    warmup: float = _WARMUP


class OneCycle(Declared):
    """Up along half a cosine from a 25th of the rate, then down to nearly nothing (Smith & Topin 2018)."""

    kind: str = arg(Choice(("onecycle",)), positional=True, help="kind of schedule")
    rise: float = arg(Real(0, 1, open_below=True, open_above=True), default=0.3, help="share of the time that goes up")


class Count(Declared):
    """A statement of one whole number: batch, epochs."""

    n: int = arg(Whole(1), positional=True, help="number")


class Seed(Declared):
    """The seed of every random choice."""

    n: int = arg(Whole(0), positional=True, help="seed")


class Clip(Declared):
    """The norm that all gradients together are cut down to (Pascanu et al. 2013)."""

    n: float = arg(Real(0, open_below=True), positional=True, help="norm")


class Stop(Declared):
    """Ends training where validation no longer improves."""

    patience: int = arg(Whole(1), help="number of epochs without a better one")


class Metric(Declared):
    """What is counted beside the loss; the first one decides which epoch is best."""

    kind: str = arg(Choice(METRICS), positional=True, help="kind of metric")


Loss = CrossEntropy | Mse | L1 | Huber | Bce
Optimizer = Sgd | Adam | AdamW | RmsProp
Schedule = Constant | Step | Cosine | OneCycle


class Recipe(Record):
    """How a network is trained. `places` says where each statement stands."""

    data: Data
    augment: Augment | None = None
    losses: tuple[Loss, ...] = (CrossEntropy("cross_entropy", 0.0, None, None, 1.0),)
    optimizer: Optimizer = Sgd("sgd", 0.01, 0.9, False, 0.0)
    schedule: Schedule = Constant("constant", 0.0)
    batch: int = 32
    epochs: int = 10
    seed: int = 0
    clip: float | None = None
    stop: Stop | None = None
    metrics: tuple[str, ...] = ()
    quiet_fields: ClassVar[tuple[str, ...]] = ("places",)
    places: Mapping[str, Span] = {}

    @property
    def slots(self) -> int:
        """How many numbers the optimizer keeps for each weight."""
        o = self.optimizer
        if isinstance(o, Adam | AdamW):
            return 2
        return (1 if o.momentum else 0) + (1 if isinstance(o, RmsProp) else 0)

    @property
    def metric(self) -> str:
        """The metric that decides which epoch is best: the first one asked for, else what goes with the first loss."""
        if self.metrics:
            return self.metrics[0]
        return "accuracy" if isinstance(self.losses[0], CrossEntropy) else "mse"


# A statement is one class, or one for each word it begins with.
STATEMENTS: dict[str, type[Any] | dict[str, type[Any]]] = {
    "data": Data,
    "augment": Augment,
    "loss": {"cross_entropy": CrossEntropy, "mse": Mse, "l1": L1, "huber": Huber, "bce": Bce},
    "optimizer": {"sgd": Sgd, "adam": Adam, "adamw": AdamW, "rmsprop": RmsProp},
    "schedule": {"constant": Constant, "step": Step, "cosine": Cosine, "onecycle": OneCycle},
    "batch": Count,
    "epochs": Count,
    "seed": Seed,
    "clip": Clip,
    "stop": Stop,
    "metric": Metric,
}
SEVERAL = ("loss", "metric")  # these may stand more than once


def require(recipe: Recipe | None, name: str) -> Recipe:
    """The recipe of a network that is to be trained. Raises CnncError E509 where it has none."""
    if recipe is None:
        raise CnncError.of(
            "E509",
            f"{name} has no train section",
            help="add `train { data digits; loss cross_entropy; optimizer sgd lr=0.05; epochs 5 }`",
        )
    return recipe
