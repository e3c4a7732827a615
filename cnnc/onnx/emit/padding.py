"""Elements around an image: padding as numbers, or, where it depends on a size that is a symbol, as tensors.

In: the window of a layer (`p`, `k`, `s`, `d`). Out: `Borders`, what `Pad` takes or what goes into a node's `pads`.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.core.arguments import Axes, Pads
from cnnc.onnx.emit.emitter import Emitter
from cnnc.onnx.emit.shape_arithmetic import SizeVector, concat_sizes, constant_sizes, spatial_sizes
from cnnc.ops import window

AxisPads = tuple[tuple[int, int], ...]


class Padding(NamedTuple):
    """(begin, end) on each spatial axis, known or worked out by the graph."""

    known: AxisPads | None
    begins: SizeVector | None = None
    ends: SizeVector | None = None

    @property
    def is_zero(self) -> bool:
        return self.known is not None and not any(map(any, self.known))


class WindowArguments(NamedTuple):
    """A window's padding as the text has it, kernel, stride and dilation; `ceil` as in pooling."""

    p: Pads
    k: Axes
    s: Axes
    d: Axes
    ceil: bool = False

    @property
    def e(self) -> list[int]:
        return [window.effective(k, d) for k, d in zip(self.k, self.d, strict=True)]


def onnx_pads(pads: AxisPads) -> list[int]:
    """All begins, then all ends, as ONNX has it."""
    return [*(b for b, _ in pads), *(e for _, e in pads)]


def runtime_padding(e: Emitter, x: str, frame: WindowArguments) -> Padding:
    """The borders of a window over the tensor x, as formulas of its sizes (cnnc.ops.window has them in Python)."""
    m, s, reach = spatial_sizes(e, x), frame.s, frame.e
    if isinstance(frame.p, str) and frame.p in ("same", "same_lower"):
        steps = (m + [n - 1 for n in s]) // s - 1  # ceil(m/s) - 1
        total = (steps * s + reach - m).maximum(0)
        small = total // 2
        begins, ends = (small, total - small) if frame.p == "same" else (total - small, small)
    else:
        pads = window.resolve(frame.p, (0,) * len(s), frame.k, s, frame.d)
        begins, ends = (constant_sizes(e, [pair[side] for pair in pads]) for side in (0, 1))
    if frame.ceil:
        room = m + begins + ends - reach
        windows = ((room + [n - 1 for n in s]) // s).minimum(
            (m + begins - 1) // s
        )  # less one; the last begins in the data
        ends = ends.maximum(windows * s + reach - m - begins)
    return Padding(None, begins, ends)


def pad_tensor(e: Emitter, x: str, borders: Padding, value: float, output: str = "", what: str = "") -> str:
    """x with borders of a value, batch and channels left alone; `output` or a tensor inside the node."""
    if borders.known is not None:
        half = len(borders.known)
        flat = onnx_pads(borders.known)
        amounts = e.integers(f"{what}borders", [0, 0, *flat[:half], 0, 0, *flat[half:]])
    else:
        assert borders.begins is not None
        assert borders.ends is not None
        amounts = concat_sizes(
            e, [constant_sizes(e, [0, 0]), borders.begins, constant_sizes(e, [0, 0]), borders.ends]
        ).name
    border = e.constant(e.inner_name(f"{what}border"), value)
    return e.op("Pad", [x, amounts, border], output or e.inner_name(f"{what}padded"))


def no_pads(rank: int) -> AxisPads:
    return tuple((0, 0) for _ in range(rank))
