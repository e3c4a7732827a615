"""Gradients of fixed filters."""

from __future__ import annotations

import numpy as np

from cnnc.graph.graph import Node
from cnnc.onnx.train_step.ops.conv import single_channel_adjoint
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.filter import Filter
from cnnc.ops.window import Geometry


@backward_of(Filter)
def _filter(e: StepEmitter, op: Filter, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    g = Geometry.of(op.rules(x))
    return TensorGradients((single_channel_adjoint(e, at.gradient, np.asarray(op.kernel()), g, x),))
