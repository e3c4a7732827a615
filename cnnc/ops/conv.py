"""Convolution (cross-correlation, as in ONNX Conv) in one, two and three dimensions."""

from __future__ import annotations

import math
from typing import ClassVar

from cnnc.arguments import Axes, Flag, Padding, Pads, PerAxis, Whole, arg
from cnnc.ops import window
from cnnc.ops.base import Advice, Op, ShapeError, Window, product, register
from cnnc.tensor import Parameter, TensorType


@register
class Conv(Op):
    """Convolution: each output channel is a learned window moved over all channels of its group."""

    keyword: ClassVar[str] = "conv"

    out: int = arg(Whole(1), positional=True, help="output channels")
    k: Axes = arg(PerAxis(1), long="kernel", help="size of the window")
    s: Axes = arg(PerAxis(1), default=1, long="stride", help="step of the window")
    p: Pads = arg(Padding(), default=0, long="pad", help="zeros around the input")
    d: Axes = arg(PerAxis(1), default=1, long="dilation", help="distance between the elements of the window")
    groups: int = arg(Whole(1), default=1, help="channels fall into this many groups that do not mix")
    bias: bool = arg(Flag(), default=True, help="add a learned number to each output channel")

    def rules(self, x: TensorType) -> tuple[window.AxisRule, ...]:
        return window.axis_rules(x, self.k, self.s, self.p, self.d)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.need_spatial(x, self.keyword)
        for what, channels in (("input", x.channels), ("output", self.out)):
            if channels % self.groups:
                raise ShapeError(
                    "E304",
                    f"groups={self.groups} does not divide the {channels} {what} channels",
                    help=f"groups must divide both {x.channels} and {self.out}: "
                    f"{_divisors(math.gcd(x.channels, self.out))}",
                    argument="groups",
                )
        return x.with_shape(self.out, *window.output_sizes(self.rules(x)))

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        (x,) = inputs
        taps = math.prod(self.k)
        fan_in, fan_out = x.channels // self.groups * taps, self.out // self.groups * taps
        weight = Parameter("weight", (self.out, x.channels // self.groups, *self.k), "he", fan_in, fan_out)
        return (weight, Parameter("bias", (self.out,))) if self.bias else (weight,)

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        return self.output(x).size * (x.channels // self.groups) * math.prod(self.k)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return window.windows(self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        y = self.output(x)
        per_output = product((x.channels // self.groups, *self.k))
        weights = f"{self.out}·({per_output})"
        bias = f" + {self.out}" if self.bias else ""
        count = sum(p.size for p in self.parameters(x))
        return [
            *window.explain(self.rules(x)),
            f"params = {weights}{bias} = {count:,}",
            f"MACs = {product(y.shape)}·({per_output}) = {self.macs(x):,}",
        ]

    def advice(self, *inputs: TensorType) -> list[Advice]:
        return window.stride_advice(self.rules(inputs[0]), self.keyword)

    def brief(self) -> str:
        text = f"{self.out} {window.brief(self.k, self.s, self.p, self.d)}"
        if self.groups > 1:
            text += f" groups={self.groups}"
        return text if self.bias else text + " bias=false"


def _divisors(n: int) -> str:
    found = [d for d in range(1, min(n, 10_000) + 1) if n % d == 0]
    return ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
