"""The window-size rule that conv and pool share.

In: sizes, kernel, stride, padding, dilation. Out: the padding in numbers, the output size, and what a stride leaves unread.

    e   = d·(k − 1) + 1                             effective kernel
    out = floor((m + p_begin + p_end − e) / s) + 1   (Dumoulin & Visin 2016, relationship 6; ONNX Conv)

The rule stands here once; conv, pool and their reports all read it.
"""

from __future__ import annotations

from cnnc.arguments import Axes, Pads
from cnnc.ops.base import Advice, ShapeError, Window
from cnnc.record import Record
from cnnc.tensor import TensorType, format_shape


class AxisRule(Record):
    """The rule on one axis: input size m, kernel k, stride s, padding (begin, end), dilation d."""

    m: int
    k: int
    s: int
    begin: int
    end: int
    d: int
    ceil: bool = False

    @property
    def e(self) -> int:
        return effective(self.k, self.d)

    @property
    def room(self) -> int:
        """m + p − e: how far the window can move; negative where it does not fit once."""
        return self.m + self.begin + self.end - self.e

    @property
    def out(self) -> int:
        """The output size; 0 or less where the window does not fit.

        With `ceil` the last window may hang over the end, but must begin inside the input or its
        leading padding (ONNX MaxPool, ceil_mode).
        """
        if self.room < 0:
            return 0
        if not self.ceil:
            return self.room // self.s + 1
        out = -(-self.room // self.s) + 1
        return out - 1 if (out - 1) * self.s >= self.m + self.begin else out

    @property
    def remainder(self) -> int:
        return self.room % self.s

    @property
    def unread(self) -> int:
        """Rows of data (not of padding) that no window reads because the stride does not fit."""
        if self.ceil or self.room < 0:
            return 0
        return max(0, self.remainder - self.end - max(0, self.s - self.e))

    def formula(self) -> str:
        """`floor((28 + 2 + 2 - 5)/1) + 1 = 28`."""
        e = f"{self.e}" if self.d == 1 else f"({self.d}·({self.k} - 1) + 1)"
        inner = f"({self.m} + {self.begin} + {self.end} - {e})/{self.s}"
        text = f"{'ceil' if self.ceil else 'floor'}({inner}) + 1 = {self.out}"
        if self.remainder:
            text += f", as {self.room}/{self.s} = {self.room / self.s:.2f} is not whole"
        return text


def effective(k: int, d: int) -> int:
    """e = d·(k − 1) + 1, the reach of a dilated kernel."""
    return d * (k - 1) + 1


def resolve(pads: Pads, sizes: Axes, k: Axes, s: Axes, d: Axes) -> tuple[tuple[int, int], ...]:
    """The padding (begin, end) of each axis in numbers, for an input of these sizes."""
    if not isinstance(pads, str):
        return pads
    return tuple(_word(pads, m, effective(ka, da), sa) for m, ka, sa, da in zip(sizes, k, s, d, strict=True))


def _word(word: str, m: int, e: int, s: int) -> tuple[int, int]:
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
    pads = resolve(p, x.spatial, k, s, d)
    return tuple(
        AxisRule(m, ka, sa, begin, end, da, ceil)
        for m, ka, sa, (begin, end), da in zip(x.spatial, k, s, pads, d, strict=True)
    )


def output_sizes(rules: tuple[AxisRule, ...]) -> Axes:
    """The output's spatial sizes. Raises ShapeError E302 where the window does not fit."""
    if all(rule.out >= 1 for rule in rules):
        return tuple(rule.out for rule in rules)
    kernel = format_shape(tuple(r.e for r in rules))
    image = format_shape(tuple(r.m for r in rules))
    dilated = " (dilated)" if any(r.d > 1 for r in rules) else ""
    lacking = max(-r.room for r in rules)
    fits = min(r.m + r.begin + r.end for r in rules)
    help = f"pad with p={max(r.begin for r in rules) + -(-lacking // 2)}"
    if fits >= 1 and not dilated:
        help = f"k={fits} is the largest kernel that fits, or {help}"
    raise ShapeError(
        "E302",
        f"the {kernel} kernel{dilated} does not fit into the {image} input",
        help=help,
        argument="k",
        label=f"larger than the {image} that arrives here",
        shrunk=True,
    )


def windows(rules: tuple[AxisRule, ...]) -> tuple[Window, ...]:
    return tuple(Window(r.e, r.s, -r.begin) for r in rules)


def explain(rules: tuple[AxisRule, ...]) -> list[str]:
    names = axis_names(len(rules))
    same = len(set(rules)) == 1
    if same:
        return [f"out = {rules[0].formula()}" + ("" if len(rules) == 1 else f" ({' and '.join(names)})")]
    return [f"{name}: out = {rule.formula()}" for name, rule in zip(names, rules, strict=True)]


def stride_advice(rules: tuple[AxisRule, ...], keyword: str) -> list[Advice]:
    """W301 where a stride leaves data unread, with a padding or stride that fits."""
    for rule, name in zip(rules, axis_names(len(rules)), strict=True):
        if rule.unread:
            what = {"height": "row", "width": "column"}.get(name, "step")
            count = f"1 {what} is" if rule.unread == 1 else f"{rule.unread} {what}s are"
            extra = rule.s - rule.remainder
            ways = []
            fitting = [s for s in range(1, rule.room + 1) if rule.room % s == 0 and s <= rule.s + 2]
            if fitting:
                near = min(fitting, key=lambda s: abs(s - rule.s))
                ways.append(f"s={near}")
            if extra % 2 == 0:
                ways.append(f"p={rule.begin + extra // 2}")
            if keyword == "pool":
                ways.append("ceil=true")
            message = (
                f"the stride does not fit: ({rule.m} + {rule.begin + rule.end} - {rule.e})/{rule.s} = "
                f"{rule.room / rule.s:.2f}; {count} never read"
            )
            return [Advice("W301", message, f"{' or '.join(ways)} reads all of the input" if ways else "", "s")]
    return []


def axis_names(rank: int) -> tuple[str, ...]:
    return {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}.get(rank, ())


def brief(k: Axes, s: Axes, p: Pads, d: Axes) -> str:
    """Kernel, stride, padding and dilation as a report shows them, defaults left out."""
    parts = [f"k={short(k)}"]
    if any(n != 1 for n in s):
        parts.append(f"s={short(s)}")
    if isinstance(p, str):
        parts.append(f"p={p}")
    elif any(p_ != (0, 0) for p_ in p):
        if all(b == e for b, e in p):
            parts.append(f"p={short(tuple(b for b, _ in p))}")
        else:
            parts.append(f"p=[{', '.join(str(n) for n in (*(b for b, _ in p), *(e for _, e in p)))}]")
    if any(n != 1 for n in d):
        parts.append(f"d={short(d)}")
    return " ".join(parts)


def short(values: Axes) -> str:
    """`3` where all axes are alike, else `3x5`."""
    return str(values[0]) if len(set(values)) == 1 else format_shape(values)


def need_spatial(x: TensorType, keyword: str) -> None:
    """Raises ShapeError E303 where the input has no spatial axes."""
    if x.rank == 0:
        raise ShapeError(
            "E303",
            f"{keyword} needs spatial axes; it got a vector of {x}",
            help=f"give it an image again with `reshape`, e.g. `reshape {x.channels}x1x1`, or put it before the fc",
            label=f"the input is a vector of {x}",
            shrunk=True,
        )
    if x.rank > 3:
        raise ShapeError("E303", f"{keyword} works on one to three spatial axes; {x} has {x.rank}")
