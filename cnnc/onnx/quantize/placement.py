"""Placement: which nodes of an int8 model compute in int8. Those that are faster so, and the nodes between them.

Input: a float32 model. Output: node names. The rule depends on shapes alone, so a network always gets the same
placement. It follows from the measurements in docs/export.md:

- A convolution is faster in int8 where each output reads all channels, at least 8 of them: onnxruntime's kernels process
  four channels at once, and copy element by element where there are few. Column blocking makes channels of columns
  (column_blocking.py). The convolution must also outweigh the conversion from float32 to int8 and back. Depthwise and
  grouped convolutions are slower in int8; transposed ones have no int8 kernel.
- A fully connected layer is faster where its float32 matrix exceeds the processor's cache; an embedding table always is,
  as it is only looked up.
- Every other node gains nothing, but in float32 between int8 nodes it would cost two conversions. It computes in int8
  where all its inputs are int8 and, if it has weights, where a node that gains reads its output directly or indirectly.
- Before a node that gains, int8 begins with a convolution that computes many channels from few: it takes about as long in
  both types, and converting its input is cheaper than converting its output.

Worked case, `input 3x32x32; conv 64 k=3 p=1; relu; conv 64 k=3 p=1 groups=64; relu; conv 64 k=1; relu; fc 10`: conv3 gains
(64 channels, 4.2 M multiply-adds). conv1 begins int8 (3 -> 64 channels). The depthwise conv2 is slower in int8, but reads
int8 and leads to conv3, so it stays in int8, as do the relus. fc1 (655,360 weights, more than 2^17) gains as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from cnnc.onnx.quantize.column_blocking import INT8_LANES, Shapes, find_blocking, is_dense_conv

WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm")
_TRANSPARENT = ("Flatten",)  # takes int8 as it is, without a range of its own
INT8_OPERATORS = (
    *WITH_WEIGHTS,
    *("Add", "Mul", "Concat", "Relu", "Clip", "LeakyRelu", "Sigmoid", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Resize", "Reshape", "Transpose", "Pad", "Slice", "Gather", "DepthToSpace"),
)
MIN_CHANNELS = 8  # input channels from which a convolution gains, if they are a multiple of INT8_LANES
MIN_UNEVEN_CHANNELS = 16  # the same if they are not
FIRST_CONV_INPUTS, FIRST_CONV_OUTPUTS = 3, 64  # channels from which int8 may begin with a convolution
MIN_CONV_MACS = 100_000  # multiply-adds of a convolution for one example
MIN_MATRIX_ELEMENTS = 1 << 17


def int8_nodes(model: onnx.ModelProto, excluded: Collection[str] = (), everywhere: bool = False) -> list[str]:
    """The names of the nodes that compute in int8, in graph order, without `excluded`.

    With `everywhere`, all nodes that can, whether int8 is faster or not (for microcontrollers).
    """
    shapes = tensor_shapes(model.graph)
    constants = {tensor.name for tensor in model.graph.initializer}
    candidates = {*INT8_OPERATORS, *_TRANSPARENT} - (set() if everywhere else {"ConvTranspose"})
    excluded = {*excluded, *_infinite_pads(model.graph)}
    nodes = [node for node in model.graph.node if node.op_type in candidates and node.name not in excluded]
    gaining = {node.name for node in nodes if everywhere or _is_faster(node, shapes, constants)}

    def reachable(nodes: list[onnx.NodeProto], begin: Collection[str]) -> Iterator[onnx.NodeProto]:
        """The nodes named in `begin`, and those that read only the outputs of nodes yielded before."""
        outputs: set[str] = set()
        for node in nodes:
            reads = [name for name in node.input if name and name not in constants]
            if node.name in begin or (reads and outputs.issuperset(reads)):
                outputs.update(node.output)
                yield node

    beginning = {node.name for node in nodes if _may_begin(node, shapes)}
    possible = list(reachable(nodes, gaining | beginning))
    leading, needed = set(gaining), set[str]()  # nodes that a gaining node reads, and their inputs
    for node in reversed(possible):
        if node.name in gaining or needed.intersection(node.output):
            leading.add(node.name)
            needed.update(node.input)
    kept = [node for node in possible if node.name in leading or node.op_type not in WITH_WEIGHTS]
    return [node.name for node in reachable(kept, leading)]


def _infinite_pads(graph: onnx.GraphProto) -> list[str]:
    """The nodes that pad with -inf before a max pool: no int8 range can hold that."""
    infinite = {t.name for t in graph.initializer if not t.dims and not np.isfinite(numpy_helper.to_array(t)).all()}
    return [node.name for node in graph.node if node.op_type == "Pad" and infinite.intersection(node.input)]


def _is_faster(node: onnx.NodeProto, shapes: Shapes, constants: Collection[str]) -> bool:
    """Whether the node is faster in int8 than in float32; see the top of this module."""
    if node.op_type == "Gather":
        return node.input[0] in constants
    if node.op_type == "Gemm":
        return node.input[1] in constants and prod(shapes[node.input[1]]) >= MIN_MATRIX_ELEMENTS
    if not is_dense_conv(node):
        return False
    weight, output = shapes[node.input[1]], shapes[node.output[0]]
    macs = prod(weight) * prod(output[2:])
    if macs < MIN_CONV_MACS and 0 not in output[2:]:
        return False
    if weight[1] % INT8_LANES == 0:
        return weight[1] >= MIN_CHANNELS or find_blocking(node, shapes) is not None
    return prod(weight[2:]) > 1 and (weight[1] >= MIN_UNEVEN_CHANNELS or find_blocking(node, shapes) is not None)


def _may_begin(node: onnx.NodeProto, shapes: Shapes) -> bool:
    """Whether int8 may begin with this node: a convolution that computes many channels from few."""
    if not is_dense_conv(node):
        return False
    outputs, inputs = shapes[node.input[1]][:2]
    return outputs >= FIRST_CONV_OUTPUTS and inputs >= FIRST_CONV_INPUTS


def tensor_shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor whose type the graph declares; a symbolic size is 0."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for info in (*graph.input, *graph.value_info, *graph.output):
        shapes[info.name] = tuple(size.dim_value for size in info.type.tensor_type.shape.dim)
    return shapes
