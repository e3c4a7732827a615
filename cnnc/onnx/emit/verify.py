"""Verification: compares every tensor of an exported model with the NumPy network, element by element.

Input: the model, the graph as it was before any pass, and its weights. Output: `Verification`, with the deviation of each
layer.

The reference is the network in float64; tolerance.py says what is allowed. Each model runs with one sample and with
several: every tensor with onnxruntime's optimizations off, and the outputs of the model as users run it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx

from cnnc.core.arrays import Array, Weights
from cnnc.core.random_streams import Stream
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.analysis import vocabularies
from cnnc.graph.graph import Graph, Node
from cnnc.onnx.emit.layer_by_layer import LayerByLayer
from cnnc.onnx.emit.network_outputs import NetworkOutputs, exact_outputs, outputs_with_errors
from cnnc.onnx.emit.tolerance import Deviation, Reference
from cnnc.onnx.run.segments import RunnableModel, run_in_segments
from cnnc.onnx.run.session import Session
from cnnc.onnx.wire_format import file_parts
from cnnc.ops.dense import Input
from cnnc.reference.initializers import initialize

_FLOAT32_MAX = float(np.finfo(np.float32).max)
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
        for d in self.deviations:
            if not d.passes:
                raise CnncError(_e801(d, graph.by_name[d.name]))


def _e801(d: Deviation, node: Node) -> Diagnostic:
    if np.isinf(d.difference) and abs(d.value) > _FLOAT32_MAX:
        message = f"{d.name} overflows float32: an element is {d.value:.3g}, and float32 ends at {_FLOAT32_MAX:.3g}"
        help = "with smaller weights or inputs, or a normalization before this layer, the model can be computed"
        return Diagnostic("E801", message, node.span, label="overflows", calls=node.calls, help=help)
    optimized = ", as onnxruntime optimizes it," if d.optimized else ""
    message = (
        f"{d.name} of the exported graph{optimized} deviates from the network: by {d.difference:.3g} at a value of "
        f"{d.value:.3g}, where {d.allowed:.3g} is allowed"
    )
    label = "this layer is the first to deviate"
    return Diagnostic("E801", message, node.span, label=label, calls=node.calls)


def combined(verifications: Iterable[Verification]) -> Verification:
    """Several verifications of one model (at different sizes) as one."""
    each = list(verifications)
    return Verification(tuple(d for one in each for d in one.deviations), any(one.by_layer for one in each))


def random_weights(graph: Graph, seed: int) -> Weights:
    """Weights of an untrained network that hide no mistake: parameters that are initialized to all 0 or all 1 (biases,
    scales, running statistics) are drawn at random too, so that a batch norm folded wrongly deviates. Parameters that the
    source gives stay as they are."""
    weights = initialize(graph, seed)
    for name, parameter in graph.weights.items():
        if parameter.is_given:
            continue
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


def verify_model(
    model: onnx.ModelProto | RunnableModel, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]
) -> Verification:
    """Compares every tensor that the model still has, and its outputs as users run it. Raises CnncError E604."""
    subject = model if isinstance(model, RunnableModel) else RunnableModel(model, {}, graph.name)
    comparison = Comparison(subject, graph, weights, feeds)
    comparison.compare_tensors()
    session = Session(b"".join(file_parts(subject.message, subject.content)), subject.name, subject.provider)
    return comparison.compare_outputs(session)


class Comparison:
    """A model and its network on the same feeds, with one sample and with all of them.

    Both are computed in step, so that only the activations that later layers read are in memory. Of a large network all
    samples are compared at the outputs, and one in between.
    """

    def __init__(
        self, model: RunnableModel, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]
    ) -> None:
        self._model = model
        self._graph = graph
        self._weights = weights
        self._feeds = feeds
        computed = {output for node in model.message.graph.node for output in node.output}
        self._names = [node.name for node in graph.nodes if node.name in computed]
        self._outputs = [info.name for info in model.message.graph.output]
        self._count = len(next(iter(feeds.values())))
        self._batches = [{n: a[:samples] for n, a in feeds.items()} for samples in sorted({1, self._count})]
        self._tensors = Verification(())
        self._expected: dict[str, tuple[Reference, list[Array]]] = {}  # of outputs: also their unoptimized values

    def compare_tensors(self) -> Verification:
        """Compares every tensor that the unoptimized model still has. Raises CnncError E604."""
        with np.errstate(all="ignore"):  # a network may overflow float32
            self._tensors = self._compare_with_network()
            if not self._tensors.worst.passes:
                self._tensors = self._compare_layer_by_layer()
        return self._tensors

    def compare_outputs(self, session: Session) -> Verification:
        """Compares the outputs of the model as users run it as well. Raises CnncError E604."""
        runs = [dict(zip(self._outputs, session.run(batch, self._outputs), strict=True)) for batch in self._batches]
        worst = _Worst()
        for name, (reference, _) in self._expected.items():
            worst.add_all(reference, name, [run[name] for run in runs])
        if not all(d.passes for d in worst.deviations()) and self._tensors.worst.passes:
            with_errors = outputs_with_errors(self._graph, self._weights, self._feeds)
            worst = _Worst()
            for name, (reference, unoptimized) in self._expected.items():
                for first, run in zip(unoptimized, runs, strict=True):
                    worst.add(reference.run_deviation(name, first, run[name], with_errors[name]))
        outputs = Verification(tuple(d._replace(optimized=True) for d in worst.deviations()))
        return combined([self._tensors, outputs])

    def _run(self) -> Iterator[tuple[str, list[Array]]]:
        """Each tensor of the unoptimized model, with its value for each batch."""
        sizes = {name: self._graph.by_name[name].type.bytes * (self._count + 1) for name in self._names}
        return run_in_segments(self._model, self._batches, self._names, sizes)

    def _compare_with_network(self) -> Verification:
        compared = 1 if self._graph.total_macs > LARGE_MACS else self._count
        feeds, rest = (
            {n: a[part] for n, a in self._feeds.items()} for part in (slice(compared), slice(compared, None))
        )
        network = NetworkOutputs(self._graph, self._weights, feeds, self._names)
        kept: dict[str, tuple[list[Array], Array, Array]] = {}
        worst = _Worst()
        for name, values in self._run():
            double, single = network.pop(name)
            if name in self._outputs:
                kept[name] = values, double.copy(), single.copy()
            else:
                worst.add_all(Reference.of(double, single), name, values)
            del double, single, values  # before the next layer is computed
        others = exact_outputs(self._graph, self._weights, rest) if compared < self._count else {}
        for name in self._outputs:
            values, double, single = kept.pop(name)
            if name in others:
                double = np.concatenate([double, others[name]])
            reference = Reference.of(double, single)
            self._expected[name] = reference, values
            worst.add_all(reference, name, values)
        return Verification(worst.deviations(self._names))

    def _compare_layer_by_layer(self) -> Verification:
        """Compares every tensor with what the network computes from the model's own inputs of that layer."""
        layers = [LayerByLayer(self._graph, self._weights, batch, self._names) for batch in self._batches]
        worst = _Worst()
        for name, values in self._run():
            for run, tensor in zip(layers, values, strict=True):
                worst.add(run.deviation(name, tensor))
        return Verification(worst.deviations(self._names), by_layer=True)


class _Worst:
    """The largest deviation of each tensor."""

    def __init__(self) -> None:
        self._by_name: dict[str, Deviation] = {}

    def add(self, d: Deviation) -> None:
        self._by_name[d.name] = max(self._by_name.get(d.name, d), d, key=lambda d: d.share)

    def add_all(self, reference: Reference, name: str, values: Iterable[Array]) -> None:
        """Adds the deviations of a tensor's values for several batches."""
        for value in values:
            self.add(reference.network_deviation(name, value))

    def deviations(self, order: Iterable[str] | None = None) -> tuple[Deviation, ...]:
        return tuple(self._by_name[name] for name in (self._by_name if order is None else order))


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy of the model with these tensors as its outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {info.name: info for info in [*model.graph.value_info, *model.graph.output]}
    del copy.graph.output[:]
    copy.graph.output.extend(known[name] for name in names)
    return copy
