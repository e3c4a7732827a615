"""Where tensors begin, and layers in which every input meets every output."""

from __future__ import annotations

from typing import ClassVar

from cnnc.arguments import Choice, Flag, LayerName, Shape, Whole, arg
from cnnc.ops.base import (
    FROZEN,
    INIT,
    SHARE,
    Op,
    Window,
    check_share,
    count_of,
    learning,
    register,
    weight_and_bias,
)
from cnnc.tensor import DType, Parameter, TensorType


@register
class Input(Op):
    """An input of the network. uint8 images are scaled to 0..1 by the graph itself."""

    keyword: ClassVar[str] = "input"
    arity: ClassVar[int] = 0
    example: ClassVar[str] = "input 3x224x224"

    shape: tuple[int, ...] = arg(Shape(), positional=True, help="its shape, channels first, without the batch")
    dtype: DType = arg(Choice(("float32", "uint8", "int64")), default=None, help="its element type (float32)")
    symbols: tuple[str, ...] = ()  # the symbol of each size, "" for a number; set by the lowering

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
    example: ClassVar[str] = "fc 10"

    out: int = arg(Whole(1), positional=True, help="number of outputs")
    bias: bool = arg(Flag(), default=True, help="add a learned number to each output")
    init: str | None = INIT
    share: str | None = SHARE
    frozen: bool = FROZEN

    def output(self, *inputs: TensorType) -> TensorType:
        check_share(self.share, self.init, self.frozen)
        return inputs[0].with_shape(self.out)

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        size = inputs[0].size
        biases = self.out if self.bias else 0
        return weight_and_bias((self.out, size), (size, self.out), biases, self.init, self.frozen)

    def macs(self, *inputs: TensorType) -> int:
        return inputs[0].size * self.out

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        flat = f"{x} flattens to {x.size:,}; " if x.rank else ""
        bias = f" + {self.out}" if self.bias else ""
        return [
            f"{flat}params = {self.out}·{x.size}{bias} = {count_of(self.parameters(x)):,}",
            f"MACs = {self.out}·{x.size} = {self.macs(x):,}",
        ]

    def brief(self) -> str:
        return f"{self.out}" + ("" if self.bias else " bias=false") + learning(self.share, self.init, self.frozen)


@register
class Bilinear(Op):
    """A similarity of two vectors, aᵀ·M·b, for each output a matrix M of its own (Severyn & Moschitti 2015, sim = x_qᵀ·M·x_d).

    It flattens both by itself, channels first, and adds no bias.
    """

    keyword: ClassVar[str] = "bilinear"
    arity: ClassVar[int] = 2
    example: ClassVar[str] = "bilinear query document"

    a: str = arg(LayerName(), positional=True, help="the layer on the left of the matrix")
    b: str = arg(LayerName(), positional=True, help="the layer on its right")
    out: int = arg(Whole(1), default=1, help="number of outputs")
    share: str | None = SHARE

    def output(self, *inputs: TensorType) -> TensorType:
        a, _ = inputs
        return a.with_shape(self.out)

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        a, b = inputs
        return (Parameter("weight", (self.out, a.size, b.size), "auto", a.size * b.size, self.out),)

    def macs(self, *inputs: TensorType) -> int:
        a, b = inputs
        return self.out * a.size * b.size

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return self.reads(0, *inputs)

    def reads(self, operand: int, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[operand].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        a, b = inputs
        count = self.macs(a, b)
        return [
            f"params = {self.out}·{a.size}·{b.size} = {count:,}",
            f"MACs = {self.out}·{a.size}·{b.size} = {count:,}",
        ]

    def brief(self) -> str:
        return f"{self.a} {self.b}" + (f" out={self.out}" if self.out > 1 else "") + learning(self.share)
