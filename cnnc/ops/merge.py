"""Merges: layers that combine several tensors into one.

In: the types of one or more operands, in source order. Merges have no arguments; lowering finds the operands. Out: the
output type. A ShapeError for operands that do not fit together names layers that make them fit. Example:
`add { conv 16 k=3 p=1 } { }`.
"""

from __future__ import annotations

import math
from typing import ClassVar

from cnnc.core.tensor import DType, TensorType, format_shape
from cnnc.ops.base import ANY_DTYPE, Op, ShapeError, Window, register
from cnnc.ops.window import short


class Merge(Op):
    """Combines one or more tensors. `sign` is printed between the operands in a report."""

    arity: ClassVar[int] = -1
    sign: ClassVar[str] = ""

    def _require_operands(self, inputs: tuple[TensorType, ...]) -> None:
        """Raises ShapeError E318 if there is no operand, E308 if element types differ."""
        if not inputs:
            raise ShapeError("E318", f"{self.keyword} has no operands", help=f"give it some: `{self.example}`")
        for index, x in enumerate(inputs):
            if x.dtype != inputs[0].dtype:
                raise ShapeError(
                    "E308",
                    f"{self.keyword} needs operands of one type, not {inputs[0].dtype} and {x.dtype}",
                    help="`embed` turns int64 into float32",
                    operands=(0, index),
                )


class Elementwise(Merge):
    """Works element by element; an axis of size 1 broadcasts to any size (ONNX's rule, except for the batch).

    All operands must have the same number of axes, because ONNX would align a vector's batch with another axis.
    """

    def output(self, *inputs: TensorType) -> TensorType:
        self._require_operands(inputs)
        result = inputs[0]
        for j, b in enumerate(inputs):
            if not _broadcast(result, b):
                i, a = next((i, a) for i, a in enumerate(inputs) if not _broadcast(a, b))
                on_b, layers, others = _project(a, b) if a.rank == b.rank else _same_axes(a, b)
                raise ShapeError(
                    "E301",
                    f"{self.keyword} needs equal shapes: {a} and {b}",
                    help=_either(f"apply `{layers}` to the {b if on_b else a}" if layers else "", others),
                    label=f"{a} {self.sign} {b}",
                    operands=(i, j),
                    fix=(j if on_b else i, layers, others) if layers else None,
                )
            result = result.with_shape(*map(max, result.shape, b.shape))
        return result

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return self.reads(0, *inputs)

    def reads(self, operand: int, *inputs: TensorType) -> tuple[Window, ...]:
        pairs = zip(inputs[operand].spatial, self.output(*inputs).spatial, strict=True)
        return tuple(Window(1, 0 if m == 1 and n > 1 else 1) for m, n in pairs)

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"{f' {self.sign} '.join(map(str, inputs))} = {self.output(*inputs)}"]


@register
class Add(Elementwise):
    """Sum of the operands (ONNX Add, Sum): the shortcut of a residual network (He et al. 2016)."""

    keyword: ClassVar[str] = "add"
    sign: ClassVar[str] = "+"
    example: ClassVar[str] = "add { conv 16 k=3 p=1 } { }"


@register
class Sub(Elementwise):
    """First operand minus the second (ONNX Sub): `sub b` subtracts b from the current tensor."""

    keyword: ClassVar[str] = "sub"
    sign: ClassVar[str] = "-"
    example: ClassVar[str] = "sub { } { pool avg k=3 s=1 p=1 }"

    def output(self, *inputs: TensorType) -> TensorType:
        if len(inputs) != 2:
            raise ShapeError(
                "E318",
                f"sub takes two operands, not {len(inputs)}",
                help="subtract one tensor in each `sub` statement",
            )
        return super().output(*inputs)


@register
class Mul(Elementwise):
    """Elementwise product of the operands (ONNX Mul): gates, as in squeeze-and-excitation (Hu et al. 2018)."""

    keyword: ClassVar[str] = "mul"
    sign: ClassVar[str] = "·"
    example: ClassVar[str] = "mul { } { conv 16 k=1; sigmoid }"


@register
class Maximum(Elementwise):
    """Elementwise maximum of the operands (ONNX Max)."""

    keyword: ClassVar[str] = "maximum"
    sign: ClassVar[str] = "max"
    example: ClassVar[str] = "maximum { conv 16 k=1 } { conv 16 k=1 }"


