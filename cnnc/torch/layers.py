"""What each layer computes on PyTorch: a table of forward functions, keyed by op class. Autograd differentiates them.

In: the op and the types of its inputs. Out: a function of the parameters by short name, the inputs, and `LayerMode`, which
computes the output. What follows from op and types, such as where windows lie, is computed once, before the first step.
Tensors are channels first, (N, C, *spatial); weights have the shapes that ONNX gives them.

    @forward_of(Fc)
    def fc(op: Fc, types: Types) -> LayerFunction:
        return lambda weights, inputs, mode: F.linear(inputs[0].flatten(1), weights["weight"], weights.get("bias"))

Arrays that a layer needs beside its parameters, such as the kernel of a filter, are its constants; they come with the
parameters, on the device of the run. `constants_of` registers the function that computes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from cnnc.ops.spectrogram import Spectrogram
from cnnc.ops.window import Geometry
from cnnc.reference.spectrogram import transform_matrices
from cnnc.torch import functions

Tensors = Mapping[str, Tensor]
Inputs = tuple[Tensor, ...]
Types = tuple[TensorType, ...]

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


LayerFunction = Callable[[Tensors, Inputs, LayerMode], Tensor]
"""(parameters, buffers and constants by short name, inputs, mode) -> output"""

TorchForward = Callable[[Any, Types], LayerFunction]
"""(op, types of its inputs) -> function"""

Constants = Callable[[Any, Types], Mapping[str, Array]]
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


def of_input(function: Callable[..., Tensor], *arguments: Any) -> LayerFunction:
    """A layer that is a function of its only input, and of numbers."""
    return lambda weights, inputs, mode: function(inputs[0], *arguments)


# --- convolutions and matrix products --------------------------------------------------------------------------------


@forward_of(Conv)
def conv(op: Conv, types: Types) -> LayerFunction:
    g, groups = Geometry.of(op.rules(types[0])), op.groups
    convolve, begins = (F.conv1d, F.conv2d, F.conv3d)[len(g.k) - 1], [begin for begin, _ in g.pads]
    flipped = tuple(range(2, 2 + len(g.k))) if op.flip else ()

    def apply(weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
        weight = weights["weight"].flip(flipped) if flipped else weights["weight"]
        if is_symmetric:
            return convolve(inputs[0], weight, weights.get("bias"), g.s, begins, g.d, groups)
        return functions.conv(inputs[0], weight, weights.get("bias"), g.s, g.pads, g.d, groups)

    is_symmetric = all(begin == end for begin, end in g.pads)
    return apply


@forward_of(ConvTranspose)
def conv_transpose(op: ConvTranspose, types: Types) -> LayerFunction:
    pads = [(rule.begin, rule.end) for rule in op.rules(types[0])]
    s, d, extra, groups = op.s, op.d, op.output_pad, op.groups
    return lambda weights, inputs, mode: functions.conv_transpose(
        inputs[0], weights["weight"], weights.get("bias"), s, pads, extra, d, groups
    )


@forward_of(Local)
def local(op: Local, types: Types) -> LayerFunction:
    g = Geometry.of(op.rules(types[0]))
    return lambda weights, inputs, mode: functions.local(
        inputs[0], weights["weight"], weights.get("bias"), g.s, g.pads, g.d
    )


@constants_of(Filter)
def filter_kernel(op: Filter, types: Types) -> Mapping[str, Array]:
    kernel = np.asarray(op.kernel(), np.float64)
    return {"weight": np.repeat(kernel[None, None], types[0].channels, 0)}


@forward_of(Filter)
def filtered(op: Filter, types: Types) -> LayerFunction:
    g, channels = Geometry.of(op.rules(types[0])), types[0].channels
    return lambda weights, inputs, mode: functions.conv(inputs[0], weights["weight"], None, g.s, g.pads, g.d, channels)


@constants_of(Spectrogram)
def spectrogram_matrices(op: Spectrogram, types: Types) -> Mapping[str, Array]:
    cosines, sines, mel = transform_matrices(op)
    transform = {"transform": np.concatenate([cosines, sines])}
    return transform if mel is None else {**transform, "mel": mel.copy()}  # PyTorch wants to write


@forward_of(Spectrogram)
def spectrogram(op: Spectrogram, types: Types) -> LayerFunction:
    g, eps = Geometry.of(op.rules(types[0])), op.eps if op.log else None
    return lambda weights, inputs, mode: functions.spectrogram(
        inputs[0], weights["transform"], weights.get("mel"), g.s[0], g.pads, eps
    )


@forward_of(Fc)
def fc(op: Fc, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: F.linear(inputs[0].flatten(1), weights["weight"], weights.get("bias"))


@forward_of(Bilinear)
def bilinear(op: Bilinear, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: functions.bilinear(inputs[0], inputs[1], weights["weight"])


@forward_of(Embed)
def embed(op: Embed, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: F.embedding(inputs[0], weights["weight"]).transpose(1, 2)  # to (N, dim, T)


# --- activations -------------------------------------------------------------------------------------------------------

ACTIVATIONS: dict[type[Op], Callable[[Tensor], Tensor]] = {
    Abs: torch.abs,
    Gelu: F.gelu,
    HardSigmoid: functions.hard_sigmoid,
    HardSwish: F.hardswish,
    Mish: F.mish,
    Relu: torch.relu,
    Relu6: F.relu6,
    Selu: functions.selu,
    Sigmoid: torch.sigmoid,
    Silu: F.silu,
    Softplus: functions.softplus,
    Tanh: torch.tanh,
}
"""The layers that are a function of each element, without arguments."""


@forward_of(*ACTIVATIONS)
def activation(op: Op, types: Types) -> LayerFunction:
    return of_input(ACTIVATIONS[type(op)])


@forward_of(Clip)
def clip(op: Clip, types: Types) -> LayerFunction:
    return of_input(torch.clamp, op.lo, op.hi)


@forward_of(HardTanh)
def hard_tanh(op: HardTanh, types: Types) -> LayerFunction:
    return of_input(F.hardtanh, op.lo, op.hi)


@forward_of(Elu)
def elu(op: Elu, types: Types) -> LayerFunction:
    return of_input(F.elu, op.alpha)


@forward_of(LeakyRelu)
def leaky_relu(op: LeakyRelu, types: Types) -> LayerFunction:
    return of_input(F.leaky_relu, op.slope)


@forward_of(Softmax)
def softmax(op: Softmax, types: Types) -> LayerFunction:
    return of_input(torch.softmax, 1)


@forward_of(LogSoftmax)
def log_softmax(op: LogSoftmax, types: Types) -> LayerFunction:
    return of_input(torch.log_softmax, 1)


@forward_of(Scale)
def scale(op: Scale, types: Types) -> LayerFunction:
    return of_input(torch.mul, op.factor)


@forward_of(Identity)
def identity(op: Identity, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: inputs[0]


@forward_of(Prelu)
def prelu(op: Prelu, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: F.prelu(inputs[0], weights["slope"])


@forward_of(Dropout, DropPath)
def dropout(op: Dropout | DropPath, types: Types) -> LayerFunction:
    """dropout drops single elements, drop_path whole samples."""
    p, drops_samples = op.p, isinstance(op, DropPath)

    def apply(weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
        (x,) = inputs
        if not mode.training or p == 0:
            return x
        if mode.kept is not None:
            return functions.masked(x, mode.kept, p)
        return functions.drop_samples(x, p) if drops_samples else F.dropout(x, p)

    return apply


# --- normalization -----------------------------------------------------------------------------------------------------


@forward_of(BatchNorm)
def batch_norm(op: BatchNorm, types: Types) -> LayerFunction:
    eps = op.eps

    def apply(weights: Tensors, inputs: Inputs, mode: LayerMode) -> Tensor:
        (x,), scale, shift = inputs, weights.get("scale"), weights.get("shift")
        if not mode.training:
            return F.batch_norm(x, weights["mean"], weights["var"], scale, shift, eps=eps)
        y, mean, var = mode.normalize(x, scale, shift, eps)
        mode.statistics.append((mean.detach(), var.detach()))
        return y

    return apply


@forward_of(GroupNorm, InstanceNorm, LayerNorm)
def group_norm(op: GroupNorm | InstanceNorm | LayerNorm, types: Types) -> LayerFunction:
    channels = types[0].channels
    groups, eps = op.groups if isinstance(op, GroupNorm) else channels if isinstance(op, InstanceNorm) else 1, op.eps
    return lambda weights, inputs, mode: torch.group_norm(inputs[0], groups, weights["scale"], weights["shift"], eps)


@forward_of(LocalResponseNorm)
def lrn(op: LocalResponseNorm, types: Types) -> LayerFunction:
    return of_input(functions.local_response_norm, op.size, op.alpha, op.beta, op.bias)


@forward_of(Affine)
def affine(op: Affine, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: functions.scale_and_shift(inputs[0], weights["scale"], weights["shift"])


@constants_of(Normalize)
def mean_and_std(op: Normalize, types: Types) -> Mapping[str, Array]:
    return {"mean": np.asarray(op.mean, np.float64), "std": np.asarray(op.std, np.float64)}


@forward_of(Normalize)
def normalize(op: Normalize, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: functions.normalize(inputs[0], weights["mean"], weights["std"])


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


def is_torch_average(op: Pool, x: TensorType) -> bool:
    """Whether torch.nn.functional has this mean: no dilation, padding alike on both ends and at most half a window."""
    rules = op.rules(x)
    return op.kind == "avg" and all(r.d == 1 and r.begin == r.end and 2 * r.begin <= r.k for r in rules)


@constants_of(Pool)
def pool_constants(op: Pool, types: Types) -> Mapping[str, Array]:
    if op.kind not in ("avg", "weighted") or is_torch_average(op, types[0]):
        return {}
    return {f"share{axis}": share for axis, share in enumerate(tap_shares(op, types[0]))}


@forward_of(Pool)
def pool(op: Pool, types: Types) -> LayerFunction:
    rules = op.rules(types[0])
    g, names = Geometry.of(rules), [f"share{axis}" for axis in range(len(rules))]
    if op.kind == "max" and all(b == e and 2 * b <= k for (b, e), k in zip(g.pads, g.k, strict=True)):
        largest = (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)[len(rules) - 1]
        return of_input(largest, g.k, g.s, [begin for begin, _ in g.pads], g.d)
    if op.kind == "max":
        return of_input(functions.max_pool, g.k, g.s, g.d, g.pads)
    if op.kind in ("l2", "lp"):
        return of_input(functions.lp_pool, op.order, g.k, g.s, g.d, g.pads)
    if is_torch_average(op, types[0]):
        average = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(rules) - 1]
        return of_input(average, g.k, g.s, [rule.begin for rule in rules], op.ceil, op.count_pad)
    return lambda weights, inputs, mode: functions.weighted_pool(
        inputs[0], g.s, g.d, g.pads, [weights[name] for name in names]
    )


@forward_of(GlobalPool)
def global_pool(op: GlobalPool, types: Types) -> LayerFunction:
    pools = {"avg": functions.global_avg_pool, "max": functions.global_max_pool, "l2": functions.global_l2_pool}
    return of_input(pools[op.kind])


@forward_of(Unpool)
def unpool(op: Unpool, types: Types) -> LayerFunction:
    assert op.pool is not None, "lowering sets the pool"
    g = Geometry.of(op.pool.rules(types[1]))
    return lambda weights, inputs, mode: functions.unpool(inputs[0], inputs[1], g.k, g.s, g.d, g.pads)


@forward_of(Upsample)
def upsample(op: Upsample, types: Types) -> LayerFunction:
    return of_input(functions.upsample, op.n, op.mode == "bilinear")


@forward_of(Maxout)
def maxout(op: Maxout, types: Types) -> LayerFunction:
    return of_input(functions.maxout, op.n)


# --- merging -----------------------------------------------------------------------------------------------------------


@forward_of(Add)
def add(op: Add, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: functions.sum_of(inputs)


@forward_of(Sub)
def sub(op: Sub, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: inputs[0] - inputs[1]


@forward_of(Mul)
def mul(op: Mul, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: functions.product_of(inputs)


@forward_of(Maximum)
def maximum(op: Maximum, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: functions.maximum_of(inputs)


@forward_of(Concat)
def concat(op: Concat, types: Types) -> LayerFunction:
    return lambda weights, inputs, mode: torch.cat(inputs, 1)


# --- rearranging, and taking a part --------------------------------------------------------------------------------------


@forward_of(Flatten)
def flatten(op: Flatten, types: Types) -> LayerFunction:
    return of_input(torch.flatten, 1)


@forward_of(Reshape)
def reshape(op: Reshape, types: Types) -> LayerFunction:
    shape = op.shape
    return lambda weights, inputs, mode: inputs[0].reshape(-1, *shape)


@forward_of(Pad)
def pad_layer(op: Pad, types: Types) -> LayerFunction:
    return of_input(functions.pad, op.sides, op.value)


@forward_of(Crop)
def crop(op: Crop, types: Types) -> LayerFunction:
    return of_input(functions.crop, op.begins(types[0]), op.size)


@forward_of(Slice)
def slice_layer(op: Slice, types: Types) -> LayerFunction:
    begin, end = op.bounds(types[0])
    return of_input(torch.narrow, op.axis + 1, begin, end - begin)


@constants_of(Select)
def selected_positions(op: Select, types: Types) -> Mapping[str, Array]:
    return {"positions": np.array(op.positions(types[0]), np.int64)}


@forward_of(Select)
def select(op: Select, types: Types) -> LayerFunction:
    axis = op.axis + 1
    return lambda weights, inputs, mode: inputs[0].index_select(axis, weights["positions"])


@forward_of(ChannelShuffle)
def channel_shuffle(op: ChannelShuffle, types: Types) -> LayerFunction:
    return of_input(functions.channel_shuffle, op.groups)


@forward_of(DepthToSpace)
def depth_to_space(op: DepthToSpace, types: Types) -> LayerFunction:
    return of_input(functions.depth_to_space, op.n)


@forward_of(SpaceToDepth)
def space_to_depth(op: SpaceToDepth, types: Types) -> LayerFunction:
    return of_input(functions.space_to_depth, op.n)
