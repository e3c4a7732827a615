"""Gradients of spectrograms: of the input only, as the numbers of the layer are fixed."""

from __future__ import annotations

from cnnc.graph.graph import Node
from cnnc.onnx.train_step.ops.conv import input_gradient
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.spectrogram import Spectrogram
from cnnc.ops.window import Geometry


@backward_of(Spectrogram)
def _spectrogram(e: StepEmitter, op: Spectrogram, node: Node, at: Passed) -> TensorGradients:
    """Back through Log, the mel Conv, the squares and the two convolutions; the forward pass holds their results."""
    (x,) = e.graph.input_types(node)
    g, name = Geometry.of(op.rules(x)), node.name
    gradient = e.reshape(at.gradient, 0, x.channels * op.height, -1)  # (N, C·F, M)
    if op.log:
        raised = f"{name}.mel" if op.mels is not None else f"{name}.raised"
        gradient = e.new("Div", gradient, raised)
    if op.mels is not None:
        gradient = e.new("ConvTranspose", gradient, f"{name}.mel.kernel", group=x.channels, kernel_shape=(1,))
    parts = []
    for part in ("cosine", "sine"):
        slope = e.new("Mul", e.new("Mul", gradient, f"{name}.{part}"), e.number(2.0))
        parts.append(input_gradient(e, slope, f"{name}.{part}.kernel", g, x.spatial, x.channels))
    return TensorGradients((e.new("Add", *parts),))
