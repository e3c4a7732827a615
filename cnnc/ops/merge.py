"""Merges: several tensors become one.

In: one tensor or more, in the order written; what they are is the lowering's affair, so merges have no
arguments. Shapes that do not go together raise an error that says what would make them.
"""

from __future__ import annotations

import math
from typing import ClassVar

from cnnc.core.tensor import DType, TensorType, format_shape
from cnnc.ops.base import ANY, Op, ShapeError, Window, register
from cnnc.ops.window import short


class Merge(Op):
    """Joins one tensor or more. `sign` stands between operands in a report."""

    arity: ClassVar[int] = -1
    sign: ClassVar[str] = ""

    def _need_operands(self, inputs: tuple[TensorType, ...]) -> None:
        """Raises ShapeError E318 for no operand, E308 for operands of two element types."""
        if not inputs:
            raise ShapeError("E318", f"{self.keyword} has nothing to join", help=f"name layers: `{self.example}`")
        for place, x in enumerate(inputs):
            if x.dtype != inputs[0].dtype:
                raise ShapeError(
                    "E308",
                    f"{self.keyword} joins tensors of one type, not {inputs[0].dtype} and {x.dtype}",
                    help="`embed` makes float32 of int64",
                    operands=(0, place),
                )


class Elementwise(Merge):
    """Element by element; an axis of one element goes with any size (ONNX's broadcasting, the batch apart).

    All operands have the same number of axes: ONNX would align a vector's batch with another axis.
    """

    def output(self, *inputs: TensorType) -> TensorType:
        self._need_operands(inputs)
        made = inputs[0]
        for j, b in enumerate(inputs):
            if not _broadcast(made, b):
                i, a = next((i, a) for i, a in enumerate(inputs) if not _broadcast(a, b))
                on_b, layers, others = _project(a, b) if a.rank == b.rank else (False, "", _same_axes(a, b))
                raise ShapeError(
                    "E301",
                    f"{self.keyword} needs equal shapes: {a} and {b}",
                    help=_either(f"`{layers}` on the {b if on_b else a}" if layers else "", others),
                    label=f"{a} {self.sign} {b}",
                    operands=(i, j),
                    mend=(j if on_b else i, layers, others) if layers else None,
                )
            made = made.with_shape(*map(max, made.shape, b.shape))
        return made

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return self.reads(0, *inputs)

    def reads(self, operand: int, *inputs: TensorType) -> tuple[Window, ...]:
        pairs = zip(inputs[operand].spatial, self.output(*inputs).spatial, strict=True)
        return tuple(Window(1, 0 if m == 1 and n > 1 else 1) for m, n in pairs)

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"{f' {self.sign} '.join(map(str, inputs))} = {self.output(*inputs)}"]


@register
class Add(Elementwise):
    """The sum of its operands (ONNX Add, Sum): the shortcut of a residual network (He et al. 2016)."""

    keyword: ClassVar[str] = "add"
    sign: ClassVar[str] = "+"
    example: ClassVar[str] = "add { conv 16 k=3 p=1 } { }"


@register
class Sub(Elementwise):
    """The first operand less the second (ONNX Sub)."""

    keyword: ClassVar[str] = "sub"
    sign: ClassVar[str] = "-"
    example: ClassVar[str] = "sub { } { pool avg k=3 s=1 p=1 }"

    def output(self, *inputs: TensorType) -> TensorType:
        if len(inputs) != 2:
            raise ShapeError(
                "E318",
                f"sub takes two operands, not {len(inputs)}",
                help="`add` the others first" if len(inputs) > 2 else f"`{self.example}`",
            )
        return super().output(*inputs)


@register
class Mul(Elementwise):
    """The product of its operands, element by element (ONNX Mul): gates, as in squeeze and excitation (Hu et al. 2018)."""

    keyword: ClassVar[str] = "mul"
    sign: ClassVar[str] = "·"
    example: ClassVar[str] = "mul { } { conv 16 k=1; sigmoid }"


@register
class Maximum(Elementwise):
    """The largest of its operands, element by element (ONNX Max)."""

    keyword: ClassVar[str] = "maximum"
    sign: ClassVar[str] = "max"
    example: ClassVar[str] = "maximum { conv 16 k=1 } { conv 16 k=1 }"


