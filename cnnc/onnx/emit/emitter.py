"""The tools of emission: `Emitter`, which collects an ONNX graph, and the table `EMISSIONS` of functions by op class.

Input: a graph and its weights. Output: ONNX nodes, initializers and inputs, named after the layers. The functions of the
table are in ops/, one file per layer family. Example, for a layer without parameters:

    @emission_of(Tanh)
    def _tanh(e: Emitter, op: Tanh, node: Node, inputs: list[str]) -> None:
        e.op("Tanh", inputs)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Graph, Node
from cnnc.onnx.emit.size_family import SizeFamily
from cnnc.onnx.source_map import annotate
from cnnc.onnx.wire_format import MIN_LARGE_BYTES
from cnnc.ops.base import Op
from cnnc.reference.conv import rotate_180

BATCH = "N"
AXIS_END = 2**63 - 1  # the end of an axis of any size (ONNX Slice)
_ELEMENT = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}


Value = TypeVar("Value")


class Emitter:
    """Collects the parts of an ONNX graph. The output of a layer is the tensor with the layer's name.

    `family` is the size family of a network with symbols; `batch` is the first axis of every tensor, a size or a symbol.
    `content` receives the arrays of large initializers, of which the graph holds only names and types.
    `node` is the layer that is being emitted.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, Array],
        opset: int,
        family: SizeFamily | None = None,
        batch: int | str = BATCH,
        content: dict[str, Array] | None = None,
    ) -> None:
        self.graph = graph
        self.weights = weights
        self.opset = opset
        self.family = family
        self.batch = batch
        self.content = {} if content is None else content
        self._fresh = 0
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.renamed: dict[str, str] = {}  # layer -> tensor, where the names differ (scaled inputs)
        self.node: Node | None = None

    def tensor(self, name: str) -> str:
        """The name of the tensor that holds a layer's output."""
        return self.renamed.get(name, name)

    def op(self, type_: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Adds a node of the operator `type_` and returns the name of its output: `output`, or the current layer's name."""
        assert self.node is not None
        output = output or self.node.name
        onnx_node = helper.make_node(type_, list(inputs), [output], name=output, **attributes)
        annotate(onnx_node, self.node, self.opset)
        self.nodes.append(onnx_node)
        return output

    def at_all_sizes(self, evaluate: Callable[..., Value]) -> list[Value]:
        """`evaluate(op, *input types)` of the current layer: at the reference size, then at each member of the family."""
        assert self.node is not None
        others = self.family.nodes(self.node.name) if self.family is not None else ()
        pairs = [(self.graph, self.node), *others]
        return [evaluate(node.op, *graph.input_types(node)) for graph, node in pairs]

    def same_at_all_sizes(self, evaluate: Callable[..., Value]) -> Value | None:
        """`evaluate(op, *input types)` of the current layer if it is the same at all sizes, else None."""
        first, *others = self.at_all_sizes(evaluate)
        if others and not (self.family is not None and self.family.complete):
            shapes = self.at_all_sizes(lambda op, *types: types)
            return first if all(shape == shapes[0] for shape in shapes) else None
        return first if all(other == first for other in others) else None

    def fresh_name(self, prefix: str) -> str:
        """A unique tensor name inside the current layer: the prefix and a number."""
        self._fresh += 1
        return self.inner_name(f"{prefix}{self._fresh}")

    def inner_name(self, suffix: str) -> str:
        """The name of a tensor inside the current layer: `fc1.flat`."""
        assert self.node is not None
        return f"{self.node.name}.{suffix}"

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Adds an initializer, float32 by default, and returns its name."""
        array = np.asarray(value, dtype, order="C")  # a scalar stays a scalar
        if array.nbytes >= MIN_LARGE_BYTES:
            self.content[name] = array
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            tensor = onnx.TensorProto(name=name, data_type=kind, dims=array.shape)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            self.initializers[name] = tensor
        else:
            self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, suffix: str, values: Sequence[int]) -> str:
        """Adds an int64 constant inside the current layer (a shape, axes, indices) and returns its name."""
        return self.constant(self.inner_name(suffix), list(values), np.int64)

    def weight(self, name: str) -> str:
        """The name of the initializer of a parameter of the current layer; layers that share weights share it."""
        assert self.node is not None
        full = f"{self.node.parameter_owner}.{name}"
        if full not in self.initializers:
            self.constant(full, self.weights[full])
        return full

    def arranged(self, name: str, shape: Sequence[int], perm: Sequence[int] | None = None) -> str:
        """A parameter of the current layer with its axes in the order `perm` and then in another shape.

        Stored under its own name, unless a layer that shares it arranges it differently.
        """
        assert self.node is not None
        full = f"{self.node.parameter_owner}.{name}"
        array = self.weights[full] if perm is None else self.weights[full].transpose(perm)
        shaped = array.reshape(shape)
        if full not in self.initializers:
            return self.constant(full, shaped)
        stored = tuple(self.initializers[full].dims) == shaped.shape
        return full if stored else self.constant(self.inner_name(name), shaped)

    def rotated(self, name: str, stored: str) -> str:
        """A weight (O, C, kh, kw) of the current layer rotated by 180°, stored under the name `stored`."""
        assert self.node is not None
        if stored not in self.initializers:
            self.constant(stored, rotate_180(self.weights[f"{self.node.parameter_owner}.{name}"]))
        return stored

    def value_info(self, node: Node, type_: TensorType | None = None) -> onnx.ValueInfoProto:
        """Name and type of a layer's output for ONNX: (batch, *shape)."""
        type_ = type_ or node.type
        shape = self.family.shape(node.name, type_.shape) if self.family is not None else type_.shape
        return helper.make_tensor_value_info(node.name, _ELEMENT[type_.dtype], [self.batch, *shape])


Emission = Callable[[Emitter, Any, Node, list[str]], object]
"""(emitter, op, node, names of the input tensors): adds the ONNX nodes of one layer."""

EMISSIONS: dict[type[Op], Emission] = {}


def emission_of(*ops: type[Op]) -> Callable[[Emission], Emission]:
    """Registers a function `(emitter, op, node, inputs)` for these op classes; `inputs` are tensor names."""

    def register(function: Emission) -> Emission:
        EMISSIONS.update(dict.fromkeys(ops, function))
        return function

    return register
