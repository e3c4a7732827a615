"""Verifies an import: runs the model on onnxruntime and the network in NumPy on the same random input.

In: an `ImportedNetwork`, and the path of the model. Out: an `Agreement`. Raises CnncError E820 where outputs differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from cnnc.core.files import read_bytes
from cnnc.diagnostics import CnncError
from cnnc.onnx.emit.verify import ATOL, RTOL, sample_feeds
from cnnc.onnx.importer.importer import ImportedNetwork
from cnnc.onnx.importer.read.model import described, parse
from cnnc.onnx.importer.reference_evaluator import MAX_MACS, node_beyond_onnxruntime, run_reference
from cnnc.onnx.run.inspect import MAX_MODEL_BYTES
from cnnc.onnx.run.session import Session
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from cnnc.reference.parallel.threads import one_blas_thread

MAX_ACTIVATION_BYTES = 2**33  # of all layer outputs of one run: a model can declare any sizes
_REPORT = "internal error, please report it with the model; no file was written"


class Agreement(NamedTuple):
    """How closely the outputs agree.

    `difference` is the largest absolute difference, `scale` the largest magnitude of that output; `reason` says why
    nothing was compared. The field names are keys of `cnnc import --json`.
    """

    compared: bool
    difference: float = 0.0
    scale: float = 0.0
    reason: str = ""

    @property
    def relative(self) -> float:
        """The difference relative to the largest magnitude."""
        return self.difference / self.scale if self.scale else self.difference


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
    if node is not None and (node.op != "Conv" or batch * graph.total_macs > MAX_MACS):
        reason = f"onnxruntime does not compute {described(node.name, node.op)}, with auto_pad and dilations, as ONNX defines it"
        return Agreement(False, reason=f"{reason}; export the model with pads instead of auto_pad to verify it")
    try:
        data = _self_contained(path, imported)
        if node is not None:
            expected_outputs = run_reference(parse(data, path.name), imported.model, model_feeds)
        else:
            session = Session(data, path.name, "cpu", optimize=False)
            expected_outputs = session.run(model_feeds, list(imported.model.outputs))
    except (CnncError, ValueError) as error:
        reason = error.diagnostics[0].message if isinstance(error, CnncError) else str(error)
        return Agreement(False, reason=reason)
    with one_blas_thread():
        trace = forward(graph, imported.weights, feeds)
    worst = Agreement(True)
    for name, model_name, expected in zip(imported.outputs, imported.model.outputs, expected_outputs, strict=True):
        output = to_channels_first(trace.values[name]).astype(np.float64)
        expected = np.moveaxis(expected, -1, 1) if model_name in imported.channels_last else expected
        if output.shape != expected.shape:
            theirs, ours = ("x".join(map(str, a.shape)) for a in (expected, output))
            message = f"the output {model_name} has the shape {theirs} in the model and {ours} in the imported network"
            raise CnncError.of("E820", message, help=_REPORT)
        agreement = Agreement(
            True, float(np.abs(output - expected).max(initial=0)), float(np.abs(expected).max(initial=0))
        )
        if not agreement.difference <= ATOL + RTOL * agreement.scale:
            message = (
                f"the output {model_name} of the imported network differs from the model's by {agreement.difference:.3g}, "
                f"with values up to {agreement.scale:.3g}"
            )
            raise CnncError.of("E820", message, help=_REPORT)
        worst = max(worst, agreement, key=lambda a: a.relative)
    return worst


def _self_contained(path: Path, imported: ImportedNetwork) -> bytes:
    """The model, serialized with its external data inside, so that onnxruntime opens no other file.

    Raises ValueError above protobuf's limit of 2 GB.
    """
    proto = parse(read_bytes(path, MAX_MODEL_BYTES), str(path))
    constants = imported.model.constants
    if sum(array.nbytes for array in constants.values()) > MAX_MODEL_BYTES:
        raise ValueError("its weights take more than 2 GB, too much to verify in memory")
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.CopyFrom(numpy_helper.from_array(constants[tensor.name], tensor.name))
    for proto_node, node in zip(proto.graph.node, imported.model.nodes, strict=True):
        for attribute in proto_node.attribute:
            is_tensor = attribute.type == onnx.AttributeProto.TENSOR
            if is_tensor and attribute.t.data_location == onnx.TensorProto.EXTERNAL:
                attribute.t.CopyFrom(numpy_helper.from_array(node.get(attribute.name)))
    data: bytes = proto.SerializeToString()
    return data
