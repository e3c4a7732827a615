"""What each layer computes on PyTorch: a table of forward functions, keyed by op class. Autograd differentiates them.

In: the op, its parameters by short name, its inputs, and `LayerMode`. Out: the layer's output. Tensors are channels first,
(N, C, *spatial); weights have the shapes that ONNX gives them.

    @forward_of(Relu)
    def relu(op: Relu, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor: ...

Numbers that a layer needs beside its parameters, such as the kernel of a filter, are its constants; `constants_of` registers
the function that computes them once, before the first step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.activation import (
    Abs,
    Clip,
    Dropout,
    DropPath,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    HardTanh,
    Identity,
    LeakyRelu,
    LogSoftmax,
    Mish,
    Prelu,
    Relu,
    Relu6,
    Scale,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Bilinear, Fc
from cnnc.ops.filter import Filter
from cnnc.ops.local import Local
from cnnc.ops.merge import Add, Concat, Maximum, Mul, Sub
from cnnc.ops.norm import Affine, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, Normalize
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool, Upsample
from cnnc.ops.reshape import ChannelShuffle, Crop, DepthToSpace, Flatten, Pad, Reshape, Select, Slice, SpaceToDepth
from cnnc.ops.sequence import Embed
from cnnc.ops.window import Geometry
from cnnc.torch import functions

Tensors = Mapping[str, Tensor]
Inputs = tuple[Tensor, ...]

Statistics = tuple[Tensor, Tensor]
"""Mean and variance of each channel over the batch."""

Normalizer = Callable[..., tuple[Tensor, Tensor, Tensor]]
"""(x, scale, shift, eps) -> (x normalized over the batch, mean, variance), as `functions.batch_norm`."""


class LayerMode(NamedTuple):
    """How a forward function is to run.

    `kept` tells which elements a layer that drops some keeps; without it, PyTorch's generator of the device decides.
    `normalize` normalizes over the batch; batch norm adds what it measures to `statistics`.
    """

    training: bool
    kept: Tensor | None
    normalize: Normalizer
    statistics: list[Statistics]


TorchForward = Callable[[Any, Tensors, Inputs, LayerMode], Tensor]
"""(op, parameters, buffers and constants by short name, inputs, mode) -> output"""

Constants = Callable[[Any, tuple[TensorType, ...]], Mapping[str, Array]]
"""(op, types of its inputs) -> constants by short name"""

FORWARDS: dict[type[Op], TorchForward] = {}
CONSTANTS: dict[type[Op], Constants] = {}

Fw = TypeVar("Fw", bound=TorchForward)


def forward_of(*ops: type[Op]) -> Callable[[Fw], Fw]:
    """Registers the forward function of these layers."""

    def register(function: Fw) -> Fw:
        FORWARDS.update(dict.fromkeys(ops, function))
        return function

    return register


def constants_of(*ops: type[Op]) -> Callable[[Constants], Constants]:
    """Registers the function that computes the constants of these layers."""

    def register(function: Constants) -> Constants:
        CONSTANTS.update(dict.fromkeys(ops, function))
        return function

    return register


def type_of(x: Tensor) -> TensorType:
    """The language's type (C, *spatial) of a tensor (N, C, *spatial)."""
    return TensorType(tuple(x.shape[1:]))


def geometry_of(op: Any, x: Tensor) -> Geometry:
    """Where the windows of a layer lie in an input."""
    return Geometry.of(op.rules(type_of(x)))


# --- convolutions and matrix products --------------------------------------------------------------------------------


@forward_of(Conv)
def conv(op: Conv, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,) = inputs
    weight, g = weights["weight"], geometry_of(op, x)
    if op.flip:
        weight = weight.flip(tuple(range(2, weight.dim())))
    return functions.conv(x, weight, weights.get("bias"), g.s, g.pads, g.d, op.groups)


@forward_of(ConvTranspose)
def conv_transpose(op: ConvTranspose, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,) = inputs
    pads = [(rule.begin, rule.end) for rule in op.rules(type_of(x))]
    bias = weights.get("bias")
    return functions.conv_transpose(x, weights["weight"], bias, op.s, pads, op.output_pad, op.d, op.groups)


