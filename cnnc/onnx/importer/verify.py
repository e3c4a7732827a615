"""The proof of an import: the model on onnxruntime beside the network in NumPy, on random input.

In: an `Imported`, and the model's file. Out: `Agreement`. Raises CnncError E820 where they differ.
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
from cnnc.onnx.importer.importer import Imported
from cnnc.onnx.importer.read.model import MAX_BYTES, parse
from cnnc.onnx.run.session import Session
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from cnnc.reference.parallel.threads import one_blas_thread

MAX_VALUES = 2**33  # bytes of all values of one run: a model can say any sizes


class Agreement(NamedTuple):
    """How far the outputs are apart, and of what size they are; `reason` says why they were not compared."""

    compared: bool
    difference: float = 0.0
    scale: float = 0.0
    reason: str = ""

    @property
    def relative(self) -> float:
        return self.difference / self.scale if self.scale else self.difference


def prove(imported: Imported, path: Path) -> Agreement:
    """Runs both on the same input. Raises CnncError E820 where an output differs."""
    graph = imported.network.require_graph()
    first = next((p.shape[0] for p in imported.model.inputs if p.shape), 2)
    batch = first if isinstance(first, int) else 2
    needed = batch * sum(node.type.bytes for node in graph.nodes)
    if needed > MAX_VALUES:
        return Agreement(False, reason=f"its values on a batch of {batch:,} take {needed / 1e9:,.1f} GB")
    feeds = sample_feeds(graph, batch)
    names = {name: was for was, name in imported.inputs.items()}
    try:
        session = Session(_whole(path, imported), path.name, "cpu", optimize=False)
        theirs = session.run({names[name]: a for name, a in feeds.items()}, list(imported.model.outputs))
    except (CnncError, ValueError) as error:
        reason = error.diagnostics[0].message if isinstance(error, CnncError) else str(error)
        return Agreement(False, reason=reason)
    with one_blas_thread():
        trace = forward(graph, imported.weights, feeds)
    worst = Agreement(True)
    for name, was, expected in zip(imported.outputs, imported.model.outputs, theirs, strict=True):
        found = to_channels_first(trace.values[name]).astype(np.float64)
        if found.shape != expected.shape:
            shapes = " and ".join("x".join(map(str, a.shape)) for a in (expected, found))
            raise CnncError.of("E820", f"the output {was} has the shapes {shapes} in the model and in the network")
        made = Agreement(True, float(np.abs(found - expected).max(initial=0)), float(np.abs(expected).max(initial=0)))
        if not made.difference <= ATOL + RTOL * made.scale:
            message = f"the output {was} differs by {made.difference:.3g} where values reach {made.scale:.3g}"
            raise CnncError.of("E820", message, help="please report it, with the model: no file was written")
        worst = max(worst, made, key=lambda a: a.relative)
    return worst


def _whole(path: Path, imported: Imported) -> bytes:
    """The model with all its weights within, as they were read: onnxruntime opens no other file."""
    proto = parse(read_bytes(path, MAX_BYTES), str(path))
    constants = imported.model.constants
    if sum(array.nbytes for array in constants.values()) > MAX_BYTES:
        raise ValueError("its weights are of more than 2 GB, which onnxruntime takes from files only")
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.CopyFrom(numpy_helper.from_array(constants[tensor.name], tensor.name))
    for node, step in zip(proto.graph.node, imported.model.steps, strict=True):
        for attribute in node.attribute:
            is_tensor = attribute.type == onnx.AttributeProto.TENSOR
            if is_tensor and attribute.t.data_location == onnx.TensorProto.EXTERNAL:
                attribute.t.CopyFrom(numpy_helper.from_array(step.get(attribute.name)))
    data: bytes = proto.SerializeToString()
    return data
