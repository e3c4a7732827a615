"""The layers of an ONNX model as plain data, and the bytes that make all their tensors outputs.

In: a model, written by cnnc or not. Out: a `ModelLayer` for each node that computes something from the inputs, and `observed_tail`.

A serialized message followed by another is their merge. So the model followed by a graph that has only outputs is the model
with these outputs as well, and a program that runs both needs the model once.

    layers = model_layers(model)                  # conv1: Conv of input1 with conv1.weight and conv1.bias, ...
    model_bytes + observed_tail(model, layers)    # a model that also outputs conv1, relu1, ...
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from cnnc.onnx.run.inspect import properties
from cnnc.onnx.source_map import SourceMap, read_map

_NO_PARAMETERS = ("Constant", "QuantizeLinear", "DequantizeLinear", "Clip", "Pad", "Resize", "Upsample")
"""Operators whose constants are settings, not parameters."""
_AS_SEEN = (
    "QuantizeLinear",
    "DequantizeLinear",
    "Cast",
    "Identity",
    "Flatten",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Dropout",
)
"""Operators that show nothing new where the source does not name their output."""
_NUMBERS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
_ATTRIBUTES = (
    AttributeProto.INT,
    AttributeProto.INTS,
    AttributeProto.FLOAT,
    AttributeProto.FLOATS,
    AttributeProto.STRING,
)


class ModelLayer(NamedTuple):
    """A node: the tensor that it computes (`name`), its operator, and `line`, how the source writes the layer ("" if unknown).

    `inputs` are all tensors that it reads, "" for one that is left out; `constants` those of them that do not depend on the
    input of the model. `parameters` counts the numbers of its constants that no earlier node has. An output takes `products`
    multiply-adds, or, where `per_input` is true, each element of the first input. `owner` is the layer of the source that a node
    belongs to, or its own name.
    """

    name: str
    operator: str
    line: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    attributes: Mapping[str, Any]
    shape: tuple[int | str, ...] | None
    parameters: int
    products: int
    per_input: bool
    shown: bool
    owner: str


def model_layers(model: ModelProto) -> list[ModelLayer]:
    """The layers of a model in the order of its graph. `shown` is false for those that only rearrange or convert."""
    graph = model.graph
    shapes, types = _types(model)
    constants = _constants(graph)
    positions = read_map(properties(model))
    counted: set[str] = set()
    layers = []
    for node in graph.node:
        if not node.output or not node.output[0] or node.output[0] in constants:
            continue
        name = node.output[0]
        used = tuple(name for name in node.input if name in constants)
        products, per_input = _products(node, shapes)
        layers.append(
            ModelLayer(
                name,
                node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}",
                source_line(positions, name),
                tuple(node.input),
                used,
                _attributes(node),
                shapes.get(name),
                _parameters(node, used, constants, counted),
                products,
                per_input,
                _is_shown(node, name, types, positions),
                _owner(positions, name),
            )
        )
    return layers


def observed_tail(model: ModelProto, layers: Iterable[ModelLayer]) -> bytes:
    """What makes the tensors of these layers, and those that they read, outputs of the model when it follows its bytes."""
    graph = model.graph
    known = {info.name for info in graph.output}
    inputs = {info.name for info in graph.input}
    names = dict.fromkeys(name for layer in layers for name in (*layer.inputs, layer.name) if name)
    added = [ValueInfoProto(name=name) for name in names if name not in known and name not in inputs]
    tail: bytes = ModelProto(graph=GraphProto(output=added)).SerializeToString()
    return tail


def source_line(positions: SourceMap, name: str) -> str:
    """How the source writes the layer of a tensor, "" if it is not known."""
    position = positions.find(name)
    if position is None:
        return ""
    span = position.span
    return " ".join(span.source.text[span.start : span.end].split())


def _owner(positions: SourceMap, name: str) -> str:
    position = positions.find(name)
    return position.layer if position is not None else name


def _types(model: ModelProto) -> tuple[dict[str, tuple[int | str, ...]], dict[str, int]]:
    """The shapes and element types of tensors, as far as the model says or they can be inferred."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # a model that onnx cannot infer, such as one with operators of another domain
        graph = model.graph
    shapes: dict[str, tuple[int | str, ...]] = {t.name: tuple(t.dims) for t in graph.initializer}
    types = {t.name: t.data_type for t in graph.initializer}
    for info in (*graph.input, *graph.value_info, *graph.output):
        tensor = info.type.tensor_type
        types[info.name] = tensor.elem_type
        if tensor.HasField("shape"):
            shapes[info.name] = tuple(d.dim_value or d.dim_param or "?" for d in tensor.shape.dim)
    return shapes, types


def _constants(graph: GraphProto) -> dict[str, int]:
    """The tensors that do not depend on an input, and how many numbers each holds that training could change."""
    constants = {tensor.name: math.prod(tensor.dims) if _is_weight(tensor) else 0 for tensor in graph.initializer}
    for node in graph.node:
        has_graph = any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in node.attribute)
        if has_graph or not all(name in constants for name in node.input if name):
            continue
        size = max((constants[name] for name in node.input if name), default=0)
        if node.op_type == "Constant":
            size = next((math.prod(a.t.dims) for a in node.attribute if a.name == "value" and _is_weight(a.t)), 0)
        constants.update((name, size) for name in node.output if name)
    return constants


def _is_weight(tensor: TensorProto) -> bool:
    return tensor.data_type in (*_NUMBERS, TensorProto.INT8, TensorProto.UINT8)


def _parameters(node: NodeProto, used: Iterable[str], constants: Mapping[str, int], counted: set[str]) -> int:
    """The numbers of the constants of a node that are counted for the first time."""
    if node.op_type in _NO_PARAMETERS:
        return 0
    new = [name for name in dict.fromkeys(used) if name not in counted]
    counted.update(new)
    return sum(constants[name] for name in new)


def _products(node: NodeProto, shapes: Mapping[str, tuple[int | str, ...]]) -> tuple[int, bool]:
    """The multiply-adds for an element of the output, or (True) of the first input; 0 where they are not known."""
    read = [shapes.get(name, ()) for name in node.input]
    match node.op_type:
        case "Conv" | "ConvTranspose" if len(read) > 1:
            return _size(read[1][1:]), node.op_type == "ConvTranspose"
        case "Gemm" if len(read) > 1 and len(read[1]) == 2:
            transposed = next((a.i for a in node.attribute if a.name == "transB"), 0)
            return _size(read[1][1:] if transposed else read[1][:1]), False
        case "MatMul" if len(read) > 1 and read[1]:
            return _size(read[1][-2:-1] or read[1][:1]), False
    return 0, False


def _size(sizes: tuple[int | str, ...]) -> int:
    known = [size for size in sizes if isinstance(size, int)]
    return math.prod(known) if len(known) == len(sizes) else 0


def _attributes(node: NodeProto) -> dict[str, Any]:
    """The attributes that are numbers, lists of numbers, or words."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.type in _ATTRIBUTES}
    return {
        name: value.decode("utf-8", "replace")
        if isinstance(value, bytes)
        else list(value)
        if isinstance(value, (list, tuple))
        else value
        for name, value in found.items()
    }


def _is_shown(node: NodeProto, name: str, types: Mapping[str, int], positions: SourceMap) -> bool:
    """Whether a tensor is of interest: numbers that a layer of the source computes, or any operator of another program."""
    if types.get(name, TensorProto.FLOAT) not in _NUMBERS:
        return False
    return name in positions.positions or (not positions.positions and node.op_type not in _AS_SEEN)
