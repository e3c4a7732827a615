"""What the importer's tests share: models made by hand, trips there and back, graphs compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cnnc.core.arrays import Array, Weights
from cnnc.graph.graph import Graph
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import run_passes
from cnnc.onnx.importer.importer import ImportedNetwork, convert_model
from cnnc.onnx.importer.read.model import model_from_proto
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first

Shape = Sequence[Any]


def exported(graph: Graph, weights: Weights, opset: int = 17) -> onnx.ModelProto:
    """The model of a network, without metadata: an importer that read the source from there would find none."""
    return emit(*run_passes(graph, weights), {}, opset)


def imported(model: onnx.ModelProto, name: str = "net", **options: Any) -> ImportedNetwork:
    return convert_model(model_from_proto(model, None), f"{name}.onnx", f"{name}.cnn", **options)


def outputs(graph: Graph, weights: Weights, feeds: Mapping[str, Array]) -> list[Array]:
    trace = forward(graph, weights, feeds)
    return [to_channels_first(trace.values[name]) for name in graph.outputs]


def signature(proto: onnx.ModelProto) -> tuple[list[int], Counter[str], Counter[int]]:
    """A graph but for its names and order: its outputs by how they are made, its operators, its initializers."""
    model = model_from_proto(proto, None)
    made: dict[str, int] = {"": 0}
    for place, port in enumerate(model.inputs):
        made[port.name] = hash((place, port.dtype, port.shape))
    made |= {name: hash((a.dtype.str, a.shape, a.tobytes())) for name, a in model.constants.items()}
    for node in model.nodes:
        values = ((k, v.tobytes() if isinstance(v, np.ndarray) else v) for k, v in node.attributes.items())
        head = node.op, tuple(sorted(values)), tuple(made[name] for name in node.inputs)
        made |= {output: hash((place, *head)) for place, output in enumerate(node.outputs)}
    operators = Counter(node.op for node in model.nodes)
    return [made[name] for name in model.outputs], operators, Counter(made[name] for name in model.constants)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    constants: Mapping[str, Any] = {},
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model by hand; numbers without a type of their own become float32, lists of whole numbers int64."""
    graph = helper.make_graph(
        list(nodes),
        "by_hand",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(_array(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    """A node; `x w` are two inputs, `-` one that is left out."""
    names = [n.replace("-", "") for n in inputs.split()]
    return helper.make_node(op, names, outputs.split(), name=f"node_{outputs.split()[0]}", **attributes)


def _array(value: Any) -> Array:
    array = np.asarray(value)
    return array if array.dtype != np.float64 else array.astype(np.float32)


def statements(found: ImportedNetwork) -> str:
    """The text without its head and claims, statements parted by `; `."""
    lines = [line.strip() for line in found.source.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("#", "net ", "expect "))]
    return "; ".join(kept)
