"""Emission of spectrograms, as convolutions whose kernels are the cosines and sines of the transform.

These are ordinary operators of every opset and runtime; ONNX's STFT is neither (opset 17, and few runtimes compute it).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import Emitter, emission_of
from cnnc.onnx.emit.ops.conv import padded_image
from cnnc.ops.spectrogram import Spectrogram
from cnnc.reference.spectrogram import transform_matrices


@emission_of(Spectrogram)
def _spectrogram(e: Emitter, op: Spectrogram, node: Node, inputs: list[str]) -> None:
    """Conv, Conv, two squares, Add; Conv for the mel bands; Add and Log; Reshape (N, C·F, M) to (N, C, F, M).

    The eps is the bias of the mel Conv, where there is one.
    """
    (x,) = e.graph.input_types(node)
    cosines, sines, mel = transform_matrices(op)
    image, pads = padded_image(e, inputs[0], lambda op: (op.p, op.k, op.s, (1,)))
    windows = {"kernel_shape": op.k, "strides": op.s, "dilations": (1,), "pads": pads}

    def convolved(name: str, tensor: str, matrix: Array, windows: Mapping[str, object], bias: float = 0.0) -> str:
        """Each channel convolved with the same kernels (rows, columns, k)."""
        kernel = e.constant(e.inner_name(f"{name}.kernel"), np.concatenate([matrix] * x.channels))
        offsets = [e.constant(e.inner_name(f"{name}.eps"), np.full(len(matrix) * x.channels, bias))] if bias else []
        return e.op("Conv", [tensor, kernel, *offsets], e.inner_name(name), group=x.channels, **windows)

    squares = []
    for name, matrix in (("cosine", cosines), ("sine", sines)):
        part = convolved(name, image, matrix[:, None], windows)
        squares.append(e.op("Mul", [part, part], e.inner_name(f"{name}.squared")))
    power = e.op("Add", squares, e.inner_name("power"))
    eps = op.eps if op.log else 0.0
    if mel is not None:
        point = {"kernel_shape": (1,), "strides": (1,), "dilations": (1,), "pads": (0, 0)}
        power = convolved("mel", power, mel[..., None], point, eps)
    elif eps:
        power = e.op("Add", [power, e.constant(e.inner_name("eps"), eps)], e.inner_name("raised"))
    if op.log:
        power = e.op("Log", [power], e.inner_name("log"))
    e.op("Reshape", [power, e.integers("shape", (0, x.channels, op.height, -1))])
