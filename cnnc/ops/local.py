"""The unshared convolution, `local`: a convolution with weights of its own at each output position.

In: the type of one input, (C, *spatial), of fixed size. Out: the output type, weight and bias, MACs. Example:
`local 16 k=3 p=same`.
"""

from __future__ import annotations

import math
from typing import ClassVar

from cnnc.core.arguments import Axes, Flag, NumberLists, Padding, Pads, PerAxis, Whole, arg
from cnnc.core.tensor import GivenNumbers, Parameter, TensorType
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
from cnnc.ops.given import given_formulas, given_options, require_given_numbers_fit, weights_of

_LOCAL = "positions x OUT x C x k"  # the axes of the weights
_BIASES = "initial biases: lists of OUT x positions, or one number"


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
    weights: GivenNumbers | None = weights_of(_LOCAL)
    biases: GivenNumbers | None = arg(NumberLists(), default=None, help=_BIASES)
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
        y = x.with_shape(self.out, *window.output_sizes(self.rules(x)))
        axes = (*("" for _ in y.spatial), "out", "", *("k" for _ in self.k))
        shape = self.weight_shape(x)
        op = self.replace(weights=self._given_weights(shape))
        require_given_numbers_fit(op, shape, y.shape, _LOCAL, axes)
        return y

    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        """The shape of the weight for an input."""
        return (*(rule.out for rule in self.rules(x)), self.out, x.channels, *self.k)

    def _given_weights(self, shape: tuple[int, ...]) -> GivenNumbers | None:
        """The given weights in this shape where they are one window for each position, for one channel in and out."""
        given, rank = self.weights, len(self.k)
        windows = shape[rank : rank + 2] == (1, 1) and given is not None and given.shape == (*shape[:rank], *self.k)
        return given.replace(shape=shape) if given is not None and windows else given

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        (x,) = inputs
        shape, taps = self.weight_shape(x), math.prod(self.k)
        fans = x.channels * taps, self.out * taps
        biases = (self.out, *shape[: len(self.k)]) if self.bias else 0
        given = self._given_weights(shape)
        return weight_and_bias(shape, fans, biases, self.init, self.frozen, given, self.biases)

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
            *given_formulas(self),
        ]

    def advice(self, *inputs: TensorType) -> list[Advice]:
        rules = self.rules(inputs[0])
        return window.stride_advice(rules, self.keyword) + window.padding_advice(rules, self.p)

    def brief(self) -> str:
        text = f"{self.out} {window.brief(self.k, self.s, self.p, self.d)}" + ("" if self.bias else " bias=false")
        return text + given_options(self) + parameter_options(self.share, self.init, self.frozen)
