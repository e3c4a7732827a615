"""Layers on sequences of integers: `embed`.

In: a vector of T integers. Out: float32 DIM x T, a vector per integer. Example: `embed 64 vocab=5000`.
"""

from __future__ import annotations

from typing import ClassVar

from cnnc.core.arguments import Whole, arg
from cnnc.core.tensor import DType, Parameter, TensorType
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
        return TensorType((self.dim, x.size), "float32")

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        # Each output reads one row of the table: a fan-in of 1.
        return (Parameter("weight", (self.vocab, self.dim), self.init or "xavier", 1, self.dim, frozen=self.frozen),)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        """One window: the vector's elements become the spatial axis, although a vector has none itself."""
        return (Window(1),)

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"params = {self.vocab}·{self.dim} = {self.vocab * self.dim:,}"]

    def brief(self) -> str:
        return f"{self.dim} vocab={self.vocab}" + parameter_options(self.share, self.init, self.frozen)
