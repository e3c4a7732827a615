"""Padding in ONNX: as numbers, or, where it depends on a symbolic size, as tensors that the graph computes.

Input: the window arguments of a layer (`p`, `k`, `s`, `d`). Output: `PadAmounts`, for a node's attribute `pads` or for a Pad
node. Example: `p=same k=3 s=2` over 8 columns is (0, 1); over W columns, even or odd, it is computed from Shape.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.core.arguments import Axes, Pads
from cnnc.onnx.emit.emitter import Emitter
from cnnc.onnx.emit.shape_arithmetic import SizeVector, concat_sizes, constant_sizes, spatial_sizes
from cnnc.ops import window

AxisPads = tuple[tuple[int, int], ...]
"""Elements (begin, end) per spatial axis."""


class PadAmounts(NamedTuple):
    """Elements (begin, end) per spatial axis: `known` as numbers, or `begins` and `ends` (axes,) computed by the graph."""

    known: AxisPads | None
    begins: SizeVector | None = None
    ends: SizeVector | None = None

    @property
    def is_zero(self) -> bool:
        """Whether it is known that nothing is padded."""
        return self.known is not None and not any(map(any, self.known))


class WindowArguments(NamedTuple):
    """A window as the source has it: padding, kernel, stride, dilation; `ceil` rounds the output size up, as in pooling."""

    p: Pads
    k: Axes
    s: Axes
    d: Axes
    ceil: bool = False

    @property
    def effective(self) -> list[int]:
        """The extent of the dilated kernel per axis: (k - 1)·d + 1."""
        return [window.effective(k, d) for k, d in zip(self.k, self.d, strict=True)]


def onnx_pads(pads: AxisPads) -> list[int]:
    """Padding in ONNX's order: all begins, then all ends."""
    return [*(b for b, _ in pads), *(e for _, e in pads)]


def runtime_padding(e: Emitter, x: str, args: WindowArguments) -> PadAmounts:
    """The padding of a window over the tensor x, computed from its sizes at run time.

    The formulas are those of cnnc.ops.window. With input size m, stride s and effective kernel r, `same` pads
    max(0, (ceil(m/s) - 1)·s + r - m) in total.
    """
    m, s, extent = spatial_sizes(e, x), args.s, args.effective
    if isinstance(args.p, str) and args.p in ("same", "same_lower"):
        steps = (m + [n - 1 for n in s]) // s - 1  # ceil(m/s) - 1
        total = (steps * s + extent - m).maximum(0)
        smaller = total // 2
        begins, ends = (smaller, total - smaller) if args.p == "same" else (total - smaller, smaller)
    else:
        pads = window.resolve_padding(args.p, (0,) * len(s), args.k, s, args.d)
        begins, ends = (constant_sizes(e, [pair[side] for pair in pads]) for side in (0, 1))
    if args.ceil:
        room = m + begins + ends - extent
        # the number of windows less one; the last window begins inside the input
        windows = ((room + [n - 1 for n in s]) // s).minimum((m + begins - 1) // s)
        ends = ends.maximum(windows * s + extent - m - begins)
    return PadAmounts(None, begins, ends)


def pad_tensor(e: Emitter, x: str, padding: PadAmounts, value: float, output: str = "", prefix: str = "") -> str:
    """Pads x with `value`, except the axes of batch and channels; returns `output` or the name of a tensor inside the
    layer. `prefix` keeps the names of several paddings in one layer apart."""
    if padding.known is not None:
        half = len(padding.known)
        flat = onnx_pads(padding.known)
        amounts = e.integers(f"{prefix}borders", [0, 0, *flat[:half], 0, 0, *flat[half:]])
    else:
        assert padding.begins is not None
        assert padding.ends is not None
        amounts = concat_sizes(
            e, [constant_sizes(e, [0, 0]), padding.begins, constant_sizes(e, [0, 0]), padding.ends]
        ).name
    border = e.constant(e.inner_name(f"{prefix}border"), value)
    return e.op("Pad", [x, amounts, border], output or e.inner_name(f"{prefix}padded"))


def no_pads(rank: int) -> AxisPads:
    """No padding on `rank` axes."""
    return tuple((0, 0) for _ in range(rank))
