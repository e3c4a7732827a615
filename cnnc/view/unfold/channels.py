"""Which weight joins an output channel and an input channel: so that a gradient is summed without walking all channels.

In a layer with terms, each pair of an output channel and an input channel does the same with other weights. `one_pair` is
the layer with one such pair; its terms have the positions of the whole layer, and `weight_of_pair` turns the indices of its
weights into those of the whole layer.

    conv 6 k=3 groups=2 on 4x8x8: one_pair is conv 1 k=3 on 1x8x8; output channel 4 reads the input channels 2 and 3;
    the weight (0, 0, a, b) of the pair of output channel 4 and input channel 3 is (4, 1, a, b) in the whole layer
"""

from __future__ import annotations

import math

from cnnc.core.arguments import Axes
from cnnc.core.tensor import TensorType
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc


def one_pair(op: Op, x: TensorType) -> tuple[Op, TensorType]:
    """The layer with one output channel and one input channel, and the type of its input."""
    one = {"out": 1, "groups": 1, "weights": None, "biases": None}
    return op.replace(**{k: v for k, v in one.items() if k in op.fields}), TensorType((1, *x.spatial))


def readers(op: Op, x: TensorType, channel: int) -> range:
    """The output channels that read an input channel."""
    out = op.output(x).channels
    if not op.parameters(x):  # a pool or filter, which keeps the channels apart
        return range(channel, channel + 1)
    group, size = channel // (x.channels // _groups(op)), out // _groups(op)
    return range(group * size, (group + 1) * size)


def weight_of_pair(op: Op, x: TensorType, output: int, channel: int, weight: Axes) -> Axes:
    """The index in the whole layer of a weight of `one_pair`."""
    if isinstance(op, Fc):
        return (output, channel * math.prod(x.spatial) + weight[1])
    o, c = output % (op.output(x).channels // _groups(op)), channel % (x.channels // _groups(op))
    if isinstance(op, ConvTranspose):
        return (channel, o, *weight[2:])
    if isinstance(op, Conv):
        return (output, c, *weight[2:])
    n = x.rank  # local: (*positions, out, channels, *k)
    return (*weight[:n], output, channel, *weight[n + 2 :])


def pair_of_weight(op: Op, x: TensorType, weight: Axes) -> tuple[int, int]:
    """The output channel and the input channel that a weight joins."""
    if isinstance(op, Fc):
        return weight[0], weight[1] // math.prod(x.spatial)
    out, channels = op.output(x).channels // _groups(op), x.channels // _groups(op)
    if isinstance(op, ConvTranspose):
        return weight[0] // channels * out + weight[1], weight[0]
    if isinstance(op, Conv):
        return weight[0], weight[0] // out * channels + weight[1]
    return weight[x.rank], weight[x.rank + 1]


def _groups(op: Op) -> int:
    return getattr(op, "groups", 1)
