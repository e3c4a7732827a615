"""Models for microcontrollers: what a generator of C takes that knows every size beforehand, and what it will need.

In: a network, and its model with a batch of 1. Out: `Footprint`, or a CnncError that names the line in the way. Such
generators (the operators are those that onnx2c had in 2025) allot every tensor once, so each shape must be a number, and
each operator one that they know.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple

import onnx
from onnx.helper import tensor_dtype_to_np_dtype

from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.network import Network

_SUPPORTED = frozenset(
    [
        "Abs",
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Conv",
        "ConvTranspose",
        "DequantizeLinear",
        "Div",
        "Elu",
        "Erf",
        "Flatten",
        "Gather",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "InstanceNormalization",
        "LRN",
        "LayerNormalization",
        "LeakyRelu",
        "LogSoftmax",
        "Max",
        "MaxPool",
        "Mul",
        "PRelu",
        "Pad",
        "Pow",
        "QuantizeLinear",
        "ReduceL2",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Selu",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Softplus",
        "Sub",
        "Sum",
        "Tanh",
        "Transpose",
        "Unsqueeze",
    ]
)
_REASONS = {
    "Shape": "its sizes would be worked out at run time",
    "ConstantOfShape": "its sizes would be worked out at run time",
    "ScatterElements": "it writes to places that are known only at run time",
}


class Footprint(NamedTuple):
    """Bytes: the most values alive at once and the layer where, and the constants that lie in flash. Code comes on top."""

    ram: int
    at: str
    flash: int


def require_fixed_sizes(network: Network, symbolic: bool) -> None:
    """Raises CnncError E807 for a network whose sizes are symbols."""
    if symbolic and network.survey is not None:
        entry = network.require_graph().inputs[0]
        asked = ",".join(f"{symbol}={size}" for symbol, size in network.survey.reference.items())
        raise _refused("sizes that are symbols: memory is allotted beforehand", entry.name, network, f"`--at {asked}`")


def fit(network: Network, model: onnx.ModelProto) -> Footprint:
    """What the model needs. Raises CnncError E807 at the first layer that a generator does not take."""
    for node in model.graph.node:
        reason = _REASONS.get(node.op_type, "generators of C do not have it")
        if node.op_type == "MaxPool" and len(node.output) > 1:
            reason = "it would have to give its indices as well"
        elif node.op_type in _SUPPORTED:
            continue
        layer = _layer(node, network)
        raise _refused(f"{layer} as ONNX's {node.op_type}: {reason}", layer, network)
    return measure_footprint(network, model)


def measure_footprint(network: Network, model: onnx.ModelProto) -> Footprint:
    """RAM by the lifetimes of the model's tensors in the order of its nodes, and the bytes of all constants.

    A value lives from the node that makes it (an input from the first) to the last that reads it, an output to the end;
    each element takes the bytes of its type. What is made of weights when the model runs is a value too.
    """
    typed = onnx.shape_inference.infer_shapes(model).graph
    known = {info.name: info.type.tensor_type for info in (*typed.input, *typed.value_info, *typed.output)}
    sizes = {name: _bytes((d.dim_value for d in t.shape.dim), t.elem_type) for name, t in known.items()}
    last = {name: i for i, node in enumerate(typed.node) for name in (*node.output, *node.input)}
    last |= {info.name: len(typed.node) for info in typed.output}
    alive = {info.name: sizes[info.name] for info in typed.input}
    flash = sum(_bytes(tensor.dims, tensor.data_type) for tensor in typed.initializer)
    peak = Footprint(sum(alive.values()), next(iter(alive)), flash)
    for i, node in enumerate(typed.node):
        alive |= {name: sizes[name] for name in node.output if name}
        if sum(alive.values()) > peak.ram:
            peak = peak._replace(ram=sum(alive.values()), at=_layer(node, network))
        alive = {name: size for name, size in alive.items() if last.get(name, i) > i}
    return peak


def _bytes(sizes: Iterable[int], dtype: int) -> int:
    """Those of a tensor with these sizes and elements of this type of ONNX."""
    return prod(sizes) * int(tensor_dtype_to_np_dtype(dtype).itemsize)


def _layer(node: onnx.NodeProto, network: Network) -> str:
    """The layer that a node is of."""
    name = node.name or node.output[0]
    return next(n for n in (name, *_enclosing_names(name)) if n in network.require_graph().by_name)


def _enclosing_names(name: str) -> list[str]:
    """The names around a tensor inside a layer: `stage1.pool1.sum` lies in `stage1.pool1`, or else in `stage1`."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)]


def _refused(what: str, layer: str, network: Network, help: str = "") -> CnncError:
    node = network.require_graph().by_name[layer]
    message = f"a microcontroller cannot take {what}"
    return CnncError(Diagnostic("E807", message, node.span, calls=node.calls, help=help))
