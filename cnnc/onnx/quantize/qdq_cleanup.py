"""What is done to a model before and after onnxruntime's quantizer: names, order, and nothing that is not needed.

In: a model of float32 (`marked`), and the quantized one that was made of it (`slim`). Out: the same models with other
names and nodes; they compute the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

_PAIR = ("QuantizeLinear", "DequantizeLinear")
_END = "|"  # of a tensor's name, which no name of a text has: what the quantizer adds to it is told from the name
_ADDED = {
    "_QuantizeLinear_Output": ".q",
    "_DequantizeLinear_Output": ".dq",
    "_QuantizeLinear_Input": ".float",
    "_zero_point": ".zero",
    "_scale": ".scale",
    "_quantized": ".q",
    "_cast": ".cast",
}


def marked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with tensors of names that stay apart from those that the quantizer makes of them."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    _rename(made.graph, known_as)
    return made


def known_as(name: str) -> str:
    """A tensor's name in the marked model."""
    return name + _END


def _rename(graph: onnx.GraphProto, named: Callable[[str], str]) -> None:
    for part in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        part.name = named(part.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [name and named(name) for name in names]


def slim(model: onnx.ModelProto, before: onnx.ModelProto) -> None:
    """Makes of what the quantizer added to a marked model as little as can be, in names of the text."""
    model.producer_name, model.producer_version = before.producer_name, before.producer_version
    _replace(model.metadata_props, before.metadata_props)
    graph = model.graph
    _unmark(graph, before.graph)
    _drop_pairs_of_maxima(graph)
    _hold_below_maxima(graph)
    _share_zeros(graph)
    order(graph)
    drop_unused(graph)
    _drop_unsaid(graph)


def store(graph: onnx.GraphProto, names: Collection[str]) -> None:
    """Keeps the weights of these nodes in int8, with a scale for each output channel; they compute in float32 as before.

    A runtime makes floats of them once, when it loads the model: Cast and Mul of constants are constants.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.name in names]:
        name, axis = node.input[1], int(node.op_type == "ConvTranspose")
        if name not in tensors:  # of an earlier node that shares them
            continue
        weight = numpy_helper.to_array(tensors.pop(name))
        others = tuple(i for i in range(weight.ndim) if i != axis)
        scale = np.abs(weight).max(others, keepdims=True) / np.float32(127)
        scale[scale == 0] = 1
        whole, cast, factor = (f"{name}_{added}" for added in ("quantized", "cast", "scale"))
        tensors[whole] = numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), whole)
        tensors[factor] = numpy_helper.from_array(scale, factor)
        graph.node.append(helper.make_node("Cast", [whole], [cast], to=onnx.TensorProto.FLOAT))
        graph.node.append(helper.make_node("Mul", [cast, factor], [name]))
    _replace(graph.initializer, tensors.values())


def _unmark(graph: onnx.GraphProto, before: onnx.GraphProto) -> None:
    """What was added is named as parts of a layer are, `conv1.weight.scale`, `relu1.q`, and `bn1.q.scale` where the layer
    has a `bn1.scale` of its own; a weight of int8, made float again, is the tensor that it was. The added nodes have no
    names but their values'."""
    weights = {tensor.name for tensor in before.initializer}
    taken = weights.union(*(node.output for node in before.node))

    def short(name: str) -> str:
        own, _, added = name.rpartition(_END)
        if not added or (own in weights and added == "_DequantizeLinear_Output"):
            return own
        suffix = _ADDED.get(added, added)
        return f"{own}{suffix}" if f"{own}{suffix}" not in taken else f"{own}.q{suffix}"

    _rename(graph, short)
    for node in graph.node:
        if node.op_type in _PAIR:
            node.name = ""


def _drop_pairs_of_maxima(graph: onnx.GraphProto) -> None:
    """The largest of values that were rounded to int8 needs no rounding: no pair where a pool reads one of that scale."""
    makers = {name: node for node in graph.node for name in node.output}
    instead = {}
    for node in graph.node:
        quantize = makers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if quantize is None:
            continue
        pool = makers.get(quantize.input[0])
        source = makers.get(pool.input[0]) if pool is not None and pool.op_type == "MaxPool" else None
        if source is not None and source.op_type == node.op_type and source.input[1:] == node.input[1:]:
            instead[node.output[0]] = quantize.input[0]
    ends = {info.name for info in graph.output}
    for node in graph.node:
        node.input[:] = [name if name in ends else instead.get(name, name) for name in node.input]


def _hold_below_maxima(graph: onnx.GraphProto) -> None:
    """A pool of floats before int8 is followed by a Clip to what int8 has room for, which changes nothing.

    Without it onnxruntime rounds before the pool: more values, and its pool of bytes in this order takes twenty times as
    long. With it, it rounds after the pool, and joins the Clip with that.
    """
    makers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        pool = makers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        source = makers.get(pool.input[0]) if pool is not None and pool.op_type == "MaxPool" else None
        if source is None or source.op_type == "DequantizeLinear":
            continue
        scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
        name = node.input[0]
        clip, low, high = (f"{name}.{added}" for added in ("clip", "low", "high"))
        for bound, byte in ((low, 0), (high, 255)):
            value = scale * (np.float32(byte) - zero.astype(np.float32))
            graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), bound))
        graph.node.append(helper.make_node("Clip", [name, low, high], [clip]))
        node.input[0] = clip


