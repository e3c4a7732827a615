"""Verification: compares every tensor of an exported model with the NumPy network, element by element.

Input: the model, the graph as it was before any pass, and its weights. Output: `Verification`, with the deviation of each
layer.

The reference is the network in float64; tolerance.py says what is allowed. Each model runs with one sample and with
several: every tensor with onnxruntime's optimizations off, and the outputs of the model as users run it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from cnnc.core.arrays import Array, Weights
from cnnc.core.random_streams import Stream
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.analysis import vocabularies
from cnnc.graph.graph import Graph
from cnnc.onnx.emit.layer_by_layer import LayerByLayer
from cnnc.onnx.emit.tolerance import Deviation, Reference
from cnnc.onnx.run.segments import RunnableModel, run_in_segments
from cnnc.onnx.run.session import Session
from cnnc.onnx.wire_format import file_parts
from cnnc.ops.dense import Input
from cnnc.reference.engine import forward, layer_outputs
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_first

LARGE_MACS = 10**9  # multiply-adds from which a network is verified with fewer samples


def sample_count(graph: Graph) -> int:
    """The larger of the two batch sizes that a network is verified with; the other is 1."""
    return 2 if graph.total_macs > LARGE_MACS else 3


class Verification(NamedTuple):
    """The deviation of every tensor that was compared, in graph order; a model output is compared twice.

    `by_layer` says that each layer was judged on its own, from the model's inputs of that layer, because a tensor deviated
    from the network by more than is allowed there.
    """

    deviations: tuple[Deviation, ...]
    by_layer: bool = False

    @property
    def worst(self) -> Deviation:
        """The deviation that is largest relative to what is allowed."""
        return max(self.deviations, key=lambda d: d.share)

    @property
    def layers(self) -> tuple[Deviation, ...]:
        """The largest deviation of each layer, in graph order."""
        largest: dict[str, Deviation] = {}
        for d in self.deviations:
            if d.name not in largest or d.share > largest[d.name].share:
                largest[d.name] = d
        return tuple(largest.values())

    def require_within_tolerance(self, graph: Graph) -> None:
        """Raises CnncError E801 at the first layer of `graph` that deviates too far."""
        for deviation in self.deviations:
            if not deviation.passes:
                node = graph.by_name[deviation.name]
                raise CnncError(
                    Diagnostic(
                        "E801",
                        f"{deviation.name} of the exported graph deviates from the network: by "
                        f"{deviation.difference:.3g} at a value of {deviation.value:.3g}, where {deviation.allowed:.3g} "
                        "is allowed",
                        node.span,
                        label="this layer is the first to deviate",
                        calls=node.calls,
                        help="please report it: the file was not written",
                    )
                )


def combined(verifications: Iterable[Verification]) -> Verification:
    """Several verifications of one model (at different sizes) as one."""
    each = list(verifications)
    return Verification(tuple(d for one in each for d in one.deviations), any(one.by_layer for one in each))


def random_weights(graph: Graph, seed: int) -> Weights:
    """Weights of an untrained network that hide no mistake: parameters that are initialized to all 0 or all 1 (biases,
    scales, running statistics) are drawn at random too, so that a batch norm folded wrongly deviates."""
    weights = initialize(graph, seed)
    for name, parameter in graph.weights.items():
        random = np.random.default_rng(Stream.VERIFY_WEIGHTS.key(seed, name))
        if parameter.name == "var":
            weights[name] = random.uniform(0.5, 2, parameter.shape).astype(np.float32)
        elif (weights[name] == weights[name].flat[0]).all():
            weights[name] += random.uniform(-0.2, 0.2, parameter.shape).astype(np.float32)
    return weights


def sample_feeds(graph: Graph, batch: int, seed: int = 0) -> dict[str, Array]:
    """Random feeds (batch, *shape) by input name: 0..255 for uint8, 0..1 for float32, for int64 indices within the
    vocabulary of the embedding that reads them (below 100 where there is none)."""
    known = vocabularies(graph)
    random = np.random.default_rng(Stream.VERIFY_INPUTS.key(seed))
    feeds: dict[str, Array] = {}
    for node in graph.inputs:
        assert isinstance(node.op, Input)
        fed = node.op.fed()
        shape = (batch, *fed.shape)
        if fed.dtype == "uint8":
            feeds[node.name] = random.integers(0, 256, shape, np.uint8)
        elif fed.dtype == "int64":
            feeds[node.name] = random.integers(0, known.get(node.name, 100), shape, np.int64)
        else:
            feeds[node.name] = random.random(shape, np.float32)
    return feeds


class ExpectedOutputs(NamedTuple):
    """What the outputs of a model have to be for these batches of feeds, and what the unoptimized model computed."""

    batches: list[dict[str, Array]]
    references: dict[str, Reference]
    unoptimized: dict[str, list[Array]]

    def verify(self, session: Session) -> Verification:
        """Compares the outputs of a model as users run it, whose tensors have been judged. Raises CnncError E604."""
        values = [session.run(batch, list(self.references)) for batch in self.batches]
        deviations = []
        for (name, reference), optimized in zip(self.references.items(), zip(*values, strict=True), strict=True):
            pairs = zip(self.unoptimized[name], optimized, strict=True)
            deviations.append(_largest(reference.run_deviation(name, *pair) for pair in pairs))
        return Verification(tuple(deviations))


def verify_model(
    model: onnx.ModelProto | RunnableModel, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]
) -> Verification:
    """Compares every tensor that the model still has, and its outputs as users run it. Raises CnncError E604."""
    subject = model if isinstance(model, RunnableModel) else RunnableModel(model, {}, graph.name)
    tensors, expected = verify_tensors(subject, graph, weights, feeds)
    session = Session(b"".join(file_parts(subject.message, subject.content)), subject.name, subject.provider)
    return combined([tensors, expected.verify(session)])


def verify_tensors(
    model: RunnableModel, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]
) -> tuple[Verification, ExpectedOutputs]:
    """Compares every tensor of the network that the model still has, with one sample and with all. Raises CnncError E604.

    Model and network are computed in step, so that only the activations that later layers read are in memory. Of a large
    network all samples are compared at the outputs, and one in between. If a tensor deviates from the network by more than
    is allowed, every layer is judged on its own.
    """
    computed = {output for node in model.message.graph.node for output in node.output}
    names = [node.name for node in graph.nodes if node.name in computed]
    outputs = [info.name for info in model.message.graph.output]
    count = len(next(iter(feeds.values())))
    batches = [{name: array[:samples] for name, array in feeds.items()} for samples in sorted({1, count})]
    sizes = {name: graph.by_name[name].type.bytes * (count + 1) for name in names}
    compared = 1 if graph.total_macs > LARGE_MACS else count
    layers = _LayerOutputs(graph, weights, {name: array[:compared] for name, array in feeds.items()}, names)
    kept: dict[str, tuple[list[Array], Array, Array]] = {}
    worst: dict[str, Deviation] = {}
    for name, values in run_in_segments(model, batches, names, sizes):
        double, single = layers.pop(name)
        if name in outputs:
            kept[name] = (values, double.copy(), single.copy())
        else:
            worst[name] = _network_deviation(name, Reference.of(double, single), values)
        del double, single, values  # before the next layer is computed
    rest = {name: array[compared:] for name, array in feeds.items()}
    others = forward(graph, _Float64(weights), _in_float64(rest), outputs=outputs).values if compared < count else {}
    references, unoptimized = {}, {}
    for name in outputs:
        unoptimized[name], double, single = kept.pop(name)
        if name in others:
            double = np.concatenate([double, to_channels_first(others[name])])
        references[name] = Reference.of(double, single)
        worst[name] = _network_deviation(name, references[name], unoptimized[name])
    expected = ExpectedOutputs(batches, references, unoptimized)
    if all(d.passes for d in worst.values()):
        return Verification(tuple(worst[name] for name in names)), expected
    judges = [LayerByLayer(graph, weights, batch, names) for batch in batches]
    for name, values in run_in_segments(model, batches, names, sizes):
        worst[name] = _largest(judge.deviation(name, value) for judge, value in zip(judges, values, strict=True))
    return Verification(tuple(worst[name] for name in names), by_layer=True), expected


def _network_deviation(name: str, reference: Reference, values: Iterable[Array]) -> Deviation:
    """The largest deviation of a tensor from the network over its values for several batches."""
    return _largest(reference.network_deviation(name, value) for value in values)


def _largest(deviations: Iterable[Deviation]) -> Deviation:
    return max(deviations, key=lambda d: d.share)


class _LayerOutputs:
    """The outputs of layers in float64 and in float32, channels first, computed when they are asked for."""

    def __init__(
        self, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], names: Collection[str]
    ) -> None:
        self._names = set(names)
        self._single = layer_outputs(graph, weights, feeds, names)
        self._double = layer_outputs(graph, _Float64(weights), _in_float64(feeds), names)
        self._ahead: dict[str, tuple[Array, Array]] = {}

    def pop(self, name: str) -> tuple[Array, Array]:
        """The output of a layer, in float64 and in float32, valid until the next call."""
        if name in self._ahead:
            return self._ahead.pop(name)
        for (layer, single), (_, double) in zip(self._single, self._double, strict=True):
            pair = _channels_first(double), _channels_first(single)
            if layer == name:
                return pair
            if layer in self._names:  # the model computes it later than the network
                self._ahead[layer] = pair[0].copy(), pair[1].copy()
        raise KeyError(name)


class _Float64(Mapping[str, Array]):
    """Weights that become float64 when they are read, so that those of one layer at a time take twice their memory."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights

    def __getitem__(self, name: str) -> Array:
        return _in_float64({name: self._weights[name]})[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def _channels_first(array: Array) -> Array:
    """A view (N, C, ...) of an output of the engine (N, ..., C)."""
    return np.moveaxis(array, -1, 1) if array.ndim > 2 else array


def _in_float64(arrays: Mapping[str, Array]) -> Weights:
    return {n: a.astype(np.float64) if np.issubdtype(a.dtype, np.floating) else a for n, a in arrays.items()}


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy of the model with these tensors as its outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {info.name: info for info in [*model.graph.value_info, *model.graph.output]}
    del copy.graph.output[:]
    copy.graph.output.extend(known[name] for name in names)
    return copy
