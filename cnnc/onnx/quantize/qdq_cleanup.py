"""Cleanup around onnxruntime's quantizer, which wraps tensors in QuantizeLinear/DequantizeLinear (QDQ) pairs.

`mark_names` prepares a float32 model for the quantizer. `clean_up` takes the quantized model, restores the layer names,
removes redundant pairs and default attributes, and orders the nodes. `store_weights_as_int8` stores the weights of float32
layers in int8. None of them changes what the model computes, apart from the rounding of stored weights.

Example: the quantizer turns the marked tensor `conv1.weight|` into `conv1.weight|_quantized` and `conv1.weight|_scale`;
`clean_up` names them `conv1.weight.q` and `conv1.weight.scale`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

_PAIR = ("QuantizeLinear", "DequantizeLinear")
_MARK = "|"  # no layer name contains it, so it separates a tensor's name from what the quantizer appends
_SUFFIXES = {  # what the quantizer appends, and what cnnc appends instead
    "_QuantizeLinear_Output": ".q",
    "_DequantizeLinear_Output": ".dq",
    "_QuantizeLinear_Input": ".float",
    "_zero_point": ".zero",
    "_scale": ".scale",
    "_quantized": ".q",
    "_cast": ".cast",
}


def mark_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model with marked tensor names, so that no name collides with one that the quantizer derives."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _rename(copy.graph, marked_name)
    return copy


def marked_name(name: str) -> str:
    """The name of a tensor in the marked model."""
    return name + _MARK


def _rename(graph: onnx.GraphProto, rename: Callable[[str], str]) -> None:
    for part in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        part.name = rename(part.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [name and rename(name) for name in names]


def clean_up(model: onnx.ModelProto, before: onnx.ModelProto) -> None:
    """Reduces a quantized model to what it needs and restores the names of the float32 model `before`."""
    model.producer_name, model.producer_version = before.producer_name, before.producer_version
    _replace(model.metadata_props, before.metadata_props)
    graph = model.graph
    _restore_names(graph, before.graph)
    _drop_pairs_after_max_pool(graph)
    _clip_after_max_pool(graph)
    _share_zero_points(graph)
    order_nodes(graph)
    drop_unread_nodes(graph)
    _drop_defaults(graph)


def store_weights_as_int8(graph: onnx.GraphProto, names: Collection[str]) -> None:
    """Stores the weights of these nodes in int8, with one float32 scale per output channel: weight = q·scale.

    The nodes still compute in float32. A runtime converts the weights once, when it loads the model, as it folds Cast and
    Mul of constants.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.name in names]:
        name, axis = node.input[1], int(node.op_type == "ConvTranspose")
        if name not in tensors:  # an earlier node that shares them has converted them
            continue
        weight = numpy_helper.to_array(tensors.pop(name))
        reduced_axes = tuple(i for i in range(weight.ndim) if i != axis)
        scale = np.abs(weight).max(reduced_axes, keepdims=True) / np.float32(127)
        scale[scale == 0] = 1
        quantized, cast, factor = (f"{name}_{suffix}" for suffix in ("quantized", "cast", "scale"))
        tensors[quantized] = numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), quantized)
        tensors[factor] = numpy_helper.from_array(scale, factor)
        graph.node.append(helper.make_node("Cast", [quantized], [cast], to=onnx.TensorProto.FLOAT))
        graph.node.append(helper.make_node("Mul", [cast, factor], [name]))
    _replace(graph.initializer, tensors.values())


def _restore_names(graph: onnx.GraphProto, before: onnx.GraphProto) -> None:
    """Names added tensors after their layer: `conv1.weight.scale`, `relu1.q`, or `bn1.q.scale` where the layer already has
    a parameter `bn1.scale`. A dequantized weight gets the weight's original name. Added nodes have no name of their own."""
    weights = {tensor.name for tensor in before.initializer}
    existing = weights.union(*(node.output for node in before.node))

    def short(name: str) -> str:
        original, _, added = name.rpartition(_MARK)
        if not added or (original in weights and added == "_DequantizeLinear_Output"):
            return original
        suffix = _SUFFIXES.get(added, added)
        return f"{original}{suffix}" if f"{original}{suffix}" not in existing else f"{original}.q{suffix}"

    _rename(graph, short)
    for node in graph.node:
        if node.op_type in _PAIR:
            node.name = ""


