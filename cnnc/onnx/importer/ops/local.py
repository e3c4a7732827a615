"""Unshared convolutions: a Gather of patches and a Conv with one group per output position.

Example: see cnnc/onnx/emit/ops/local.py, which writes them.
"""

from __future__ import annotations

from math import prod

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.padding import padded_input, padding_argument
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import Interpreter
from cnnc.onnx.importer.recognize.values import LayerOutput, Rearrangement
from cnnc.ops.local import Local
from cnnc.ops.window import AxisRule, Geometry
from cnnc.reference.local import patch_indices


def decomposed_local(ctx: Interpreter, node: OnnxNode) -> LayerOutput | None:
    """The output of the unshared convolution of which a Conv is the products; None for other convolutions.

    What the Conv computes is that output with the positions first and the batch last, (1, positions·O, N).
    """
    gather = ctx.node_of(node.input_name(0))
    transpose = ctx.node_of(gather.input_name(0)) if gather is not None and gather.op == "Gather" else None
    flatten = ctx.node_of(transpose.input_name(0)) if transpose is not None and transpose.op == "Transpose" else None
    if gather is None or transpose is None or flatten is None or flatten.op not in ("Flatten", "Reshape"):
        return None
    indices, weight = ctx.values[gather.input_name(1)], ctx.values[node.input_name(1)]
    bias = ctx.optional_constant(2, "bias")
    if not isinstance(indices, np.ndarray) or not isinstance(weight, np.ndarray):
        return None
    flat = ctx.values[flatten.outputs[0]]
    groups, patch = node.get("group", 1), weight.shape[1]
    is_matrix = isinstance(flat, LayerOutput) and len(flat.shape) == 2 and flat.shape[0] == ctx.batch
    pointwise = weight.ndim == 3 and weight.shape[2] == 1 and not any(node.get("pads", ()))
    strided = node.get("strides", (1,)) != (1,)
    if not is_matrix or not pointwise or strided or gather.get("axis", 0) or indices.shape != (1, groups * patch):
        return None
    if not all(ctx.used_once(n.outputs[0]) for n in (gather, transpose, flatten)) or len(weight) % groups:
        return None
    padded = padded_input(ctx, 0.0, flatten.input_name(0))
    x = padded.layer if padded is not None else ctx.layer_of(flatten.input_name(0))
    pads = padded.pads if padded is not None else ((0, 0),) * x.rank
    if not x.rank:
        return None
    g = _geometry(indices.reshape(groups, patch), x.type.channels, x.type.spatial, pads)
    if g is None:
        return None
    outputs, rank = len(weight) // groups, x.rank
    weights = {"weight": weight.reshape(*g.out, outputs, x.type.channels, *g.k)}
    if bias is not None:
        weights["bias"] = np.moveaxis(bias.reshape(*g.out, outputs), -1, 0)
    layer = ctx.add(
        Local,
        x,
        weights,
        [n for n in node.inputs[1:3] if n],
        out=outputs,
        k=g.k,
        s=g.s,
        p=padding_argument(g.pads, x.type.spatial, g.k, g.s, g.d),
        d=g.d,
        bias=bias is not None,
    )
    positions_first = Rearrangement("transpose", (*range(2, rank + 2), 1, 0))
    sums = (1, len(weight), ctx.batch)
    return LayerOutput(sums, layer, (positions_first, Rearrangement("reshape", sums)))


def _geometry(indices: Array, channels: int, spatial: Axes, pads: tuple[tuple[int, int], ...]) -> Geometry | None:
    """The windows that read the elements (P, C·kh·kw) of an input (C, *spatial) with this padding; None for others.

    Where an axis has one position the smallest stride that gives one is taken, for one tap a dilation of 1.
    """
    sizes = tuple(m + begin + end for m, (begin, end) in zip(spatial, pads, strict=True))
    if not indices.size or indices.min() < 0 or indices.max() >= channels * prod(sizes):
        return None
    rules = []
    taps, positions = (np.unravel_index(line, (channels, *sizes))[1:] for line in (indices[0], indices[:, 0]))
    for read, starts, m, (begin, end) in zip(taps, positions, spatial, pads, strict=True):
        elements, firsts = np.unique(read), np.unique(starts)
        d = int(elements[1] - elements[0]) if len(elements) > 1 else 1
        room = m + begin + end - d * (len(elements) - 1) - 1
        s = int(firsts[1] - firsts[0]) if len(firsts) > 1 else room + 1
        rules.append(AxisRule(m, len(elements), max(1, s), begin, end, d))
    g = Geometry.of(rules)
    if prod(g.out) != len(indices) or channels * prod(g.k) != indices.shape[1]:
        return None
    return g if np.array_equal(patch_indices(g, channels, sizes), indices) else None
