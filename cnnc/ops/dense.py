"""The network's inputs, and layers in which every output depends on every input element: `fc`, `bilinear`.

In: the input types (none for `input`). Out: the output type, parameters, MACs. Example: `fc 10`.
"""

from __future__ import annotations

from typing import ClassVar

from cnnc.core.arguments import Choice, Flag, LayerName, Shape, Whole, arg
from cnnc.core.tensor import DType, GivenNumbers, Parameter, TensorType, format_shape
from cnnc.ops.base import (
    FROZEN,
    INIT,
    SHARE,
    Advice,
    Fix,
    Op,
    Window,
    parameter_options,
    register,
    require_unshared_options,
    trainable_count,
    weight_and_bias,
)
from cnnc.ops.given import BIASES, given_formulas, given_options, require_given_numbers_fit, weights_of

_FC, _BILINEAR = "OUT x inputs", "out x A x B"  # the axes of the weights


@register
class Input(Op):
    """An input of the network. The graph itself scales uint8 inputs to 0..1."""

    keyword: ClassVar[str] = "input"
    arity: ClassVar[int] = 0
    example: ClassVar[str] = "input 3x224x224"

    shape: tuple[int, ...] = arg(Shape(), positional=True, help="the shape without the batch, channels first")
    dtype: DType = arg(Choice(("float32", "uint8", "int64")), default=None, help="element type; float32 when left out")
    symbols: tuple[str, ...] = ()  # for each size its symbol, or "" for a number; lowering sets it

    def fed(self) -> TensorType:
        """The type of the array that a caller passes; `output` is the type that the layers see."""
        return TensorType(self.shape, self.dtype or "float32")

    def output(self, *inputs: TensorType) -> TensorType:
        return TensorType(self.shape, "int64" if self.dtype == "int64" else "float32")

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return ()

    def advice(self, *inputs: TensorType) -> list[Advice]:
        """W304 for what looks like the shape of an image in another axis order, or with a batch."""
        layout = _other_layout(self.shape) if not any(self.symbols) and self.dtype != "int64" else None
        if layout is None:
            return []
        rule, image = layout
        message = f"{format_shape(self.shape)} is {self.shape[0]} channels of {format_shape(self.shape[1:])}; {rule}"
        fix = Fix("shape", format_shape(image), "write `input {}` if it is an image", positional=True)
        return [Advice("W304", message, argument="shape", fixes=(fix,))]

    def brief(self) -> str:
        return "" if self.dtype in (None, "float32") else self.dtype


def _other_layout(shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]] | None:
    """The rule that an input's shape breaks, and the shape that was probably meant; None if nothing is unusual.

    Only square images with one or three channels are recognized.
    """
    match shape:
        case (h, w, (1 | 3) as c) if h == w >= 8:
            return "sizes are channels first", (c, h, w)
        case (_, (1 | 3) as c, h, w) if h == w >= 8:
            return "the shape excludes the batch", (c, h, w)
        case (h, w) if h == w >= 28:
            return "an image needs its channels before its height and width", (1, h, w)
    return None


@register
class Fc(Op):
    """Fully connected layer (ONNX Gemm): y = W·x + b. Flattens its input, channels first."""

    keyword: ClassVar[str] = "fc"
    example: ClassVar[str] = "fc 10"

    out: int = arg(Whole(1), positional=True, help="the number of outputs")
    bias: bool = arg(Flag(), default=True, help="add a learned bias to each output")
    weights: GivenNumbers | None = weights_of(_FC)
    biases: GivenNumbers | None = BIASES
    init: str | None = INIT
    share: str | None = SHARE
    frozen: bool = FROZEN

    def output(self, *inputs: TensorType) -> TensorType:
        require_unshared_options(self.share, self.init, self.frozen)
        require_given_numbers_fit(self, (self.out, inputs[0].size), self.out, _FC, ("out", ""))
        return inputs[0].with_shape(self.out)

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        size = inputs[0].size
        biases, fans = self.out if self.bias else 0, (size, self.out)
        return weight_and_bias((self.out, size), fans, biases, self.init, self.frozen, self.weights, self.biases)

    def macs(self, *inputs: TensorType) -> int:
        return inputs[0].size * self.out

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        flat = f"{x} flattens to {x.size:,}; " if x.rank else ""
        bias = f" + {self.out}" if self.bias else ""
        return [
            f"{flat}params = {self.out}·{x.size}{bias} = {trainable_count(self.parameters(x)):,}",
            f"MACs = {self.out}·{x.size} = {self.macs(x):,}",
            *given_formulas(self),
        ]

    def brief(self) -> str:
        text = f"{self.out}" + ("" if self.bias else " bias=false") + given_options(self)
        return text + parameter_options(self.share, self.init, self.frozen)


@register
class Bilinear(Op):
    """Bilinear similarity of two vectors: aᵀ·M·b with one learned matrix M per output (Severyn & Moschitti 2015).

    Their formula is sim = x_qᵀ·M·x_d. Flattens both inputs, channels first, and adds no bias.
    """

    keyword: ClassVar[str] = "bilinear"
    arity: ClassVar[int] = 2
    example: ClassVar[str] = "bilinear query document"

    a: str = arg(LayerName(), positional=True, help="the layer on the left of the matrix")
    b: str = arg(LayerName(), positional=True, help="the layer on the right of the matrix")
    out: int = arg(Whole(1), default=1, help="number of outputs")
    weights: GivenNumbers | None = weights_of(_BILINEAR)
    share: str | None = SHARE
    frozen: bool = FROZEN

    def output(self, *inputs: TensorType) -> TensorType:
        a, b = inputs
        require_unshared_options(self.share, None, self.frozen)
        require_given_numbers_fit(self, (self.out, a.size, b.size), 0, _BILINEAR, ("out", "", ""))
        return a.with_shape(self.out)

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        a, b = inputs
        fans = a.size * b.size, self.out
        return weight_and_bias((self.out, a.size, b.size), fans, 0, None, self.frozen, self.weights)

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
            *given_formulas(self),
        ]

    def brief(self) -> str:
        text = f"{self.a} {self.b}" + (f" out={self.out}" if self.out > 1 else "") + given_options(self)
        return text + parameter_options(self.share, None, self.frozen)
