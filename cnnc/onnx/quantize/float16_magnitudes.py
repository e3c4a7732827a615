"""How large the tensors of a float32 model become.

Input: the model, and feeds. Output: `Magnitudes`, and some tensors of the model for the first feeds. Example:
`largest["conv1"]` is 12.5 if the elements of conv1 lie between -12.5 and 8.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cnnc.core.arrays import Array
from cnnc.onnx.emit.verify import with_outputs
from cnnc.onnx.quantize.float16_conversion import is_float
from cnnc.onnx.quantize.placement import tensor_shapes
from cnnc.onnx.run.session import Session, batch_slices

NORMALIZATIONS = ("InstanceNormalization", "LayerNormalization")
# Operators whose result is bounded by their input, which need not be measured.
_BOUNDED = ("Flatten", "Reshape", "Transpose", "Identity", "Relu", "MaxPool", "GlobalMaxPool", "DepthToSpace")
BATCH = 16  # examples at a time


class Magnitudes(NamedTuple):
    """The largest magnitude of each float tensor by name, and for each normalization by node name the largest sum of
    squares that it takes."""

    largest: Mapping[str, float]
    squares: Mapping[str, float]


def measure(
    model: onnx.ModelProto, feeds: Mapping[str, Array], others: Iterable[Mapping[str, Array]], names: Sequence[str]
) -> tuple[dict[str, Array], Magnitudes]:
    """The tensors `names` of the model for `feeds`, and the magnitudes over `feeds` and all `others`."""
    probes = _Probes(model)
    session = Session(probes.model(names).SerializeToString(), "the model", "cpu", optimize=False)
    outputs: dict[str, list[Array]] = {name: [] for name in names}
    for given in chain([feeds], others):
        wanted = names if given is feeds else ()
        numbers = list(dict.fromkeys([*wanted, *probes.outputs]))
        for part in batch_slices(len(next(iter(given.values()))), session.batch or BATCH):
            values = dict(zip(numbers, session.run({n: a[part] for n, a in given.items()}, numbers), strict=True))
            probes.update(values)
            for name in wanted:
                outputs[name].append(values[name])
    return {name: np.concatenate(parts) for name, parts in outputs.items()}, probes.magnitudes()


class _Probes:
    """Nodes that measure a model: the largest and smallest element of its float tensors, and sums of squares.

    Only these numbers leave the model, so that no activation has to be kept.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.source = model
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, str] = {}  # by output: the tensor that it measures
        self.norms: dict[str, str] = {}  # by output: the normalization whose squares it adds
        self.same: dict[str, str] = {}  # tensors of the elements of another tensor
        self.largest: dict[str, float] = {}  # by output
        graph, shapes = model.graph, tensor_shapes(model.graph)
        floats = [info.name for info in (*graph.input, *graph.value_info, *graph.output) if is_float(info)]
        infinite = {t.name for t in graph.initializer if not t.dims and np.isinf(numpy_helper.to_array(t))}
        for node in graph.node:
            is_bounded = node.op_type in _BOUNDED or (node.op_type == "Pad" and node.input[2] in infinite)
            if is_bounded and node.output[0] in floats:
                self.same[node.output[0]] = node.input[0]
            elif node.op_type in NORMALIZATIONS:
                self.norms[self._add("ReduceMax", self._squares(node, len(shapes[node.input[0]])))] = node.name
        for name in floats:
            if name not in self.same:
                self.tensors |= {self._add(operator, name): name for operator in ("ReduceMax", "ReduceMin")}

    @property
    def outputs(self) -> list[str]:
        """The names of the measurements."""
        return [*self.tensors, *self.norms]

    def _add(self, operator: str, tensor: str) -> str:
        output = f"{tensor}.{operator}"
        self.nodes.append(helper.make_node(operator, [tensor], [output], keepdims=0))
        return output

    def _squares(self, node: onnx.NodeProto, rank: int) -> str:
        axes = list(range(2, rank)) if node.op_type == "InstanceNormalization" else [rank - 1]
        total, x = f"{node.name}.ReduceSumSquare", node.input[0]
        if opset(self.source) < 18:
            self.nodes.append(helper.make_node("ReduceSumSquare", [x], [total], axes=axes, keepdims=0))
        else:
            value = numpy_helper.from_array(np.array(axes, np.int64))
            self.nodes.append(helper.make_node("Constant", [], [f"{total}.axes"], value=value))
            self.nodes.append(helper.make_node("ReduceSumSquare", [x, f"{total}.axes"], [total], keepdims=0))
        return total

    def model(self, names: Iterable[str]) -> onnx.ModelProto:
        """The model with the tensors `names` and the measurements as outputs."""
        copy = with_outputs(self.source, list(names))
        copy.graph.node.extend(self.nodes)
        copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in self.outputs)
        return copy

    def update(self, values: Mapping[str, Array]) -> None:
        """Adds the measurements of a batch."""
        for output in self.outputs:
            number = abs(float(values[output]))
            self.largest[output] = max(self.largest.get(output, 0.0), math.inf if math.isnan(number) else number)

    def magnitudes(self) -> Magnitudes:
        """The magnitudes over all batches."""
        largest: dict[str, float] = {}
        for output, name in self.tensors.items():
            largest[name] = max(largest.get(name, 0.0), self.largest[output])
        for name, other in self.same.items():  # in graph order
            largest[name] = largest[other]
        return Magnitudes(largest, {node: self.largest[output] for output, node in self.norms.items()})


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators."""
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
