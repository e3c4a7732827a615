"""The unshared convolution, `local`: a convolution with weights of its own at each output position.

In: the type of one input, (C, *spatial), of fixed size. Out: the output type, weight and bias, MACs. Example:
`local 16 k=3 p=same`.
"""

from __future__ import annotations

import math
from typing import ClassVar

from cnnc.core.arguments import Axes, Flag, Padding, Pads, PerAxis, Whole, arg
from cnnc.core.tensor import Parameter, TensorType
from cnnc.ops import window
from cnnc.ops.base import (
    FROZEN,
    INIT,
    SHARE,
    Advice,
    Op,
    Window,
    parameter_options,
    product_text,
    register,
    require_unshared_options,
    trainable_count,
    weight_and_bias,
)


@register
class Local(Op):
    """Unshared convolution: a convolution with weights of its own at each output position (LeCun 1989).

    A locally connected layer (Taigman et al. 2014; Goodfellow et al. 2016, section 9.5; Keras LocallyConnected2D): each
    output reads the same window as in `conv`, but no two positions share a weight. The weight is (*positions, out, C, *k),
    where weight[i, j] is the weight of a conv at row i and column j of the output; the bias has one number per output
    element. The number of parameters depends on the input's size.
    """

    keyword: ClassVar[str] = "local"
    example: ClassVar[str] = "local 16 k=3 p=same"

    out: int = arg(Whole(1), positional=True, help="the number of output channels")
    k: Axes = arg(PerAxis(1), long="kernel", help="window size")
    s: Axes = arg(PerAxis(1), default=1, long="stride", help="step between windows, in input elements")
    p: Pads = arg(Padding(), default=0, long="pad", help="zero padding around the input")
    d: Axes = arg(PerAxis(1), default=1, long="dilation", help="spacing of the window's elements")
    bias: bool = arg(Flag(), default=True, help="add a learned bias to each output element")
    init: str | None = INIT
    share: str | None = SHARE
    frozen: bool = FROZEN

    def rules(self, x: TensorType) -> tuple[window.AxisRule, ...]:
        """The window rule on each spatial axis of an input."""
        return window.axis_rules(x, self.k, self.s, self.p, self.d)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.require_spatial(x, self.keyword)
        require_unshared_options(self.share, self.init, self.frozen)
        return x.with_shape(self.out, *window.output_sizes(self.rules(x)))

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        (x,) = inputs
        positions = tuple(rule.out for rule in self.rules(x))
        taps = math.prod(self.k)
        shape = (*positions, self.out, x.channels, *self.k)
        weight = weight_and_bias(shape, (x.channels * taps, self.out * taps), 0, self.init, self.frozen)
        return (*weight, Parameter("bias", (self.out, *positions), frozen=self.frozen)) if self.bias else weight

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        return self.output(x).size * x.channels * math.prod(self.k)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return window.windows(self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        y = self.output(x)
        positions, per_output = product_text(y.spatial), product_text((x.channels, *self.k))
        bias = f" + {self.out}·{positions}" if self.bias else ""
        return [
            *window.explain(self.rules(x)),
            f"params = {positions}·{self.out}·({per_output}){bias} = {trainable_count(self.parameters(x)):,}",
            f"MACs = {product_text(y.shape)}·({per_output}) = {self.macs(x):,}",
        ]

    def advice(self, *inputs: TensorType) -> list[Advice]:
        rules = self.rules(inputs[0])
        return window.stride_advice(rules, self.keyword) + window.padding_advice(rules, self.p)

    def brief(self) -> str:
        text = f"{self.out} {window.brief(self.k, self.s, self.p, self.d)}" + ("" if self.bias else " bias=false")
        return text + parameter_options(self.share, self.init, self.frozen)
