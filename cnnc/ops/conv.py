"""Convolution in one, two and three dimensions, and its transpose.

In: the type of one input, (C, *spatial). Out: the output type, weight and bias, MACs. Example: `conv 64 k=3 p=same`.
"""

from __future__ import annotations

import math
from typing import ClassVar

from cnnc.core.arguments import Axes, Flag, Padding, Pads, PerAxis, Whole, arg
from cnnc.core.tensor import GivenNumbers, Parameter, TensorType
from cnnc.ops import window
from cnnc.ops.base import (
    FROZEN,
    INIT,
    SHARE,
    Advice,
    Fix,
    Op,
    ShapeError,
    Window,
    divisors_text,
    parameter_options,
    product_text,
    register,
    require_unshared_options,
    trainable_count,
    weight_and_bias,
)
from cnnc.ops.given import BIASES, given_formulas, given_options, require_given_numbers_fit, weights_of

_CONV, _TRANSPOSED = "OUT x C/groups x k", "C x OUT/groups x k"  # the axes of the weights


@register
class Conv(Op):
    """Convolution: each output channel moves a learned window over all input channels of its group (ONNX Conv).

    Computes the cross-correlation, as ONNX and all deep learning frameworks do. With `flip=true` it computes the
    mathematical convolution: the stored weight is rotated by 180° (reversed on every spatial axis) before use.
    """

    keyword: ClassVar[str] = "conv"
    example: ClassVar[str] = "conv 64 k=3 p=same"

    out: int = arg(Whole(1), positional=True, help="the number of output channels")
    k: Axes = arg(PerAxis(1), long="kernel", help="window size")
    s: Axes = arg(PerAxis(1), default=1, long="stride", help="step between windows, in input elements")
    p: Pads = arg(Padding(), default=0, long="pad", help="zero padding around the input")
    d: Axes = arg(PerAxis(1), default=1, long="dilation", help="spacing of the window's elements")
    groups: int = arg(Whole(1), default=1, help="number of channel groups; a group reads only its own channels")
    bias: bool = arg(Flag(), default=True, help="add a learned bias to each output channel")
    flip: bool = arg(Flag(), default=False, help="rotate the window by 180°: the mathematical convolution")
    weights: GivenNumbers | None = weights_of(_CONV)
    biases: GivenNumbers | None = BIASES
    init: str | None = INIT
    share: str | None = SHARE
    frozen: bool = FROZEN

    def rules(self, x: TensorType) -> tuple[window.AxisRule, ...]:
        """The window rule on each spatial axis of an input."""
        return window.axis_rules(x, self.k, self.s, self.p, self.d)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.require_spatial(x, self.keyword)
        _require_groups(x.channels, self.out, self.groups)
        require_unshared_options(self.share, self.init, self.frozen)
        axes = ("out", "", *("k" for _ in self.k))
        require_given_numbers_fit(self, self.weight_shape(x), self.out, _CONV, axes)
        return x.with_shape(self.out, *window.output_sizes(self.rules(x)))

    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        """The shape of the weight for an input."""
        return (self.out, x.channels // self.groups, *self.k)

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        (x,) = inputs
        taps = math.prod(self.k)
        fans = x.channels // self.groups * taps, self.out // self.groups * taps
        return weight_and_bias(
            self.weight_shape(x), fans, self.out if self.bias else 0, self.init, self.frozen, self.weights, self.biases
        )

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        return self.output(x).size * (x.channels // self.groups) * math.prod(self.k)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return window.windows(self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        y = self.output(x)
        per_output = product_text((x.channels // self.groups, *self.k))
        weights = f"{self.out}·({per_output})"
        bias = f" + {self.out}" if self.bias else ""
        return [
            *window.explain(self.rules(x)),
            f"params = {weights}{bias} = {trainable_count(self.parameters(x)):,}",
            f"MACs = {product_text(y.shape)}·({per_output}) = {self.macs(x):,}",
            *given_formulas(self),
        ]

    def advice(self, *inputs: TensorType) -> list[Advice]:
        rules = self.rules(inputs[0])
        return window.stride_advice(rules, self.keyword) + window.padding_advice(rules, self.p)

    def brief(self) -> str:
        text = f"{self.out} {window.brief(self.k, self.s, self.p, self.d)}"
        text += f" groups={self.groups}" if self.groups > 1 else ""
        text += ("" if self.bias else " bias=false") + (" flip=true" if self.flip else "")
        return text + given_options(self) + parameter_options(self.share, self.init, self.frozen)


@register
class ConvTranspose(Op):
    """Transposed convolution: each input element adds a multiple of a learned window to the output (ONNX ConvTranspose).

    Padding is removed from the output. `p=same` makes the output s times as large as the input; if an odd number of
    elements must go, one more is removed at the end (ONNX's SAME_UPPER). `output_pad`, which is less than the
    stride, adds elements at the end of the output.
    """

    keyword: ClassVar[str] = "conv_transpose"
    example: ClassVar[str] = "conv_transpose 32 k=2 s=2"

    out: int = arg(Whole(1), positional=True, help="the number of output channels")
    k: Axes = arg(PerAxis(1), long="kernel", help="window size")
    s: Axes = arg(PerAxis(1), default=1, long="stride", help="step between windows, in output elements")
    p: Pads = arg(Padding(("valid", "same")), default=0, long="pad", help="elements removed around the output")
    output_pad: Axes = arg(PerAxis(0), default=0, help="elements added at the end of the output")
    d: Axes = arg(PerAxis(1), default=1, long="dilation", help="spacing of the window's elements")
    groups: int = arg(Whole(1), default=1, help="number of channel groups; a group reads only its own channels")
    bias: bool = arg(Flag(), default=True, help="add a learned bias to each output channel")
    weights: GivenNumbers | None = weights_of(_TRANSPOSED)
    biases: GivenNumbers | None = BIASES
    init: str | None = INIT
    share: str | None = SHARE
    frozen: bool = FROZEN

    def rules(self, x: TensorType) -> tuple[window.TransposedRule, ...]:
        """The window rule on each spatial axis of an input."""
        return window.transposed_rules(x, self.k, self.s, self.p, self.d, self.output_pad)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.require_spatial(x, self.keyword)
        _require_groups(x.channels, self.out, self.groups)
        require_unshared_options(self.share, self.init, self.frozen)
        axes = ("", "out", *("k" for _ in self.k))
        require_given_numbers_fit(self, self.weight_shape(x), self.out, _TRANSPOSED, axes, self.groups)
        for extra, s in zip(self.output_pad, self.s, strict=True):
            if extra >= s:  # onnxruntime refuses it, whatever the dilation
                raise ShapeError(
                    "E315",
                    f"output_pad={extra} is not less than the stride of {s}",
                    argument="output_pad",
                    fixes=(Fix("output_pad", str(s - 1), "{} is the largest; `pad` enlarges the image further"),),
                )
        rules = self.rules(x)
        if any(rule.out < 1 for rule in rules):
            most = min((r.out + r.begin + r.end - 1) // 2 for r in rules)
            raise ShapeError(
                "E325",
                f"the padding removes the whole output: its size would be {min(r.out for r in rules)}",
                help="use less padding, or a larger kernel",
                argument="p",
                fixes=(Fix("p", str(most), "{} is the largest padding that leaves an output"),),
                label=f"out = {min(rules, key=lambda r: r.out).formula()}",
            )
        return x.with_shape(self.out, *(rule.out for rule in rules))

    def weight_shape(self, x: TensorType) -> tuple[int, ...]:
        """The shape of the weight for an input."""
        return (x.channels, self.out // self.groups, *self.k)

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        (x,) = inputs
        taps = math.prod(self.k)
        # On average taps/strides windows overlap in each output element.
        fan_in = max(1, x.channels // self.groups * taps // math.prod(self.s))
        fans = fan_in, self.out // self.groups * taps
        return weight_and_bias(
            self.weight_shape(x), fans, self.out if self.bias else 0, self.init, self.frozen, self.weights, self.biases
        )

    def macs(self, *inputs: TensorType) -> int:
        return inputs[0].size * (self.out // self.groups) * math.prod(self.k)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(window.transposed_window(r.e, r.s, r.begin) for r in self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        per_input = product_text((self.out // self.groups, *self.k))
        bias = f" + {self.out}" if self.bias else ""
        return [
            *window.explain(self.rules(x)),
            f"params = {x.channels}·({per_input}){bias} = {trainable_count(self.parameters(x)):,}",
            f"MACs = {product_text(x.shape)}·({per_input}) = {self.macs(x):,}",
            *given_formulas(self),
        ]

    def brief(self) -> str:
        text = f"{self.out} {window.brief(self.k, self.s, self.p, self.d)}"
        if any(self.output_pad):
            text += f" output_pad={window.short(self.output_pad)}"
        text += (f" groups={self.groups}" if self.groups > 1 else "") + ("" if self.bias else " bias=false")
        return text + given_options(self) + parameter_options(self.share, self.init, self.frozen)


def _require_groups(channels: int, out: int, groups: int) -> None:
    """Raises ShapeError E304 if `groups` does not divide both the input and the output channels."""
    for what, count in (("input", channels), ("output", out)):
        if count % groups:
            common = math.gcd(channels, out)
            possible = f"groups must divide both {channels} and {out}; possible values: {divisors_text(common)}"
            divisor = max(d for d in range(1, min(groups, common) + 1) if common % d == 0)
            raise ShapeError(
                "E304",
                f"groups={groups} does not divide the {count} {what} channels",
                help=possible,
                argument="groups",
                fixes=(Fix("groups", str(divisor), possible + "; write `{}`"),),
            )