@forward_of(Local)
def local(op: Local, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    g = geometry_of(op, inputs[0])
    return functions.local(inputs[0], weights["weight"], weights.get("bias"), g.s, g.pads, g.d)


@constants_of(Filter)
def filter_kernel(op: Filter, inputs: tuple[TensorType, ...]) -> Mapping[str, Array]:
    return {"kernel": np.asarray(op.kernel(), np.float64)}


@forward_of(Filter)
def filtered(op: Filter, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,) = inputs
    kernel, g, channels = weights["kernel"], geometry_of(op, x), x.shape[1]
    weight = kernel.expand(channels, 1, *kernel.shape)
    return functions.conv(x, weight, None, g.s, g.pads, g.d, channels)


@forward_of(Fc)
def fc(op: Fc, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return F.linear(inputs[0].flatten(1), weights["weight"], weights.get("bias"))


@forward_of(Bilinear)
def bilinear(op: Bilinear, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return functions.bilinear(*inputs, weights["weight"])


@forward_of(Embed)
def embed(op: Embed, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return F.embedding(inputs[0], weights["weight"]).transpose(1, 2)  # (N, T, dim) as (N, dim, T)


# --- activations -------------------------------------------------------------------------------------------------------

ELEMENTWISE: dict[type[Op], Callable[[Any, Tensor], Tensor]] = {
    Abs: lambda op, x: x.abs(),
    Clip: lambda op, x: x.clamp(op.lo, op.hi),
    Elu: lambda op, x: F.elu(x, op.alpha),
    Gelu: lambda op, x: F.gelu(x),
    HardSigmoid: lambda op, x: functions.hard_sigmoid(x),
    HardSwish: lambda op, x: F.hardswish(x),
    HardTanh: lambda op, x: F.hardtanh(x, op.lo, op.hi),
    Identity: lambda op, x: x,
    LeakyRelu: lambda op, x: F.leaky_relu(x, op.slope),
    LogSoftmax: lambda op, x: x.log_softmax(1),
    Mish: lambda op, x: F.mish(x),
    Relu: lambda op, x: x.relu(),
    Relu6: lambda op, x: F.relu6(x),
    Scale: lambda op, x: x * op.factor,
    Selu: lambda op, x: functions.selu(x),
    Sigmoid: lambda op, x: x.sigmoid(),
    Silu: lambda op, x: F.silu(x),
    Softmax: lambda op, x: x.softmax(1),
    Softplus: lambda op, x: functions.softplus(x),
    Tanh: lambda op, x: x.tanh(),
}
"""The layers that are a function of the op's arguments and one input."""


@forward_of(*ELEMENTWISE)
def elementwise(op: Op, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return ELEMENTWISE[type(op)](op, inputs[0])


@forward_of(Prelu)
def prelu(op: Prelu, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return F.prelu(inputs[0], weights["slope"])


@forward_of(Dropout, DropPath)
def dropout(op: Dropout | DropPath, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    """dropout drops single elements, drop_path whole samples."""
    (x,) = inputs
    if not mode.training or op.p == 0:
        return x
    if mode.kept is not None:
        return x * mode.kept.to(x.dtype).mul_(1 / (1 - op.p))
    if isinstance(op, Dropout):
        return F.dropout(x, op.p)
    return x * F.dropout(x.new_ones(x.shape[0], *(1,) * (x.dim() - 1)), op.p)


# --- normalization -----------------------------------------------------------------------------------------------------


@forward_of(BatchNorm)
def batch_norm(op: BatchNorm, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,), scale, shift = inputs, weights.get("scale"), weights.get("shift")
    if not mode.training:
        mean, var, cudnn = weights["mean"], weights["var"], torch.backends.cudnn.enabled
        return torch.batch_norm(x, scale, shift, mean, var, False, 0.0, op.eps, cudnn)
    y, mean, var = mode.normalize(x, scale, shift, op.eps)
    mode.statistics.append((mean.detach(), var.detach()))
    return y


@forward_of(GroupNorm, InstanceNorm, LayerNorm)
def group_norm(
    op: GroupNorm | InstanceNorm | LayerNorm, weights: Tensors, inputs: Inputs, mode: LayerMode
) -> Tensor:
    (x,) = inputs
    groups = op.groups if isinstance(op, GroupNorm) else x.shape[1] if isinstance(op, InstanceNorm) else 1
    return torch.group_norm(x, groups, weights["scale"], weights["shift"], op.eps)


@forward_of(LocalResponseNorm)
def lrn(op: LocalResponseNorm, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return functions.local_response_norm(inputs[0], op.size, op.alpha, op.beta, op.bias)


@forward_of(Affine)
def affine(op: Affine, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,) = inputs
    return x * functions.channelwise(weights["scale"], x) + functions.channelwise(weights["shift"], x)


@constants_of(Normalize)
def mean_and_std(op: Normalize, inputs: tuple[TensorType, ...]) -> Mapping[str, Array]:
    return {"mean": np.asarray(op.mean, np.float64), "std": np.asarray(op.std, np.float64)}


@forward_of(Normalize)
def normalize(op: Normalize, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,) = inputs
    return (x - functions.channelwise(weights["mean"], x)) / functions.channelwise(weights["std"], x)


# --- pooling -----------------------------------------------------------------------------------------------------------


def tap_shares(op: Pool, x: TensorType) -> tuple[Array, ...]:
    """The share (out, k) of each element of a window in its mean, for each axis; the shares of all axes are multiplied.

    Elements outside the input do not count, and with count_pad those outside the padded input. The largest weight that
    counts is 1 before the weights are divided by their sum: far from the centre all of them may be too small for a float.
    """
    shares = []
    exponents = op.tap_exponents() if op.kind == "weighted" else [(0.0,) * k for k in op.k]
    for rule, axis in zip(op.rules(x), exponents, strict=True):
        low, high = (0, rule.m + rule.begin + rule.end) if op.count_pad else (rule.begin, rule.begin + rule.m)
        positions = np.arange(rule.out)[:, None] * rule.s + np.arange(rule.k) * rule.d  # in the padded input
        e = np.where((positions >= low) & (positions < high), axis, -np.inf)
        weight = np.exp(e - e.max(1, keepdims=True))
        shares.append(weight / weight.sum(1, keepdims=True))
    return tuple(shares)


def pools_in_torch(op: Pool, x: TensorType) -> bool:
    """Whether torch.nn.functional has this mean: no dilation, padding alike on both ends and at most half a window."""
    rules = op.rules(x)
    return op.kind == "avg" and all(r.d == 1 and r.begin == r.end and 2 * r.begin <= r.k for r in rules)


@constants_of(Pool)
def pool_constants(op: Pool, inputs: tuple[TensorType, ...]) -> Mapping[str, Array]:
    (x,) = inputs
    if op.kind not in ("avg", "weighted") or pools_in_torch(op, x):
        return {}
    return {f"share{axis}": share for axis, share in enumerate(tap_shares(op, x))}


@forward_of(Pool)
def pool(op: Pool, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,) = inputs
    g = geometry_of(op, x)
    if op.kind == "max":
        return functions.max_pool(x, g.k, g.s, g.d, g.pads)
    if op.kind in ("l2", "lp"):
        return functions.lp_pool(x, op.order, g.k, g.s, g.d, g.pads)
    if not weights:
        average = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(g.k) - 1]
        return average(x, g.k, g.s, [rule.begin for rule in op.rules(type_of(x))], op.ceil, op.count_pad)
    return functions.weighted_pool(x, g.s, g.d, g.pads, [weights[f"share{axis}"] for axis in range(len(g.k))])


@forward_of(GlobalPool)
def global_pool(op: GlobalPool, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,) = inputs
    if op.kind == "avg":
        return x.mean(tuple(range(2, x.dim())), keepdim=True)
    return functions.global_max_pool(x) if op.kind == "max" else functions.global_l2_pool(x)


@forward_of(Unpool)
def unpool(op: Unpool, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    x, source = inputs
    assert op.pool is not None, "lowering sets the pool"
    g = geometry_of(op.pool, source)
    return functions.unpool(x, source, g.k, g.s, g.d, g.pads)


@forward_of(Upsample)
def upsample(op: Upsample, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return functions.upsample(inputs[0], op.n, op.mode == "bilinear")


@forward_of(Maxout)
def maxout(op: Maxout, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return functions.maxout(inputs[0], op.n)


# --- merging -----------------------------------------------------------------------------------------------------------


@forward_of(Add)
def add(op: Add, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return functions.sum_of(inputs)


@forward_of(Sub)
def sub(op: Sub, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    a, b = inputs
    return a - b


@forward_of(Mul)
def mul(op: Mul, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return math.prod(inputs[1:], start=inputs[0])


@forward_of(Maximum)
def maximum(op: Maximum, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return reduce(functions.maximum, inputs)


@forward_of(Concat)
def concat(op: Concat, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return torch.cat(inputs, 1)


# --- rearranging, and taking a part ----------------------------------------------------------------------------------------


@forward_of(Flatten, Reshape)
def reshape(op: Flatten | Reshape, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,) = inputs
    return x.reshape(x.shape[0], *(op.shape if isinstance(op, Reshape) else (-1,)))


@forward_of(Pad)
def pad_layer(op: Pad, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return functions.pad(inputs[0], op.sides, op.value)


@forward_of(Crop)
def crop(op: Crop, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,) = inputs
    parts = (slice(b, b + n) for b, n in zip(op.begins(type_of(x)), op.size, strict=True))
    return x[(slice(None), slice(None), *parts)]


@forward_of(Slice)
def slice_layer(op: Slice, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    (x,) = inputs
    begin, end = op.bounds(type_of(x))
    return x.narrow(op.axis + 1, begin, end - begin)


@constants_of(Select)
def selected_positions(op: Select, inputs: tuple[TensorType, ...]) -> Mapping[str, Array]:
    return {"positions": np.array(op.positions(inputs[0]), np.int64)}


@forward_of(Select)
def select(op: Select, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return inputs[0].index_select(op.axis + 1, weights["positions"])


@forward_of(ChannelShuffle)
def channel_shuffle(op: ChannelShuffle, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return functions.channel_shuffle(inputs[0], op.groups)


@forward_of(DepthToSpace)
def depth_to_space(op: DepthToSpace, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return functions.depth_to_space(inputs[0], op.n)


@forward_of(SpaceToDepth)
def space_to_depth(op: SpaceToDepth, weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
    return functions.space_to_depth(inputs[0], op.n)
