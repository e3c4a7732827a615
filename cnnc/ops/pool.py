"""Pooling over windows, whole axes and channels, and the layers that enlarge an image again.

In: the type of one input, (C, *spatial); `unpool` has two. Out: the output type; there are no parameters. Example:
`pool max k=2` turns 16x8x8 into 16x4x4.
"""

from __future__ import annotations

import math
from typing import ClassVar

from cnnc.core.arguments import Axes, Choice, Flag, LayerName, Padding, Pads, PerAxis, Real, Whole, WordValue, arg
from cnnc.core.tensor import TensorType, format_shape
from cnnc.ops import window
from cnnc.ops.base import (
    BEFORE,
    INSTEAD,
    Advice,
    Fix,
    Op,
    ShapeError,
    Window,
    product_text,
    register,
    require_channel_multiple,
)


@register
class Pool(Op):
    """Pools each channel separately (ONNX MaxPool, AveragePool, LpPool); padding is ignored unless count_pad is set.

    max is the largest element of a window, avg the mean. lp is (Σ |x|^norm)^(1/norm), a norm and not a mean; l2 is lp
    with norm 2. weighted is a weighted mean: element t of the k elements on an axis has the weight
    exp(-(t - (k - 1)/2)²/(2·sigma²)). The weights of all axes are multiplied, and divided by their sum over the
    elements that count. Like the weights of a filter, they count as multiply-adds.
    """

    keyword: ClassVar[str] = "pool"
    example: ClassVar[str] = "pool max k=2"

    kind: str = arg(Choice(("max", "avg", "l2", "lp", "weighted")), positional=True, help="the kind of pooling")
    k: Axes = arg(PerAxis(1), long="kernel", help="window size")
    s: Axes | None = arg(PerAxis(1), default=None, long="stride", help="step between windows; k when left out")
    p: Pads = arg(Padding(), default=0, long="pad", help="padding around the input")
    d: Axes = arg(PerAxis(1), default=1, long="dilation", help="spacing of the window's elements")
    ceil: bool = arg(Flag(), default=False, help="round the output size up instead of down")
    count_pad: bool = arg(Flag(), default=False, help="count padding as zeros in the mean (avg, weighted)")
    norm: int | None = arg(Whole(1), default=None, help="exponent of lp; 2 when left out")
    sigma: float | None = arg(
        Real(0, open_below=True),
        default=None,
        help="standard deviation of the weights (weighted), in elements; k/4 when left out",
    )

    @property
    def stride(self) -> Axes:
        """The step between windows on each axis."""
        return self.k if self.s is None else self.s

    @property
    def overlaps(self) -> bool:
        """Whether windows overlap on some axis."""
        return any(window.effective(k, d) > s for k, d, s in zip(self.k, self.d, self.stride, strict=True))

    @property
    def order(self) -> int:
        """The exponent of l2 and lp."""
        return self.norm or 2

    def tap_exponents(self) -> tuple[tuple[float, ...], ...]:
        """The logarithms of the weights of `weighted`, a tuple of k numbers per axis."""
        exponents = []
        for k in self.k:
            sigma = max(self.sigma or k / 4, 1e-3)  # below that the nearest elements have all the weight anyway
            exponents.append(tuple(-((t - (k - 1) / 2) ** 2) / (2 * sigma**2) for t in range(k)))
        return tuple(exponents)

    def tap_weights(self) -> tuple[tuple[float, ...], ...]:
        """The weights of `weighted` per axis, the largest near 1; the weight of an element is their product."""
        return tuple(tuple(math.exp(e) for e in axis) for axis in self.tap_exponents())

    def rules(self, x: TensorType) -> tuple[window.AxisRule, ...]:
        """The window rule on each spatial axis of an input."""
        return window.axis_rules(x, self.k, self.stride, self.p, self.d, self.ceil)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.require_spatial(x, self.keyword)
        self._require_keys_of_kind()
        rules = self.rules(x)
        sizes = window.output_sizes(rules)
        wide = next((r for r in rules if r.end >= r.e or r.pads_whole_window), None)
        if wide is not None:
            most = next(
                (p for p in range(min(wide.e, 100) - 1, 0, -1) if not wide.replace(begin=p, end=p).pads_whole_window), 0
            )
            raise ShapeError(
                "E305",
                f"padding of {max(wide.begin, wide.end)} around {wide.m}: some windows would contain only padding",
                argument="p",
                fixes=(Fix("p", str(most), "{} is the largest padding with which every window contains data"),),
            )
        return x.with_shape(x.channels, *sizes)

    def _require_keys_of_kind(self) -> None:
        """Raises ShapeError E311 if an argument of another kind of pool is given."""
        given = {"count_pad": self.count_pad, "norm": self.norm is not None, "sigma": self.sigma is not None}
        for key, kinds in (("count_pad", ("avg", "weighted")), ("norm", ("lp",)), ("sigma", ("weighted",))):
            if given[key] and self.kind not in kinds:
                owners = " and ".join(f"`pool {kind}`" for kind in kinds)
                raise ShapeError(
                    "E311",
                    f"`pool {self.kind}` has no {key}",
                    argument=key,
                    fixes=(Fix(key, "", f"leave it out; {key} belongs to {owners}"),),
                )

    def macs(self, *inputs: TensorType) -> int:
        return self.output(*inputs).size * math.prod(self.k) if self.kind == "weighted" else 0

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return window.windows(self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        lines = window.explain(self.rules(inputs[0]))
        if self.kind in ("l2", "lp"):
            lines.append("y = sqrt(Σ x²)" if self.order == 2 else f"y = (Σ |x|^{self.order})^(1/{self.order})")
        if self.kind == "weighted":
            lines.append(
                f"MACs = {product_text(self.output(*inputs).shape)}·({product_text(self.k)}) = {self.macs(*inputs):,}"
            )
        if self.kind == "weighted" and max(self.k) <= 9:
            weights = dict.fromkeys("[" + ", ".join(f"{w:.3g}" for w in axis) + "]" for axis in self.tap_weights())
            lines.append(f"weights = {' by '.join(weights)}, divided by the sum of those inside the input")
        return lines

    def advice(self, *inputs: TensorType) -> list[Advice]:
        rules = self.rules(inputs[0])
        return window.stride_advice(rules, self.keyword) + window.padding_advice(rules, self.p)

    def brief(self) -> str:
        ones = tuple(1 for _ in self.k)
        text = f"{self.kind} {window.brief(self.k, ones, self.p, self.d)}"
        if self.stride != self.k:
            text = text.replace(f"k={window.short(self.k)}", f"k={window.short(self.k)} s={window.short(self.stride)}")
        text += (" ceil=true" if self.ceil else "") + (" count_pad=true" if self.count_pad else "")
        text += f" norm={self.norm}" if self.norm is not None else ""
        return text + (f" sigma={self.sigma:g}" if self.sigma is not None else "")


@register
class GlobalPool(Op):
    """Pools each channel to one number: its maximum, mean, or sqrt(Σ x²) (ONNX GlobalMaxPool and others).

    The spatial axes stay, with size 1: 512x7x7 becomes 512x1x1.
    """

    keyword: ClassVar[str] = "global_pool"
    example: ClassVar[str] = "global_pool avg"

    kind: str = arg(Choice(("max", "avg", "l2")), positional=True, help="the kind of pooling")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.require_spatial(x, self.keyword)
        return x.with_shape(x.channels, *(1 for _ in x.spatial))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        x = inputs[0]
        return [
            f"{x.channels:,} channels of {product_text(x.spatial)} = {math.prod(x.spatial):,} elements each, pooled to 1"
        ]

    def brief(self) -> str:
        return self.kind


@register
class Unpool(Op):
    """Inverts a max pool: puts each element where its window had its maximum, 0 elsewhere (Zeiler & Fergus 2014).

    It reads two tensors: its own input, with the shape of the pool's output, and the pool's input, whose maxima give
    the positions (the first of equal maxima, as in ONNX MaxPool). The output has the shape of the pool's input. If
    overlapping windows have their maximum at the same position, their elements are added.
    """

    keyword: ClassVar[str] = "unpool"
    arity: ClassVar[int] = 2
    example: ClassVar[str] = "unpool pool1"

    of: str = arg(LayerName(), positional=True, help="the max pool to invert")
    pool: Pool | None = None
    """The layer `of`; lowering or import sets it."""

    def output(self, *inputs: TensorType) -> TensorType:
        x, source = inputs
        if self.pool is not None:
            if self.pool.kind != "max":
                raise ShapeError(
                    "E317",
                    f"unpool needs a max pool; {self.of} is `pool {self.pool.kind}`",
                    argument="of",
                    fixes=(Fix(INSTEAD, f"upsample {window.short(self.pool.stride)}", "write `{}` instead of unpool"),),
                )
            pooled = self.pool.output(source)
            if x != pooled:
                raise ShapeError(
                    "E312",
                    f"the output of {self.of} is {pooled}, so unpool needs {pooled}, not {x}",
                    help=f"keep the image size between pool and unpool: {format_shape(pooled.spatial) or pooled}",
                    argument="of",
                    fixes=_to_pooled(x, pooled),
                    label=f"{x} arrives here",
                    operands=(0, 1),
                )
        return source

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        if self.pool is None:
            return super().windows(*inputs)
        return tuple(window.transposed_window(r.e, r.s, r.begin) for r in self.pool.rules(inputs[1]))

    def reads(self, operand: int, *inputs: TensorType) -> tuple[Window, ...]:
        """For the pool's input (operand 1): an output depends on all elements of all windows that contain its position."""
        if operand == 0 or self.pool is None:
            return super().reads(operand, *inputs)
        return tuple(Window(2 * r.e - 1, 1, 1 - r.e) for r in self.pool.rules(inputs[1]))

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"{inputs[0].size:,} elements placed among {inputs[1].size:,}, the others 0"]

    def brief(self) -> str:
        return self.of


