"""The window-size rule of conv, conv_transpose, local, filter and pool, and the geometry that follows from it.

In: input sizes, kernel, stride, padding, dilation. Out: padding in numbers, output sizes, formulas for reports, and
warnings about elements that are never read.

    e   = d·(k − 1) + 1                              effective kernel
    out = floor((m + p_begin + p_end − e) / s) + 1   (Dumoulin & Visin 2016, relationship 6; ONNX Conv)
    out = (m − 1)·s − p_begin − p_end + e + extra    transposed (relationship 13; ONNX ConvTranspose)

This is the only place that holds the rule. Each of these layers has a method `rules(x)` with one rule per spatial axis;
its output type, multiply-adds and reports come from there, and so does `Geometry`, which the NumPy engine runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

from cnnc.core.arguments import Axes, Pads
from cnnc.core.record import Record
from cnnc.core.tensor import TensorType, format_shape
from cnnc.ops.base import BEFORE, Advice, Fix, ShapeError, Window


class _AxisGeometry(Record):
    """One axis of a layer with windows: input size m, kernel k, stride s, padding begin and end, dilation d."""

    m: int
    k: int
    s: int
    begin: int
    end: int
    d: int

    @property
    def e(self) -> int:
        """The effective kernel."""
        return effective(self.k, self.d)

    @property
    def e_text(self) -> str:
        """The effective kernel in a formula: `3`, or `(2·(3 - 1) + 1)` if it is dilated."""
        return f"{self.e}" if self.d == 1 else f"({self.d}·({self.k} - 1) + 1)"


class AxisRule(_AxisGeometry):
    """The rule on one axis.

    With `ceil` the output size is rounded up, so that the last window may overhang the end.
    """

    ceil: bool = False

    @property
    def room(self) -> int:
        """m + p − e: how far the window can move; negative where it does not fit."""
        return self.m + self.begin + self.end - self.e

    @property
    def out(self) -> int:
        """The output size; 0 or less where the window does not fit.

        With `ceil` the last window may overhang the end, but must begin inside the input or its leading padding
        (ONNX MaxPool, ceil_mode).
        """
        if self.room < 0:
            return 0
        if not self.ceil:
            return self.room // self.s + 1
        out = -(-self.room // self.s) + 1
        return out - 1 if (out - 1) * self.s >= self.m + self.begin else out

    @property
    def remainder(self) -> int:
        """The elements beyond the last window that fits: room mod s."""
        return self.room % self.s

    @property
    def unread(self) -> int:
        """The number of elements (not of padding) at the end that no window reads, because the stride does not fit."""
        if self.ceil or self.room < 0:
            return 0
        return max(0, self.remainder - self.end - max(0, self.s - self.e))

    @property
    def pads_whole_window(self) -> bool:
        """Whether some window reads only padding."""
        if self.begin >= self.e or (self.out - 1) * self.s - self.begin >= self.m:
            return True
        leading = range(0, min(self.out * self.s, self.begin, 10_000 * self.s), self.s)
        return any(not self._reads_data(start - self.begin) for start in leading)

    def _reads_data(self, start: int) -> bool:
        """Whether a window that begins at `start`, a negative position relative to the data, has a tap in the data."""
        taps_before = -(start // self.d)
        return taps_before < self.k and start + taps_before * self.d < self.m

    def formula(self) -> str:
        """`floor((28 + 2 + 2 - 5)/1) + 1 = 28`."""
        inner = f"({self.m} + {self.begin} + {self.end} - {self.e_text})/{self.s}"
        text = f"{'ceil' if self.ceil else 'floor'}({inner}) + 1 = {self.out}"
        if self.remainder:
            text += f", as {self.room}/{self.s} = {self.room / self.s:.2f} is not whole"
        return text


def effective(k: int, d: int) -> int:
    """e = d·(k − 1) + 1, the number of elements that a dilated kernel spans."""
    return d * (k - 1) + 1


def resolve_padding(pads: Pads, sizes: Axes, k: Axes, s: Axes, d: Axes) -> tuple[tuple[int, int], ...]:
    """The padding (begin, end) of each axis in numbers: words such as `same` resolved for an input of these sizes."""
    if not isinstance(pads, str):
        return pads
    return tuple(_resolve_word(pads, m, effective(ka, da), sa) for m, ka, sa, da in zip(sizes, k, s, d, strict=True))


def _resolve_word(word: str, m: int, e: int, s: int) -> tuple[int, int]:
    if word == "valid":
        return 0, 0
    if word == "half":
        return e // 2, e // 2
    if word == "full":
        return e - 1, e - 1
    if word == "causal":
        return e - 1, 0
    total = max((-(-m // s) - 1) * s + e - m, 0)  # same: the output is ceil(m/s)
    small, large = total // 2, total - total // 2
    return (small, large) if word == "same" else (large, small)


def axis_rules(x: TensorType, k: Axes, s: Axes, p: Pads, d: Axes, ceil: bool = False) -> tuple[AxisRule, ...]:
    """The rule on each spatial axis of an input (C, *spatial)."""
    pads = resolve_padding(p, x.spatial, k, s, d)
    return tuple(
        AxisRule(m, ka, sa, begin, end, da, ceil)
        for m, ka, sa, (begin, end), da in zip(x.spatial, k, s, pads, d, strict=True)
    )


def output_sizes(rules: tuple[AxisRule, ...], argument: str = "k") -> Axes:
    """The output's spatial sizes. Raises ShapeError E302 where the kernel does not fit; `argument` is the one it has."""
    if all(rule.out >= 1 for rule in rules):
        return tuple(rule.out for rule in rules)
    kernel = format_shape(tuple(r.e for r in rules))
    image = format_shape(tuple(r.m for r in rules))
    dilated = " (dilated)" if any(r.d > 1 for r in rules) else ""
    too_large, where = f"the {kernel} kernel", f"the {image} input"
    if len(rules) == 1:
        too_large, where = f"a kernel of {kernel}", f"an input of {image}"
    lacking = max(-r.room for r in rules)
    fits = min(r.m + r.begin + r.end for r in rules)
    fixes = [Fix("p", str(max(r.begin for r in rules) + -(-lacking // 2)), "pad with {}")]
    if argument == "k" and fits >= 1 and not dilated:
        fixes.insert(0, Fix("k", str(fits), "{} is the largest kernel that fits"))
    raise ShapeError(
        "E302",
        f"{too_large}{dilated} does not fit into {where}",
        argument=argument,
        fixes=tuple(fixes),
        help="use a smaller kernel, or shrink the feature map less before it",
        label=f"larger than the {image} that arrives here",
        shrunk=True,
    )


def windows(rules: tuple[AxisRule, ...]) -> tuple[Window, ...]:
    """What an output reads on each axis (`Op.windows`)."""
    return tuple(Window(r.e, r.s, -r.begin) for r in rules)


class TransposedRule(_AxisGeometry):
    """The rule of a transposed window on one axis; `extra` is added at the end of the output."""

    extra: int

    @property
    def out(self) -> int:
        """The output size; 0 or less where the padding leaves nothing."""
        return (self.m - 1) * self.s - self.begin - self.end + self.e + self.extra

    def formula(self) -> str:
        """`(14 - 1)·2 - 0 - 1 + 3 + 0 = 28`."""
        return f"({self.m} - 1)·{self.s} - {self.begin} - {self.end} + {self.e_text} + {self.extra} = {self.out}"

    @property
    def convolution(self) -> AxisRule:
        """The rule of the convolution from the output back to the input; its output size is m, as extra < s."""
        return AxisRule(self.out, self.k, self.s, self.begin, self.end, self.d)


def transposed_rules(x: TensorType, k: Axes, s: Axes, p: Pads, d: Axes, extra: Axes) -> tuple[TransposedRule, ...]:
    """The transposed rule on each axis. With `same` the output size is m·s; of an odd padding the larger half is at the end.

    Raises ShapeError E316 where no padding gives m·s.
    """
    if p == "same":
        totals = [effective(ka, da) + xa - sa for ka, sa, da, xa in zip(k, s, d, extra, strict=True)]
        if min(totals) < 0:
            raise _same_is_impossible(k, s, d, extra)
        pads = tuple((total // 2, total - total // 2) for total in totals)
    else:
        pads = tuple((0, 0) for _ in x.spatial) if isinstance(p, str) else p
    return tuple(
        TransposedRule(m, ka, sa, begin, end, da, xa)
        for m, ka, sa, (begin, end), da, xa in zip(x.spatial, k, s, pads, d, extra, strict=True)
    )


def _same_is_impossible(k: Axes, s: Axes, d: Axes, extra: Axes) -> ShapeError:
    reach, step, short_of = next(
        (effective(ka, da) + xa, sa, sa - effective(ka, da))
        for ka, sa, da, xa in zip(k, s, d, extra, strict=True)
        if effective(ka, da) + xa < sa
    )
    return ShapeError(
        "E316",
        f"`same` is impossible: the kernel plus output_pad is {reach}, less than the stride of {step}",
        argument="p",
        fixes=(Fix("output_pad", str(short_of), "write {}"), Fix("k", str(max(s)), "{} or more")),
    )


class Geometry(NamedTuple):
    """Where the windows of a layer lie, axis by axis: kernel k, stride s, dilation d, padding (begin, end), output size.

    Window i of an axis reads the elements i·s, i·s + d, ..., i·s + (k - 1)·d of the padded input.
    """

    k: Axes
    s: Axes
    d: Axes
    pads: tuple[tuple[int, int], ...]
    out: Axes

    @classmethod
    def of(cls, rules: Sequence[AxisRule | TransposedRule]) -> Self:
        """The geometry for `op.rules(x)`; for a transposed layer, that of the convolution from its output to its input.

        The padding at the end reaches as far as the last window, which may overhang with `ceil`.
        """
        axes = [rule.convolution if isinstance(rule, TransposedRule) else rule for rule in rules]
        return cls(
            tuple(r.k for r in axes),
            tuple(r.s for r in axes),
            tuple(r.d for r in axes),
            tuple((r.begin, max(r.end, (r.out - 1) * r.s + r.e - r.m - r.begin)) for r in axes),
            tuple(r.out for r in axes),
        )

    @property
    def padded(self) -> bool:
        """Whether there is padding on any side."""
        return any(begin or end for begin, end in self.pads)

    def padded_sizes(self, spatial: Axes) -> Axes:
        """The sizes of an input of these sizes with its padding."""
        return tuple(m + begin + end for m, (begin, end) in zip(spatial, self.pads, strict=True))


def transposed_window(e: int, s: int, begin: int) -> Window:
    """What an output of a transposed layer reads, on one axis.

    Input i adds to e outputs from s·i - begin on; so output o reads the inputs from (o + begin - e + 1)/s to
    (o + begin)/s.
    """
    if s == 1:
        return Window(e, 1, begin - e + 1)
    from fractions import Fraction  # takes 3 ms, which most networks do not need

    return Window(1 + Fraction(e - 1, s), Fraction(1, s), Fraction(begin - e + 1, s))


def explain(rules: Sequence[AxisRule | TransposedRule]) -> list[str]:
    """The output size's formula with its numbers, one line per axis, or one for all where they are alike."""
    names = axis_names(len(rules))
    same = len(set(rules)) == 1
    if same:
        return [f"out = {rules[0].formula()}" + ("" if len(rules) == 1 else f" ({' and '.join(names)})")]
    return [f"{name}: out = {rule.formula()}" for name, rule in zip(names, rules, strict=True)]


def stride_advice(rules: tuple[AxisRule, ...], keyword: str) -> list[Advice]:
    """W301 where a stride leaves data unread; the help names arguments with which all data is read."""
    for rule, name in zip(rules, axis_names(len(rules)), strict=True):
        if rule.unread:
            what = {"height": "row", "width": "column"}.get(name, "step")
            count = f"1 {what} is" if rule.unread == 1 else f"{rule.unread} {what}s are"
            ways = [("p", _pads_that_read_all(rules))]
            if keyword == "pool":
                ways.insert(0, ("ceil", "true"))
            elif keyword in ("conv", "local") and all(
                r.d == 1 and r.remainder <= 1 for r in rules
            ):  # a much larger k is another layer
                ways.append(("k", short(tuple(r.k + r.remainder for r in rules))))
            message = (
                f"the stride does not fit: ({rule.m} + {rule.begin + rule.end} - {rule.e})/{rule.s} = "
                f"{rule.room / rule.s:.2f}; {count} never read"
            )
            fixes = tuple(Fix(key, value, "{} reads all of the input") for key, value in ways)
            return [Advice("W301", message, argument="s", fixes=fixes)]
    return []


def _pads_that_read_all(rules: tuple[AxisRule, ...]) -> str:
    """`1`: the smallest additional padding with which windows read all of the data, and none only padding."""
    extra = tuple(r.s - r.remainder if r.unread else 0 for r in rules)
    sides = tuple(-(-n // 2) for n in extra)
    widest = tuple(max(sides) for _ in rules)
    for more in (widest, sides):  # one number for all axes, if that works
        wider = tuple(r.replace(begin=r.begin + n, end=r.end + n) for r, n in zip(rules, more, strict=True))
        if all(r.begin == r.end and not r.unread and not r.pads_whole_window for r in wider):
            return pads_text(tuple((r.begin, r.end) for r in wider))
    return pads_text(tuple((r.begin, r.end + n) for r, n in zip(rules, extra, strict=True)))


def padding_advice(rules: tuple[AxisRule, ...], p: Pads) -> list[Advice]:
    """W302 for an even kernel with `same`, W303 for padding so wide that some outputs read nothing else."""
    advice = []
    off = next((r for r in rules if r.s == 1 and r.e % 2 == 0), None)
    if p in ("same", "same_lower") and off is not None:
        fixes = tuple(Fix("k", str(k), "{} has a centre") for k in (off.k - 1, off.k + 1) if k > 1)
        advice.append(
            Advice(
                "W302",
                f"an even kernel has no centre: `{p}` pads {off.begin} before and {off.end} after, "
                "which shifts the image by half an element",
                argument="k",
                fixes=fixes,
            )
        )
    wide = next((r for r in rules if r.pads_whole_window), None)
    if wide is not None:
        advice.append(
            Advice(
                "W303",
                f"padding of {max(wide.begin, wide.end)} for a kernel of {wide.e}: the outermost outputs read only padding",
                argument="p",
                fixes=(Fix("p", str(wide.e - 1), "{} is the largest padding with which every output reads data"),),
            )
        )
    return advice


def axis_names(rank: int) -> tuple[str, ...]:
    """The names of the spatial axes in messages and reports; none for a vector."""
    return {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}.get(rank, ())


def brief(k: Axes, s: Axes, p: Pads, d: Axes) -> str:
    """Kernel, stride, padding and dilation as a report shows them, without defaults: `k=3 s=2 p=same`."""
    parts = [f"k={short(k)}"]
    if any(n != 1 for n in s):
        parts.append(f"s={short(s)}")
    if isinstance(p, str) or any(p_ != (0, 0) for p_ in p):
        parts.append(f"p={pads_text(p)}")
    if any(n != 1 for n in d):
        parts.append(f"d={short(d)}")
    return " ".join(parts)


def pads_text(p: Pads) -> str:
    """Padding as the language writes it: `same`, `1`, `1x0`, `[0, 1, 1, 0]`."""
    if isinstance(p, str):
        return p
    if all(b == e for b, e in p):
        return short(tuple(b for b, _ in p))
    return f"[{', '.join(str(n) for n in (*(b for b, _ in p), *(e for _, e in p)))}]"


def short(values: Axes) -> str:
    """`3` where all axes have the same number, else `3x5`."""
    return str(values[0]) if len(set(values)) == 1 else format_shape(values)


def _square_image(n: int) -> str:
    """The shape of n elements as square images, as large as possible: `1x8x8` for 64."""
    side = next(s for s in range(min(math.isqrt(n), 1024), 0, -1) if n % (s * s) == 0)
    return format_shape((n // (side * side), side, side))


def require_spatial(x: TensorType, keyword: str) -> None:
    """Raises ShapeError E303 where the input has no spatial axes."""
    if x.rank == 0:
        raise ShapeError(
            "E303",
            f"{keyword} needs spatial axes, but its input is a vector of {x}",
            help="make it an image with `reshape`, or move this layer before the fc",
            fixes=(Fix(BEFORE, f"reshape {_square_image(x.size)}", "make it an image: add `{}` before it"),),
            label=f"the input is a vector of {x}",
            shrunk=True,
        )
    if x.rank > 3:
        raise ShapeError("E303", f"{keyword} works on one to three spatial axes; {x} has {x.rank}")
