"""Complete models for onnxruntime, which opens no file itself: weights inside and outside of the model's file, each read once.

In: a model file. Out: `CompleteModel`: a message that was judged, and the arrays of large initializers, which are not in it.
Only initializers of the main graph may take more than protobuf's 2 GB together; other tensors become part of the message.

    model, weights = complete_model(parse_model(message, path), raw_data, path)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.onnx.external_files import ExternalData


class CompleteModel(NamedTuple):
    """A model, and the arrays of those initializers that the message names as external."""

    model: ModelProto
    weights: dict[str, Array]


def external_tensors(model: ModelProto) -> list[TensorProto]:
    """Every tensor of a model that is stored in another file, also in attributes, subgraphs and functions."""
    return [*_external(model.graph.initializer), *_external(_other_tensors(model))]


def complete_model(model: ModelProto, raw_data: dict[int, NDArray[np.uint8]], path: Path) -> CompleteModel:
    """The model of a message that lacks the raw data of some initializers, by their index, and the weights in other files.

    Changes the message, and empties `raw_data`. Raises CnncError E604 for a file that is missing, or that the model may not read.
    """
    files = ExternalData(path.parent, "E604")
    weights: dict[str, Array] = {}
    for tensor in _external(_other_tensors(model)):
        _embed(tensor, _content(tensor, files, path))
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.data_location == TensorProto.EXTERNAL:
            raw_data[index] = _content(tensor, files, path)
        content = raw_data.pop(index, None)
        if content is None:
            continue
        if not _is_array(tensor, content):
            _embed(tensor, content)
        elif tensor.name in weights:
            raise CnncError.of("E604", f"{path} is damaged: two initializers are named {tensor.name}")
        else:
            weights[tensor.name] = content.view(_numpy_type(tensor)).reshape(tuple(tensor.dims))
            _name_as_external(tensor)
    return CompleteModel(model, weights)


def embedded_model(model: ModelProto, path: Path) -> ModelProto:
    """The model of a complete message, with the weights in other files inside. Raises CnncError as `complete_model` does."""
    files = ExternalData(path.parent, "E604")
    for tensor in external_tensors(model):
        _embed(tensor, _content(tensor, files, path))
    return model


def _embed(tensor: TensorProto, content: NDArray[np.uint8]) -> None:
    tensor.raw_data = content.tobytes()
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _external(tensors: Iterable[TensorProto]) -> Iterator[TensorProto]:
    return (tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL)


def _other_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """The tensors of a model beside the initializers of its graph."""
    yield from _beside_initializers(model.graph)
    for node in chain.from_iterable(function.node for function in model.functions):
        yield from _tensors_of_node(node)


def _beside_initializers(graph: GraphProto) -> Iterator[TensorProto]:
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_of_node(node)


def _tensors_of_node(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from graph.initializer
            yield from _beside_initializers(graph)


def _content(tensor: TensorProto, files: ExternalData, path: Path) -> NDArray[np.uint8]:
    """The bytes of a tensor in another file. Raises CnncError E604."""
    what = f"{path}: the tensor {tensor.name}"
    if min(tensor.dims, default=0) < 0 or tensor.data_type not in _ELEMENT_BITS:
        raise CnncError.of("E604", f"{what}, which is in another file, has a shape or element type that cannot be read")
    size = -(-math.prod(tensor.dims) * _ELEMENT_BITS[tensor.data_type] // 8)
    return files.read({entry.key: entry.value for entry in tensor.external_data}, size, what)


def _element_bits() -> dict[int, int]:
    """The size of each element type but text, by its number."""
    packed = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
    numbers = {name: number for name, number in TensorProto.DataType.items() if name not in ("UNDEFINED", "STRING")}
    return {
        number: packed.get(name) or 8 * helper.tensor_dtype_to_np_dtype(number).itemsize
        for name, number in numbers.items()
    }


_ELEMENT_BITS = _element_bits()


def _numpy_type(tensor: TensorProto) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).newbyteorder("<")


def _is_array(tensor: TensorProto, content: NDArray[np.uint8]) -> bool:
    """Whether these bytes are an array of a type of NumPy itself, which onnxruntime takes beside the message."""
    bits = _ELEMENT_BITS.get(tensor.data_type, 0)
    return (
        bits >= 8
        and _numpy_type(tensor).kind in "fiub"
        and min(tensor.dims, default=0) >= 0
        and 8 * content.nbytes == bits * math.prod(tensor.dims)
    )


def _name_as_external(tensor: TensorProto) -> None:
    """Says that the data are elsewhere; onnxruntime replaces such a tensor before it would look for the file."""
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="given beside the message")
