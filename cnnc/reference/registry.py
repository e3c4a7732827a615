"""The tables of forward and backward functions by layer, and the types that these functions take and return.

Each layer module (`activation.py`, `conv.py`, ...) registers its functions here, and the engine looks them up. Layer
modules never import the engine.

    @forward_of(Relu)
    def relu(op: Relu, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome: ...

Arrays are channels last, (N, *spatial, C); weights have the shapes that ONNX gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.base import Op

Random = Callable[[str], np.random.Generator]
"""Gives each layer, by its name, a random generator for one training step."""

NoWeights = Mapping[str, Array]
"""The weights that a layer without parameters gets: an empty mapping."""


class Outcome(NamedTuple):
    """What a forward function returns: the layer's output, what its backward needs, and new values of its buffers."""

    output: Array
    saved: Any = None
    buffers: Mapping[str, Array] = {}


def _single_shard_sum(*arrays: Array) -> tuple[Array, ...]:
    return arrays


class Mode(NamedTuple):
    """How a forward function is to run.

    `random` is the layer's generator in training, for layers registered with `uses_rng`. `batch_sum(*arrays)` sums
    each array over all shards of the batch: every shard calls it with arrays of the same shapes, and all get the same
    sums. `may_overwrite_input` says that nothing reads the first input after this layer, so that the output may be
    written into its memory.
    """

    training: bool = False
    random: np.random.Generator | None = None
    batch_sum: Callable[..., tuple[Array, ...]] = _single_shard_sum
    may_overwrite_input: bool = False


class Gradients(NamedTuple):
    """What a backward function returns: one gradient per input (None where it was not needed), and those of weights.

    A backward function may write into the gradient that it receives if that array is writeable.
    """

    inputs: tuple[Array | None, ...]
    weights: Mapping[str, Array] = {}


class Traits(NamedTuple):
    """What the engine has to know about a layer's forward function.

    `fresh_output`: the output is always a new array, which the layer does not save, so that the next layer may
    overwrite it. `uses_rng`: it draws random numbers in training. `needs_batch_sums`: it calls `mode.batch_sum` in
    training, so that the shards of a batch wait for each other.
    """

    fresh_output: bool = False
    uses_rng: bool = False
    needs_batch_sums: bool = False


Forward = Callable[[Any, Mapping[str, Array], tuple[Array, ...], Mode], Outcome]
"""(op, weights by short name, inputs, mode) -> outcome."""

Backward = Callable[[Any, Mapping[str, Array], Any, Array, bool], Gradients]
"""(op, weights by short name, saved, gradient of the output, whether gradients of the inputs are needed) -> gradients."""

FORWARD: dict[type[Op], Forward] = {}
BACKWARD: dict[type[Op], Backward] = {}
TRAITS: dict[type[Op], Traits] = {}


def forward_of(
    *ops: type[Op], fresh_output: bool = False, uses_rng: bool = False, needs_batch_sums: bool = False
) -> Callable[[Forward], Forward]:
    """Registers the forward function of these layers and its `Traits`."""

    def register(function: Forward) -> Forward:
        FORWARD.update(dict.fromkeys(ops, function))
        TRAITS.update(dict.fromkeys(ops, Traits(fresh_output, uses_rng, needs_batch_sums)))
        return function

    return register


def backward_of(*ops: type[Op]) -> Callable[[Backward], Backward]:
    """Registers the backward function of these layers."""

    def register(function: Backward) -> Backward:
        BACKWARD.update(dict.fromkeys(ops, function))
        return function

    return register


def traits_of(op: Op) -> Traits:
    """The traits of a layer; those of an input, which has no forward function, are all false."""
    return TRAITS.get(type(op), _NO_TRAITS)


_NO_TRAITS = Traits()
