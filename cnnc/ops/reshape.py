"""Layers that rearrange values and change none."""

from __future__ import annotations

from typing import ClassVar

from cnnc.core.arguments import MAX_WHOLE, Axes, Indices, Padding, Pads, PerAxis, Real, Shape, Whole, arg
from cnnc.core.tensor import DType, TensorType, format_shape
from cnnc.ops import window
from cnnc.ops.base import ANY, Op, ShapeError, Window, need_multiple, product, register


@register
class Flatten(Op):
    """All elements in one vector, channels first (ONNX Flatten)."""

    keyword: ClassVar[str] = "flatten"
    takes: ClassVar[tuple[DType, ...]] = ANY
    example: ClassVar[str] = "flatten"

    def output(self, *inputs: TensorType) -> TensorType:
        return inputs[0].with_shape(inputs[0].size)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)


@register
class Reshape(Op):
    """The same elements, channels first, in another shape (ONNX Reshape)."""

    keyword: ClassVar[str] = "reshape"
    takes: ClassVar[tuple[DType, ...]] = ANY
    example: ClassVar[str] = "reshape 64x16x16"

    shape: tuple[int, ...] = arg(Shape(), positional=True, help="the new shape, without the batch")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        y = x.with_shape(*self.shape)
        if y.size != x.size:
            raise ShapeError(
                "E307",
                f"cannot reshape {x} ({x.size:,} elements) to {y} ({y.size:,})",
                help=_fitting(x, self.shape),
                argument="shape",
                label=f"{product(self.shape)} = {y.size:,}",
            )
        return y

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)

    def brief(self) -> str:
        return format_shape(self.shape)


def _fitting(x: TensorType, shape: tuple[int, ...]) -> str:
    """A shape that fits, with its last sizes as they were asked for."""
    rest = TensorType(shape).size // shape[0]
    if x.size % rest == 0:
        return f"`reshape {format_shape((x.size // rest, *shape[1:]))}` fits"
    return f"the sizes must multiply to {x.size:,}"


