"""Layers that rearrange values and change none."""

from __future__ import annotations

from typing import ClassVar

from cnnc.arguments import Shape, arg
from cnnc.ops.base import Op, ShapeError, Window, product, register
from cnnc.tensor import TensorType, format_shape


@register
class Flatten(Op):
    """All elements in one vector, channels first (ONNX Flatten)."""

    keyword: ClassVar[str] = "flatten"

    def output(self, *inputs: TensorType) -> TensorType:
        return inputs[0].with_shape(inputs[0].size)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)


@register
class Reshape(Op):
    """The same elements, channels first, in another shape (ONNX Reshape)."""

    keyword: ClassVar[str] = "reshape"

    shape: tuple[int, ...] = arg(Shape(), positional=True, help="the new shape, without the batch")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        y = x.with_shape(*self.shape)
        if y.size != x.size:
            raise ShapeError(
                "E307",
                f"cannot reshape {x} ({x.size:,} elements) to {y} ({y.size:,})",
                help=_fitting(x, self.shape),
                argument="shape",
                label=f"{product(self.shape)} = {y.size:,}",
            )
        return y

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)

    def brief(self) -> str:
        return format_shape(self.shape)


def _fitting(x: TensorType, shape: tuple[int, ...]) -> str:
    """A shape that fits, with its last sizes as they were asked for."""
    rest = TensorType(shape).size // shape[0]
    if x.size % rest == 0:
        return f"`reshape {format_shape((x.size // rest, *shape[1:]))}` fits"
    return f"the sizes must multiply to {x.size:,}"
