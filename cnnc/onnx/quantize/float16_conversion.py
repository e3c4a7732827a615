"""Conversion of a float32 model to float16, and a float32 model that computes as a float16 device does.

Input: a float32 model of cnnc, which declares the type of every tensor. Output: the model in float16 (`with_float16`),
in which nodes may stay in float32, and its emulation (`emulation`).

onnxruntime on a CPU computes a float16 model in float32 and rounds only inputs, weights and outputs, so that an overflow
does not show. The emulation rounds the result of every operator to float16. Example: `Mul` of 300 and 300 gives 90,000;
the emulation gives infinity, as float16 ends at 65,504.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from cnnc.core.arrays import Array

_FLOAT32, _FLOAT16 = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
_SUFFIX = {_FLOAT32: ".float32", _FLOAT16: ".float16"}
_DTYPES: dict[int, Any] = {_FLOAT32: np.float32, _FLOAT16: np.float16}
_FLOAT32_INPUTS = {"Resize": (2,)}  # inputs that ONNX defines as float32: the scales


def rounded(array: Array) -> Array:
    """An array rounded to float16; numbers from 65,520 on become infinite."""
    with np.errstate(over="ignore"):
        return array.astype(np.float16)


def with_float16(model: onnx.ModelProto, in_float32: Collection[str]) -> onnx.ModelProto:
    """The model in float16, except the nodes named `in_float32`; inputs and outputs stay float32."""
    conversion = _Conversion(model, in_float32)
    for node in model.graph.node:
        conversion.add(node)
    return conversion.finish()


class _Conversion:
    """Builds the float16 model node by node.

    A tensor keeps its name in the type in which its node computes it, and is `NAME.float16` or `NAME.float32` in the other.
    An output of the model keeps its name in float32.
    """

    def __init__(self, model: onnx.ModelProto, in_float32: Collection[str]) -> None:
        source = model.graph
        self.source, self.in_float32 = source, in_float32
        self.model = _without_content(model)
        self.infos = {info.name: info for info in (*source.input, *source.value_info, *source.output) if is_float(info)}
        self.constants = {tensor.name: tensor for tensor in source.initializer if tensor.data_type == _FLOAT32}
        self.outputs = {info.name for info in source.output}
        self.names: dict[tuple[str, int], str] = {
            (info.name, _FLOAT32): info.name for info in source.input
        }  # of each tensor in each type

    def add(self, node: onnx.NodeProto) -> None:
        """Adds a node, after the casts that it needs."""
        kind = _FLOAT32 if node.name in self.in_float32 else _FLOAT16
        new = onnx.NodeProto()
        new.CopyFrom(node)
        for i, name in enumerate(node.input):
            if name in self.infos or name in self.constants:
                new.input[i] = self._read(name, _FLOAT32 if i in _FLOAT32_INPUTS.get(node.op_type, ()) else kind)
        written = [name for name in node.output if name in self.infos]
        for i, name in enumerate(node.output):
            if name in written:
                new.output[i] = f"{name}{_SUFFIX[_FLOAT16]}" if kind == _FLOAT16 and name in self.outputs else name
                self._declare(name, kind, new.output[i])
        if kind == _FLOAT16:
            _change_attributes(new, _FLOAT32, _FLOAT16)
        self.model.graph.node.append(new)
        for name in self.outputs.intersection(written):
            self._read(name, _FLOAT32)

    def _read(self, name: str, kind: int) -> str:
        """The name of a tensor in a type; adds a weight or a Cast if there is none yet."""
        if (name, kind) in self.names:
            return self.names[name, kind]
        other = _FLOAT16 if kind == _FLOAT32 else _FLOAT32
        new_name = name if name in self.outputs else f"{name}{_SUFFIX[kind]}"
        if name in self.constants:
            new_name = new_name if (name, other) in self.names else name
            self.names[name, kind] = new_name
            _add_tensor(self.model.graph, self.constants[name], _FLOAT32, kind, new_name)
            return new_name
        source = self.names[name, other]
        self._declare(name, kind, new_name)
        self.model.graph.node.append(helper.make_node("Cast", [source], [new_name], name=f"{new_name}.cast", to=kind))
        return new_name

    def _declare(self, name: str, kind: int, new_name: str) -> None:
        self.names[name, kind] = new_name
        if new_name not in self.outputs:
            _add_type(self.model.graph, self.infos[name], kind, new_name)

    def finish(self) -> onnx.ModelProto:
        """The model."""
        graph = self.model.graph
        graph.initializer.extend(tensor for tensor in self.source.initializer if tensor.name not in self.constants)
        graph.value_info.extend(info for info in self.source.value_info if not is_float(info))
        graph.input.extend(self.source.input)
        graph.output.extend(self.source.output)
        return self.model


def emulation(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 model that computes what a device computes with a float16 model of `with_float16`: each operator in
    float32, its result rounded to float16. Tensors keep their names."""
    new = _without_content(model)
    graph, source = new.graph, model.graph
    in_float16 = {info.name for info in source.value_info if info.type.tensor_type.elem_type == _FLOAT16}
    for node in source.node:
        copy = graph.node.add()
        copy.CopyFrom(node)
        _change_attributes(copy, _FLOAT16, _FLOAT32)
        for i, name in enumerate(node.output):
            if name in in_float16:  # onnxruntime keeps the two casts, as they change the result
                copy.output[i] = f"{name}.exact"
                graph.node.append(helper.make_node("Cast", [f"{name}.exact"], [f"{name}.rounded"], to=_FLOAT16))
                graph.node.append(helper.make_node("Cast", [f"{name}.rounded"], [name], to=_FLOAT32))
    for tensor in source.initializer:
        _add_tensor(graph, tensor, _FLOAT16, _FLOAT32, tensor.name)
    for info in source.value_info:
        _add_type(graph, info, _FLOAT32 if info.name in in_float16 else info.type.tensor_type.elem_type, info.name)
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    return new


def is_float(info: onnx.ValueInfoProto) -> bool:
    """Whether a tensor is float32."""
    return bool(info.type.tensor_type.elem_type == _FLOAT32)


def _without_content(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model like this one, with an empty graph of the same name."""
    new = onnx.ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        metadata_props=model.metadata_props,
    )
    new.graph.name = model.graph.name
    return new


def _add_tensor(graph: onnx.GraphProto, tensor: onnx.TensorProto, old: int, kind: int, name: str) -> None:
    """Adds a weight, converted if it is of the type `old`."""
    array = numpy_helper.to_array(tensor)
    if tensor.data_type == old:
        array = rounded(array) if kind == _FLOAT16 else array.astype(_DTYPES[kind], copy=False)
    new = graph.initializer.add(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
    new.raw_data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _add_type(graph: onnx.GraphProto, info: onnx.ValueInfoProto, kind: int, name: str) -> None:
    new = graph.value_info.add()
    new.CopyFrom(info)
    new.name = name
    new.type.tensor_type.elem_type = kind


def _change_attributes(node: onnx.NodeProto, old: int, kind: int) -> None:
    """Changes the type `old` to `kind` in the attributes of a node: the type of a Cast, and tensors."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == old:
            attribute.i = kind
        elif attribute.type == AttributeProto.TENSOR and attribute.t.data_type == old:
            array = numpy_helper.to_array(attribute.t).astype(_DTYPES[kind])
            attribute.t.CopyFrom(numpy_helper.from_array(array, attribute.t.name))