@register
class Concat(Merge):
    """Concatenates the channels of all operands (ONNX Concat, axis 1); all other axes must be equal."""

    keyword: ClassVar[str] = "concat"
    takes: ClassVar[tuple[DType, ...]] = ANY_DTYPE
    example: ClassVar[str] = "concat { conv 8 k=1 } { conv 16 k=3 p=1 }"

    def output(self, *inputs: TensorType) -> TensorType:
        self._require_operands(inputs)
        first = inputs[0]
        for index, x in enumerate(inputs):
            if x.spatial != first.spatial:
                if x.rank == first.rank:
                    message = f"needs equal sizes: {format_shape(first.spatial)} and {format_shape(x.spatial)}"
                    on_x, layers, others = _equal_sizes(first, x)
                else:
                    message = f"needs the same number of axes: {first} and {x}"
                    on_x, layers, others = _same_axes(first, x, joined=True)
                raise ShapeError(
                    "E310",
                    f"concat {message}",
                    help=_either(f"apply `{layers}` to the {x if on_x else first}" if layers else "", others),
                    label=f"{first} and {x}",
                    operands=(0, index),
                    fix=(index if on_x else 0, layers, others) if layers else None,
                )
        return first.with_shape(sum(x.channels for x in inputs), *first.spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"out = {' + '.join(str(x.channels) for x in inputs)} = {self.output(*inputs).channels} channels"]


def _broadcast(a: TensorType, b: TensorType) -> bool:
    """Whether two shapes broadcast: on each axis equal sizes, or a 1."""
    return a.rank == b.rank and all(m == n or 1 in (m, n) for m, n in zip(a.shape, b.shape, strict=True))


# --- layers that make two operands fit ---------------------------------------------------------------------


Edit = tuple[bool, str, str]
"""(whether the layers go on the second of two tensors, the layers ("" if both need some), another fix or "")."""


def _either(*ways: str) -> str:
    return ", or ".join(way for way in ways if way)


def _project(a: TensorType, b: TensorType) -> Edit:
    """Layers that make two shapes of the same rank broadcast."""
    if a.rank == 0:
        return True, f"fc {a.channels}", ""
    wide, narrow = _by_size(a, b)
    alike = wide.channels == narrow.channels or 1 in (wide.channels, narrow.channels)
    if math.prod(narrow.spatial) == 1 < math.prod(wide.spatial):  # one number per channel, as in a gate
        return narrow is b, f"conv {wide.channels} k=1", ""
    strides = tuple(_stride(m, n) for m, n in zip(wide.spatial, narrow.spatial, strict=True))
    if all(strides):
        step = f" s={short(strides)}" if any(s > 1 for s in strides) else ""
        return wide is b, f"conv {(wide if alike else narrow).channels} k=1{step}", ""
    on_b, crop, others = _crop(a, b)
    conv = f"conv {narrow.channels} k=1"
    if alike:
        return on_b, crop, others
    return (on_b, f"{crop}; {conv}", "") if crop else (on_b, "", f"{others}, and `{conv}` to the {wide}")


def _by_size(a: TensorType, b: TensorType) -> tuple[TensorType, TensorType]:
    """The larger image, then the smaller one."""
    return (a, b) if math.prod(a.spatial) > math.prod(b.spatial) else (b, a)


def _stride(m: int, n: int) -> int:
    """The stride of a 1x1 convolution that turns size m into n, 1 if they broadcast as they are, 0 if there is none."""
    if m == n or 1 in (m, n):
        return 1
    s = -(-m // n)
    return s if m > n and -(-m // s) == n else 0


def _equal_sizes(a: TensorType, b: TensorType) -> Edit:
    """Layers that make the spatial sizes of two tensors equal."""
    wide, narrow = _by_size(a, b)
    pairs = list(zip(wide.spatial, narrow.spatial, strict=True))
    if all(m % n == 0 for m, n in pairs):
        factor = short(tuple(m // n for m, n in pairs))
        return narrow is b, f"upsample {factor}", f"apply `pool max k={factor}` to the {wide}"
    return _crop(a, b)


def _crop(a: TensorType, b: TensorType) -> Edit:
    """A crop of the larger image to the size of the smaller."""
    wide, narrow = _by_size(a, b)
    pairs = list(zip(wide.spatial, narrow.spatial, strict=True))
    least = format_shape(tuple(min(pair) for pair in pairs))
    if any(m < n for m, n in pairs):
        return False, "", f"apply `crop {least}` to both"
    lacking = [m - n for m, n in pairs]
    if all(n % 2 == 0 for n in lacking):
        sides = short(tuple(n // 2 for n in lacking))
        return wide is b, f"crop {least}", f"increase the padding of the layers before the {narrow} by {sides}"
    sides = ", ".join(str(n) for n in (*(n // 2 for n in lacking), *(n - n // 2 for n in lacking)))
    return wide is b, f"crop {least}", f"apply `pad [{sides}]` to the {narrow}"


def _same_axes(a: TensorType, b: TensorType, joined: bool = False) -> Edit:
    """Layers that give two tensors of different ranks the same axes; `joined` if they are concatenated."""
    vector, image = (a, b) if a.rank < b.rank else (b, a)
    ones = "x1" * image.rank
    if vector.rank:
        return False, "", f"give both {image.rank} spatial axes with `reshape`"
    if joined:
        return image is b, "flatten", ""
    if vector.size in (1, image.channels):
        return vector is b, f"reshape {vector.size}{ones}", ""
    if vector.size == image.size:
        return vector is b, f"reshape {image}", ""
    return vector is b, f"fc {image.channels}; reshape {image.channels}{ones}", ""
