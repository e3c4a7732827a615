"""Convolution in one, two and three dimensions, and its transpose."""

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
    ShapeError,
    Window,
    check_share,
    count_of,
    divisors,
    learning,
    product,
    register,
    weight_and_bias,
)


@register
class Conv(Op):
    """Convolution: each output channel is a learned window moved over all channels of its group (ONNX Conv).

    It is the cross-correlation that ONNX and all frameworks mean by the name. With `flip` it is the
    mathematical convolution: the stored weight is turned by 180° (reversed on every spatial axis) before use.
    """

    keyword: ClassVar[str] = "conv"
    example: ClassVar[str] = "conv 64 k=3 p=same"

    out: int = arg(Whole(1), positional=True, help="output channels")
    k: Axes = arg(PerAxis(1), long="kernel", help="size of the window")
    s: Axes = arg(PerAxis(1), default=1, long="stride", help="step of the window")
    p: Pads = arg(Padding(), default=0, long="pad", help="zeros around the input")
    d: Axes = arg(PerAxis(1), default=1, long="dilation", help="distance between the elements of the window")
    groups: int = arg(Whole(1), default=1, help="channels fall into this many groups that do not mix")
    bias: bool = arg(Flag(), default=True, help="add a learned number to each output channel")
    flip: bool = arg(Flag(), default=False, help="turn the window by 180°: the mathematical convolution")
    init: str | None = INIT
    share: str | None = SHARE
    frozen: bool = FROZEN

    def rules(self, x: TensorType) -> tuple[window.AxisRule, ...]:
        return window.axis_rules(x, self.k, self.s, self.p, self.d)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.need_spatial(x, self.keyword)
        _need_groups(x.channels, self.out, self.groups)
        check_share(self.share, self.init, self.frozen)
        return x.with_shape(self.out, *window.output_sizes(self.rules(x)))

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        (x,) = inputs
        taps = math.prod(self.k)
        shape = (self.out, x.channels // self.groups, *self.k)
        fans = x.channels // self.groups * taps, self.out // self.groups * taps
        return weight_and_bias(shape, fans, self.out if self.bias else 0, self.init, self.frozen)

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
        return [
            *window.explain(self.rules(x)),
            f"params = {weights}{bias} = {count_of(self.parameters(x)):,}",
            f"MACs = {product(y.shape)}·({per_output}) = {self.macs(x):,}",
        ]

    def advice(self, *inputs: TensorType) -> list[Advice]:
        rules = self.rules(inputs[0])
        return window.stride_advice(rules, self.keyword) + window.padding_advice(rules, self.p)

    def brief(self) -> str:
        text = f"{self.out} {window.brief(self.k, self.s, self.p, self.d)}"
        text += f" groups={self.groups}" if self.groups > 1 else ""
        text += ("" if self.bias else " bias=false") + (" flip=true" if self.flip else "")
        return text + learning(self.share, self.init, self.frozen)


@register
class ConvTranspose(Op):
    """Transposed convolution: each input element adds a learned window to the output (ONNX ConvTranspose).

    The padding is what is cut off the output. `same` makes the output m·s; where that cuts an odd number, one
    more at the end (ONNX's SAME_UPPER). `output_pad`, less than the stride, adds to the end of the output.
    """

    keyword: ClassVar[str] = "conv_transpose"
    example: ClassVar[str] = "conv_transpose 32 k=2 s=2"

    out: int = arg(Whole(1), positional=True, help="output channels")
    k: Axes = arg(PerAxis(1), long="kernel", help="size of the window")
    s: Axes = arg(PerAxis(1), default=1, long="stride", help="distance between windows in the output")
    p: Pads = arg(Padding(("valid", "same")), default=0, long="pad", help="elements cut off around the output")
    output_pad: Axes = arg(PerAxis(0), default=0, help="elements added at the end of the output")
    d: Axes = arg(PerAxis(1), default=1, long="dilation", help="distance between the elements of the window")
    groups: int = arg(Whole(1), default=1, help="channels fall into this many groups that do not mix")
    bias: bool = arg(Flag(), default=True, help="add a learned number to each output channel")
    init: str | None = INIT
    share: str | None = SHARE
    frozen: bool = FROZEN

    def rules(self, x: TensorType) -> tuple[window.TransposedRule, ...]:
        return window.transposed_rules(x, self.k, self.s, self.p, self.d, self.output_pad)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.need_spatial(x, self.keyword)
        _need_groups(x.channels, self.out, self.groups)
        check_share(self.share, self.init, self.frozen)
        for extra, s in zip(self.output_pad, self.s, strict=True):
            if extra >= s:  # onnxruntime refuses it, whatever the dilation
                raise ShapeError(
                    "E315",
                    f"output_pad={extra} is not less than the stride of {s}",
                    help=f"output_pad={s - 1} is the most; to enlarge the image further, `pad` it",
                    argument="output_pad",
                )
        rules = self.rules(x)
        if any(rule.out < 1 for rule in rules):
            most = min((r.out + r.begin + r.end - 1) // 2 for r in rules)
            raise ShapeError(
                "E325",
                f"the padding cuts off all of the output: {min(r.out for r in rules)} would be left of it",
                help=f"p={most} is the most",
                argument="p",
                label=f"out = {min(rules, key=lambda r: r.out).formula()}",
            )
        return x.with_shape(self.out, *(rule.out for rule in rules))

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        (x,) = inputs
        taps = math.prod(self.k)
        shape = (x.channels, self.out // self.groups, *self.k)
        # The windows of neighbours overlap taps/strides times in each output.
        fan_in = max(1, x.channels // self.groups * taps // math.prod(self.s))
        fans = fan_in, self.out // self.groups * taps
        return weight_and_bias(shape, fans, self.out if self.bias else 0, self.init, self.frozen)

    def macs(self, *inputs: TensorType) -> int:
        return inputs[0].size * (self.out // self.groups) * math.prod(self.k)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(window.transposed_window(r.e, r.s, r.begin) for r in self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        per_input = product((self.out // self.groups, *self.k))
        bias = f" + {self.out}" if self.bias else ""
        return [
            *window.explain(self.rules(x)),
            f"params = {x.channels}·({per_input}){bias} = {count_of(self.parameters(x)):,}",
            f"MACs = {product(x.shape)}·({per_input}) = {self.macs(x):,}",
        ]

    def brief(self) -> str:
        text = f"{self.out} {window.brief(self.k, self.s, self.p, self.d)}"
        if any(self.output_pad):
            text += f" output_pad={window.short(self.output_pad)}"
        text += (f" groups={self.groups}" if self.groups > 1 else "") + ("" if self.bias else " bias=false")
        return text + learning(self.share, self.init, self.frozen)


def _need_groups(channels: int, out: int, groups: int) -> None:
    """Raises ShapeError E304 where the groups do not divide the channels on both sides."""
    for what, count in (("input", channels), ("output", out)):
        if count % groups:
            raise ShapeError(
                "E304",
                f"groups={groups} does not divide the {count} {what} channels",
                help=f"groups must divide both {channels} and {out}: {divisors(math.gcd(channels, out))}",
                argument="groups",
            )
