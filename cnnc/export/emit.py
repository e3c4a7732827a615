"""Graph and weights to an ONNX model.

In: a graph (after passes) and its weights. Out: a ModelProto with IR version and opset set on purpose, the
names of the source, a symbolic batch, explicit padding, and a type for every tensor. It proves nothing:
see verify.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cnnc.diagnostics import CnncError
from cnnc.graph import Graph, Node
from cnnc.ops import window
from cnnc.ops.activation import Dropout, Relu, Sigmoid, Softmax, Tanh
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Fc, Input
from cnnc.ops.norm import BatchNorm, Normalize
from cnnc.ops.pool import Pool
from cnnc.ops.reshape import Flatten, Reshape
from cnnc.reference.engine import Array
from cnnc.reference.pool import counts, geometry

BATCH = "N"
DEFAULT_OPSET = 17
# The IR version that came with each opset (onnx/docs/Versioning.md): what older runtimes can load.
_IR_VERSION = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12}
_ELEMENT = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}


class Emitter:
    """Gathers the parts of an ONNX graph. A node's value is the tensor of its name."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array], opset: int) -> None:
        self.graph = graph
        self.weights = weights
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.renamed: dict[str, str] = {}  # values whose tensor has another name (scaled inputs)
        self.node: Node | None = None

    def tensor(self, name: str) -> str:
        """The name of the tensor that holds a node's value."""
        return self.renamed.get(name, name)

    def op(self, type_: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Adds an ONNX node that makes `output` (the current node's value when left out)."""
        assert self.node is not None
        output = output or self.node.name
        doc = str(self.node.span) if self.node.span is not None else ""
        made = helper.make_node(type_, list(inputs), [output], name=output, doc_string=doc, **attributes)
        self.nodes.append(made)
        return output

    def inner(self, suffix: str) -> str:
        """A name for a tensor inside the current node."""
        assert self.node is not None
        return f"{self.node.name}.{suffix}"

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        array = np.ascontiguousarray(np.asarray(value, dtype))
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def weight(self, name: str) -> str:
        """The initializer of a parameter of the current node."""
        assert self.node is not None
        full = f"{self.node.parameter_owner}.{name}"
        if full not in self.initializers:
            self.constant(full, self.weights[full])
        return full


Emission = Callable[[Emitter, Any, Node, list[str]], object]
EMISSIONS: dict[type[Op], Emission] = {}


def emission_of(*ops: type[Op]) -> Callable[[Emission], Emission]:
    """Enters a function `(emitter, op, node, inputs)` in the table."""

    def enter(function: Emission) -> Emission:
        EMISSIONS.update(dict.fromkeys(ops, function))
        return function

    return enter


def emit(
    graph: Graph, weights: Mapping[str, Array], metadata: Mapping[str, str], opset: int = DEFAULT_OPSET
) -> onnx.ModelProto:
    """The model. Raises CnncError E804 for an opset that cnnc does not emit."""
    if opset not in _IR_VERSION:
        raise CnncError.of(
            "E804", f"opset {opset} is not supported", help=f"{min(_IR_VERSION)} to {max(_IR_VERSION)} are"
        )
    e = Emitter(graph, weights, opset)
    for node in graph.nodes:
        e.node = node
        EMISSIONS[type(node.op)](e, node.op, node, [e.tensor(name) for name in node.inputs])
    values = {node.name: node for node in graph.nodes if not isinstance(node.op, Input)}
    outputs = [_value_info(name, graph.by_name[name].type.shape, "float32") for name in graph.outputs]
    inner = [_value_info(n, node.type.shape, node.type.dtype) for n, node in values.items() if n not in graph.outputs]
    made = helper.make_graph(
        e.nodes, _identifier(graph.name), e.inputs, outputs, list(e.initializers.values()), value_info=inner
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=_IR_VERSION[opset],
        producer_name="cnnc",
        producer_version=metadata.get("cnnc.version", ""),
    )
    helper.set_model_props(model, dict(metadata))
    return _complete(model)


def _complete(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the types of inner tensors added, checked in full."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def _value_info(name: str, shape: Sequence[int], dtype: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _ELEMENT[dtype], [BATCH, *shape])


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "net"


# --- the table ---------------------------------------------------------------------------------------------


@emission_of(Input)
def _input(e: Emitter, op: Input, node: Node, inputs: list[str]) -> None:
    fed = op.fed()
    e.inputs.append(_value_info(node.name, fed.shape, fed.dtype))
    if fed.dtype == "uint8":
        cast = e.op("Cast", [node.name], e.inner("cast"), to=TensorProto.FLOAT)
        e.renamed[node.name] = e.op("Div", [cast, e.constant(e.inner("range"), 255)], e.inner("scaled"))


@emission_of(Conv)
def _conv(e: Emitter, op: Conv, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    names = [*inputs, e.weight("weight"), *([e.weight("bias")] if op.bias else [])]
    pads = window.resolve(op.p, x.spatial, op.k, op.s, op.d)
    e.op("Conv", names, kernel_shape=op.k, strides=op.s, dilations=op.d, group=op.groups, pads=_sides(pads))


def _sides(pads: Sequence[tuple[int, int]]) -> list[int]:
    """All begins, then all ends, as ONNX has it."""
    return [*(b for b, _ in pads), *(e for _, e in pads)]


@emission_of(Pool)
def _pool(e: Emitter, op: Pool, node: Node, inputs: list[str]) -> None:
    # Explicit padding for what ceil rounds up: runtimes differ in the corners of ceil_mode.
    (x,) = e.graph.input_types(node)
    g = geometry(op, x.spatial)
    if op.kind == "max":
        e.op("MaxPool", inputs, kernel_shape=op.k, strides=op.stride, dilations=op.d, pads=_sides(g.pads))
        return
    asked = window.resolve(op.p, x.spatial, op.k, op.stride, op.d)
    if all(d == 1 for d in op.d) and not (op.count_pad and asked != g.pads):
        e.op(
            "AveragePool",
            inputs,
            kernel_shape=op.k,
            strides=op.stride,
            pads=_sides(g.pads),
            count_include_pad=int(op.count_pad),
        )
        return
    # dilated (AveragePool has no dilations before opset 19), or ceil with counted padding: sum, then divide
    ones = e.constant(e.inner("ones"), np.ones((x.channels, 1, *op.k)))
    total = e.op(
        "Conv",
        [*inputs, ones],
        e.inner("sum"),
        kernel_shape=op.k,
        strides=op.stride,
        dilations=op.d,
        group=x.channels,
        pads=_sides(g.pads),
    )
    per_window = np.moveaxis(counts(op, x.spatial, g), -1, 0)[None]  # (1, 1, OH, OW)
    e.op("Div", [total, e.constant(e.inner("counts"), per_window)])


@emission_of(Fc)
def _fc(e: Emitter, op: Fc, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    flat = inputs if x.rank == 0 else [e.op("Flatten", inputs, e.inner("flat"), axis=1)]
    e.op("Gemm", [*flat, e.weight("weight"), *([e.weight("bias")] if op.bias else [])], transB=1)


@emission_of(Relu, Sigmoid, Tanh)
def _activation(e: Emitter, op: Op, node: Node, inputs: list[str]) -> None:
    e.op(type(op).__name__, inputs)


@emission_of(Softmax)
def _softmax(e: Emitter, op: Softmax, node: Node, inputs: list[str]) -> None:
    e.op("Softmax", inputs, axis=1)


@emission_of(Dropout)
def _dropout(e: Emitter, op: Dropout, node: Node, inputs: list[str]) -> None:
    e.op("Identity", inputs)  # only one that is an output is left by the passes


@emission_of(BatchNorm)
def _batch_norm(e: Emitter, op: BatchNorm, node: Node, inputs: list[str]) -> None:
    channels = node.type.channels
    scale = e.weight("scale") if op.affine else e.constant(e.inner("scale"), np.ones(channels))
    shift = e.weight("shift") if op.affine else e.constant(e.inner("shift"), np.zeros(channels))
    e.op("BatchNormalization", [*inputs, scale, shift, e.weight("mean"), e.weight("var")], epsilon=op.eps)


@emission_of(Normalize)
def _normalize(e: Emitter, op: Normalize, node: Node, inputs: list[str]) -> None:
    ones = (1,) * node.type.rank
    mean = e.constant(e.inner("mean"), np.reshape(op.mean, (-1, *ones)))
    std = e.constant(e.inner("std"), np.reshape(op.std, (-1, *ones)))
    e.op("Div", [e.op("Sub", [*inputs, mean], e.inner("centred")), std])


@emission_of(Flatten)
def _flatten(e: Emitter, op: Flatten, node: Node, inputs: list[str]) -> None:
    e.op("Flatten", inputs, axis=1)


@emission_of(Reshape)
def _reshape(e: Emitter, op: Reshape, node: Node, inputs: list[str]) -> None:
    shape = e.constant(e.inner("shape"), [0, *op.shape], np.int64)  # 0: the batch, whatever it is
    e.op("Reshape", [*inputs, shape])
