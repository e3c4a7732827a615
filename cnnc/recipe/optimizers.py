"""The optimizers: their arguments and slots. training/optimizers.py holds the update rules.

A slot is an array that the optimizer keeps for each weight, of the weight's shape. Slots are saved in checkpoints, and
the training-memory estimate counts them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cnnc.core.arguments import Flag, Real, arg
from cnnc.recipe.declaration import TrainStatement, register

_LR: Any = arg(Real(0, open_below=True), default=0.001, help="learning rate")
_MOMENTUM: Any = arg(
    Real(0, 1, open_above=True), default=0, help="fraction of the last update that is added to this one"
)
_EPS: Any = arg(Real(0, open_below=True), default=1e-8, help="added to the root of the mean square")
_L2: Any = arg(Real(0), default=0, help="L2 penalty: this times the weight is added to the gradient")
_DECOUPLED: Any = arg(Real(0), default=0, help="each step subtracts the learning rate times this times the weight")


class Optimizer(TrainStatement):
    """How a training step changes the weights, given their gradients.

    `counts_steps` says that the update rule needs the number of the step, as for a bias correction; one more slot,
    `steps`, keeps it. `usual_rates` are the smallest and the largest learning rate that is not probably a mistake.
    """

    keyword = "optimizer"
    counts_steps: ClassVar[bool] = False
    usual_rates: ClassVar[tuple[float, float]]

    lr: float

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the slots; () for an optimizer without any."""
        raise NotImplementedError


@register
class Sgd(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov momentum (Sutskever et al. 2013)."""

    kind = "sgd"
    example = "optimizer sgd lr=0.1 momentum=0.9"
    usual_rates = (
        1e-6,
        4,
    )  # 3.2 with batches of 8,192 (Goyal et al. 2017), 3 in super-convergence (Smith & Topin 2019)

    lr: float = arg(Real(0, open_below=True), help="learning rate")
    momentum: float = _MOMENTUM
    nesterov: bool = arg(Flag(), default=False, help="use Nesterov momentum")
    weight_decay: float = _L2

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()


class _AdamMoments(Optimizer):
    """Running means of the gradients and of their squares, with bias correction: what Adam and AdamW share."""

    counts_steps = True
    usual_rates = (1e-6, 0.1)

    lr: float = _LR
    beta1: float = arg(
        Real(0, 1, open_above=True), default=0.9, help="decay of the running mean of gradients, per step"
    )
    beta2: float = arg(
        Real(0, 1, open_above=True), default=0.999, help="decay of the running mean of squared gradients, per step"
    )
    eps: float = _EPS

    @property
    def slots(self) -> tuple[str, ...]:
        return ("mean", "square")


@register
class Adam(_AdamMoments):
    """Adam (Kingma & Ba 2015), with bias correction."""

    kind = "adam"
    example = "optimizer adam lr=0.002"

    weight_decay: float = _L2


@register
class AdamW(_AdamMoments):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kind = "adamw"
    example = "optimizer adamw lr=0.002 weight_decay=0.05"

    weight_decay: float = _DECOUPLED.replace(default=0.01)


@register
class RmsProp(Optimizer):
    """RMSprop (Tieleman & Hinton 2012): divides the gradient by the root of its running mean square."""

    kind = "rmsprop"
    example = "optimizer rmsprop lr=0.001 momentum=0.9"
    usual_rates = (1e-6, 0.1)

    lr: float = _LR
    decay: float = arg(
        Real(0, 1, open_above=True), default=0.99, help="decay of the running mean of squared gradients, per step"
    )
    momentum: float = _MOMENTUM
    eps: float = _EPS
    weight_decay: float = _L2

    @property
    def slots(self) -> tuple[str, ...]:
        return ("square", "velocity") if self.momentum else ("square",)


@register
class Lion(Optimizer):
    """Lion (Chen et al. 2023, algorithm 2): steps by the sign of an interpolation of momentum and gradient.

    Each step moves every weight by the same amount, so it needs a learning rate 3 to 10 times smaller than AdamW's.
    """

    kind = "lion"
    example = "optimizer lion lr=0.0003 weight_decay=0.1"
    usual_rates = (1e-7, 0.01)

    lr: float = arg(Real(0, open_below=True), default=0.0001, help="learning rate")
    beta1: float = arg(
        Real(0, 1, open_above=True), default=0.9, help="weight of the momentum in the direction of a step"
    )
    beta2: float = arg(Real(0, 1, open_above=True), default=0.99, help="decay of the momentum, per step")
    weight_decay: float = _DECOUPLED

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum",)
