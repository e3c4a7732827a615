"""Which weight joins an output channel and an input channel: so that a gradient is summed without walking all channels.

In a layer with terms, each pair of an output channel and an input channel does the same with other weights. `pair` is the
layer with one such pair; its terms have the positions of the whole layer, and the indices of its weights translate into
those of the whole layer and back.

    conv 6 k=3 groups=2 on 4x8x8: pair is conv 1 k=3 on 1x8x8; output channel 4 reads the input channels 2 and 3;
    the weight (0, 0, a, b) of the pair of output channel 4 and input channel 3 is (4, 1, a, b) in the whole layer
"""

from __future__ import annotations

import math

from cnnc.core.arguments import Axes
from cnnc.core.tensor import TensorType
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc

_ONE = {"out": 1, "groups": 1, "weights": None, "biases": None}


class Channels:
    """The channels of a layer, and of a group of it; `pair` and `pair_x` are the layer with one of each and its input."""

    def __init__(self, op: Op, x: TensorType) -> None:
        groups = getattr(op, "groups", 1)
        self.op, self.x = op, x
        self.has_weights = bool(op.parameters(x))
        self.outputs, self.inputs = op.output(x).channels // groups, x.channels // groups
        self.size = math.prod(x.spatial)
        self.pair = op.replace(**{name: value for name, value in _ONE.items() if name in op.fields})
        self.pair_x = TensorType((1, *x.spatial))

    def readers(self, channel: int) -> range:
        """The output channels that read an input channel."""
        if not self.has_weights:  # a pool or filter, which keeps the channels apart
            return range(channel, channel + 1)
        first = channel // self.inputs * self.outputs
        return range(first, first + self.outputs)

    def pair_of(self, weight: Axes) -> tuple[int, int]:
        """The output channel and the input channel that a weight joins."""
        if isinstance(self.op, Fc):
            return weight[0], weight[1] // self.size
        if isinstance(self.op, ConvTranspose):
            return weight[0] // self.inputs * self.outputs + weight[1], weight[0]
        if isinstance(self.op, Conv):
            return weight[0], weight[0] // self.outputs * self.inputs + weight[1]
        n = self.x.rank  # local: (*positions, out, channels, *k)
        return weight[n], weight[n + 1]

    def in_pair(self, weight: Axes) -> Axes:
        """The index in the pair of a weight of the whole layer."""
        if isinstance(self.op, Fc):
            return (0, weight[1] % self.size)
        if isinstance(self.op, Conv | ConvTranspose):
            return (0, 0, *weight[2:])
        n = self.x.rank
        return (*weight[:n], 0, 0, *weight[n + 2 :])

    def in_whole(self, output: int, channel: int, weight: Axes) -> Axes:
        """The index in the whole layer of a weight of the pair of these channels."""
        if isinstance(self.op, Fc):
            return (output, channel * self.size + weight[1])
        if isinstance(self.op, ConvTranspose):
            return (channel, output % self.outputs, *weight[2:])
        if isinstance(self.op, Conv):
            return (output, channel % self.inputs, *weight[2:])
        n = self.x.rank
        return (*weight[:n], output, channel, *weight[n + 2 :])