def _to_pooled(x: TensorType, pooled: TensorType) -> tuple[Fix, ...]:
    """A layer that gives x the shape of the pool's output, if there is one."""
    if x.rank == pooled.rank and x.spatial == pooled.spatial:
        return (Fix(BEFORE, f"conv {pooled.channels} k=1", "add `{}` before it"),)
    return (Fix(BEFORE, f"reshape {pooled}", "add `{}` before it"),) if x.size == pooled.size else ()


@register
class Upsample(Op):
    """Enlarges each spatial axis N times (ONNX Resize).

    nearest repeats elements: y[i] = x[floor(i/N)]. bilinear interpolates linearly on all one, two or three axes
    between the centres of elements (ONNX's half_pixel, PyTorch's align_corners=False): y[i] is x at
    (i + 1/2)/N - 1/2, and beyond the edge the outermost element is repeated.
    """

    keyword: ClassVar[str] = "upsample"
    example: ClassVar[str] = "upsample 2"

    n: Axes = arg(PerAxis(1), positional=True, long="factor", help="the factor for all axes, or one per axis: 2x3")
    mode: str = arg(Choice(("nearest", "bilinear")), default=WordValue("nearest"), help="how new elements are computed")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.require_spatial(x, self.keyword)
        return x.with_shape(x.channels, *(m * n for m, n in zip(x.spatial, self.n, strict=True)))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        if self.mode == "nearest":
            return tuple(window.transposed_window(n, n, 0) for n in self.n)
        return tuple(window.transposed_window(2 * n - n % 2, n, n // 2) for n in self.n)

    def explain(self, *inputs: TensorType) -> list[str]:
        sizes = ", ".join(f"{m}·{n} = {m * n}" for m, n in zip(inputs[0].spatial, self.n, strict=True))
        return [f"out = {sizes}"]

    def brief(self) -> str:
        return window.short(self.n) + ("" if self.mode == "nearest" else f" mode={self.mode}")


@register
class Maxout(Op):
    """Maximum of every N consecutive channels: pooling across channels (Goodfellow et al. 2013)."""

    keyword: ClassVar[str] = "maxout"
    example: ClassVar[str] = "maxout 2"

    n: int = arg(Whole(1), positional=True, help="the number of channels per maximum")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        require_channel_multiple(x, self.n, f"{self.n}", "n")
        return x.with_shape(x.channels // self.n, *x.spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        c = inputs[0].channels
        return [f"out = {c}/{self.n} = {c // self.n} channels"]

    def brief(self) -> str:
        return str(self.n)
