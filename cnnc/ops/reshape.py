"""Layers that rearrange, select or pad elements without changing their values.

In: the type of one input. Out: the output type; there are no parameters. Example: `slice 0 8` keeps the first 8 channels.
"""

from __future__ import annotations

from typing import ClassVar

from cnnc.core.arguments import MAX_WHOLE, Axes, Indices, Padding, Pads, PerAxis, Real, Shape, Whole, arg
from cnnc.core.tensor import DType, TensorType, format_shape
from cnnc.ops import window
from cnnc.ops.base import (
    ANY_DTYPE,
    BEFORE,
    INSTEAD,
    Fix,
    Op,
    ShapeError,
    Window,
    product_text,
    register,
    require_channel_multiple,
)


@register
class Flatten(Op):
    """Flattens the input to a vector, channels first (ONNX Flatten)."""

    keyword: ClassVar[str] = "flatten"
    takes: ClassVar[tuple[DType, ...]] = ANY_DTYPE
    example: ClassVar[str] = "flatten"

    def output(self, *inputs: TensorType) -> TensorType:
        return inputs[0].with_shape(inputs[0].size)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)


@register
class Reshape(Op):
    """Gives the same elements, channels first, another shape (ONNX Reshape)."""

    keyword: ClassVar[str] = "reshape"
    takes: ClassVar[tuple[DType, ...]] = ANY_DTYPE
    example: ClassVar[str] = "reshape 64x16x16"

    shape: tuple[int, ...] = arg(Shape(), positional=True, help="the new shape without the batch")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        y = x.with_shape(*self.shape)
        if y.size != x.size:
            raise ShapeError(
                "E307",
                f"cannot reshape {x} ({x.size:,} elements) to {y} ({y.size:,})",
                help=f"the sizes must multiply to {x.size:,}",
                argument="shape",
                fixes=_fitting(x, self.shape),
                label=f"{product_text(self.shape)} = {y.size:,}",
            )
        return y

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)

    def brief(self) -> str:
        return format_shape(self.shape)


