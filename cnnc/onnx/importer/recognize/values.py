"""What the values of an ONNX graph are to an importer.

A value is one of three: an array (a constant, or what sizes alone decide), a `Value` (what a layer made,
perhaps with its axes moved about), or `Refused` (what no layer makes, and why). Nothing here knows ONNX's operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.base import Op


class Refusal(Exception):
    """A step that the language has no layer for; the message is the reason, as the middle of a sentence."""


class Blocked(Exception):
    """A step that reads what was refused."""


class Cause(NamedTuple):
    """A node without a counterpart, and the reason."""

    name: str
    op: str
    reason: str


class Refused(NamedTuple):
    """A value that cannot be had, and the nodes to blame."""

    causes: tuple[Cause, ...]


class Layer:
    """A layer of the network to be: an op, what it reads, the type of what it makes, and its weights by short names.

    `keys` are the initializers its weights are, so that layers which share them are found. `names` are other
    layers that its arguments name. `hint` is what the model calls it. `bare` marks a norm whose scale and
    shift are still to come, `half` one (or an affine) that has its scale and waits for its shift.
    """

    def __init__(
        self,
        op: Op,
        inputs: tuple[Layer, ...],
        type_: TensorType,
        weights: Mapping[str, Array] | None = None,
        keys: tuple[str, ...] = (),
        names: Mapping[str, Layer] | None = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.type = type_
        self.weights = dict(weights or {})
        self.keys = keys
        self.names = dict(names or {})
        self.hint = ""
        self.step = ""
        self.bare = False
        self.half = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def rank(self) -> int:
        return self.type.rank

    @property
    def reads(self) -> tuple[Layer, ...]:
        """All layers that it needs, those that arguments name included."""
        return (*self.inputs, *self.names.values())

    def __repr__(self) -> str:
        return f"<{self.op.keyword} {self.type} {self.hint or self.step}>"


class Move(NamedTuple):
    """A step that only rearranges: `kind` is reshape (to sizes) or transpose (by axes); both count the batch."""

    kind: str
    axes: tuple[int, ...]


class Value(NamedTuple):
    """What a layer made: `moves` lead from `root` to it. `layer` makes exactly this value; None where none does yet."""

    shape: tuple[int, ...]
    root: Layer
    moves: tuple[Move, ...] = ()
    layer: Layer | None = None
