"""What running a model needs, compared with the limits of the caller (cnnc.core.limits) before its weights are read.

In: a model without the data of its large weights, and the number of examples of a call. Out: E913, which names the need and the
limit. Sizes of activations come from ONNX's shape inference; an activation of unknown size counts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper

from cnnc.core.limits import most_memory, require_memory_limit, require_parameter_limit

_MODEL_AND_SESSION = 2  # the weights in the file and in onnxruntime


def require_weights_within_limits(model: onnx.ModelProto, name: str, copies: int = 1) -> None:
    """Raises CnncError E913 where a model has more weights, or takes more memory for `copies` of them, than the limits."""
    tensors = _tensors(model)
    numbers = {tensor.name: math.prod(tensor.dims) for tensor in tensors}
    largest = max(numbers, key=lambda each: numbers[each], default="")
    help = f"{largest} has {numbers[largest]:,} of them" if largest else ""
    require_parameter_limit(sum(numbers.values()), name, help)
    require_memory_limit(copies * _weight_bytes(tensors), f"{name}, with its weights in memory,")


def require_run_within_limits(
    model: onnx.ModelProto, name: str, shapes: Mapping[str, Sequence[int]] | None = None
) -> None:
    """Raises CnncError E913 where running a model on inputs of these shapes takes more memory than the limit.

    An input without a shape is that of the model, with one example.
    """
    require_weights_within_limits(model, name, _MODEL_AND_SESSION)
    if most_memory() is not None:
        at = f" at {', '.join(f'{each} {_shape(shape)}' for each, shape in shapes.items())}" if shapes else ""
        require_memory_limit(running_memory(model, shapes or {}), f"running {name}{at}", "smaller inputs need less")


def largest_batch(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]], most: int) -> int:
    """The most examples of a call, from 1 to `most`, that fit into the limit; `shapes` are those of inputs with one example."""
    limit = most_memory()
    if limit is None:
        return most
    one, two = (
        running_memory(model, {name: (count, *shape[1:]) for name, shape in shapes.items()}) for count in (1, 2)
    )
    return max(1, min(most, 1 + (limit.value - one) // max(1, two - one)))


def running_memory(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> int:
    """The bytes of weights and of the activations that are in memory at once, node by node in the order of the file."""
    sizes = _activation_bytes(_at_sizes(model, shapes))
    graph = model.graph
    last = {name: index for index, node in enumerate(graph.node) for name in node.input}
    last |= {info.name: len(graph.node) for info in (*graph.input, *graph.output)}
    ending: dict[int, list[str]] = {}
    for name, index in last.items():
        ending.setdefault(index, []).append(name)
    current = peak = sum(sizes.get(info.name, 0) for info in graph.input)
    for index, node in enumerate(graph.node):
        current += sum(sizes.get(name, 0) for name in node.output)
        peak = max(peak, current)
        computed = {info.name for info in graph.input}
        current -= sum(sizes.get(name, 0) for name in ending.get(index, ()) if name not in computed)
    return _MODEL_AND_SESSION * _weight_bytes(_tensors(model)) + peak


def _at_sizes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """The model with these shapes of inputs, one example where the batch stays open, and no sizes of its own beyond the inputs."""
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    del sized.graph.value_info[:]
    for info in sized.graph.input:
        dimensions = info.type.tensor_type.shape.dim
        given = shapes.get(info.name, ())
        if len(given) == len(dimensions):
            for dimension, size in zip(dimensions, given, strict=True):
                dimension.dim_value = size
        elif dimensions and not dimensions[0].dim_value:
            dimensions[0].dim_value = 1
    for info in sized.graph.output:
        info.type.tensor_type.ClearField("shape")
    return sized


def _activation_bytes(model: onnx.ModelProto) -> dict[str, int]:
    """The bytes of each activation and input whose size is known."""
    weights = {tensor.name for tensor in model.graph.initializer}
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # of an untrusted model; onnxruntime then says what is wrong with it
        graph = model.graph
    infos = (*graph.input, *graph.value_info, *graph.output)
    return {info.name: _bytes(info.type.tensor_type) for info in infos if info.name not in weights}


def _bytes(kind: Any) -> int:
    if not kind.HasField("shape") or any(not d.dim_value > 0 for d in kind.shape.dim):
        return 0
    return math.prod(int(d.dim_value) for d in kind.shape.dim) * _item_bytes(kind.elem_type)


def _item_bytes(element: int) -> int:
    try:
        return int(helper.tensor_dtype_to_np_dtype(element).itemsize)
    except Exception:  # an element type that does not exist
        return 1


def _tensors(model: onnx.ModelProto) -> list[TensorProto]:
    """The initializers and constants of a model; those of its functions and subgraphs are not counted."""
    constants = (attribute.t for node in model.graph.node if node.op_type == "Constant" for attribute in node.attribute)
    return [*model.graph.initializer, *constants]


def _weight_bytes(tensors: Sequence[TensorProto]) -> int:
    return sum(math.prod(tensor.dims) * _item_bytes(tensor.data_type) for tensor in tensors)


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
