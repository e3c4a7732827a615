"""Gradients of pooling."""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

from cnnc.graph.graph import Node
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.pool import Pool


@backward_of(Pool)
def _pool(e: StepEmitter, op: Pool, node: Node, at: Passed) -> TensorGradients:
    """Of a maximum: each gradient is added at the index that MaxPool returns as its second output."""
    (maximum,) = (n for n in e.nodes if n.output[0] == at.output)
    if len(maximum.output) == 1:
        maximum.output.append(e.inner_name("indices"))
    shape = e.new("Shape", at.inputs[0])
    size = e.new("ReduceProd", shape, keepdims=1)
    zeros = e.new("ConstantOfShape", size, value=numpy_helper.from_array(np.zeros(1, np.float32)))
    indices, updates = e.reshape(maximum.output[1], -1), e.reshape(at.gradient, -1)
    kind = {"reduction": "add"} if op.overlaps else {}
    return TensorGradients(
        (e.new("Reshape", e.new("ScatterElements", zeros, indices, updates, axis=0, **kind), shape),)
    )
