"""Pooling: a window that takes the largest or the mean of what it sees, channel by channel."""

from __future__ import annotations

from typing import ClassVar

from cnnc.arguments import Axes, Choice, Flag, Padding, Pads, PerAxis, arg
from cnnc.ops import window
from cnnc.ops.base import Advice, Op, ShapeError, Window, register
from cnnc.tensor import TensorType


@register
class Pool(Op):
    """Pooling of each channel by itself (ONNX MaxPool, AveragePool); padding never wins or counts unless asked."""

    keyword: ClassVar[str] = "pool"

    kind: str = arg(Choice(("max", "avg")), positional=True, help="what becomes of a window")
    k: Axes = arg(PerAxis(1), long="kernel", help="size of the window")
    s: Axes | None = arg(PerAxis(1), default=None, long="stride", help="step of the window; k when left out")
    p: Pads = arg(Padding(), default=0, long="pad", help="padding around the input")
    d: Axes = arg(PerAxis(1), default=1, long="dilation", help="distance between the elements of the window")
    ceil: bool = arg(Flag(), default=False, help="round the output size up instead of down")
    count_pad: bool = arg(Flag(), default=False, help="padding counts in the mean")

    @property
    def stride(self) -> Axes:
        return self.k if self.s is None else self.s

    def rules(self, x: TensorType) -> tuple[window.AxisRule, ...]:
        return window.axis_rules(x, self.k, self.stride, self.p, self.d, self.ceil)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.need_spatial(x, self.keyword)
        rules = self.rules(x)
        sizes = window.output_sizes(rules)
        wide = next((r for r in rules if r.begin >= r.e or r.end >= r.e), None)
        if wide is not None:
            raise ShapeError(
                "E305",
                f"padding of {max(wide.begin, wide.end)} is as large as the window of {wide.e}: "
                "some windows would see padding alone",
                help=f"p={wide.e - 1} is the most that a pool of this size can take",
                argument="p",
            )
        return x.with_shape(x.channels, *sizes)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return window.windows(self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        return window.explain(self.rules(inputs[0]))

    def advice(self, *inputs: TensorType) -> list[Advice]:
        return window.stride_advice(self.rules(inputs[0]), self.keyword)

    def brief(self) -> str:
        ones = tuple(1 for _ in self.k)
        text = f"{self.kind} {window.brief(self.k, ones, self.p, self.d)}"
        if self.stride != self.k:
            text = text.replace(f"k={window.short(self.k)}", f"k={window.short(self.k)} s={window.short(self.stride)}")
        return text + (" ceil=true" if self.ceil else "") + (" count_pad=true" if self.count_pad else "")