@register
class Pad(Op):
    """Elements of one value around the image (ONNX Pad, mode constant)."""

    keyword: ClassVar[str] = "pad"
    example: ClassVar[str] = "pad 2"

    n: Pads = arg(
        Padding(()), positional=True, help="how many on each side: a number, 1x2 an axis, or [top, left, bottom, right]"
    )
    value: float = arg(Real(), default=0, help="what they are")

    @property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """(begin, end) for each spatial axis."""
        assert not isinstance(self.n, str)
        return self.n

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.need_spatial(x, self.keyword)
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
    """A part of the image, from its middle when not said otherwise (ONNX Slice).

    The middle begins at floor((m - size)/2) on an axis of m elements.
    """

    keyword: ClassVar[str] = "crop"
    takes: ClassVar[tuple[DType, ...]] = ANY
    example: ClassVar[str] = "crop 24x24"

    size: Axes = arg(PerAxis(1), positional=True, help="size of the part, without the channels")
    offset: Axes | None = arg(PerAxis(0), default=None, help="where it begins; in the middle when left out")

    def begins(self, x: TensorType) -> Axes:
        """Where the part begins on each spatial axis."""
        if self.offset is not None:
            return self.offset
        return tuple((m - n) // 2 for m, n in zip(x.spatial, self.size, strict=True))

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.need_spatial(x, self.keyword)
        image = format_shape(x.spatial)
        if any(n > m for m, n in zip(x.spatial, self.size, strict=True)):
            fits = format_shape(tuple(map(min, x.spatial, self.size)))
            raise ShapeError(
                "E321",
                f"cannot crop {format_shape(self.size)} out of {image}",
                help=f"`crop {fits}` fits; `pad` makes the image larger",
                argument="size",
                label=f"larger than the {image} that arrives here",
                shrunk=True,
            )
        if any(b + n > m for m, n, b in zip(x.spatial, self.size, self.begins(x), strict=True)):
            most = tuple(min(b, m - n) for m, n, b in zip(x.spatial, self.size, self.begins(x), strict=True))
            raise ShapeError(
                "E321",
                f"a crop of {format_shape(self.size)} from {format_shape(self.begins(x))} on reaches beyond {image}",
                help=f"offset={format_shape(most)} fits",
                argument="offset",
            )
        return x.with_shape(x.channels, *self.size)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(1, 1, begin) for begin in self.begins(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"{window.short(self.size)} from {window.short(self.begins(inputs[0]))} on"]

    def brief(self) -> str:
        return window.short(self.size) + (f" offset={window.short(self.offset)}" if self.offset is not None else "")


@register
class Slice(Op):
    """The elements FROM, FROM + 1, ... TO - 1 of an axis (ONNX Slice); negatives count from the end.

    Without TO it goes to the end. Axis 0 is the channels.
    """

    keyword: ClassVar[str] = "slice"
    takes: ClassVar[tuple[DType, ...]] = ANY
    example: ClassVar[str] = "slice 0 8"

    begin: int = arg(Whole(-MAX_WHOLE), positional=True, help="the first element; -1 is the last of the axis")
    end: int | None = arg(
        Whole(-MAX_WHOLE), default=None, positional=True, help="the first element after it; the end when left out"
    )
    axis: int = arg(Whole(0, 3), default=0, help="0 for the channels, 1, 2, 3 for the spatial axes")

    def bounds(self, x: TensorType) -> tuple[int, int]:
        """FROM and TO, counted from the beginning."""
        m = x.shape[self.axis]
        end = m if self.end is None else self.end
        return self.begin + m * (self.begin < 0), end + m * (end < 0)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        _need_axis(x, self.axis, self.keyword)
        m = x.shape[self.axis]
        begin, end = self.bounds(x)
        if not 0 <= begin < end <= m:
            written = f"{self.begin}" + (f" {self.end}" if self.end is not None else "")
            raise ShapeError(
                "E322",
                f"slice {written} takes nothing of an axis of {m}"
                if 0 <= end <= begin <= m
                else f"slice {written} reaches beyond an axis of {m}",
                help=f"`slice 0 {m}` is all of it",
                argument="begin" if not 0 <= begin < m else "end",
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
    """The elements of an axis at these places, in this order (ONNX Gather); a place may be listed twice.

    Negatives count from the end. Axis 0 is the channels.
    """

    keyword: ClassVar[str] = "select"
    takes: ClassVar[tuple[DType, ...]] = ANY
    example: ClassVar[str] = "select [2, 1, 0]"

    indices: tuple[int, ...] = arg(Indices(), positional=True, help="the places: [0, 2, 2]")
    axis: int = arg(Whole(0, 3), default=0, help="0 for the channels, 1, 2, 3 for the spatial axes")

    def places(self, x: TensorType) -> tuple[int, ...]:
        """The places, counted from the beginning."""
        m = x.shape[self.axis]
        return tuple(i + m * (i < 0) for i in self.indices)

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        _need_axis(x, self.axis, self.keyword)
        m = x.shape[self.axis]
        for written, place in zip(self.indices, self.places(x), strict=True):
            if not 0 <= place < m:
                raise ShapeError(
                    "E322",
                    f"there is no element {written} on an axis of {m}",
                    help=f"they count from 0 to {m - 1}, or from -{m} to -1",
                    argument="indices",
                )
        return _with_axis(x, self.axis, len(self.indices))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        """On the axis itself a window that is wide enough for every element."""
        found = [Window(1) for _ in inputs[0].spatial]
        if self.axis:
            shifts = [place - i for i, place in enumerate(self.places(inputs[0]))]
            found[self.axis - 1] = Window(max(shifts) - min(shifts) + 1, 1, min(shifts))
        return tuple(found)

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"out = {len(self.indices)} of {inputs[0].shape[self.axis]}"]

    def brief(self) -> str:
        shown = ", ".join(map(str, self.indices[:8])) + (", ..." if len(self.indices) > 8 else "")
        return f"[{shown}]" + (f" axis={self.axis}" if self.axis else "")


def _need_axis(x: TensorType, axis: int, keyword: str) -> None:
    """Raises ShapeError E323 where there is no such axis."""
    if axis > x.rank:
        has = "axis 0 alone, the channels" if x.rank == 0 else f"axes 0 to {x.rank}"
        raise ShapeError("E323", f"{keyword}: {x} has no axis {axis}", help=f"it has {has}", argument="axis")


def _with_axis(x: TensorType, axis: int, size: int) -> TensorType:
    return x.with_shape(*x.shape[:axis], size, *x.shape[axis + 1 :])


@register
class ChannelShuffle(Op):
    """Mixes N groups of channels: the first of each group, then the second of each, ... (Zhang et al. 2018, ShuffleNet).

    (N, C/N) transposed to (C/N, N): channel j·N + g comes from channel g·C/N + j.
    """

    keyword: ClassVar[str] = "channel_shuffle"
    takes: ClassVar[tuple[DType, ...]] = ANY
    example: ClassVar[str] = "channel_shuffle 4"

    groups: int = arg(Whole(1), positional=True, help="number of groups")

    def output(self, *inputs: TensorType) -> TensorType:
        need_multiple(inputs[0], self.groups, f"multiple of {self.groups} groups", "groups")
        return inputs[0]

    def brief(self) -> str:
        return str(self.groups)


@register
class DepthToSpace(Op):
    """N² channels become NxN places: C x H x W to C/N² x N·H x N·W (ONNX DepthToSpace, mode DCR).

    y[c, h·N + i, w·N + j] = x[(i·N + j)·C/N² + c, h, w]. PyTorch's PixelShuffle is the other order, CRD.
    """

    keyword: ClassVar[str] = "depth_to_space"
    example: ClassVar[str] = "depth_to_space 2"

    n: int = arg(Whole(1), positional=True, help="factor of height and width")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        _need_image(x, self.keyword)
        square = self.n * self.n
        above = -(-x.channels // square) * square
        need_multiple(x, square, f"multiple of {self.n}² = {square}", "n", f"`conv {above} k=1` before it")
        return x.with_shape(x.channels // square, *(m * self.n for m in x.spatial))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(window.transposed_window(self.n, self.n, 0) for _ in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        places = ", ".join(f"{m}·{self.n} = {m * self.n}" for m in x.spatial)
        return [f"out = {x.channels}/{self.n}² = {x.channels // self.n**2} channels; {places}"]

    def brief(self) -> str:
        return str(self.n)


@register
class SpaceToDepth(Op):
    """NxN places become N² channels: C x H x W to C·N² x H/N x W/N (ONNX SpaceToDepth).

    y[(i·N + j)·C + c, h, w] = x[c, h·N + i, w·N + j], what depth_to_space undoes.
    """

    keyword: ClassVar[str] = "space_to_depth"
    example: ClassVar[str] = "space_to_depth 2"

    n: int = arg(Whole(1), positional=True, help="divisor of height and width")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        _need_image(x, self.keyword)
        if any(m % self.n for m in x.spatial):
            lacking = tuple(-m % self.n for m in x.spatial)
            raise ShapeError(
                "E319",
                f"{format_shape(x.spatial)} does not divide into squares of {self.n}x{self.n}",
                help=f"`pad [0, 0, {', '.join(map(str, lacking))}]` before it makes it fit",
                argument="n",
                label=f"{x} arrives here",
            )
        return x.with_shape(x.channels * self.n**2, *(m // self.n for m in x.spatial))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(self.n, self.n) for _ in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        places = ", ".join(f"{m}/{self.n} = {m // self.n}" for m in x.spatial)
        return [f"out = {x.channels}·{self.n}² = {x.channels * self.n**2} channels; {places}"]

    def brief(self) -> str:
        return str(self.n)


def _need_image(x: TensorType, keyword: str) -> None:
    """Raises ShapeError E303 where there are not two spatial axes."""
    if x.rank != 2:
        raise ShapeError(
            "E303",
            f"{keyword} needs two spatial axes; {x} has {x.rank}",
            help=f"give it an image with `reshape`, e.g. `reshape {format_shape((*x.shape, 1, 1)[:3])}`"
            if x.rank < 2
            else "",
        )
