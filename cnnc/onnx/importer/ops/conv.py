"""Convolutions. A depthwise convolution with a fixed kernel may be a `filter`, or a pool (see pool_from_conv.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.constants import shortest_float
from cnnc.onnx.importer.ops.local import decomposed_local
from cnnc.onnx.importer.ops.padding import ImportedWindow, pad_pairs, padded_input, window_arguments
from cnnc.onnx.importer.ops.pool_from_conv import pool_of_kernel
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import Interpreter, handles
from cnnc.onnx.importer.recognize.values import Layer, LayerOutput, Unsupported
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.filter import Filter
from cnnc.ops.kernels import NAMED, Parameters, kernel_of, rotated, size_of

MAX_FILTER = 1024  # numbers in the kernel of a filter, which are written into the source


@handles("Conv")
def _conv(ctx: Interpreter, node: OnnxNode) -> Layer | LayerOutput:
    unshared = decomposed_local(ctx, node)
    if unshared is not None:
        return unshared
    weight = ctx.constant(1, "weight")
    bias = ctx.optional_constant(2, "bias")
    padded = padded_input(ctx, 0.0)
    x = padded.layer if padded is not None else ctx.layer()
    if weight.ndim != x.rank + 2 or tuple(node.get("kernel_shape", weight.shape[2:])) != weight.shape[2:]:
        raise Unsupported("the shape of its weight does not fit its kernel_shape, or its input")
    if padded is not None:
        inner = pad_pairs(node.get("pads", (0,) * 2 * x.rank), x.rank)
        total_pads = [(b + ob, e + oe) for (b, e), (ob, oe) in zip(inner, padded.pads, strict=True)]
        if node.get("auto_pad", "NOTSET") in ("NOTSET", "VALID"):
            pads = (*(b for b, _ in total_pads), *(e for _, e in total_pads))
            node = node._replace(attributes={**node.attributes, "pads": pads, "auto_pad": "NOTSET"})
        else:
            x = ctx.layer()
    window = window_arguments(x, node, weight.shape[2:])
    groups = node.get("group", 1)
    if bias is None and groups == x.type.channels == weight.shape[0]:
        fixed = _named_filter(ctx, x, window, weight)
        # a kernel of one channel is probably learned, unless cnnc exported it as fixed
        if fixed is None and (len(weight) > 1 or ".kernel" in node.input_name(1)):
            fixed = pool_of_kernel(ctx, x, window, weight) or _filter(ctx, x, window, weight)
        if fixed is not None:
            return fixed
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return ctx.add(
        Conv,
        x,
        weights,
        [n for n in node.inputs[1:3] if n],
        out=weight.shape[0],
        k=window.k,
        s=window.s,
        p=window.p,
        d=window.d,
        groups=groups,
        bias=bias is not None,
    )


def _named_filter(ctx: Interpreter, x: Layer, window: ImportedWindow, weight: Array) -> Layer | None:
    """The named filter, such as sobel_x, that a depthwise convolution equals; None if there is none.

    A kernel of a size other than its default is tried with `k`, one with other parameters is not.
    """
    if max(window.d) > 1 or x.rank != 2:
        return None
    k = weight.shape[2:]
    for name, named in NAMED.items():
        plain = size_of(Parameters(name)) == k
        if not plain and "k" not in named.parameters:
            continue
        try:
            numbers = kernel_of(Parameters(name, None if plain else k)).numbers
        except ZeroDivisionError:
            continue
        for flip in (False, True):
            applied = np.asarray(rotated(numbers) if flip else numbers, np.float32)
            if (weight == applied).all():
                word, size = WordValue(name), None if plain else k
                return ctx.add(Filter, x, numbers=word, k=size, s=window.s, p=window.p, flip=flip)
    return None


def _filter(ctx: Interpreter, x: Layer, window: ImportedWindow, weight: Array) -> Layer | None:
    """The filter that a depthwise convolution equals if all channels have the same kernel; else None."""
    kernel = weight[0, 0]
    if max(window.d) > 1 or not (weight == kernel).all() or kernel.size > MAX_FILTER:
        return None
    return ctx.add(Filter, x, numbers=_nested(kernel.tolist()), s=window.s, p=window.p)


def _nested(array: Any) -> Any:
    return tuple(_nested(a) for a in array) if isinstance(array, list) else shortest_float(array)


@handles("ConvTranspose")
def _conv_transpose(ctx: Interpreter, node: OnnxNode) -> Layer:
    x = ctx.layer()
    weight, bias = ctx.constant(1, "weight"), ctx.optional_constant(2, "bias")
    rank = x.rank
    if weight.ndim != rank + 2 or rank < 1 or tuple(node.get("kernel_shape", weight.shape[2:])) != weight.shape[2:]:
        raise Unsupported("the shape of its weight does not fit its kernel_shape, or its input")
    groups = node.get("group", 1)
    without_pads = node._replace(attributes={k: v for k, v in node.attributes.items() if k not in ("pads", "auto_pad")})
    window = window_arguments(x, without_pads, weight.shape[2:])
    output_padding = tuple(node.get("output_padding", (0,) * rank))
    p, output_padding = _cropping(x, node, window.k, window.s, window.d, output_padding)
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return ctx.add(
        ConvTranspose,
        x,
        weights,
        [n for n in node.inputs[1:3] if n],
        out=weight.shape[1] * groups,
        k=window.k,
        s=window.s,
        d=window.d,
        p=p,
        output_pad=output_padding,
        groups=groups,
        bias=bias is not None,
    )


def _cropping(
    x: Layer, node: OnnxNode, k: tuple[int, ...], s: tuple[int, ...], d: tuple[int, ...], extra: tuple[int, ...]
) -> tuple[object, tuple[int, ...]]:
    """The arguments p (cropped from the output) and output_pad of a transposed convolution.

    Formulas: operator ConvTranspose of the ONNX specification.
    """
    auto_pad, rank = node.get("auto_pad", "NOTSET"), x.rank
    output_shape = node.get("output_shape")
    enlarge = output_shape is not None  # `auto_pad` alone crops, and leaves an output that is too small as it is
    if output_shape is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output_shape = tuple(m * n for m, n in zip(x.type.spatial, s, strict=True))
    if output_shape is None or len(extra) != rank:
        pads = pad_pairs(node.get("pads", (0,) * 2 * rank), rank) if auto_pad == "NOTSET" else ((0, 0),) * rank
    else:
        output_shape = tuple(output_shape)[-rank:]
        pad_list, extra_list = [], []
        for m, ka, sa, da, e, out in zip(x.type.spatial, k, s, d, extra, output_shape, strict=True):
            total = sa * (m - 1) + e + (ka - 1) * da + 1 - out
            small, large = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
            pad_list.append((small, large) if auto_pad == "SAME_UPPER" else (large, small))
            extra_list.append(e + max(-total, 0) * enlarge)
        pads, extra = tuple(pad_list), tuple(extra_list)
    reach = [da * (ka - 1) + 1 + e - sa for ka, sa, da, e in zip(k, s, d, extra, strict=True)]
    if max(s) > 1 and any(sum(p) for p in pads) and [(r // 2, r - r // 2) for r in reach] == list(pads):
        return WordValue("same"), extra
    return (*(b for b, _ in pads), *(e for _, e in pads)), extra
