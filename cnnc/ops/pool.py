"""Pooling: a window that takes one number of what it sees, channel by channel; and the ways back to a larger image."""

from __future__ import annotations

import math
from typing import ClassVar

from cnnc.core.arguments import Axes, Choice, Flag, LayerName, Padding, Pads, PerAxis, Real, Whole, Word, arg
from cnnc.core.tensor import TensorType, format_shape
from cnnc.ops import window
from cnnc.ops.base import Advice, Op, ShapeError, Window, need_multiple, product, register


@register
class Pool(Op):
    """Pooling of each channel by itself (ONNX MaxPool, AveragePool, LpPool); padding never wins or counts unless asked.

    max is the largest element of a window, avg the mean. lp is (Σ |x|^norm)^(1/norm), a norm and no mean;
    l2 is lp with norm 2. weighted is a mean in which element t of the k of an axis has the weight
    exp(-(t - (k - 1)/2)²/(2·sigma²)), the weights of all axes multiplied, and their sum over what is seen brought
    to 1; sigma is k/4 on each axis when left out.
    """

    keyword: ClassVar[str] = "pool"
    example: ClassVar[str] = "pool max k=2"

    kind: str = arg(Choice(("max", "avg", "l2", "lp", "weighted")), positional=True, help="what becomes of a window")
    k: Axes = arg(PerAxis(1), long="kernel", help="size of the window")
    s: Axes | None = arg(PerAxis(1), default=None, long="stride", help="step of the window; k when left out")
    p: Pads = arg(Padding(), default=0, long="pad", help="padding around the input")
    d: Axes = arg(PerAxis(1), default=1, long="dilation", help="distance between the elements of the window")
    ceil: bool = arg(Flag(), default=False, help="round the output size up instead of down")
    count_pad: bool = arg(Flag(), default=False, help="padding counts in the mean (avg, weighted)")
    norm: int | None = arg(Whole(1), default=None, help="exponent of lp; 2 when left out")
    sigma: float | None = arg(
        Real(0, open_below=True), default=None, help="deviation of the weights of weighted; k/4 when left out"
    )

    @property
    def stride(self) -> Axes:
        return self.k if self.s is None else self.s

    @property
    def overlaps(self) -> bool:
        """Whether an element may be in several windows."""
        return any(window.effective(k, d) > s for k, d, s in zip(self.k, self.d, self.stride, strict=True))

    @property
    def order(self) -> int:
        """The exponent of l2 and lp."""
        return self.norm or 2

    def tap_exponents(self) -> tuple[tuple[float, ...], ...]:
        """The logarithms of the weights of `weighted` on each axis."""
        found = []
        for k in self.k:
            sigma = max(self.sigma or k / 4, 1e-3)  # below it only the nearest elements weigh anything, as with it
            found.append(tuple(-((t - (k - 1) / 2) ** 2) / (2 * sigma**2) for t in range(k)))
        return tuple(found)

    def tap_weights(self) -> tuple[tuple[float, ...], ...]:
        """The weights of `weighted` on each axis, the largest near 1; an element's weight is their product."""
        return tuple(tuple(math.exp(e) for e in axis) for axis in self.tap_exponents())

    def rules(self, x: TensorType) -> tuple[window.AxisRule, ...]:
        return window.axis_rules(x, self.k, self.stride, self.p, self.d, self.ceil)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.need_spatial(x, self.keyword)
        self._need_right_keys()
        rules = self.rules(x)
        sizes = window.output_sizes(rules)
        wide = next((r for r in rules if r.begin >= r.e or r.end >= r.e or r.pads_whole_window), None)
        if wide is not None:
            most = next(
                (p for p in range(min(wide.e, 100) - 1, 0, -1) if not wide.replace(begin=p, end=p).pads_whole_window), 0
            )
            raise ShapeError(
                "E305",
                f"padding of {max(wide.begin, wide.end)} around {wide.m}: some windows would see padding alone",
                help=f"p={most} is the most that a pool of this size can take here",
                argument="p",
            )
        return x.with_shape(x.channels, *sizes)

    def _need_right_keys(self) -> None:
        """Raises ShapeError E311 for a key that belongs to another kind of pool."""
        given = {"count_pad": self.count_pad, "norm": self.norm is not None, "sigma": self.sigma is not None}
        for key, kinds in (("count_pad", ("avg", "weighted")), ("norm", ("lp",)), ("sigma", ("weighted",))):
            if given[key] and self.kind not in kinds:
                owners = " and ".join(f"`pool {kind}`" for kind in kinds)
                raise ShapeError(
                    "E311",
                    f"{key} has no meaning for `pool {self.kind}`",
                    help=f"leave it out; it belongs to {owners}",
                    argument=key,
                )

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return window.windows(self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        found = window.explain(self.rules(inputs[0]))
        if self.kind in ("l2", "lp"):
            found.append("y = sqrt(Σ x²)" if self.order == 2 else f"y = (Σ |x|^{self.order})^(1/{self.order})")
        if self.kind == "weighted" and max(self.k) <= 9:
            weights = dict.fromkeys("[" + ", ".join(f"{w:.3g}" for w in axis) + "]" for axis in self.tap_weights())
            found.append(f"weights = {' by '.join(weights)}, divided by the sum of those that see something")
        return found

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
    """One number a channel: the largest, the mean, or sqrt(Σ x²) of all its places (ONNX GlobalMaxPool and others).

    The spatial axes stay, with one element each: 512x7x7 becomes 512x1x1.
    """

    keyword: ClassVar[str] = "global_pool"
    example: ClassVar[str] = "global_pool avg"

    kind: str = arg(Choice(("max", "avg", "l2")), positional=True, help="what becomes of a channel")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.need_spatial(x, self.keyword)
        return x.with_shape(x.channels, *(1 for _ in x.spatial))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        x = inputs[0]
        return [f"each of {x.channels:,} channels: {product(x.spatial)} = {math.prod(x.spatial):,} places to 1"]

    def brief(self) -> str:
        return self.kind


@register
class Unpool(Op):
    """Undoes a max pool: each value goes where its window had its maximum, the rest is 0 (Zeiler & Fergus 2014).

    The inputs are the values, of the type that the pool made, and the tensor that the pool read, whose maxima are
    the places (of equal ones the first, as in ONNX MaxPool). The output has the type of what the pool read.
    Where windows overlap and two have their maximum at one place, their values are added.
    """

    keyword: ClassVar[str] = "unpool"
    arity: ClassVar[int] = 2
    example: ClassVar[str] = "unpool pool1"

    of: str = arg(LayerName(), positional=True, help="the max pool that is undone")
    pool: Pool | None = None
    """The layer `of`; whoever makes the node puts it in."""

    def output(self, *inputs: TensorType) -> TensorType:
        x, source = inputs
        if self.pool is not None:
            if self.pool.kind != "max":
                raise ShapeError(
                    "E317",
                    f"unpool undoes max pools; {self.of} is `pool {self.pool.kind}`",
                    help=f"`pool max` has the indices that unpool needs; else `upsample {window.short(self.pool.stride)}`",
                    argument="of",
                )
            made = self.pool.output(source)
            if x != made:
                raise ShapeError(
                    "E312",
                    f"{self.of} made {made}, so unpool takes {made}, not {x}",
                    help=_as_made(x, made),
                    argument="of",
                    label=f"{x} arrives here",
                    operands=(0, 1),
                )
        return source

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        if self.pool is None:
            return super().windows(*inputs)
        return tuple(window.transposed_window(r.e, r.s, r.begin) for r in self.pool.rules(inputs[1]))

    def reads(self, operand: int, *inputs: TensorType) -> tuple[Window, ...]:
        """Of the pool's input, all windows that hold a place decide what becomes of it."""
        if operand == 0 or self.pool is None:
            return super().reads(operand, *inputs)
        return tuple(Window(2 * r.e - 1, 1, 1 - r.e) for r in self.pool.rules(inputs[1]))

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"{inputs[0].size:,} values in {inputs[1].size:,} places, the others 0"]

    def brief(self) -> str:
        return self.of


