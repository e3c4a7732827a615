"""Activations: one number in, one number out; softmax looks along the channels."""

from __future__ import annotations

from typing import ClassVar

from cnnc.arguments import Real, arg
from cnnc.ops.base import Op, register


class Activation(Op):
    """A function of each element by itself."""


@register
class Relu(Activation):
    """max(x, 0) (Nair & Hinton 2010)."""

    keyword: ClassVar[str] = "relu"


@register
class Sigmoid(Activation):
    """1/(1 + exp(-x))."""

    keyword: ClassVar[str] = "sigmoid"


@register
class Tanh(Activation):
    """The hyperbolic tangent."""

    keyword: ClassVar[str] = "tanh"


@register
class Softmax(Activation):
    """exp(x_i)/Σ exp(x_j) over the channels: scores become probabilities."""

    keyword: ClassVar[str] = "softmax"


@register
class Dropout(Op):
    """In training, zeroes each element with probability P and scales the rest by 1/(1 - P) (Srivastava et al. 2014)."""

    keyword: ClassVar[str] = "dropout"

    p: float = arg(
        Real(0, 1, open_above=True), default=0.5, positional=True, help="probability of being dropped, in training"
    )

    def brief(self) -> str:
        return f"{self.p:g}"
