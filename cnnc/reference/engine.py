"""Runs a graph forward and backward in NumPy: reverse-mode differentiation over the list of layers.

In: a graph, its weights (shaped as in ONNX), and feeds: a batch for each input, channels first. Out: the outputs of
layers, and the gradients of weights and inputs. The engine updates nothing: new running statistics are returned. The
gradients of a tensor with several readers, and of weights that several layers share, are summed; frozen weights get
none, and where no trainable weight lies upstream nothing is propagated.

Inside the engine tensors are channels last, (N, *spatial, C), so that a row of a window is one contiguous run of
memory and every convolution is a matrix product of rows. `layout.py` converts on the way in and out.

A batch is split into shards, one per thread, and each shard goes through the whole network. The layers' functions see
one shard and know nothing of threads; one that needs the whole batch (batch norm) calls `mode.batch_sum`.

    weights = initialize(graph, seed=0)
    trace = forward(graph, weights, {"input1": images}, training=True)
    gradients, _ = backward(graph, weights, trace, {"fc1": gradient_of_the_loss})
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache, partial, reduce
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.random_streams import Stream
from cnnc.core.tensor import Parameter
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.ops.base import Op
from cnnc.ops.dense import Input
from cnnc.reference import (
    activation,
    conv,
    conv_transpose,
    dense,
    filter,
    local,
    merge,
    norm,
    pool,
    reshape,
    sequence,
    spectrogram,
)
from cnnc.reference.feeds import check_feeds, fit_sizes, to_working_dtype, working_dtype
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.parallel.threads import AllReduce, run_in_threads, split_evenly, thread_count
from cnnc.reference.registry import BACKWARD, FORWARD, Backward, Mode, Random, traits_of

FAMILIES = (activation, conv, conv_transpose, dense, filter, local, merge, norm, pool, reshape, sequence, spectrogram)
"""The layer modules; importing them fills the tables of forward and backward functions."""

# What splitting a batch costs, in multiply-adds or elements that would take as long:
SHARD_WORK = 4_000_000  # each shard
BATCH_SUM_WORK = 5_000_000  # each layer that needs sums over the batch, in training
PARAMETER_WORK = 20  # each parameter, whose gradients of all shards are added up


@dataclass
class Trace:
    """The result of a forward run: outputs of layers (channels last), new buffers by full name, and what backward needs.

    `shards` holds, for each shard of `all_reduce`, its slice of the batch and what its layers saved (in training).
    """

    values: dict[str, Array] = field(default_factory=dict)
    buffers: Weights = field(default_factory=dict)
    shards: list[tuple[slice, dict[str, Any]]] = field(default_factory=list)
    all_reduce: AllReduce = field(default_factory=lambda: AllReduce(1))


class ShardTrace(NamedTuple):
    """The result of a forward run of one shard: outputs and saved data by layer, and new buffers by full name."""

    values: dict[str, Array]
    saved: dict[str, Any]
    buffers: Weights


def forward(
    graph: Graph,
    weights: Mapping[str, Array],
    feeds: Mapping[str, Array],
    *,
    outputs: Iterable[str] | None = None,
    training: bool = False,
    random: Random | None = None,
    keep_all: bool = False,
) -> Trace:
    """Runs the layers that `outputs` need (layer names; default: the outputs of the graph).

    `feeds` are batches (N, *shape), channels first, by input name; uint8 is scaled to 0..1. An activation is dropped
    after its last reader unless it is one of the outputs or `keep_all` is set; what backward needs is kept in training
    only. A run computes in the element type of its weights, or of its float inputs where there are no weights. A graph
    with symbols runs at every legal size. Raises CnncError E602 for feeds that are missing, do not have the input's
    shape and type, or have a size that is not legal.
    """
    outputs = tuple(graph.outputs if outputs is None else outputs)
    order = needed_nodes(graph, outputs)
    sized, batch_size = _fit(graph, order, feeds)
    dtype = working_dtype(weights, feeds)
    slices = [slice(*run) for run in split_evenly(batch_size, shard_count(sized, batch_size, training))]
    all_reduce = AllReduce(len(slices))

    def run_shard(shard: int) -> ShardTrace:
        shard_feeds = {name: feeds[name][slices[shard]] for name in feeds}
        mode = Mode(training, None, partial(all_reduce.sum, shard))
        shard_random = random_of_shard(random, shard, slices[shard].start)
        return forward_shard(graph, order, weights, shard_feeds, outputs, dtype, mode, shard_random, keep_all)

    traces = run_in_threads(all_reduce, run_shard)
    values = {name: concatenated([trace.values[name] for trace in traces]) for name in traces[0].values}
    shards = [(run, trace.saved) for run, trace in zip(slices, traces, strict=True)]
    return Trace(values, traces[0].buffers, shards if training else [], all_reduce)


def layer_outputs(
    graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], outputs: Iterable[str]
) -> Iterator[tuple[str, Array]]:
    """Runs the layers that `outputs` need, as `forward` does, and yields each layer's name and output (channels last).

    Only the activations that later layers read are in memory. Whoever keeps an output copies it before asking for the
    next one: a later layer may overwrite it.
    """
    order = needed_nodes(graph, tuple(outputs))
    _fit(graph, order, feeds)
    trace = ShardTrace({}, {}, {})
    for name in _run_layers(
        graph, order, weights, feeds, (), working_dtype(weights, feeds), Mode(), None, False, trace
    ):
        yield name, trace.values[name]


def _fit(graph: Graph, order: list[Node], feeds: Mapping[str, Array]) -> tuple[Graph, int]:
    """The graph at the sizes of the feeds, and their batch size. Raises CnncError E602."""
    inputs = [node for node in order if isinstance(node.op, Input)]
    sized = fit_sizes(graph, inputs, feeds)
    return sized, check_feeds([sized.by_name[node.name] for node in inputs], feeds)


def forward_shard(
    graph: Graph,
    order: list[Node],
    weights: Mapping[str, Array],
    feeds: Mapping[str, Array],
    outputs: tuple[str, ...],
    dtype: np.dtype[Any],
    mode: Mode,
    random: Random | None,
    keep_all: bool = False,
) -> ShardTrace:
    """`forward` of one shard of a batch; `mode.random` and `mode.may_overwrite_input` are set here for each layer."""
    trace = ShardTrace({}, {}, {})
    for _ in _run_layers(graph, order, weights, feeds, outputs, dtype, mode, random, keep_all, trace):
        pass
    return trace


def _run_layers(
    graph: Graph,
    order: list[Node],
    weights: Mapping[str, Array],
    feeds: Mapping[str, Array],
    outputs: tuple[str, ...],
    dtype: np.dtype[Any],
    mode: Mode,
    random: Random | None,
    keep_all: bool,
    trace: ShardTrace,
) -> Iterator[str]:
    """Fills `trace` layer by layer, and yields the name of each layer once its output is there."""
    readers = {node.name: 0 for node in order}
    for node in order:
        for name in node.inputs:
            readers[name] += 1
    # what backward needs of an output that several layers read may be that output itself
    may_be_saved = {name for name, count in readers.items() if count > 1} if mode.training else set()
    for node in order:
        if isinstance(node.op, Input):
            trace.values[node.name] = to_channels_last(to_working_dtype(node, feeds[node.name], dtype))
            yield node.name
            continue
        # layers that share running statistics update them one after the other
        node_weights = weights_of(graph, node, weights, trace.buffers)
        inputs = tuple(trace.values[name] for name in node.inputs)
        first = node.inputs[0]
        may_overwrite = (
            readers[first] == 1
            and first not in may_be_saved
            and not keep_all
            and first not in outputs
            and traits_of(graph.by_name[first].op).fresh_output
        )
        generator = random(node.name) if random is not None and traits_of(node.op).uses_rng else None
        node_mode = Mode(mode.training, generator, mode.batch_sum, may_overwrite)
        outcome = FORWARD[type(node.op)](_op(graph, node), node_weights, inputs, node_mode)
        trace.values[node.name] = outcome.output
        if mode.training:
            trace.saved[node.name] = outcome.saved
            trace.buffers.update({f"{node.parameter_owner}.{k}": v for k, v in outcome.buffers.items()})
        del inputs, node_weights, outcome  # else they would live until the next layer has its own
        for name in node.inputs:
            readers[name] -= 1
            if not readers[name] and not keep_all and name not in outputs:
                del trace.values[name]
        yield node.name
        if not readers[node.name] and not keep_all and node.name not in outputs:
            del trace.values[node.name]


def backward(
    graph: Graph,
    weights: Mapping[str, Array],
    trace: Trace,
    seeds: Mapping[str, Array],
    *,
    needs_input_gradients: bool = False,
    rules: Mapping[type[Op], Backward] = BACKWARD,
) -> tuple[Weights, Weights]:
    """The gradients of the weights by full name, and with `needs_input_gradients` those of the inputs, (N, *shape).

    `trace` is that of a forward run with `training=True`. `seeds` are the gradients (channels last) of some layers'
    outputs, where differentiation begins. What the layers saved is removed from the trace as soon as it has been used,
    so a trace serves for one backward run. `rules` are the backward functions by layer, where others than the gradient
    are to be propagated.
    """
    order = needed_nodes(graph, seeds)

    def run_shard(shard: int) -> tuple[Weights, Weights]:
        run, saved = trace.shards[shard]
        shard_seeds = {name: seed[run] for name, seed in seeds.items()}
        return backward_shard(
            graph, order, weights, saved, shard_seeds, needs_input_gradients=needs_input_gradients, rules=rules
        )

    results = run_in_threads(trace.all_reduce, run_shard)
    weight_gradients = {name: reduce(np.add, [weights[name] for weights, _ in results]) for name in results[0][0]}
    return weight_gradients, {name: concatenated([inputs[name] for _, inputs in results]) for name in results[0][1]}


def backward_shard(
    graph: Graph,
    order: list[Node],
    weights: Mapping[str, Array],
    saved: dict[str, Any],
    seeds: Mapping[str, Array],
    *,
    needs_input_gradients: bool = False,
    rules: Mapping[type[Op], Backward] = BACKWARD,
) -> tuple[Weights, Weights]:
    """`backward` of one shard of a batch."""
    on_path = differentiated(graph, needs_input_gradients)
    pending = {name: seed.view() for name, seed in seeds.items()}  # gradients of outputs that are still to be passed on
    for seed in pending.values():
        seed.flags.writeable = False  # it is the caller's
    weight_gradients: Weights = {}
    input_gradients: Weights = {}
    for node in reversed(order):
        gradient = pending.pop(node.name, None)
        if gradient is None or node.name not in on_path:
            continue
        if isinstance(node.op, Input):
            input_gradients[node.name] = to_channels_first(gradient)
            continue
        node_weights = weights_of(graph, node, weights)
        needs_dx = any(name in on_path for name in node.inputs)
        result = rules[type(node.op)](_op(graph, node), node_weights, saved.pop(node.name), gradient, needs_dx)
        del gradient
        for name, value in result.weights.items():
            full = f"{node.parameter_owner}.{name}"
            weight_gradients[full] = weight_gradients[full] + value if full in weight_gradients else value
        for i, (name, dx) in enumerate(zip(node.inputs, result.inputs, strict=True)):
            if dx is not None and name in on_path:
                if any(dx is other for other in result.inputs[:i]):
                    dx.flags.writeable = False
                pending[name] = _summed(pending[name], dx) if name in pending else dx
    return weight_gradients, input_gradients


def _summed(a: Array, b: Array) -> Array:
    """The sum of two gradients of one tensor, written into one of them that may be overwritten, if there is one."""
    target = next((x for x in (a, b) if x.flags.writeable and x.dtype == np.result_type(a, b)), None)
    return np.add(a, b, out=target)


def concatenated(shards: list[Array]) -> Array:
    """The shards of a batch, joined along the first axis."""
    return shards[0] if len(shards) == 1 else np.concatenate(shards)


@dataclass(frozen=True)
class StepRandom:
    """The random generators of a training step, by layer. Each call creates a new generator in the same initial state."""

    seed: int
    epoch: int
    step: int

    def __call__(self, layer: str) -> np.random.Generator:
        return np.random.default_rng(Stream.LAYERS.key(self.seed, self.epoch, self.step, layer))


class PositionalRandom:
    """Random numbers that depend on the layer and on the position in the whole batch, whose sample `first` a shard begins with."""

    first: int = 0

    def __call__(self, layer: str) -> np.random.Generator:
        """In place of a generator, an object whose `random(shape, dtype)` gives the numbers of a layer."""
        raise NotImplementedError

    def from_sample(self, first: int) -> Random:
        """The numbers for a shard that begins with this sample."""
        shifted = copy(self)
        shifted.first = first
        return shifted


def random_of_shard(random: Random | None, shard: int, first: int = 0) -> Random | None:
    """The generators for one shard of a batch: those of shard 0, jumped ahead by 2^127 steps for each shard."""
    if isinstance(random, PositionalRandom):
        return random.from_sample(first)
    if random is None or not shard:
        return random

    def jumped(layer: str) -> np.random.Generator:
        bits = random(layer).bit_generator
        return np.random.Generator(bits.jumped(shard))  # type: ignore[attr-defined]

    return jumped


def shard_count(graph: Graph, batch_size: int, training: bool) -> int:
    """How many shards a batch is split into: one per thread, fewer where the work does not pay for splitting it."""
    work, cost = batch_size * (graph.total_macs + graph.total_elements), SHARD_WORK
    if training:
        cost += BATCH_SUM_WORK * _batch_sum_layers(graph) + PARAMETER_WORK * graph.total_parameters
    return max(1, min(thread_count(), batch_size, work // cost))


@lru_cache(maxsize=16)
def _batch_sum_layers(graph: Graph) -> int:
    return sum(traits_of(node.op).needs_batch_sums for node in graph.nodes)


def weights_of(
    graph: Graph, node: Node, weights: Mapping[str, Array], updated: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """A node's parameters and buffers by their short names; those in `updated` take precedence."""
    names = graph.parameter_names[node.name].items()
    if not updated:
        return {name: weights[full] for name, full in names}
    return {name: updated[full] if full in updated else weights[full] for name, full in names}


def _op(graph: Graph, node: Node) -> Op:
    """A node's op; frozen where the parameters it shares are, because the source says `frozen` only at their owner."""
    if node.owner and any(p.frozen for p in _declared_parameters(graph, node)):
        return node.op.replace(frozen=True)
    return node.op


def _declared_parameters(graph: Graph, node: Node) -> list[Parameter]:
    """A node's parameters as their owner declares them."""
    return [graph.weights[full] for full in graph.parameter_names[node.name].values()]


def trains(graph: Graph, node: Node) -> bool:
    """Whether a node has weights that training changes: some are neither buffers nor frozen where they are declared."""
    return any(p.trainable and not p.frozen for p in _declared_parameters(graph, node))


@lru_cache(maxsize=16)
def differentiated(graph: Graph, needs_input_gradients: bool) -> set[str]:
    """The nodes whose gradient is needed: those with trainable weights, or inputs with `needs_input_gradients`, at or above them."""
    names: set[str] = set()
    for node in graph.nodes:
        is_float_input = needs_input_gradients and not node.inputs and node.type.dtype == "float32"
        if trains(graph, node) or is_float_input or any(name in names for name in node.inputs):
            names.add(node.name)
    return names
