"""Which nodes of an int8 model compute in whole numbers: those that are faster so, and what lies between them.

In: a model of float32. Out: names of nodes. The rule looks at shapes alone, so the same network always gets the same
answer; docs/export.md has the measurements that it was made from:

- A convolution gains where each output reads all channels, and at least 8 of them: onnxruntime's kernels take four at a
  time, and with few of them copy value by value; or where channels become more in cells (see cells.py). It must also be
  worth the steps from float32 to int8 and back. Depthwise and grouped ones are slower in int8, transposed ones are not
  there at all.
- A matrix gains where it is too large for the processor's cache in float32; a table of vectors, as it is only looked up.
- Everything else gains nothing, but would cost the two steps if it stood in float32 between layers of int8. So it is in
  int8 where all that it reads is, and, if it has weights, where a layer that gains reads it in the end.
- Before a layer that gains, int8 begins with the convolution that makes many channels of few: it takes about as long in
  both, and reads fewer values, which are to be rounded, than it makes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from cnnc.onnx.quantize.column_blocking import ALIGNED, Shapes, cells_of, dense

WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm")
_CARRIES = ("Flatten",)  # takes int8 as it is, without a range of its own
QUANTIZED = (
    *WITH_WEIGHTS,
    *("Add", "Mul", "Concat", "Relu", "Clip", "LeakyRelu", "Sigmoid", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Resize", "Reshape", "Transpose", "Pad", "Slice", "Gather", "DepthToSpace"),
)
CHANNELS = 8  # that an output of a convolution reads, if they are a multiple of four
MANY = 16  # or else
READ, MADE = 3, 64  # channels of a convolution that int8 may begin with
MACS = 100_000  # of a convolution, for one example
NUMBERS = 1 << 17  # in a matrix


def in_integers(model: onnx.ModelProto, apart: Collection[str] = (), everywhere: bool = False) -> list[str]:
    """The nodes that compute in int8, in order, without those `apart`; `everywhere` takes all that can."""
    shapes = shapes_of(model.graph)
    constants = {tensor.name for tensor in model.graph.initializer}
    taken = {*QUANTIZED, *_CARRIES} - (set() if everywhere else {"ConvTranspose"})
    apart = {*apart, *_endless(model.graph)}
    nodes = [node for node in model.graph.node if node.op_type in taken and node.name not in apart]
    gaining = {node.name for node in nodes if everywhere or _gains(node, shapes, constants)}

    def reached(nodes: list[onnx.NodeProto], begin: Collection[str]) -> Iterator[onnx.NodeProto]:
        """Those that begin, and those that read nothing but values of such."""
        made: set[str] = set()
        for node in nodes:
            reads = [name for name in node.input if name and name not in constants]
            if node.name in begin or (reads and made.issuperset(reads)):
                made.update(node.output)
                yield node

    beginning = {node.name for node in nodes if _begins(node, shapes)}
    possible = list(reached(nodes, gaining | beginning))
    leading, wanted = set(gaining), set[str]()
    for node in reversed(possible):
        if node.name in gaining or wanted.intersection(node.output):
            leading.add(node.name)
            wanted.update(node.input)
    kept = [node for node in possible if node.name in leading or node.op_type not in WITH_WEIGHTS]
    return [node.name for node in reached(kept, leading)]


def _endless(graph: onnx.GraphProto) -> list[str]:
    """The nodes that pad by -inf, before a pool of maxima: no range of bytes holds that."""
    endless = {t.name for t in graph.initializer if not t.dims and not np.isfinite(numpy_helper.to_array(t)).all()}
    return [node.name for node in graph.node if node.op_type == "Pad" and endless.intersection(node.input)]


def _gains(node: onnx.NodeProto, shapes: Shapes, constants: Collection[str]) -> bool:
    if node.op_type == "Gather":
        return node.input[0] in constants
    if node.op_type == "Gemm":
        return node.input[1] in constants and prod(shapes[node.input[1]]) >= NUMBERS
    if not dense(node):
        return False
    weight, output = shapes[node.input[1]], shapes[node.output[0]]
    macs = prod(weight) * prod(output[2:])
    if macs < MACS and 0 not in output[2:]:
        return False
    if weight[1] % ALIGNED == 0:
        return weight[1] >= CHANNELS or cells_of(node, shapes) is not None
    return prod(weight[2:]) > 1 and (weight[1] >= MANY or cells_of(node, shapes) is not None)


def _begins(node: onnx.NodeProto, shapes: Shapes) -> bool:
    """Whether it makes so many channels of so few that int8 may begin with it."""
    return dense(node) and shapes[node.input[1]][0] >= MADE and shapes[node.input[1]][1] >= READ


def shapes_of(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor that has one; a size that is open is 0."""
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for info in (*graph.input, *graph.value_info, *graph.output):
        found[info.name] = tuple(size.dim_value for size in info.type.tensor_type.shape.dim)
    return found
