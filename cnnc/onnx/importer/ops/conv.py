"""Convolutions; of fixed numbers, they are filters, or the means of pools (see pool.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnc.core.arguments import Word
from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.means import pool_of_kernel
from cnnc.onnx.importer.ops.parts import WindowArguments, padded_input, pairs, real, window_arguments
from cnnc.onnx.importer.read.model import Step
from cnnc.onnx.importer.recognize.interpreter import Interpreter, import_of
from cnnc.onnx.importer.recognize.values import Layer, Refusal
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.filter import NAMED, Filter

MAX_FILTER = 1024  # numbers that a text may hold


@import_of("Conv")
def _conv(c: Interpreter, step: Step) -> Layer:
    weight = c.constant(1, "weight")
    bias = c.optional(2, "bias")
    around = padded_input(c, 0.0)
    x = around.layer if around is not None else c.layer()
    if weight.ndim != x.rank + 2 or tuple(step.get("kernel_shape", weight.shape[2:])) != weight.shape[2:]:
        raise Refusal("its weight does not have the axes of its kernel")
    if around is not None:
        inner = pairs(step.get("pads", (0,) * 2 * x.rank), x.rank)
        both = [(b + ob, e + oe) for (b, e), (ob, oe) in zip(inner, around.pads, strict=True)]
        if step.get("auto_pad", "NOTSET") in ("NOTSET", "VALID"):
            pads = (*(b for b, _ in both), *(e for _, e in both))
            step = step._replace(attributes={**step.attributes, "pads": pads, "auto_pad": "NOTSET"})
        else:
            x = c.layer()
    w = window_arguments(c, x, step, weight.shape[2:])
    groups = step.get("group", 1)
    if bias is None and groups == x.type.channels == weight.shape[0]:
        fixed = _named(c, x, w, weight)
        if fixed is None and (len(weight) > 1 or ".kernel" in step.input(1)):  # of one channel it is as likely learned
            fixed = pool_of_kernel(c, x, w, weight) or _filter(c, x, w, weight)
        if fixed is not None:
            return fixed
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return c.add(
        Conv,
        x,
        weights,
        [n for n in step.inputs[1:3] if n],
        out=weight.shape[0],
        k=w.k,
        s=w.s,
        p=w.p,
        d=w.d,
        groups=groups,
        bias=bias is not None,
    )


def _named(c: Interpreter, x: Layer, w: WindowArguments, weight: Array) -> Layer | None:
    """The filter with a name that a depthwise convolution is."""
    if max(w.d) > 1 or weight.shape[2:] != (3, 3):
        return None
    for name, kernel in NAMED.items():
        if (weight == np.asarray(kernel, np.float32)).all():
            return c.add(Filter, x, numbers=Word(name), s=w.s, p=w.p)
    return None


def _filter(c: Interpreter, x: Layer, w: WindowArguments, weight: Array) -> Layer | None:
    """The filter that a depthwise convolution is whose channels all have one kernel."""
    kernel = weight[0, 0]
    if max(w.d) > 1 or not (weight == kernel).all() or kernel.size > MAX_FILTER:
        return None
    return c.add(Filter, x, numbers=_nested(kernel.tolist()), s=w.s, p=w.p)


def _nested(array: Any) -> Any:
    return tuple(_nested(a) for a in array) if isinstance(array, list) else real(array)


@import_of("ConvTranspose")
def _conv_transpose(c: Interpreter, step: Step) -> Layer:
    x = c.layer()
    weight, bias = c.constant(1, "weight"), c.optional(2, "bias")
    rank = x.rank
    if weight.ndim != rank + 2 or rank < 1 or tuple(step.get("kernel_shape", weight.shape[2:])) != weight.shape[2:]:
        raise Refusal("its weight does not have the axes of its kernel")
    groups = step.get("group", 1)
    plain = step._replace(attributes={k: v for k, v in step.attributes.items() if k not in ("pads", "auto_pad")})
    w = window_arguments(c, x, plain, weight.shape[2:])
    extra = tuple(step.get("output_padding", (0,) * rank))
    p, extra = _cut(x, step, w.k, w.s, w.d, extra)
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return c.add(
        ConvTranspose,
        x,
        weights,
        [n for n in step.inputs[1:3] if n],
        out=weight.shape[1] * groups,
        k=w.k,
        s=w.s,
        d=w.d,
        p=p,
        output_pad=extra,
        groups=groups,
        bias=bias is not None,
    )


def _cut(
    x: Layer, step: Step, k: tuple[int, ...], s: tuple[int, ...], d: tuple[int, ...], extra: tuple[int, ...]
) -> tuple[object, tuple[int, ...]]:
    """What a transposed convolution cuts off its output, and what it adds at the end (ONNX ConvTranspose)."""
    auto, rank = step.get("auto_pad", "NOTSET"), x.rank
    wanted = step.get("output_shape")
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(m * n for m, n in zip(x.type.spatial, s, strict=True))
    if wanted is None or len(extra) != rank:
        pads = pairs(step.get("pads", (0,) * 2 * rank), rank) if auto == "NOTSET" else ((0, 0),) * rank
    else:
        wanted = tuple(wanted)[-rank:]
        pads_found, more = [], []
        for m, ka, sa, da, e, out in zip(x.type.spatial, k, s, d, extra, wanted, strict=True):
            total = sa * (m - 1) + e + (ka - 1) * da + 1 - out
            small, large = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
            pads_found.append((small, large) if auto == "SAME_UPPER" else (large, small))
            more.append(e + max(-total, 0))
        pads, extra = tuple(pads_found), tuple(more)
    reach = [da * (ka - 1) + 1 + e - sa for ka, sa, da, e in zip(k, s, d, extra, strict=True)]
    if max(s) > 1 and any(sum(p) for p in pads) and [(r // 2, r - r // 2) for r in reach] == list(pads):
        return Word("same"), extra
    return (*(b for b, _ in pads), *(e for _, e in pads)), extra
