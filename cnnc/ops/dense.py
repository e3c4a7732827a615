"""Where tensors begin, and layers in which every input meets every output."""

from __future__ import annotations

from typing import ClassVar

from cnnc.core.arguments import Choice, Flag, LayerName, Shape, Whole, arg
from cnnc.core.tensor import DType, Parameter, TensorType, format_shape
from cnnc.ops.base import (
    FROZEN,
    INIT,
    SHARE,
    Advice,
    Op,
    Window,
    check_share,
    count_of,
    learning,
    register,
    weight_and_bias,
)


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

    def advice(self, *inputs: TensorType) -> list[Advice]:
        """W304 for the shape of an image with its sizes in another order, or with a batch."""
        found = _other_layout(self.shape) if not any(self.symbols) and self.dtype != "int64" else None
        if found is None:
            return []
        what, image = found
        message = f"{format_shape(self.shape)} is {self.shape[0]} channels of {format_shape(self.shape[1:])}; {what}"
        return [Advice("W304", message, f"write `input {format_shape(image)}` if it is an image", "shape")]

    def brief(self) -> str:
        return "" if self.dtype in (None, "float32") else self.dtype


def _other_layout(shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]] | None:
    """What is unusual about an input's shape, and the shape that was probably meant; None where nothing is.

    Images are taken for what they are where they are square, and have one channel or three.
    """
    match shape:
        case (h, w, (1 | 3) as c) if h == w >= 8:
            return "sizes are channels first", (c, h, w)
        case (_, (1 | 3) as c, h, w) if h == w >= 8:
            return "the batch is left out", (c, h, w)
        case (h, w) if h == w >= 28:
            return "an image has its channels before its height and width", (1, h, w)
    return None


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
