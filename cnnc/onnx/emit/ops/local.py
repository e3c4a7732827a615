"""Emission of unshared convolutions, for which ONNX has no operator.

The patch of each output position is gathered by constant indices, which only copies, and becomes the channels of one group
of a pointwise Conv with one group per position. The batch is the spatial axis of that Conv, so that each group is one
matrix product for all images, and int8 and C code generators treat the weights as those of any convolution:

    local 8 k=3 on 2x6x5:  x (N, 2, 6, 5) -Flatten, Transpose-> (60, N) -Gather-> (1, 12·18, N)
        -Conv, 12 groups, weight (12·8, 18, 1)-> (1, 12·8, N) -Reshape-> (4, 3, 8, N) -Transpose-> (N, 8, 4, 3)
"""

from __future__ import annotations

from math import prod

from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import Emitter, emission_of
from cnnc.onnx.emit.padding import PadAmounts, pad_tensor
from cnnc.ops.local import Local
from cnnc.ops.window import Geometry
from cnnc.reference.local import patch_indices


@emission_of(Local)
def _local(e: Emitter, op: Local, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    g, rank = Geometry.of(op.rules(x)), x.rank
    image = pad_tensor(e, inputs[0], PadAmounts(g.pads), 0) if g.padded else inputs[0]
    elements = e.op("Flatten", [image], e.inner_name("elements"), axis=1)
    batch_last = e.op("Transpose", [elements], e.inner_name("batch_last"), perm=(1, 0))
    indices = patch_indices(g, x.channels, g.padded_sizes(x.spatial)).reshape(1, -1)
    read = e.constant(e.inner_name("indices"), indices, indices.dtype)
    patches = e.op("Gather", [batch_last, read], e.inner_name("patches"), axis=0)
    names = [
        patches,
        _positions_first(e, node, op, "weight"),
        *([_positions_first(e, node, op, "bias")] if op.bias else []),
    ]
    sums = e.op("Conv", names, e.inner_name("sums"), kernel_shape=(1,), group=prod(g.out))
    by_position = e.op("Reshape", [sums, e.integers("positions", [*g.out, op.out, -1])], e.inner_name("by_position"))
    e.op("Transpose", [by_position], perm=(rank + 1, rank, *range(rank)))


def _positions_first(e: Emitter, node: Node, op: Local, name: str) -> str:
    """A parameter as the grouped Conv takes it: the weight (positions·O, C·kh·kw, 1), the bias (positions·O,)."""
    (x,) = e.graph.input_types(node)
    rank, rows = node.type.rank, node.type.size
    if name == "bias":
        return e.arranged(name, (rows,), (*range(1, rank + 1), 0))
    return e.arranged(name, (rows, x.channels * prod(op.k), 1))
