"""What the tensors of an ONNX graph become during an import.

While `Interpreter` walks a graph, each tensor name stands for one of three: an array (a constant, or a result that
depends on sizes alone), a `LayerOutput` (the output of a layer, perhaps reshaped or transposed), or an
`UnsupportedValue` (no layer computes it; it carries the causes). Nothing here knows ONNX's operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.base import Op


class Unsupported(Exception):
    """The language has no layer for a node.

    The message is the reason, worded to follow "cannot be imported: "; `help` says what the user can do. `at_this_size`
    says that it is the language that has no layer at the numbers chosen for the open sizes, not the model.
    """

    def __init__(self, reason: str, help: str = "", *, at_this_size: bool = False) -> None:
        super().__init__(reason)
        self.help = help
        self.at_this_size = at_this_size


class UnsupportedInput(Exception):
    """A node reads an unsupported value."""


class Cause(NamedTuple):
    """A node that cannot be imported, the reason, and what the user can do, "" where nothing helps.

    The field names are keys of `cnnc import --json`.
    """

    name: str
    op: str
    reason: str
    help: str = ""


class UnsupportedValue(NamedTuple):
    """A tensor that no layer computes, and the nodes that are the cause."""

    causes: tuple[Cause, ...]


class Layer:
    """A layer of the network to be written.

    `inputs` are the layers whose outputs it reads; `type` is the type of its output; `weights` are its parameters and
    buffers by short name. `initializers` are the names of the initializers that hold them, by which layers with shared
    parameters are detected. `layer_arguments` are the layers that its arguments name, by argument. `suggested_name` is
    the model's name for it, `node_name` the ONNX node that it comes from. `lacks_scale_and_shift` marks a
    normalization whose scale and shift may follow as a Mul and an Add; `lacks_shift` one (or an affine) that has its
    scale and whose shift may follow. `permutation` marks a placeholder that reorders a vector: element i of its output
    is element `permutation[i]` of its input.
    """

    def __init__(
        self,
        op: Op,
        inputs: tuple[Layer, ...],
        type_: TensorType,
        weights: Mapping[str, Array] | None = None,
        initializers: tuple[str, ...] = (),
        layer_arguments: Mapping[str, Layer] | None = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.type = type_
        self.weights = dict(weights or {})
        self.initializers = initializers
        self.layer_arguments = dict(layer_arguments or {})
        self.suggested_name = ""
        self.node_name = ""
        self.lacks_scale_and_shift = False
        self.lacks_shift = False
        self.permutation: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one output, without the batch."""
        return self.type.shape

    @property
    def rank(self) -> int:
        """The number of spatial axes of its output."""
        return self.type.rank

    @property
    def dependencies(self) -> tuple[Layer, ...]:
        """All layers that it needs: its inputs, and those that its arguments name."""
        return (*self.inputs, *self.layer_arguments.values())

    def __repr__(self) -> str:
        return f"<{self.op.keyword} {self.type} {self.suggested_name or self.node_name}>"


class Rearrangement(NamedTuple):
    """A step that moves elements and computes nothing.

    `kind` is "reshape" (`axes` are the sizes) or "transpose" (`axes` is the permutation); both include the batch.
    """

    kind: str
    axes: tuple[int, ...]


class LayerOutput(NamedTuple):
    """A tensor that comes from a layer: the output of `root` after `rearrangements`; `shape` includes the batch.

    `layer` is the layer whose output is exactly this tensor, None where none has been added yet.
    """

    shape: tuple[int, ...]
    root: Layer
    rearrangements: tuple[Rearrangement, ...] = ()
    layer: Layer | None = None
