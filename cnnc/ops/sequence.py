"""Layers on sequences of integers: `embed`.

In: a vector of T integers. Out: float32 DIM x T, a vector per integer. Example: `embed 64 vocab=5000`.
"""

from __future__ import annotations

from typing import ClassVar

from cnnc.core.arguments import Whole, arg
from cnnc.core.tensor import DType, GivenNumbers, Parameter, TensorType
from cnnc.ops.base import (
    BEFORE,
    FROZEN,
    INIT,
    SHARE,
    Fix,
    Op,
    ShapeError,
    Window,
    parameter_options,
    register,
    require_unshared_options,
)
from cnnc.ops.given import given_formulas, given_options, require_given_numbers_fit, weights_of

_EMBED = "vocab x DIM"  # the axes of the weights


@register
class Embed(Op):
    """Looks up a learned vector for each integer: T integers become DIM x T (ONNX Gather).

    Unless init is given, the vectors are drawn uniformly from ±sqrt(6/(1 + DIM)) (xavier). Like those of Kim (2014)
    they are small, so that training moves them; vectors of standard deviation 1 would hardly change.
    """

    keyword: ClassVar[str] = "embed"
    takes: ClassVar[tuple[DType, ...]] = ("int64",)
    example: ClassVar[str] = "embed 64 vocab=5000"

    dim: int = arg(Whole(1), positional=True, help="the size of each vector")
    vocab: int = arg(Whole(1), help="number of different integers, 0 to vocab - 1")
    weights: GivenNumbers | None = weights_of(_EMBED)
    init: str | None = INIT
    share: str | None = SHARE
    frozen: bool = FROZEN

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if x.rank:
            raise ShapeError(
                "E324",
                f"embed takes a vector of integers, not {x}",
                fixes=(Fix(BEFORE, f"reshape {x.size}", "add `{}` before it"),),
                label=f"{x} arrives here",
            )
        require_unshared_options(self.share, self.init, self.frozen)
        require_given_numbers_fit(self, (self.vocab, self.dim), 0, _EMBED, ("vocab", "dim"))
        return TensorType((self.dim, x.size), "float32")

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        # Each output reads one row of the table: a fan-in of 1.
        init = self.weights or self.init or "xavier"
        return (Parameter("weight", (self.vocab, self.dim), init, 1, self.dim, frozen=self.frozen),)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        """One window: the vector's elements become the spatial axis, although a vector has none itself."""
        return (Window(1),)

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"params = {self.vocab}·{self.dim} = {self.vocab * self.dim:,}", *given_formulas(self)]

    def brief(self) -> str:
        return (
            f"{self.dim} vocab={self.vocab}"
            + given_options(self)
            + parameter_options(self.share, self.init, self.frozen)
        )