@register
class Concat(Merge):
    """The channels of all operands, one after another (ONNX Concat, axis 1); all other axes are equal."""

    keyword: ClassVar[str] = "concat"
    takes: ClassVar[tuple[DType, ...]] = ANY
    example: ClassVar[str] = "concat { conv 8 k=1 } { conv 16 k=3 p=1 }"

    def output(self, *inputs: TensorType) -> TensorType:
        self._need_operands(inputs)
        first = inputs[0]
        for place, x in enumerate(inputs):
            if x.spatial != first.spatial:
                if x.rank == first.rank:
                    message = f"needs equal sizes: {format_shape(first.spatial)} and {format_shape(x.spatial)}"
                    on_x, layers, others = _equal_sizes(first, x)
                else:
                    message = f"needs the same number of axes: {first} and {x}"
                    on_x, layers, others = False, "", _same_axes(first, x, joined=True)
                raise ShapeError(
                    "E310",
                    f"concat {message}",
                    help=_either(f"`{layers}` on the {x if on_x else first}" if layers else "", others),
                    label=f"{first} and {x}",
                    operands=(0, place),
                    mend=(place if on_x else 0, layers, others) if layers else None,
                )
        return first.with_shape(sum(x.channels for x in inputs), *first.spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"out = {' + '.join(str(x.channels) for x in inputs)} = {self.output(*inputs).channels} channels"]


def _broadcast(a: TensorType, b: TensorType) -> bool:
    """Whether two shapes go together: equal sizes, or 1."""
    return a.rank == b.rank and all(m == n or 1 in (m, n) for m, n in zip(a.shape, b.shape, strict=True))


# --- what would make them fit ------------------------------------------------------------------------------


Edit = tuple[bool, str, str]
"""Whether layers go on the second of two tensors, those layers ("" where they go on both), and what else would do."""


def _either(*ways: str) -> str:
    return ", or ".join(way for way in ways if way)


def _project(a: TensorType, b: TensorType) -> Edit:
    """Layers that make two shapes of the same rank go together."""
    if a.rank == 0:
        return True, f"fc {a.channels}", ""
    wide, narrow = _by_size(a, b)
    alike = wide.channels == narrow.channels or 1 in (wide.channels, narrow.channels)
    if math.prod(narrow.spatial) == 1 < math.prod(wide.spatial):  # one number a channel, as of a gate
        return narrow is b, f"conv {wide.channels} k=1", ""
    strides = tuple(_stride(m, n) for m, n in zip(wide.spatial, narrow.spatial, strict=True))
    if all(strides):
        step = f" s={short(strides)}" if any(s > 1 for s in strides) else ""
        return wide is b, f"conv {(wide if alike else narrow).channels} k=1{step}", ""
    on_b, crop, others = _crop(a, b)
    conv = f"conv {narrow.channels} k=1"
    if alike:
        return on_b, crop, others
    return (on_b, f"{crop}; {conv}", "") if crop else (on_b, "", f"{others}, and `{conv}` on the {wide}")


def _by_size(a: TensorType, b: TensorType) -> tuple[TensorType, TensorType]:
    """The larger image of the two, and the smaller."""
    return (a, b) if math.prod(a.spatial) > math.prod(b.spatial) else (b, a)


def _stride(m: int, n: int) -> int:
    """The stride of a 1x1 convolution that takes m to n (1 where they go together as they are), or 0."""
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
        return narrow is b, f"upsample {factor}", f"`pool max k={factor}` on the {wide}"
    return _crop(a, b)


def _crop(a: TensorType, b: TensorType) -> Edit:
    wide, narrow = _by_size(a, b)
    pairs = list(zip(wide.spatial, narrow.spatial, strict=True))
    least = format_shape(tuple(min(pair) for pair in pairs))
    if any(m < n for m, n in pairs):
        return False, "", f"`crop {least}` on both"
    lacking = [m - n for m, n in pairs]
    if all(n % 2 == 0 for n in lacking):
        sides = short(tuple(n // 2 for n in lacking))
        return wide is b, f"crop {least}", f"p={sides} more in the layers of the {narrow}"
    sides = ", ".join(str(n) for n in (*(n // 2 for n in lacking), *(n - n // 2 for n in lacking)))
    return wide is b, f"crop {least}", f"`pad [{sides}]` on the {narrow}"


def _same_axes(a: TensorType, b: TensorType, joined: bool = False) -> str:
    """An edit for two tensors of different ranks."""
    vector, image = (a, b) if a.rank < b.rank else (b, a)
    ones = "x1" * image.rank
    if vector.rank:
        return f"`reshape` one of them, so that both have {image.rank} spatial axes"
    if joined:
        return f"`flatten` the {image}"
    if vector.size in (1, image.channels):
        return f"`reshape {vector.size}{ones}` makes the vector one number a channel"
    if vector.size == image.size:
        return f"`reshape {image}` on the vector"
    return f"`fc {image.channels}`, then `reshape {image.channels}{ones}`, makes the vector one number a channel"