def _as_made(x: TensorType, made: TensorType) -> str:
    """An edit before the unpool that makes x what the pool made."""
    if x.rank == made.rank and x.spatial == made.spatial:
        return f"`conv {made.channels} k=1` before it"
    if x.size == made.size:
        return f"`reshape {made}` before it"
    return f"the layers between may not change the image: {format_shape(made.spatial) or made} is what left the pool"


@register
class Upsample(Op):
    """N times as many elements on each axis (ONNX Resize).

    nearest repeats: y[i] = x[floor(i/N)]. bilinear interpolates on all axes, one, two or three, with
    the centres of elements as their places (ONNX's half_pixel, PyTorch's align_corners=False): y[i] lies at
    (i + 1/2)/N - 1/2 in x, and beyond the edge the outermost element goes on.
    """

    keyword: ClassVar[str] = "upsample"
    example: ClassVar[str] = "upsample 2"

    n: Axes = arg(PerAxis(1), positional=True, long="factor", help="factor of all axes, or of each: 2x3")
    mode: str = arg(Choice(("nearest", "bilinear")), default=Word("nearest"), help="how new elements are made")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.need_spatial(x, self.keyword)
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
    """The largest of each N successive channels: pooling across channels (Goodfellow et al. 2013)."""

    keyword: ClassVar[str] = "maxout"
    example: ClassVar[str] = "maxout 2"

    n: int = arg(Whole(1), positional=True, help="number of channels that become one")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        need_multiple(x, self.n, f"multiple of {self.n}", "n")
        return x.with_shape(x.channels // self.n, *x.spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        c = inputs[0].channels
        return [f"out = {c}/{self.n} = {c // self.n} channels"]

    def brief(self) -> str:
        return str(self.n)
