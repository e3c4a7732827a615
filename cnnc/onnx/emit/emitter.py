"""What emission works with: `Emitter`, which gathers an ONNX graph, and the table of emissions by op.

In: a graph and its weights. Out: nodes, initializers and inputs of ONNX, named after the source. The
functions of the table stand in emissions/, a family a file.
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
from cnnc.ops.base import Op

BATCH = "N"
AXIS_END = 2**63 - 1  # of an axis, whatever its size (ONNX Slice)
MIN_EXTERNAL_BYTES = 1024  # bytes from which a tensor is worth a place outside the model's file
_ELEMENT = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}


Value = TypeVar("Value")


class Emitter:
    """Gathers the parts of an ONNX graph. A node's value is the tensor of its name.

    `family` is that of a network with symbols; `batch` the first axis of every tensor; `outside`, where it is
    given, takes the values of large tensors, of which the graph then holds no more than the types.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[str, Array],
        opset: int,
        family: SizeFamily | None = None,
        batch: int | str = BATCH,
        external_tensors: dict[str, Array] | None = None,
    ) -> None:
        self.graph = graph
        self.weights = weights
        self.opset = opset
        self.family = family
        self.batch = batch
        self.external_tensors = external_tensors
        self._fresh = 0
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
        made = helper.make_node(type_, list(inputs), [output], name=output, **attributes)
        annotate(made, self.node, self.opset)
        self.nodes.append(made)
        return output

    def at_all_sizes(self, of: Callable[..., Value]) -> list[Value]:
        """What `of(op, *input types)` says of the current node: at the reference, then at each member of the family."""
        assert self.node is not None
        others = self.family.nodes(self.node.name) if self.family is not None else ()
        pairs = [(self.graph, self.node), *others]
        return [of(node.op, *graph.input_types(node)) for graph, node in pairs]

    def same_at_all_sizes(self, of: Callable[..., Value]) -> Value | None:
        """The one thing that `of(op, *input types)` says of the current node at all sizes, or None."""
        first, *others = self.at_all_sizes(of)
        if others and not (self.family is not None and self.family.complete):
            shapes = self.at_all_sizes(lambda op, *types: types)
            return first if all(shape == shapes[0] for shape in shapes) else None
        return first if all(other == first for other in others) else None

    def fresh_name(self, what: str) -> str:
        """A name inside the current node that no other tensor has."""
        self._fresh += 1
        return self.inner_name(f"{what}{self._fresh}")

    def inner_name(self, suffix: str) -> str:
        """A name for a tensor inside the current node."""
        assert self.node is not None
        return f"{self.node.name}.{suffix}"

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        array = np.asarray(value, dtype, order="C")  # a scalar stays one
        if self.external_tensors is not None and array.nbytes >= MIN_EXTERNAL_BYTES:
            self.external_tensors[name] = array
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            made = onnx.TensorProto(name=name, data_type=kind, dims=array.shape)
            made.data_location = onnx.TensorProto.EXTERNAL
            self.initializers[name] = made
        else:
            self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, suffix: str, values: Sequence[int]) -> str:
        """A constant of int64 inside the current node: shapes, axes, indices."""
        return self.constant(self.inner_name(suffix), list(values), np.int64)

    def weight(self, name: str) -> str:
        """The initializer of a parameter of the current node."""
        assert self.node is not None
        full = f"{self.node.parameter_owner}.{name}"
        if full not in self.initializers:
            self.constant(full, self.weights[full])
        return full

    def value_info(self, node: Node, type_: TensorType | None = None) -> onnx.ValueInfoProto:
        """The type of a node's tensor, (batch, *shape)."""
        type_ = type_ or node.type
        shape = self.family.shape(node.name, type_.shape) if self.family is not None else type_.shape
        return helper.make_tensor_value_info(node.name, _ELEMENT[type_.dtype], [self.batch, *shape])


Emission = Callable[[Emitter, Any, Node, list[str]], object]
EMISSIONS: dict[type[Op], Emission] = {}


def emission_of(*ops: type[Op]) -> Callable[[Emission], Emission]:
    """Enters a function `(emitter, op, node, inputs)` in the table."""

    def enter(function: Emission) -> Emission:
        EMISSIONS.update(dict.fromkeys(ops, function))
        return function

    return enter
