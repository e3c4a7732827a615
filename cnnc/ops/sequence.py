"""Where integers become vectors."""

from __future__ import annotations

from typing import ClassVar

from cnnc.core.arguments import Whole, arg
from cnnc.core.tensor import DType, Parameter, TensorType
from cnnc.ops.base import FROZEN, INIT, SHARE, Op, ShapeError, Window, check_share, learning, register


@register
class Embed(Op):
    """A learned vector for each integer: T integers become DIMxT (ONNX Gather).

    The vectors are drawn evenly from ±sqrt(6/(1 + DIM)) (xavier), unless init says otherwise: small ones, as Kim (2014)
    draws them, so that training moves them. Those of deviation 1 stay nearly where they are.
    """

    keyword: ClassVar[str] = "embed"
    takes: ClassVar[tuple[DType, ...]] = ("int64",)
    example: ClassVar[str] = "embed 64 vocab=5000"

    dim: int = arg(Whole(1), positional=True, help="size of each vector")
    vocab: int = arg(Whole(1), help="number of different integers, from 0 on")
    init: str | None = INIT
    share: str | None = SHARE
    frozen: bool = FROZEN

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if x.rank:
            raise ShapeError(
                "E324",
                f"embed takes a vector of integers, not {x}",
                help=f"`reshape {x.size}` before it",
                label=f"{x} arrives here",
            )
        check_share(self.share, self.init, self.frozen)
        return TensorType((self.dim, x.size), "float32")

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        # One row at a time is read: a fan of 1.
        return (Parameter("weight", (self.vocab, self.dim), self.init or "xavier", 1, self.dim, frozen=self.frozen),)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        """The vector's places become the axis: one window on them, though a vector has no spatial axis."""
        return (Window(1),)

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"params = {self.vocab}·{self.dim} = {self.vocab * self.dim:,}"]

    def brief(self) -> str:
        return f"{self.dim} vocab={self.vocab}" + learning(self.share, self.init, self.frozen)
