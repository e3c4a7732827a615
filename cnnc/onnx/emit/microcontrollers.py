"""Models for microcontrollers: checks that a C code generator supports a model, and measures the memory it needs.

Input: a network, and its model with a batch size of 1. Output: `Footprint`, or a CnncError at the layer that is not
supported. C code generators allocate every tensor statically, so every shape must be fixed, and every operator one that
they implement (the list is that of onnx2c in 2025).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple

import onnx
from onnx.helper import tensor_dtype_to_np_dtype

from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.network import Network
from cnnc.onnx.emit.size_family import at_option

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
        "Log",
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
    "Shape": "it computes sizes at run time",
    "ConstantOfShape": "it computes sizes at run time",
    "ScatterElements": "it writes to positions that are known only at run time",
}


class Footprint(NamedTuple):
    """Bytes of RAM for activations (the peak, at layer `at`) and of flash for constants; code comes on top."""

    ram: int
    at: str
    flash: int


def require_fixed_sizes(network: Network, symbolic: bool) -> None:
    """Raises CnncError E807 for a network with symbolic sizes."""
    if symbolic and network.survey is not None:
        entry = network.require_graph().inputs[0]
        raise _unsupported(
            "symbolic sizes: its memory is allocated statically", entry.name, network, at_option(network.survey)
        )


def require_supported(network: Network, model: onnx.ModelProto) -> None:
    """Raises CnncError E807 at the first layer that C code generators do not support."""
    for node in model.graph.node:
        reason = _REASONS.get(node.op_type, "C code generators do not implement it")
        if node.op_type == "MaxPool" and len(node.output) > 1:
            reason = "its second output, the indices, is not supported"
        elif node.op_type in _SUPPORTED:
            continue
        layer = _layer(node, network)
        raise _unsupported(f"{layer} as ONNX's {node.op_type}: {reason}", layer, network)


def measure_footprint(network: Network, model: onnx.ModelProto) -> Footprint:
    """The peak RAM from the lifetimes of the model's tensors in node order, and the bytes of all constants.

    A tensor is alive from the node that computes it (an input from the first node) to the last node that reads it, an
    output to the end. Tensors that the model computes from weights count as well.
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
    """The bytes of a tensor with these sizes and this ONNX element type."""
    return prod(sizes) * int(tensor_dtype_to_np_dtype(dtype).itemsize)


def _layer(node: onnx.NodeProto, network: Network) -> str:
    """The layer that a node belongs to."""
    name = node.name or node.output[0]
    return next(n for n in (name, *_enclosing_names(name)) if n in network.require_graph().by_name)


def _enclosing_names(name: str) -> list[str]:
    """The enclosing names of a tensor: for `stage1.pool1.sum` these are `stage1.pool1` and `stage1`."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)]


def _unsupported(what: str, layer: str, network: Network, help: str = "") -> CnncError:
    node = network.require_graph().by_name[layer]
    message = f"target mcu does not support {what}"
    return CnncError(Diagnostic("E807", message, node.span, calls=node.calls, help=help))