def _fitting(x: TensorType, shape: tuple[int, ...]) -> tuple[Fix, ...]:
    """A shape with the right number of elements that keeps the requested last sizes, if there is one."""
    rest = TensorType(shape).size // shape[0]
    fits = format_shape((x.size // rest, *shape[1:])) if x.size % rest == 0 else ""
    return (Fix("shape", fits, "`reshape {}` fits", positional=True),) if fits else ()


@register
class Pad(Op):
    """Adds elements of one value around the image (ONNX Pad, mode constant)."""

    keyword: ClassVar[str] = "pad"
    example: ClassVar[str] = "pad 2"

    n: Pads = arg(
        Padding(()),
        positional=True,
        help="the elements per side: a number, one per axis (1x2), or [top, left, bottom, right]",
    )
    value: float = arg(Real(), default=0, help="the value of the new elements")

    @property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """(begin, end) for each spatial axis."""
        assert not isinstance(self.n, str)
        return self.n

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.require_spatial(x, self.keyword)
        return x.with_shape(x.channels, *(m + b + e for m, (b, e) in zip(x.spatial, self.sides, strict=True)))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(1, 1, -begin) for begin, _ in self.sides)

    def explain(self, *inputs: TensorType) -> list[str]:
        pairs = zip(inputs[0].spatial, self.sides, strict=True)
        return ["out = " + ", ".join(f"{m} + {b} + {e} = {m + b + e}" for m, (b, e) in pairs)]

    def brief(self) -> str:
        return window.pads_text(self.n) + (f" value={self.value:g}" if self.value else "")


@register
class Crop(Op):
    """Cuts out a part of the image, by default from its centre (ONNX Slice).

    A centred part begins at floor((m - size)/2) on an axis of m elements.
    """

    keyword: ClassVar[str] = "crop"
    takes: ClassVar[tuple[DType, ...]] = ANY_DTYPE
    example: ClassVar[str] = "crop 24x24"

    size: Axes = arg(PerAxis(1), positional=True, help="the size of the part on each spatial axis")
    offset: Axes | None = arg(
        PerAxis(0), default=None, help="position of its first element on each axis; centred when left out"
    )

    def begins(self, x: TensorType) -> Axes:
        """The index of the part's first element on each spatial axis."""
        if self.offset is not None:
            return self.offset
        return tuple((m - n) // 2 for m, n in zip(x.spatial, self.size, strict=True))

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.require_spatial(x, self.keyword)
        image = format_shape(x.spatial)
        if any(n > m for m, n in zip(x.spatial, self.size, strict=True)):
            fits = format_shape(tuple(map(min, x.spatial, self.size)))
            raise ShapeError(
                "E321",
                f"cannot crop {format_shape(self.size)} out of {image}",
                argument="size",
                fixes=(Fix("size", fits, "`crop {}` fits; `pad` makes the image larger", positional=True),),
                label=f"larger than the {image} that arrives here",
                shrunk=True,
            )
        if any(b + n > m for m, n, b in zip(x.spatial, self.size, self.begins(x), strict=True)):
            most = tuple(min(b, m - n) for m, n, b in zip(x.spatial, self.size, self.begins(x), strict=True))
            raise ShapeError(
                "E321",
                f"a crop of {format_shape(self.size)} at offset {format_shape(self.begins(x))} reaches beyond {image}",
                argument="offset",
                fixes=(Fix("offset", format_shape(most), "{} fits"),),
            )
        return x.with_shape(x.channels, *self.size)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(1, 1, begin) for begin in self.begins(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"{window.short(self.size)} at offset {window.short(self.begins(inputs[0]))}"]

    def brief(self) -> str:
        return window.short(self.size) + (f" offset={window.short(self.offset)}" if self.offset is not None else "")


@register
class Slice(Op):
    """Keeps elements BEGIN to END - 1 of an axis (ONNX Slice); negative indices count from the end.

    Without END it keeps all elements from BEGIN on. Axis 0 is the channels.
    """

    keyword: ClassVar[str] = "slice"
    takes: ClassVar[tuple[DType, ...]] = ANY_DTYPE
    example: ClassVar[str] = "slice 0 8"

    begin: int = arg(
        Whole(-MAX_WHOLE), positional=True, help="the index of the first element; -1 is the last of the axis"
    )
    end: int | None = arg(
        Whole(-MAX_WHOLE),
        default=None,
        positional=True,
        help="the index after the last element; the end of the axis when left out",
    )
    axis: int = arg(Whole(0, 3), default=0, help="0 for the channels, 1, 2 or 3 for a spatial axis")

    def bounds(self, x: TensorType) -> tuple[int, int]:
        """BEGIN and END as indices from 0."""
        m = x.shape[self.axis]
        end = m if self.end is None else self.end
        return self.begin + m * (self.begin < 0), end + m * (end < 0)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        _require_axis(x, self.axis, self.keyword)
        m = x.shape[self.axis]
        begin, end = self.bounds(x)
        if not 0 <= begin < end <= m:
            written = f"{self.begin}" + (f" {self.end}" if self.end is not None else "")
            raise ShapeError(
                "E322",
                f"slice {written} selects no element of an axis of {m}"
                if 0 <= end <= begin <= m
                else f"slice {written} reaches beyond an axis of {m}",
                argument="begin" if not 0 <= begin < m else "end",
                fixes=(
                    Fix(INSTEAD, f"slice 0 {m}{f' axis={self.axis}' if self.axis else ''}", "`{}` selects all of them"),
                ),
            )
        return _with_axis(x, self.axis, end - begin)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        begin, _ = self.bounds(inputs[0])
        return tuple(Window(1, 1, begin if a == self.axis else 0) for a in range(1, inputs[0].rank + 1))

    def explain(self, *inputs: TensorType) -> list[str]:
        begin, end = self.bounds(inputs[0])
        return [f"out = {end} - {begin} = {end - begin} of {inputs[0].shape[self.axis]}"]

    def brief(self) -> str:
        text = f"{self.begin}" + (f" {self.end}" if self.end is not None else "")
        return text + (f" axis={self.axis}" if self.axis else "")


@register
class Select(Op):
    """Picks elements of an axis by index, in the given order (ONNX Gather); an index may occur twice.

    Negative indices count from the end. Axis 0 is the channels.
    """

    keyword: ClassVar[str] = "select"
    takes: ClassVar[tuple[DType, ...]] = ANY_DTYPE
    example: ClassVar[str] = "select [2, 1, 0]"

    indices: tuple[int, ...] = arg(Indices(), positional=True, help="the indices: [0, 2, 2]")
    axis: int = arg(Whole(0, 3), default=0, help="0 for the channels, 1, 2 or 3 for a spatial axis")

    def positions(self, x: TensorType) -> tuple[int, ...]:
        """The indices counted from 0."""
        m = x.shape[self.axis]
        return tuple(i + m * (i < 0) for i in self.indices)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        _require_axis(x, self.axis, self.keyword)
        m = x.shape[self.axis]
        for written, index in zip(self.indices, self.positions(x), strict=True):
            if not 0 <= index < m:
                raise ShapeError(
                    "E322",
                    f"there is no element {written} on an axis of {m}",
                    argument="indices",
                    fixes=(_in_range(self.indices, m),),
                )
        return _with_axis(x, self.axis, len(self.indices))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        """On the selected axis a window wide enough to contain what any output reads."""
        windows = [Window(1) for _ in inputs[0].spatial]
        if self.axis:
            shifts = [index - i for i, index in enumerate(self.positions(inputs[0]))]
            windows[self.axis - 1] = Window(max(shifts) - min(shifts) + 1, 1, min(shifts))
        return tuple(windows)

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"out = {len(self.indices)} of {inputs[0].shape[self.axis]}"]

    def brief(self) -> str:
        shown = ", ".join(map(str, self.indices[:8])) + (", ..." if len(self.indices) > 8 else "")
        return f"[{shown}]" + (f" axis={self.axis}" if self.axis else "")


def _in_range(indices: tuple[int, ...], m: int) -> Fix:
    """The same indices, with those beyond the axis at its ends."""
    shown = f"[{', '.join(str(max(-m, min(i, m - 1))) for i in indices)}]"
    return Fix(
        "indices", shown, f"indices run from 0 to {m - 1}, or from -{m} to -1: write `select {{}}`", positional=True
    )


def _require_axis(x: TensorType, axis: int, keyword: str) -> None:
    """Raises ShapeError E323 if the input has no such axis."""
    if axis > x.rank:
        axes = "only axis 0, the channels" if x.rank == 0 else f"axes 0 to {x.rank}"
        fix = Fix("axis", str(x.rank), f"it has {axes}; write `{{}}`")
        raise ShapeError("E323", f"{keyword}: {x} has no axis {axis}", argument="axis", fixes=(fix,))


def _with_axis(x: TensorType, axis: int, size: int) -> TensorType:
    """The type with another size on one axis."""
    return x.with_shape(*x.shape[:axis], size, *x.shape[axis + 1 :])


@register
class ChannelShuffle(Op):
    """Interleaves GROUPS groups of channels: the first of each group, then the second, ... (Zhang et al. 2018, ShuffleNet).

    Transposes the channels from (GROUPS, C/GROUPS) to (C/GROUPS, GROUPS): output channel j·GROUPS + g is input
    channel g·C/GROUPS + j.
    """

    keyword: ClassVar[str] = "channel_shuffle"
    takes: ClassVar[tuple[DType, ...]] = ANY_DTYPE
    example: ClassVar[str] = "channel_shuffle 4"

    groups: int = arg(Whole(1), positional=True, help="the number of groups")

    def output(self, *inputs: TensorType) -> TensorType:
        require_channel_multiple(inputs[0], self.groups, f"groups={self.groups}", "groups")
        return inputs[0]

    def brief(self) -> str:
        return str(self.groups)


@register
class DepthToSpace(Op):
    """Rearranges N² channels into squares of N x N: C x H x W to C/N² x N·H x N·W (ONNX DepthToSpace, mode DCR).

    y[c, h·N + i, w·N + j] = x[(i·N + j)·C/N² + c, h, w]. PyTorch's PixelShuffle uses the other order, CRD.
    """

    keyword: ClassVar[str] = "depth_to_space"
    example: ClassVar[str] = "depth_to_space 2"

    n: int = arg(Whole(1), positional=True, help="the factor of height and width")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        _require_image(x, self.keyword)
        square = self.n * self.n
        fix = Fix(BEFORE, f"conv {-(-x.channels // square) * square} k=1", "add `{}` before it")
        require_channel_multiple(x, square, f"{self.n}² = {square}", "n", (fix,))
        return x.with_shape(x.channels // square, *(m * self.n for m in x.spatial))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(window.transposed_window(self.n, self.n, 0) for _ in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        sizes = ", ".join(f"{m}·{self.n} = {m * self.n}" for m in x.spatial)
        return [f"out = {x.channels}/{self.n}² = {x.channels // self.n**2} channels; {sizes}"]

    def brief(self) -> str:
        return str(self.n)


@register
class SpaceToDepth(Op):
    """Rearranges squares of N x N into N² channels: C x H x W to C·N² x H/N x W/N (ONNX SpaceToDepth).

    y[(i·N + j)·C + c, h, w] = x[c, h·N + i, w·N + j]; depth_to_space is the inverse.
    """

    keyword: ClassVar[str] = "space_to_depth"
    example: ClassVar[str] = "space_to_depth 2"

    n: int = arg(Whole(1), positional=True, help="the divisor of height and width")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        _require_image(x, self.keyword)
        if any(m % self.n for m in x.spatial):
            lacking = tuple(-m % self.n for m in x.spatial)
            raise ShapeError(
                "E319",
                f"{format_shape(x.spatial)} does not divide into squares of {self.n}x{self.n}",
                argument="n",
                fixes=(Fix(BEFORE, f"pad [0, 0, {', '.join(map(str, lacking))}]", "add `{}` before it"),),
                label=f"{x} arrives here",
            )
        return x.with_shape(x.channels * self.n**2, *(m // self.n for m in x.spatial))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(self.n, self.n) for _ in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        sizes = ", ".join(f"{m}/{self.n} = {m // self.n}" for m in x.spatial)
        return [f"out = {x.channels}·{self.n}² = {x.channels * self.n**2} channels; {sizes}"]

    def brief(self) -> str:
        return str(self.n)


def _require_image(x: TensorType, keyword: str) -> None:
    """Raises ShapeError E303 unless the input has two spatial axes."""
    if x.rank != 2:
        raise ShapeError(
            "E303",
            f"{keyword} needs two spatial axes; {x} has {x.rank}",
            fixes=(
                Fix(BEFORE, f"reshape {format_shape((*x.shape, 1, 1)[:3])}", "make it an image: add `{}` before it"),
            )
            if x.rank < 2
            else (),
        )
