"""Fixed filters: convolutions of each channel with a given kernel that is not learned.

In: the type of one input, (C, *spatial). Out: the output type and MACs; there are no parameters. Example:
`filter [0.25, 0.5, 0.25] p=1` smooths a sequence.
"""

from __future__ import annotations

import math
from typing import ClassVar

from cnnc.core.arguments import Axes, Kernel, Nested, Padding, Pads, PerAxis, WordValue, arg
from cnnc.core.tensor import TensorType
from cnnc.ops import window
from cnnc.ops.base import Advice, Op, Window, product_text, register

NAMED: dict[str, Nested] = {
    "sobel_x": ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0)),
    "sobel_y": ((-1.0, -2.0, -1.0), (0.0, 0.0, 0.0), (1.0, 2.0, 1.0)),
    "laplacian": ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0)),
    "sharpen": ((0.0, -1.0, 0.0), (-1.0, 5.0, -1.0), (0.0, -1.0, 0.0)),
    "box": ((1 / 9,) * 3,) * 3,
    "gaussian": ((0.0625, 0.125, 0.0625), (0.125, 0.25, 0.125), (0.0625, 0.125, 0.0625)),
    "identity": ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)),
}
_ODD = "add a row or column of zeros to give the kernel a centre"


@register
class Filter(Op):
    """Moves a fixed window over each channel separately: edges, blur, or given numbers (a depthwise ONNX Conv).

    Computes the cross-correlation, like conv. The named kernels are 3x3:

        sobel_x    -1  0  1     sobel_y  -1 -2 -1     laplacian  0  1  0
                   -2  0  2               0  0  0                1 -4  1
                   -1  0  1               1  2  1                0  1  0

        sharpen     0 -1  0     gaussian  1  2  1     identity   0  0  0
                   -1  5 -1      1/16 ·   2  4  2                0  1  0
                    0 -1  0               1  2  1                0  0  0

        box         1  1  1
           1/9 ·    1  1  1
                    1  1  1

    sobel_x is positive where the image gets brighter to the right, sobel_y where it gets brighter downwards.
    """

    keyword: ClassVar[str] = "filter"
    example: ClassVar[str] = "filter sobel_x"

    numbers: str | Nested = arg(
        Kernel(tuple(NAMED)), positional=True, help="the kernel's name, or its numbers: [[1, 0], [0, -1]]"
    )
    s: Axes = arg(PerAxis(1), default=1, long="stride", help="step between windows, in input elements")
    p: Pads = arg(Padding(), default=WordValue("same"), long="pad", help="zero padding around the input")

    def kernel(self) -> Nested:
        """The kernel's numbers as nested tuples, one level per spatial axis."""
        return NAMED[self.numbers] if isinstance(self.numbers, str) else self.numbers

    @property
    def k(self) -> Axes:
        """The kernel's size on each spatial axis."""
        sizes = []
        level: object = self.kernel()
        while isinstance(level, tuple):
            sizes.append(len(level))
            level = level[0]
        return tuple(sizes)

    def rules(self, x: TensorType) -> tuple[window.AxisRule, ...]:
        """The window rule on each spatial axis of an input."""
        return window.axis_rules(x, self.k, self.s, self.p, (1,) * len(self.k))

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.require_spatial(x, self.keyword)
        return x.with_shape(x.channels, *window.output_sizes(self.rules(x), "numbers"))

    def macs(self, *inputs: TensorType) -> int:
        return self.output(*inputs).size * math.prod(self.k)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return window.windows(self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        macs = f"MACs = {product_text(self.output(x).shape)}·({product_text(self.k)}) = {self.macs(x):,}"
        return [*window.explain(self.rules(x)), macs]

    def advice(self, *inputs: TensorType) -> list[Advice]:
        rules = self.rules(inputs[0])
        advice = window.stride_advice(rules, self.keyword) + window.padding_advice(rules, self.p)
        return [a.replace(words=_ODD, argument="numbers", fixes=()) if a.code == "W302" else a for a in advice]

    def brief(self) -> str:
        parts = [self.numbers if isinstance(self.numbers, str) else f"[{window.short(self.k)}]"]
        parts += [f"s={window.short(self.s)}"] if any(s != 1 for s in self.s) else []
        return " ".join(parts if self.p == "same" else [*parts, f"p={window.pads_text(self.p)}"])
