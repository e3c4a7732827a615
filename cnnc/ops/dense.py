"""Where tensors begin, and layers in which every input meets every output."""

from __future__ import annotations

from typing import ClassVar

from cnnc.arguments import Choice, Flag, Shape, Whole, arg
from cnnc.ops.base import Op, Window, register
from cnnc.tensor import DType, Parameter, TensorType


@register
class Input(Op):
    """An input of the network. uint8 images are scaled to 0..1 by the graph itself."""

    keyword: ClassVar[str] = "input"
    arity: ClassVar[int] = 0

    shape: tuple[int, ...] = arg(Shape(), positional=True, help="its shape, channels first, without the batch")
    dtype: DType = arg(Choice(("float32", "uint8", "int64")), default=None, help="its element type (float32)")

    def fed(self) -> TensorType:
        """What the user feeds; `output` is what the layers see."""
        return TensorType(self.shape, self.dtype or "float32")

    def output(self, *inputs: TensorType) -> TensorType:
        return TensorType(self.shape, "int64" if self.dtype == "int64" else "float32")

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return ()

    def brief(self) -> str:
        return "" if self.dtype in (None, "float32") else self.dtype


@register
class Fc(Op):
    """A fully connected layer (ONNX Gemm): y = W·x + b. It flattens its input by itself, channels first."""

    keyword: ClassVar[str] = "fc"

    out: int = arg(Whole(1), positional=True, help="number of outputs")
    bias: bool = arg(Flag(), default=True, help="add a learned number to each output")

    def output(self, *inputs: TensorType) -> TensorType:
        return inputs[0].with_shape(self.out)

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        size = inputs[0].size
        weight = Parameter("weight", (self.out, size), "he", size, self.out)
        return (weight, Parameter("bias", (self.out,))) if self.bias else (weight,)

    def macs(self, *inputs: TensorType) -> int:
        return inputs[0].size * self.out

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        flat = f"{x} flattens to {x.size:,}; " if x.rank else ""
        bias = f" + {self.out}" if self.bias else ""
        count = sum(p.size for p in self.parameters(x))
        return [
            f"{flat}params = {self.out}·{x.size}{bias} = {count:,}",
            f"MACs = {self.out}·{x.size} = {self.macs(x):,}",
        ]

    def brief(self) -> str:
        return f"{self.out}" + ("" if self.bias else " bias=false")
