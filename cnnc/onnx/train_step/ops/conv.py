"""Gradients of convolutions and transposed convolutions.

weight gradient   a Conv of the input with the output's gradient as its kernel, the batch summed as if it were channels;
                  what was the stride is the dilation, and the other way round
input gradient    a ConvTranspose of the output's gradient with the same weight
bias gradient     the sum over the batch and all positions

conv 16 k=5 on 6x14x14: the input as (6, N, 14, 14), the gradient as (16, N, 10, 10): a Conv to (6, 16, 5, 5)
"""

from __future__ import annotations

from math import prod

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Node
from cnnc.onnx.emit.padding import onnx_pads
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.window import Geometry, effective

FEW_TAPS = 9  # taps of a weight up to which matrix products are faster than the convolution
MANY_CHANNELS = 8  # channels from which one product for each tap is faster than copying the taps side by side


@backward_of(Conv)
def _conv(e: StepEmitter, op: Conv, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    g = Geometry.of(op.rules(x))
    weight = e.weight("weight")
    dx = None
    if at.needed[0]:
        dx = input_gradient(e, at.gradient, e.rotate(weight, x.rank) if op.flip else weight, g, x.spatial, op.groups)
    if not at.trains:
        return TensorGradients((dx,))
    dweight = weight_gradient(e, at.inputs[0], at.gradient, x, g, op.out, op.groups)
    gradients = {"weight": e.rotate(dweight, x.rank) if op.flip else dweight}
    if op.bias:
        gradients["bias"] = e.reduce("Sum", at.gradient, [0, *range(2, 2 + x.rank)])
    return TensorGradients((dx,), gradients)


@backward_of(ConvTranspose)
def _conv_transpose(e: StepEmitter, op: ConvTranspose, node: Node, at: Passed) -> TensorGradients:
    """The adjoint of the convolution that leads from its output to its input, whose weight it has."""
    (x,) = e.graph.input_types(node)
    g = Geometry.of(op.rules(x))
    dx = convolve(e, at.gradient, e.weight("weight"), g, op.groups) if at.needed[0] else None
    if not at.trains:
        return TensorGradients((dx,))
    gradients = {"weight": weight_gradient(e, at.gradient, at.inputs[0], node.type, g, x.channels, op.groups)}
    if op.bias:
        gradients["bias"] = e.reduce("Sum", at.gradient, [0, *range(2, 2 + x.rank)])
    return TensorGradients((dx,), gradients)


def convolve(e: StepEmitter, x: str, weight: str, g: Geometry, groups: int) -> str:
    """A convolution without a bias."""
    windows = {"kernel_shape": g.k, "strides": g.s, "dilations": g.d, "pads": onnx_pads(g.pads)}
    return e.new("Conv", x, weight, group=groups, **windows)


def input_gradient(
    e: StepEmitter, gradient: str, weight: str, g: Geometry, spatial: tuple[int, ...], groups: int
) -> str:
    """The gradient (N, C, *spatial) of a convolution's input."""
    unread = [
        m + b + end - (out - 1) * s - effective(k, d)
        for m, (b, end), out, s, k, d in zip(spatial, g.pads, g.out, g.s, g.k, g.d, strict=True)
    ]
    return e.new(
        "ConvTranspose",
        gradient,
        weight,
        kernel_shape=g.k,
        strides=g.s,
        dilations=g.d,
        group=groups,
        pads=onnx_pads(g.pads),
        output_padding=unread,
    )


def weight_gradient(
    e: StepEmitter, image: str, gradient: str, x: TensorType, g: Geometry, outputs: int, groups: int
) -> str:
    """The gradient (O, C/groups, *k) of a convolution's weight; x is the type of the image."""
    depthwise = groups > 1 and groups == x.channels
    method = _by_columns if prod(g.k) <= FEW_TAPS and not depthwise else _by_convolution
    return method(e, image, gradient, x, g, outputs, groups)


def _by_columns(
    e: StepEmitter, image: str, gradient: str, x: TensorType, g: Geometry, outputs: int, groups: int
) -> str:
    """For each tap and sample a matrix product of the gradient with the elements that the tap reads; and their sums."""
    rank, positions = x.rank, prod(g.out)
    taps = []
    if g.padded:
        begins, ends = zip(*g.pads, strict=True)
        image = e.new("Pad", image, e.sizes(0, 0, *begins, 0, 0, *ends), e.number(0))
    for index in np.ndindex(*g.k):
        firsts = [i * d for i, d in zip(index, g.d, strict=True)]
        lasts = [first + (out - 1) * s + 1 for first, out, s in zip(firsts, g.out, g.s, strict=True)]
        whole = prod(g.k) == 1 and lasts == list(g.padded_sizes(x.spatial))
        tap = image if whole else e.slice(image, firsts, lasts, range(2, 2 + rank), g.s)
        taps.append(e.reshape(tap, -1, groups, x.channels // groups, positions))
    by_group = e.reshape(gradient, -1, groups, outputs // groups, positions)
    if x.channels // groups < MANY_CHANNELS:  # one wide product, (N, G, k·C/G, P)
        taps = [e.new("Concat", *taps, axis=2)] if len(taps) > 1 else taps
    products = [e.new("MatMul", by_group, e.new("Transpose", tap, perm=[0, 1, 3, 2])) for tap in taps]
    sums = [e.reduce("Sum", product, [0], keepdims=True) for product in products]  # (1, G, O/G, C/G or k·C/G)
    total = e.new("Concat", *sums, axis=0) if len(sums) > 1 else sums[0]
    by_tap = e.reshape(total, len(sums), outputs, -1, x.channels // groups)  # one of axes 0 and 2 is the taps
    return e.reshape(e.new("Transpose", by_tap, perm=[1, 3, 0, 2]), outputs, x.channels // groups, *g.k)


def _by_convolution(
    e: StepEmitter, image: str, gradient: str, x: TensorType, g: Geometry, outputs: int, groups: int
) -> str:
    """A Conv of the image with the gradient as its kernel, the batch in place of the channels."""
    rank, spatial = x.rank, range(2, 2 + x.rank)
    if groups > 1:
        # (N, G, C/G, *spatial) to (C/G, G, N, *spatial) to (C/G, G·N, *spatial)
        parts = e.reshape(image, -1, groups, x.channels // groups, *x.spatial)
        swapped = e.new("Transpose", parts, perm=[2, 1, 0, *range(3, 3 + rank)])
        image = e.reshape(swapped, x.channels // groups, -1, *x.spatial)
    else:
        image = e.new("Transpose", image, perm=[1, 0, *spatial])  # (C, N, *spatial)
    kernel = e.new("Transpose", gradient, perm=[1, 0, *spatial])  # (O, N, *out)
    windows = {"kernel_shape": g.out, "strides": g.d, "dilations": g.s, "pads": onnx_pads(g.pads)}
    full = e.new("Conv", image, kernel, group=groups, **windows)
    # elements that no window reads let the kernel of the gradient move further than the taps of the weight
    return e.new("Transpose", e.slice(full, [0] * rank, g.k, spatial), perm=[1, 0, *spatial])


def single_channel_adjoint(e: StepEmitter, gradient: str, kernel: Array, g: Geometry, x: TensorType) -> str:
    """The adjoint (N, C, *spatial) of a convolution of each channel with the same kernel; x is the type of its input.

    The channels join the batch, as a ConvTranspose with one group per channel takes far longer.
    """
    images = e.reshape(gradient, -1, 1, *g.out)
    weight = e.constant(e.inner_name("kernel"), kernel.reshape(1, 1, *g.k))
    return e.reshape(input_gradient(e, images, weight, g, x.spatial, 1), -1, x.channels, *x.spatial)
