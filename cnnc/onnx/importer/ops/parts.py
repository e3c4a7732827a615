"""What operators of several families share: numbers, padding, constants that broadcast along the channels."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes, Word
from cnnc.core.arrays import Array
from cnnc.onnx.importer.read.model import Step
from cnnc.onnx.importer.recognize.interpreter import Interpreter
from cnnc.onnx.importer.recognize.values import Layer, Refusal
from cnnc.ops import window

MAX_WINDOW = 2**16  # kernel, stride, dilation, padding on one axis


def real(value: Any) -> float:
    """The shortest number that is the same float32."""
    return float(str(np.float32(value)))


def near(a: float | None, b: float) -> bool:
    """Whether a number is another one, but for float32's rounding."""
    return a is not None and abs(a - b) <= 1e-6 * max(1.0, abs(b))


class WindowArguments(NamedTuple):
    """What conv and pool have in common, as the language has it; `pads` are numbers where the model gives numbers."""

    k: Axes
    s: Axes
    d: Axes
    p: Any
    pads: tuple[tuple[int, int], ...] | None


def window_arguments(c: Interpreter, x: Layer, step: Step, kernel: Sequence[int]) -> WindowArguments:
    """Kernel, stride, dilation and padding of a step on the spatial axes of x. Raises Refusal."""
    rank = x.rank
    if rank < 1:
        raise Refusal("it works on spatial axes, and a vector arrives")
    k, s, d = tuple(kernel), step.get("strides", (1,) * rank), step.get("dilations", (1,) * rank)
    if not len(k) == len(s) == len(d) == rank or min((*k, *s, *d)) < 1 or max((*k, *s, *d)) > MAX_WINDOW:
        raise Refusal("its kernel, strides and dilations are not one positive number an axis, of sensible size")
    auto = step.get("auto_pad", "NOTSET")
    words = {"VALID": "valid", "SAME_UPPER": "same", "SAME_LOWER": "same_lower"}
    if auto in words:
        if auto == "VALID":
            return WindowArguments(k, s, d, 0, ((0, 0),) * rank)
        return WindowArguments(k, s, d, Word(words[auto]), None)
    pads = pairs(step.get("pads", (0,) * 2 * rank), rank)
    return WindowArguments(k, s, d, padding(pads, x.type.spatial, k, s, d), pads)


def pairs(pads: Sequence[int], rank: int) -> tuple[tuple[int, int], ...]:
    """ONNX's list of padding, all begins and then all ends, as (begin, end) an axis. Raises Refusal."""
    if len(pads) != 2 * rank or min(pads, default=0) < 0 or max(pads, default=0) > MAX_WINDOW:
        raise Refusal("its pads are not two numbers of at least 0 an axis")
    return tuple(zip(pads[:rank], pads[rank:], strict=True))


def padding(pads: tuple[tuple[int, int], ...], sizes: Axes, k: Axes, s: Axes, d: Axes) -> Any:
    """Padding as the language would say it: a word where one means the same at every size, or says an odd one."""
    even = all(b == e for b, e in pads)
    reach = tuple(window.effective(ka, da) for ka, da in zip(k, d, strict=True))
    if even and max(b for b, _ in pads) == 0:
        return 0
    if even and max(s) == 1 and all(e % 2 and b == e // 2 for e, (b, _) in zip(reach, pads, strict=True)):
        return Word("same")
    if even and max(s) == 1 and all(e > 2 and b == e - 1 for e, (b, _) in zip(reach, pads, strict=True)):
        return Word("full")
    words = ("causal",) if len(k) == 1 and max(s) == 1 else ()
    for word in (*words, "same", "same_lower") if not even and (words or max(s) > 1) else ():
        if window.resolve(word, sizes, k, s, d) == pads:
            return Word(word)
    if even:
        return tuple(b for b, _ in pads)
    return (*(b for b, _ in pads), *(e for _, e in pads))


class Padded(NamedTuple):
    """A layer, and the constant padding that the model lays around it before the step."""

    layer: Layer
    pads: tuple[tuple[int, int], ...]


def padded_input(c: Interpreter, value: float) -> Padded | None:
    """What the step reads, where that is a Pad of this value on the spatial axes which nothing else reads."""
    maker = c.maker(c.step.input(0))
    if maker is None or maker.op != "Pad" or maker.domain or not (c.sole(c.step.input(0)) or isinf(value)):
        return None
    if maker.get("mode", "constant") != "constant":
        return None
    given = _pad_value(c, maker)
    if given is None or given != value:
        return None
    layer = c.layer_named(maker.input(0))
    sides = pad_sides(c, maker, layer.rank + 2)
    if sides is None or any(s != (0, 0) for s in sides[:2]) or min(n for s in sides for n in s) < 0:
        return None
    return Padded(layer, tuple(sides[2:]))


def _pad_value(c: Interpreter, step: Step) -> float | None:
    if step.input(2):
        return c.scalar(step.input(2))
    return float(step.get("value", 0.0))


def pad_sides(c: Interpreter, step: Step, axes: int) -> list[tuple[int, int]] | None:
    """(begin, end) of each axis of a Pad, the batch's first; None where they are no constants."""
    found = [(0, 0)] * axes
    which: Sequence[int] = range(axes)
    if "pads" in step.attributes:
        numbers = step.get("pads")
    else:
        array = c.values.get(step.input(1))
        if not isinstance(array, np.ndarray):
            return None
        numbers = tuple(int(n) for n in array.ravel())
    if step.input(3):
        named = c.values.get(step.input(3))
        if not isinstance(named, np.ndarray):
            return None
        which = [int(n) % axes for n in named.ravel()]
    if len(numbers) != 2 * len(which):
        return None
    for place, axis in enumerate(which):
        found[axis] = (int(numbers[place]), int(numbers[place + len(which)]))
    return found


def spread(c: Interpreter, array: Array, x: Layer) -> Array:
    """A constant that goes with x by ONNX's broadcasting: a number (), or one for each channel (C,). Raises Refusal."""
    full = (c.batch, *x.shape)
    if array.size == 1 and (array.ndim < len(full) - 1 or x.type.channels != 1 or array.ndim > len(full)):
        return array.reshape(())
    if array.ndim > len(full):
        raise Refusal("a constant of it has more axes than the tensor")
    aligned = array.reshape((1,) * (len(full) - array.ndim) + array.shape)
    if any(m not in (1, n) for m, n in zip(aligned.shape, full, strict=True)):
        raise Refusal("a constant of it is larger than the tensor it goes with")
    rows = aligned.reshape(aligned.shape[0], aligned.shape[1], -1)
    if not (rows == rows[:1, :, :1]).all():
        raise Refusal("a constant of it differs from place to place; a layer has one number a channel")
    channels = rows[0, :, 0]
    return channels if channels.size == x.type.channels else np.broadcast_to(channels, (x.type.channels,))


def numbers(array: Array) -> tuple[float, ...] | float:
    """A constant as a list of numbers of the language, or one number."""
    values = tuple(real(v) for v in array.ravel())
    return values[0] if len(values) == 1 else values
