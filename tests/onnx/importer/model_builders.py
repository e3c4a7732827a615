"""Helpers of the importer's tests: builds ONNX models, exports and imports in memory, compares ONNX graphs."""

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
from cnnc.onnx.run.session import Session
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first

Shape = Sequence[Any]


def export_graph(graph: Graph, weights: Weights, opset: int = 17) -> onnx.ModelProto:
    """Exports a graph without metadata, so that the importer cannot take the source from there."""
    return emit(*run_passes(graph, weights), {}, opset)


def import_proto(model: onnx.ModelProto, name: str = "net", **options: Any) -> ImportedNetwork:
    """Imports a model in memory, under the name of a file."""
    return convert_model(model_from_proto(model, None), f"{name}.onnx", f"{name}.cnn", **options)


def outputs(graph: Graph, weights: Weights, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs of a graph in NumPy, channels first."""
    trace = forward(graph, weights, feeds)
    return [to_channels_first(trace.values[name]) for name in graph.outputs]


def in_model_layout(array: Array, name: str, imported: ImportedNetwork) -> Array:
    """A channels-first array in the layout that an input or output has in the model."""
    return np.moveaxis(array, 1, -1) if name in imported.channels_last else array


def graph_signature(proto: onnx.ModelProto) -> tuple[list[int], Counter[str], Counter[int]]:
    """A key that is equal for graphs that differ only in names and order.

    Consists of hashes of how each output is computed, the count of each operator, and the count of each initializer.
    """
    model = model_from_proto(proto, None)
    hashes: dict[str, int] = {"": 0}
    for position, model_input in enumerate(model.inputs):
        hashes[model_input.name] = hash((position, model_input.dtype, model_input.shape))
    hashes |= {name: hash((a.dtype.str, a.shape, a.tobytes())) for name, a in model.constants.items()}
    for node in model.nodes:
        values = ((k, v.tobytes() if isinstance(v, np.ndarray) else v) for k, v in node.attributes.items())
        head = node.op, tuple(sorted(values)), tuple(hashes[name] for name in node.inputs)
        hashes |= {output: hash((position, *head)) for position, output in enumerate(node.outputs)}
    operators = Counter(node.op for node in model.nodes)
    return [hashes[name] for name in model.outputs], operators, Counter(hashes[name] for name in model.constants)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    constants: Mapping[str, Any] = {},
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of these nodes; Python floats become float32 constants, lists of integers int64."""
    graph = helper.make_graph(
        list(nodes),
        "by_hand",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(_array(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    """A node; inputs are separated by spaces, and `-` leaves one out."""
    names = [n.replace("-", "") for n in inputs.split()]
    return helper.make_node(op, names, outputs.split(), name=f"node_{outputs.split()[0]}", **attributes)


def _array(value: Any) -> Array:
    array = np.asarray(value)
    return array if array.dtype != np.float64 else array.astype(np.float32)


def source_statements(imported: ImportedNetwork) -> str:
    """The statements of the source on one line, separated by `; `, without comments, `net` and `expect`."""
    lines = [line.strip() for line in imported.source.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("#", "net ", "expect "))]
    return "; ".join(kept)


def imported_statements(proto: onnx.ModelProto, **options: Any) -> str:
    """Imports a model, checks that the network computes what onnxruntime computes, and returns its statements."""
    result = import_proto(proto, **options)
    graph = result.network.require_graph()
    feeds = {}
    for port in result.model.inputs:
        shape = [3, *graph.by_name[result.inputs[port.name]].type.shape]
        random = np.random.default_rng(1)
        if port.shape and isinstance(port.shape[0], int):
            shape[0] = port.shape[0]
        feeds[port.name] = (
            random.normal(size=shape).astype(np.float32)
            if port.dtype == "float32"
            else random.integers(0, 5, shape).astype(port.dtype)
        )
    expected = Session(proto.SerializeToString(), "model", "cpu", optimize=False).run(
        {name: in_model_layout(array, name, result) for name, array in feeds.items()}
    )
    trace = forward(graph, result.weights, {result.inputs[name]: a for name, a in feeds.items()})
    for name, model_name, array in zip(result.outputs, result.model.outputs, expected, strict=True):
        output = in_model_layout(to_channels_first(trace.values[name]), model_name, result)
        np.testing.assert_allclose(output, array, rtol=1e-4, atol=1e-5)
    return source_statements(result)
