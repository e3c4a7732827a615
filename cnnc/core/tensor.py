"""`TensorType` (the shape and element type of a layer's output) and `Parameter` (a weight or buffer of a layer).

Shapes exclude the batch and are channels first, as in the language: `3x224x224`, `4x1000`, `784`.
"""

from __future__ import annotations

import math
from typing import Literal

from cnnc.core.record import Record

DType = Literal["float32", "uint8", "int64"]


class TensorType(Record):
    """The type of a tensor: `shape` without the batch, (C, *spatial) or (F,), and the element type."""

    shape: tuple[int, ...]
    dtype: DType = "float32"

    @property
    def channels(self) -> int:
        """The size of the first axis: channels, or the elements of a vector."""
        return self.shape[0]

    @property
    def spatial(self) -> tuple[int, ...]:
        """The sizes of the axes after the channels."""
        return self.shape[1:]

    @property
    def rank(self) -> int:
        """The number of spatial axes: 0 for a vector, 1 for a sequence, 2 for an image."""
        return len(self.shape) - 1

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """The memory of the elements for one sample."""
        return self.size * {"float32": 4, "uint8": 1, "int64": 8}[self.dtype]

    def with_shape(self, *shape: int) -> TensorType:
        """Another shape with the same element type."""
        return TensorType(shape, self.dtype)

    def __str__(self) -> str:
        return format_shape(self.shape)


def format_shape(shape: tuple[int, ...]) -> str:
    """A shape as the language writes it: `16x5x5`."""
    return "x".join(map(str, shape))


class Parameter(Record):
    """A weight, bias or buffer of a layer.

    `init` is its initialization:

        zeros, ones   constant; a number instead of a word fills with that number
        he            normal, variance 2/fan_in (He et al. 2015)
        xavier        uniform, variance 2/(fan_in + fan_out) (Glorot & Bengio 2010)
        lecun         normal, variance 1/fan_in (LeCun et al. 1998)
        normal        normal, standard deviation 0.01 (Krizhevsky et al. 2012)
        auto          he if a rectifying activation reads the layer, xavier otherwise

    `fan_in` is the number of input elements that one output element depends on, `fan_out` the number of output elements
    that one input element contributes to. `trainable` is false for buffers such as running statistics. A `frozen`
    parameter counts as trainable, but training does not change it.
    """

    name: str
    shape: tuple[int, ...]
    init: str | float = "zeros"
    fan_in: int = 0
    fan_out: int = 0
    trainable: bool = True
    frozen: bool = False

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)
