"""The tables of forward and backward functions by op, and the types that those functions take and return.

A layer family enters its functions here; the engine looks them up. Neither needs the other.

    @forward_of(Relu)
    def relu(op: Relu, weights: Weights, inputs: tuple[Array, ...], mode: Mode) -> Outcome: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.base import Op

Random = Callable[[str], np.random.Generator]
"""Gives a layer, by its name, its own source of random numbers for this step."""


class Outcome(NamedTuple):
    """What a forward function returns: the value, what backward needs, and new values of buffers."""

    value: Array
    saved: Any = None
    buffers: Mapping[str, Array] = {}


def _alone(*arrays: Array) -> tuple[Array, ...]:
    return arrays


class Mode(NamedTuple):
    """How a layer is to run: in training or not, where its random numbers come from, and how it learns of the batch.

    `total(*arrays)` gives the sums over all parts of the batch of what each part's call brings. `own` says that
    nobody will look at the first input again, so that its memory may be written over.
    """

    training: bool = False
    random: np.random.Generator | None = None
    total: Callable[..., tuple[Array, ...]] = _alone
    own: bool = False


class Gradients(NamedTuple):
    """What a backward function returns: one gradient an input (None: not asked for), and those of its weights.

    A backward function may write over the gradient that it is given where that is writeable: it is then its own.
    """

    inputs: tuple[Array | None, ...]
    weights: Mapping[str, Array] = {}


Forward = Callable[[Any, Mapping[str, Array], tuple[Array, ...], Mode], Outcome]
Backward = Callable[[Any, Mapping[str, Array], Any, Array, bool], Gradients]

FORWARD: dict[type[Op], Forward] = {}
BACKWARD: dict[type[Op], Backward] = {}
FRESH_OUTPUT: set[type[Op]] = set()
USES_RNG: set[type[Op]] = set()
NEEDS_BATCH_SUMS: set[type[Op]] = set()


def forward_of(
    *ops: type[Op], fresh_output: bool = False, uses_rng: bool = False, needs_batch_sums: bool = False
) -> Callable[[Forward], Forward]:
    """Enters a function `(op, weights, inputs, mode) -> Outcome` in the table.

    `fresh_output` says that its value is always new memory, at which nothing that it saves looks again; `uses_rng` that it
    needs random numbers in training, `needs_batch_sums` that it asks for totals of the whole batch.
    """

    def enter(function: Forward) -> Forward:
        FORWARD.update(dict.fromkeys(ops, function))
        if fresh_output:
            FRESH_OUTPUT.update(ops)
        if uses_rng:
            USES_RNG.update(ops)
        if needs_batch_sums:
            NEEDS_BATCH_SUMS.update(ops)
        return function

    return enter


def backward_of(*ops: type[Op]) -> Callable[[Backward], Backward]:
    """Enters a function `(op, weights, saved, gradient, want_input) -> Gradients` in the table."""

    def enter(function: Backward) -> Backward:
        BACKWARD.update(dict.fromkeys(ops, function))
        return function

    return enter
