"""`TensorType` (the shape and element type of a layer's output) and `Parameter` (a weight or buffer of a layer).

Shapes exclude the batch and are channels first, as in the language: `3x224x224`, `4x1000`, `784`.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from cnnc.core.record import Record

DType = Literal["float32", "uint8", "int64"]


class TensorType(NamedTuple):
    """The type of a tensor: `shape` without the batch, (C, *spatial) or (F,), and the element type.

    A tuple, whose hash and comparison take a tenth of the time of those of a Record: each layer looks up its type by those of
    its inputs.
    """

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


class GivenNumbers(Record):
    """Numbers that the source gives in nested lists: `shape`, and the `values` in reading order.

    A single number has the shape (). `ragged` says in words where lists that should be of one length are not; the shape is
    then that of the first ones. A record of its own, so that its hash is computed once, however many layers hold it.
    """

    shape: tuple[int, ...]
    values: tuple[float, ...]
    ragged: str = ""

    @property
    def size(self) -> int:
        """The number of numbers."""
        return len(self.values)

    def text(self, shape: tuple[int, ...] | None = None) -> str:
        """The numbers as the language writes them, in lists of this shape (default: their own)."""
        shape = self.shape if shape is None else shape
        texts = [_number_text(value) for value in self.values]
        for length in reversed(shape):
            texts = [f"[{', '.join(texts[i : i + length])}]" for i in range(0, len(texts), length)]
        return texts[0]


def _number_text(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


class Parameter(Record):
    """A weight, bias or buffer of a layer.

    `init` is its initialization:

        zeros, ones   constant; a number instead of a word fills with that number
        he            normal, variance 2/fan_in (He et al. 2015)
        xavier        uniform, variance 2/(fan_in + fan_out) (Glorot & Bengio 2010)
        lecun         normal, variance 1/fan_in (LeCun et al. 1998)
        normal        normal, standard deviation 0.01 (Krizhevsky et al. 2012)
        auto          he if a rectifying activation reads the layer, xavier otherwise

    Or it is the numbers themselves, where the source gives them; leading axes of size 1 may be missing there.

    `fan_in` is the number of input elements that one output element depends on, `fan_out` the number of output elements
    that one input element contributes to. `trainable` is false for buffers such as running statistics. A `frozen`
    parameter counts as trainable, but training does not change it.
    """

    name: str
    shape: tuple[int, ...]
    init: str | float | GivenNumbers = "zeros"
    fan_in: int = 0
    fan_out: int = 0
    trainable: bool = True
    frozen: bool = False

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def is_given(self) -> bool:
        """Whether the source gives its initial numbers."""
        return isinstance(self.init, GivenNumbers)

    @property
    def is_drawn(self) -> bool:
        """Whether its initial elements are random."""
        return self.init in ("he", "xavier", "lecun", "normal", "auto")
