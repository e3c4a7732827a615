"""Verifies an import: runs the model on onnxruntime and the network in NumPy on the same random input.

In: an `ImportedNetwork`, and the path of the model. Out: an `Agreement`. Raises CnncError E820 where outputs differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.onnx.emit.network_outputs import exact_outputs, outputs_with_errors
from cnnc.onnx.emit.tolerance import ATOL, RTOL, Reference
from cnnc.onnx.emit.verify import sample_feeds
from cnnc.onnx.importer.importer import ImportedNetwork
from cnnc.onnx.importer.read.model import OnnxModel, described
from cnnc.onnx.importer.reference_evaluator import MAX_MACS, is_right_for, node_beyond_onnxruntime, run_reference
from cnnc.onnx.run.segments import RunnableModel, run_in_segments
from cnnc.onnx.wire_format import MIN_LARGE_BYTES
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from cnnc.reference.parallel.threads import one_blas_thread

MAX_ACTIVATION_BYTES = 2**33  # of all layer outputs of one run: a model can declare any sizes
_REPORT = "internal error, please report it with the model; no file was written"


class Agreement(NamedTuple):
    """How closely the outputs agree.

    `difference` is the absolute difference of the element that differs most relative to `allowed`, `scale` the largest
    magnitude of that `output`; `reason` says why nothing was compared. The field names are keys of `cnnc import --json`.
    """

    compared: bool
    difference: float = 0.0
    scale: float = 0.0
    reason: str = ""
    allowed: float = 0.0
    output: str = ""

    @property
    def share(self) -> float:
        """The difference relative to what is allowed."""
        return self.difference / self.allowed if self.allowed else 0.0


def verify_import(imported: ImportedNetwork, path: Path) -> Agreement:
    """Runs the model and the network on the same input. Raises CnncError E820 where an output differs."""
    graph = imported.network.require_graph()
    first_size = next((p.shape[0] for p in imported.model.inputs if p.shape), 2)
    batch = first_size if isinstance(first_size, int) else 2
    needed = batch * sum(node.type.bytes for node in graph.nodes)
    if needed > MAX_ACTIVATION_BYTES:
        return Agreement(False, reason=f"its layer outputs for a batch of {batch:,} take {needed / 1e9:,.1f} GB")
    feeds = sample_feeds(graph, batch)
    model_names = {name: model_name for model_name, name in imported.inputs.items()}
    model_feeds = {model_names[name]: array for name, array in feeds.items()}
    for name in imported.channels_last & model_feeds.keys():
        model_feeds[name] = np.ascontiguousarray(np.moveaxis(model_feeds[name], 1, -1))
    node = node_beyond_onnxruntime(imported.model)
    if node is not None and (not is_right_for(node) or batch * graph.total_macs > MAX_MACS):
        reason = f"onnxruntime does not compute {described(node.name, node.op)}, with auto_pad and dilations, as ONNX defines it"
        return Agreement(False, reason=f"{reason}; export the model with pads instead of auto_pad to verify it")
    try:
        if node is not None:
            expected_outputs = run_reference(_complete(imported.model), imported.model, model_feeds)
        else:
            expected_outputs = _outputs_of(imported.model, path.name, model_feeds)
    except (CnncError, ValueError) as error:
        return Agreement(False, reason=error.diagnostics[0].message if isinstance(error, CnncError) else str(error))
    with one_blas_thread():
        trace = forward(graph, imported.weights, feeds)
        worst = Agreement(True)
        for name, model_name, expected in zip(imported.outputs, imported.model.outputs, expected_outputs, strict=True):
            output = to_channels_first(trace.values[name])
            expected = np.moveaxis(expected, -1, 1) if model_name in imported.channels_last else expected
            if output.shape != expected.shape:
                theirs, ours = ("x".join(map(str, a.shape)) for a in (expected, output))
                message = (
                    f"the output {model_name} has the shape {theirs} in the model and {ours} in the imported network"
                )
                raise CnncError.of("E820", message, help=_REPORT)
            agreement = _agreement(output, expected)
            if not agreement.share <= 1:
                agreement = _agreement_of_float32(imported, feeds, name, output, expected)
            if not agreement.share <= 1:
                message = (
                    f"the output {model_name} of the imported network differs from the model's by "
                    f"{agreement.difference:.3g}, where {agreement.allowed:.3g} is allowed, with values up to "
                    f"{agreement.scale:.3g}"
                )
                raise CnncError.of("E820", message, help=_REPORT)
            agreement = agreement._replace(output=model_name)
            worst = max(worst, agreement, key=lambda a: a.share) if worst.output else agreement
    return worst


def _agreement(output: Array, expected: Array) -> Agreement:
    """With the tolerance of float32 for a tensor."""
    scale = float(np.abs(expected).max(initial=0))
    difference = float(np.abs(output.astype(np.float64) - expected).max(initial=0))
    return Agreement(True, difference, scale, allowed=ATOL + RTOL * scale)


def _agreement_of_float32(
    imported: ImportedNetwork, feeds: dict[str, Array], name: str, output: Array, expected: Array
) -> Agreement:
    """With what rounding costs in this network: it may amplify the rounding of its first layers."""
    graph = imported.network.require_graph()
    reference = Reference.of(exact_outputs(graph, imported.weights, feeds)[name], output)
    with_errors = outputs_with_errors(graph, imported.weights, feeds)[name]
    d = reference.run_deviation(name, output, expected, with_errors)
    return Agreement(True, d.difference, d.scale, allowed=d.allowed)


def _outputs_of(model: OnnxModel, name: str, feeds: dict[str, Array]) -> list[Array]:
    """The model's outputs on onnxruntime, which opens no file: it gets the constants that have been read. Raises E604."""
    content = {n: array for n, array in model.constants.items() if array.nbytes >= MIN_LARGE_BYTES}
    runnable = RunnableModel(_complete(model), content, name)
    computed = {n: values[0] for n, values in run_in_segments(runnable, [feeds], model.outputs)}
    return [{**model.constants, **feeds, **computed}[output] for output in model.outputs]


def _complete(model: OnnxModel) -> onnx.ModelProto:
    """The message with the external data of small initializers and of attributes inside."""
    for tensor in model.message.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL and model.constants[tensor.name].nbytes < MIN_LARGE_BYTES:
            tensor.CopyFrom(numpy_helper.from_array(model.constants[tensor.name], tensor.name))
    for proto_node, node in zip(model.message.graph.node, model.nodes, strict=True):
        for attribute in proto_node.attribute:
            is_tensor = attribute.type == onnx.AttributeProto.TENSOR
            if is_tensor and attribute.t.data_location == onnx.TensorProto.EXTERNAL:
                attribute.t.CopyFrom(numpy_helper.from_array(node.get(attribute.name)))
    return model.message
