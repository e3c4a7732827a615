"""Runs a Graph forward and backward in NumPy: reverse-mode differentiation over a list of layers.

In: a graph, its weights (in ONNX's layouts), a batch for each input, channels first. Out: the values of the
layers, and the gradients of weights and inputs. It updates nothing: running statistics come back as values.
The gradients of a tensor with several readers, and of weights that several layers share, add up; frozen
weights have none, and where only they would learn nothing is propagated.

Inside the engine tensors are channels last, (N, *spatial, C), so that a window's row is one contiguous
run of memory and every convolution is a plain matrix product of rows; `to_channels_last` and `to_channels_first` are the border.

A batch goes through the whole network in as many parts as there are threads. The functions of the layers see
a part, and know nothing of threads; one that needs the whole batch (batch norm) says `mode.total`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial, reduce
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.tensor import Parameter
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.ops.base import Op
from cnnc.ops.dense import Input
from cnnc.reference import activation, conv, conv_transpose, dense, filter, merge, norm, pool, reshape, sequence
from cnnc.reference.feeds import as_computed, check_feeds, fit_sizes, working_dtype
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.parallel.threads import Meeting, shares, thread_count, together
from cnnc.reference.registry import BACKWARD, FORWARD, FRESH_OUTPUT, NEEDS_BATCH_SUMS, USES_RNG, Mode, Random


@dataclass
class Trace:
    """A forward run: values of layers (channels last), new buffers by full name, and what backward needs.

    `parts` are the runs of the batch that the members of `meeting` took, with what their layers saved.
    """

    values: dict[str, Array] = field(default_factory=dict)
    buffers: Weights = field(default_factory=dict)
    parts: list[tuple[slice, dict[str, Any]]] = field(default_factory=list)
    meeting: Meeting = field(default_factory=lambda: Meeting(1))


FAMILIES = (activation, conv, conv_transpose, dense, filter, merge, norm, pool, reshape, sequence)
"""The modules that fill the tables of forward and backward functions."""


class _Part(NamedTuple):
    """What a part of a batch came to."""

    values: dict[str, Array]
    saved: dict[str, Any]
    buffers: Weights


PART_WORK = 4_000_000  # multiply-adds, or elements, of a part of a batch: below, it costs more than it brings
MEETING_WORK = 5_000_000  # what a layer that looks at the whole batch costs then, in training
PARAMETER_WORK = 20  # and a parameter, whose gradients are added up


def forward(
    graph: Graph,
    weights: Mapping[str, Array],
    feeds: Mapping[str, Array],
    *,
    wanted: Iterable[str] | None = None,
    training: bool = False,
    random: Random | None = None,
    keep_all: bool = False,
) -> Trace:
    """Runs the layers that `wanted` (default: the outputs) need.

    `feeds` are batches (N, *shape), channels first, by the names of the inputs; uint8 is scaled to 0..1.
    A value is dropped after its last reader, unless it is wanted or `keep_all`; what backward needs is
    kept in training only. A run computes in the element type of its weights (of its float inputs, where
    there are none). A graph with symbols runs at every legal size. Raises CnncError E602 for feeds that are
    missing, do not have the input's shape and type, or are of a size that is not legal.
    """
    wanted = tuple(graph.outputs if wanted is None else wanted)
    order = needed_nodes(graph, wanted)
    inputs = [node for node in order if isinstance(node.op, Input)]
    sized = fit_sizes(graph, inputs, feeds)
    count = check_feeds([sized.by_name[node.name] for node in inputs], feeds)
    dtype = working_dtype(weights, feeds)
    runs = [slice(*run) for run in shares(count, parts_of(sized, count, training))]
    meeting = Meeting(len(runs))

    def run(member: int) -> _Part:
        mine = {name: feeds[name][runs[member]] for name in feeds}
        mode = Mode(training, None, partial(meeting.total, member))
        return forward_part(graph, order, weights, mine, wanted, dtype, mode, own_numbers(random, member), keep_all)

    parts = together(meeting, run)
    values = {name: joined([part.values[name] for part in parts]) for name in parts[0].values}
    saved = [(run, part.saved) for run, part in zip(runs, parts, strict=True)]
    return Trace(values, parts[0].buffers, saved if training else [], meeting)


def forward_part(
    graph: Graph,
    order: list[Node],
    weights: Mapping[str, Array],
    feeds: Mapping[str, Array],
    wanted: tuple[str, ...],
    dtype: np.dtype[Any],
    mode: Mode,
    random: Random | None,
    keep_all: bool = False,
) -> _Part:
    """`forward` of one part of a batch."""
    readers = {node.name: 0 for node in order}
    for node in order:
        for name in node.inputs:
            readers[name] += 1
    part = _Part({}, {}, {})
    for node in order:
        if isinstance(node.op, Input):
            part.values[node.name] = to_channels_last(as_computed(node, feeds[node.name], dtype))
            continue
        # running statistics that layers share are moved on by each in turn
        own = own_weights(graph, node, weights, part.buffers)
        inputs = tuple(part.values[name] for name in node.inputs)
        first = node.inputs[0]
        free = (
            readers[first] == 1
            and not keep_all
            and first not in wanted
            and type(graph.by_name[first].op) in FRESH_OUTPUT
        )
        drawn = random(node.name) if random is not None and type(node.op) in USES_RNG else None
        outcome = FORWARD[type(node.op)](_op(graph, node), own, inputs, Mode(mode.training, drawn, mode.total, free))
        part.values[node.name] = outcome.value
        if mode.training:
            part.saved[node.name] = outcome.saved
            part.buffers.update({f"{node.parameter_owner}.{k}": v for k, v in outcome.buffers.items()})
        for name in node.inputs:
            readers[name] -= 1
            if not readers[name] and not keep_all and name not in wanted:
                del part.values[name]
    return part


def backward(
    graph: Graph, weights: Mapping[str, Array], trace: Trace, seeds: Mapping[str, Array], *, want_inputs: bool = False
) -> tuple[Weights, Weights]:
    """The gradients of weights, and of inputs where asked for, given those of some layers' values.

    `seeds` are gradients (channels last) by layer; they are where differentiation begins. What backward
    has used is dropped from the trace as it goes.
    """
    order = needed_nodes(graph, seeds)

    def run(member: int) -> tuple[Weights, Weights]:
        at, saved = trace.parts[member]
        mine = {name: seed[at] for name, seed in seeds.items()}
        return backward_part(graph, order, weights, saved, mine, want_inputs=want_inputs)

    parts = together(trace.meeting, run)
    found = {name: reduce(np.add, [weights[name] for weights, _ in parts]) for name in parts[0][0]}
    return found, {name: joined([inputs[name] for _, inputs in parts]) for name in parts[0][1]}


def backward_part(
    graph: Graph,
    order: list[Node],
    weights: Mapping[str, Array],
    saved: dict[str, Any],
    seeds: Mapping[str, Array],
    *,
    want_inputs: bool = False,
) -> tuple[Weights, Weights]:
    """`backward` of one part of a batch."""
    learns = _learns(graph, want_inputs)
    flowing = {name: seed.view() for name, seed in seeds.items()}  # gradients of values that are still to be passed on
    for seed in flowing.values():
        seed.flags.writeable = False  # it is the caller's
    found: Weights = {}
    inputs: Weights = {}
    for node in reversed(order):
        gradient = flowing.pop(node.name, None)
        if gradient is None or node.name not in learns:
            continue
        if isinstance(node.op, Input):
            inputs[node.name] = to_channels_first(gradient)
            continue
        own = own_weights(graph, node, weights)
        want = any(name in learns for name in node.inputs)
        result = BACKWARD[type(node.op)](_op(graph, node), own, saved.pop(node.name), gradient, want)
        del gradient
        for name, value in result.weights.items():
            full = f"{node.parameter_owner}.{name}"
            found[full] = found[full] + value if full in found else value
        for i, (name, part) in enumerate(zip(node.inputs, result.inputs, strict=True)):
            if part is not None and name in learns:
                if any(part is other for other in result.inputs[:i]):
                    part.flags.writeable = False
                flowing[name] = _added(flowing[name], part) if name in flowing else part
    return found, inputs


def _added(a: Array, b: Array) -> Array:
    """The sum of two gradients of one value, in the place of one that is nobody else's."""
    place = next((x for x in (a, b) if x.flags.writeable and x.dtype == np.result_type(a, b)), None)
    return np.add(a, b, out=place)


def joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


@dataclass(frozen=True)
class StepNumbers:
    """The random numbers of a training step: for each layer a generator of its own, the same whenever it is asked."""

    seed: int
    epoch: int
    step: int

    def __call__(self, layer: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, 2, self.epoch, self.step, *layer.encode()])


def own_numbers(random: Random | None, member: int) -> Random | None:
    """The random numbers of one part of a batch: of the same generators, for each part 2^127 steps further on."""
    if random is None or not member:
        return random

    def jumped(layer: str) -> np.random.Generator:
        bits = random(layer).bit_generator
        return np.random.Generator(bits.jumped(member))  # type: ignore[attr-defined]

    return jumped


def parts_of(graph: Graph, count: int, training: bool) -> int:
    """In how many parts a batch of so many examples goes through a graph: one a thread, if there is enough to do."""
    work, cost = count * (graph.total_macs + graph.total_elements), PART_WORK
    if training:
        cost += MEETING_WORK * _meetings(graph) + PARAMETER_WORK * graph.total_parameters
    return max(1, min(thread_count(), count, work // cost))


@lru_cache(maxsize=16)
def _meetings(graph: Graph) -> int:
    return sum(type(node.op) in NEEDS_BATCH_SUMS for node in graph.nodes)


def own_weights(
    graph: Graph, node: Node, weights: Mapping[str, Array], newer: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """A node's parameters and buffers by their short names; those of `newer` take precedence."""
    names = graph.parameter_names[node.name].items()
    if not newer:
        return {name: weights[full] for name, full in names}
    return {name: newer[full] if full in newer else weights[full] for name, full in names}


def _op(graph: Graph, node: Node) -> Op:
    """A node's op; frozen where it shares the parameters of a layer that is, which alone says so in the text."""
    if node.owner and any(p.frozen for p in _owned(graph, node)):
        return node.op.replace(frozen=True)
    return node.op


def _owned(graph: Graph, node: Node) -> list[Parameter]:
    """A node's parameters as their owner declares them."""
    return [graph.weights[full] for full in graph.parameter_names[node.name].values()]


@lru_cache(maxsize=16)
def _learns(graph: Graph, want_inputs: bool) -> set[str]:
    """The nodes through which a gradient has somewhere to go: a weight, or an input where it is asked for."""
    found: set[str] = set()
    for node in graph.nodes:
        own = any(p.trainable and not p.frozen for p in _owned(graph, node))
        asked = want_inputs and not node.inputs and node.type.dtype == "float32"
        if own or asked or any(name in found for name in node.inputs):
            found.add(node.name)
    return found
