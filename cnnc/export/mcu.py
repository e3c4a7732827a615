"""Models for microcontrollers: what a generator of C takes that knows every size beforehand, and what it will need.

In: a network, its graph after passes, and its model with a batch of 1. Out: `Footprint`, or a CnncError that names
the line in the way. Such generators (the operators are those that onnx2c had in 2025) allot every tensor once,
so each shape must be a number, and each operator one that they know.
"""

from __future__ import annotations

from typing import NamedTuple

import onnx

from cnnc.analysis import peak_memory
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph import Graph
from cnnc.network import Network

_TAKEN = frozenset(
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


def require_fixed(network: Network, symbolic: bool) -> None:
    """Raises CnncError E807 for a network whose sizes are symbols."""
    if symbolic and network.survey is not None:
        entry = network.require_graph().inputs[0]
        asked = ",".join(f"{symbol}={size}" for symbol, size in network.survey.reference.items())
        raise _refused("sizes that are symbols: memory is allotted beforehand", entry.name, network, f"`--at {asked}`")


def fit(network: Network, graph: Graph, model: onnx.ModelProto) -> Footprint:
    """What the model needs. Raises CnncError E807 at the first layer that a generator does not take."""
    for node in model.graph.node:
        reason = _REASONS.get(node.op_type, "generators of C do not have it")
        if node.op_type == "MaxPool" and len(node.output) > 1:
            reason = "it would have to give its indices as well"
        elif node.op_type in _TAKEN:
            continue
        layer = next(n for n in (node.name, *_outer(node.name)) if n in graph.by_name)
        raise _refused(f"{layer} as ONNX's {node.op_type}: {reason}", layer, network)
    return measured(graph, model)


def measured(graph: Graph, model: onnx.ModelProto) -> Footprint:
    """RAM by the lifetimes of values, four bytes each (`cnnc.analysis.peak_memory`), and the bytes of all constants."""
    peak = peak_memory(graph)
    return Footprint(
        peak.bytes, peak.at, sum(len(onnx.numpy_helper.to_array(t).tobytes()) for t in model.graph.initializer)
    )


def _outer(name: str) -> list[str]:
    """The names around a tensor inside a layer: `stage1.pool1.sum` lies in `stage1.pool1`, or else in `stage1`."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)]


def _refused(what: str, layer: str, network: Network, help: str = "") -> CnncError:
    node = network.require_graph().by_name[layer]
    message = f"a microcontroller cannot take {what}"
    return CnncError(Diagnostic("E807", message, node.span, calls=node.calls, help=help))