def _drop_pairs_after_max_pool(graph: onnx.GraphProto) -> None:
    """Drops the QDQ pair after a max pool that reads int8 of the same scale: a maximum of int8 values is one of them."""
    producers = {name: node for node in graph.node for name in node.output}
    replacements = {}
    for node in graph.node:
        quantize = producers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if quantize is None:
            continue
        pool = producers.get(quantize.input[0])
        source = producers.get(pool.input[0]) if pool is not None and pool.op_type == "MaxPool" else None
        if source is not None and source.op_type == node.op_type and source.input[1:] == node.input[1:]:
            replacements[node.output[0]] = quantize.input[0]
    ends = {info.name for info in graph.output}
    for node in graph.node:
        node.input[:] = [name if name in ends else replacements.get(name, name) for name in node.input]


def _clip_after_max_pool(graph: onnx.GraphProto) -> None:
    """Adds a Clip to the int8 range between a float32 max pool and the QuantizeLinear after it. No result changes.

    Without the Clip onnxruntime moves the quantization in front of the pool: more elements to convert, and its pool of
    bytes in channels-first order takes twenty times as long. With it, onnxruntime quantizes after the pool and fuses the
    Clip into that.
    """
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        pool = producers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        source = producers.get(pool.input[0]) if pool is not None and pool.op_type == "MaxPool" else None
        if source is None or source.op_type == "DequantizeLinear":
            continue
        scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
        name = node.input[0]
        clip, low, high = (f"{name}.{suffix}" for suffix in ("clip", "low", "high"))
        for bound, byte in ((low, 0), (high, 255)):
            value = scale * (np.float32(byte) - zero.astype(np.float32))
            graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), bound))
        graph.node.append(helper.make_node("Clip", [name, low, high], [clip]))
        node.input[0] = clip


def _share_zero_points(graph: onnx.GraphProto) -> None:
    """Shares one tensor per type and length among zero points that are 0. Its name begins with a dot, as no layer's does."""
    shared: dict[tuple[int, ...], str] = {}
    replacements = {}
    for tensor in graph.initializer:
        if tensor.name.endswith(".zero") and not numpy_helper.to_array(tensor).any():
            name, kind = tensor.name, (tensor.data_type, *tensor.dims)
            if kind not in shared:
                tensor.name = shared[kind] = f".zero{len(shared) or ''}"
            replacements[name] = shared[kind]
    for node in graph.node:
        node.input[:] = [replacements.get(name, name) for name in node.input]


def drop_inferable(graph: onnx.GraphProto) -> None:
    """Drops what a runtime infers from the weights of convolutions: `kernel_shape`, and their zero points, which are 0.

    Zero points of other weights stay: without them onnxruntime does not fuse the layer with the conversions around it.
    """
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    weights = {node.input[1] for node in convolutions}
    for node in convolutions:
        _replace(node.attribute, [a for a in node.attribute if a.name != "kernel_shape"])
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.output[0] in weights:
            del node.input[2:]
    drop_unread_nodes(graph)


def order_nodes(graph: onnx.GraphProto) -> None:
    """Orders the nodes so that a tensor is quantized right after it is computed, and dequantized right before it is read."""
    producers = {name: node for node in graph.node for name in node.output}
    quantizers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            quantizers.setdefault(node.input[0], []).append(node)
    ordered: dict[str, onnx.NodeProto] = {}  # by first output

    def append(node: onnx.NodeProto) -> None:
        if node.output[0] in ordered:
            return
        for name in node.input:
            if name in producers:
                append(producers[name])
        ordered[node.output[0]] = node
        for name in node.output:
            for quantizer in quantizers.get(name, ()):
                append(quantizer)

    # named nodes (layers) in their order, then the others
    for node in sorted(graph.node, key=lambda node: not node.name):
        append(node)
    _replace(graph.node, ordered.values())


def drop_unread_nodes(graph: onnx.GraphProto) -> None:
    """Removes nodes and constants that no output depends on."""
    needed = {info.name for info in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    _replace(graph.node, reversed(kept))
    _replace(graph.initializer, (tensor for tensor in graph.initializer if tensor.name in needed))


_ONES = ("dilations", "group", "strides")  # attributes of convolutions and pools whose default is 1


def _drop_defaults(graph: onnx.GraphProto) -> None:
    """Drops what can be recovered: inferable types, default attributes, and source positions, which the model's source map
    holds too (`cnnc where`). They would be a tenth of a small int8 model."""
    del graph.value_info[:]
    for node in graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        if node.op_type in ("Conv", "MaxPool", "AveragePool"):
            defaults = [a for a in node.attribute if a.name in _ONES and {a.i or 1, *a.ints} == {1}]
            defaults += [a for a in node.attribute if a.name == "pads" and not any(a.ints)]
            _replace(node.attribute, [a for a in node.attribute if a not in defaults])


def _replace(field: Any, parts: Iterable[Any]) -> None:
    """Replaces the content of a repeated protobuf field; the new parts may come from the field itself."""
    copies = [type(part).FromString(part.SerializeToString()) for part in parts]
    del field[:]
    field.extend(copies)
