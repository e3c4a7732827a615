"""What emission works with: `Emitter`, which gathers an ONNX graph, and the table of emissions by op.

In: a graph and its weights. Out: nodes, initializers and inputs of ONNX, named after the source. The
functions of the table stand in emissions/, a family a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cnnc.export.sourcemap import stamp
from cnnc.graph import Graph, Node
from cnnc.ops.base import Op
from cnnc.reference.engine import Array

BATCH = "N"
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
        made = helper.make_node(type_, list(inputs), [output], name=output, **attributes)
        stamp(made, self.node, self.opset)
        self.nodes.append(made)
        return output

    def inner(self, suffix: str) -> str:
        """A name for a tensor inside the current node."""
        assert self.node is not None
        return f"{self.node.name}.{suffix}"

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        array = np.asarray(value, dtype, order="C")  # a scalar stays one
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, suffix: str, values: Sequence[int]) -> str:
        """A constant of int64 inside the current node: shapes, axes, indices."""
        return self.constant(self.inner(suffix), list(values), np.int64)

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


def value_info(name: str, shape: Sequence[int], dtype: str) -> onnx.ValueInfoProto:
    """The type of a tensor (batch, *shape)."""
    return helper.make_tensor_value_info(name, _ELEMENT[dtype], [BATCH, *shape])


def sides(pads: Sequence[tuple[int, int]]) -> list[int]:
    """All begins, then all ends, as ONNX has it."""
    return [*(b for b, _ in pads), *(e for _, e in pads)]


def padded(e: Emitter, inputs: list[str], borders: Sequence[int], value: float, output: str = "") -> str:
    """The first input with borders of a value, batch and channels left alone; `output` or a tensor inside the node."""
    half = len(borders) // 2
    everywhere = [0, 0, *borders[:half], 0, 0, *borders[half:]]
    amounts = e.integers("borders", everywhere)
    return e.op("Pad", [*inputs, amounts, e.constant(e.inner("border"), value)], output or e.inner("padded"))