def _share_zeros(graph: onnx.GraphProto) -> None:
    """Zero points that are 0 are one tensor for each type and length. Its name has no layer, as a text's have."""
    shared: dict[tuple[int, ...], str] = {}
    instead = {}
    for tensor in graph.initializer:
        if tensor.name.endswith(".zero") and not numpy_helper.to_array(tensor).any():
            name, kind = tensor.name, (tensor.data_type, *tensor.dims)
            if kind not in shared:
                tensor.name = shared[kind] = f".zero{len(shared) or ''}"
            instead[name] = shared[kind]
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]


def drop_implied(graph: onnx.GraphProto) -> None:
    """Leaves out what follows from the weights of convolutions: the size of the kernel, and zero points, which are 0.

    Zero points of other weights onnxruntime wants, or it does not join the layer with the steps around it.
    """
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    weights = {node.input[1] for node in convolutions}
    for node in convolutions:
        _replace(node.attribute, [a for a in node.attribute if a.name != "kernel_shape"])
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.output[0] in weights:
            del node.input[2:]
    drop_unused(graph)


def order(graph: onnx.GraphProto) -> None:
    """Values become bytes as soon as they are there, and floats again only when they are read."""
    makers = {name: node for node in graph.node for name in node.output}
    quantizers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            quantizers.setdefault(node.input[0], []).append(node)
    placed: dict[str, onnx.NodeProto] = {}

    def place(node: onnx.NodeProto) -> None:
        if node.output[0] in placed:
            return
        for name in node.input:
            if name in makers:
                place(makers[name])
        placed[node.output[0]] = node
        for name in node.output:
            for quantizer in quantizers.get(name, ()):
                place(quantizer)

    for node in sorted(graph.node, key=lambda node: not node.name):  # the layers, in their order, and what is left
        place(node)
    _replace(graph.node, placed.values())


def drop_unused(graph: onnx.GraphProto) -> None:
    """What nothing reads any more."""
    needed = {info.name for info in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    _replace(graph.node, reversed(kept))
    _replace(graph.initializer, (tensor for tensor in graph.initializer if tensor.name in needed))


_ONES = ("dilations", "group", "strides")  # of convolutions and pools: 1


def _drop_unsaid(graph: onnx.GraphProto) -> None:
    """What is known without: types that follow, arguments that are the defaults, places that the map of the model has
    too (`cnnc where`). Of a small network in int8 these would be a tenth."""
    del graph.value_info[:]
    for node in graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        if node.op_type in ("Conv", "MaxPool", "AveragePool"):
            usual = [a for a in node.attribute if a.name in _ONES and {a.i or 1, *a.ints} == {1}]
            usual += [a for a in node.attribute if a.name == "pads" and not any(a.ints)]
            _replace(node.attribute, [a for a in node.attribute if a not in usual])


def _replace(field: Any, parts: Iterable[Any]) -> None:
    """Makes a field of a protobuf message hold these, which may be its own."""
    copies = [type(part).FromString(part.SerializeToString()) for part in parts]
    del field[:]
    field.extend(copies)
