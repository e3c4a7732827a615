"""Transposed convolution: the adjoint of the convolution that leads from its output to its input.

Its forward is that convolution's input gradient, its input gradient that convolution's forward, and the weight
gradient is the same with input and output exchanged (Dumoulin & Visin 2016, section 4). The weight (C, O/groups, kh,
kw) is that convolution's weight as it stands: the convolution maps O channels to C.

    conv_transpose 32 k=2 s=2 on 64x7x7: x (N, 7, 7, 64), weight (64, 32, 2, 2), output (N, 14, 14, 32);
    the convolution behind it is conv 64 k=2 s=2 on 32x14x14
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.conv import ConvTranspose
from cnnc.reference.conv import convolve, input_gradient, weight_gradient
from cnnc.reference.kernels.channelwise import Bias, channel_sum
from cnnc.reference.kernels.windows import geometry_of
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of


@cache
def _output_sizes(op: ConvTranspose, spatial: Axes) -> Axes:
    return tuple(rule.out for rule in op.rules(TensorType((1, *spatial))))


@forward_of(ConvTranspose, fresh_output=True)
def conv_transpose(op: ConvTranspose, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """ONNX ConvTranspose."""
    (x,) = inputs
    spatial = x.shape[1:-1]
    g, out = geometry_of(op, spatial), _output_sizes(op, spatial)
    y = input_gradient(np.ascontiguousarray(x), weights["weight"], g, out, op.groups)
    if op.bias:
        Bias(weights["bias"]).add_to(y)
    return Outcome(y, x)


@backward_of(ConvTranspose)
def conv_transpose_backward(
    op: ConvTranspose, weights: Mapping[str, Array], x: Array, gradient: Array, needs_dx: bool
) -> Gradients:
    g = geometry_of(op, x.shape[1:-1])
    gradient = np.ascontiguousarray(gradient)
    dx = convolve(gradient, weights["weight"], g, op.groups) if needs_dx else None
    if op.frozen:
        return Gradients((dx,))
    weight_gradients = {"weight": weight_gradient(gradient, np.ascontiguousarray(x), g, op.groups)}
    if op.bias:
        weight_gradients["bias"] = channel_sum(gradient).astype(gradient.dtype)
    return Gradients((dx,), weight_gradients)
