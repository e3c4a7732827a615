"""Verification: compares every tensor of an exported model with the NumPy network, element by element.

Input: the model, the graph as it was before any pass, and its weights. Output: `Verification`, with the deviation of each
layer.

The reference is the network in float64; tolerance.py says what is allowed. Each model runs with one sample and with
several: every tensor with onnxruntime's optimizations off, and the outputs of the model as users run it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
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
from cnnc.onnx.run.session import Provider, Session
from cnnc.ops.dense import Input
from cnnc.reference.engine import forward
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


class ModelUnderTest(NamedTuple):
    """A model to verify. `folder` holds its external weights, if it has any."""

    model: onnx.ModelProto
    folder: Path | None = None
    provider: Provider = "cpu"

    @contextmanager
    def session(self, name: str, outputs: list[str] | None = None) -> Iterator[Session]:
        """A session for the model as users run it; with `outputs`, one for these tensors, unoptimized. Raises CnncError E604."""
        model = self.model if outputs is None else with_outputs(self.model, outputs)
        if self.folder is None:
            yield Session(model.SerializeToString(), name, self.provider, optimize=outputs is None)
            return
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".onnx") as file:
            file.write(model.SerializeToString())
            file.flush()
            yield Session(Path(file.name), name, self.provider, optimize=outputs is None)


def verify_model(
    model: onnx.ModelProto | ModelUnderTest, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]
) -> Verification:
    """Compares every tensor of the network that the model still has. Raises CnncError E604 if the model does not run."""
    subject = model if isinstance(model, ModelUnderTest) else ModelUnderTest(model)
    computed = {output for node in subject.model.graph.node for output in node.output}
    names = [node.name for node in graph.nodes if node.name in computed]
    outputs = [info.name for info in subject.model.graph.output]
    references = _references(graph, weights, feeds, names)
    count = len(next(iter(feeds.values())))
    deviations: list[Deviation] = []
    for unoptimized, compared in ((names, names), (None, outputs)):  # every tensor, then the model as users run it
        worst: dict[str, Deviation] = {}
        with subject.session(graph.name, unoptimized) as session:
            for samples in sorted({1, count}):
                values = session.run({name: array[:samples] for name, array in feeds.items()}, compared)
                for name, value in zip(compared, values, strict=True):
                    d = references[name].network_deviation(name, value)._replace(optimized=unoptimized is None)
                    worst[name] = max(worst.get(name, d), d, key=lambda d: d.share)
        deviations += worst.values()
    if all(d.passes for d in deviations):
        return Verification(tuple(deviations))
    return _verify_layer_by_layer(subject, graph, weights, feeds, names)


def _verify_layer_by_layer(
    subject: ModelUnderTest, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], names: list[str]
) -> Verification:
    """Compares every tensor with what the network computes from the model's own inputs of that layer.

    The outputs of the model as users run it are then compared with those of the unoptimized model, and may differ by as
    much as float32 costs in this network: by the noise of the unoptimized outputs themselves.
    """
    exact = forward(graph, _in_float64(weights), _in_float64(feeds)).values
    worst: dict[tuple[bool, str], Deviation] = {}
    with subject.session(graph.name, names) as unoptimized, subject.session(graph.name) as as_used:
        for samples in sorted({1, len(next(iter(feeds.values())))}):
            some = {name: array[:samples] for name, array in feeds.items()}
            tensors = dict(zip(names, unoptimized.run(some, names), strict=True))
            outputs = dict(zip(as_used.outputs, as_used.run(some), strict=True))
            layers = LayerByLayer(graph, weights, some, names)
            for name in names:
                d, operator_error = layers.deviation(name, tensors[name])
                compared = [d]
                if name in outputs and d.passes:
                    reference = Reference.of(to_channels_first(exact[name])[:samples], tensors[name])
                    compared.append(reference.run_deviation(name, tensors[name], outputs[name], operator_error))
                for d in compared:
                    key = (d.optimized, d.name)
                    worst[key] = max(worst.get(key, d), d, key=lambda d: d.share)
    return Verification(tuple(worst[key] for key in sorted(worst, key=lambda key: key[0])), by_layer=True)


def _references(
    graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], names: list[str]
) -> dict[str, Reference]:
    """The outputs of these nodes in float64, and their float32 noise.

    A large network is computed for one sample only, apart from its outputs: the activations of all would fill the memory.
    """
    weights64 = _in_float64(weights)
    some = {n: a[:1] for n, a in feeds.items()} if graph.total_macs > LARGE_MACS else feeds
    single = forward(graph, weights, some, outputs=names).values
    double = forward(graph, weights64, _in_float64(some), outputs=names).values
    if some is not feeds:
        double |= forward(graph, weights64, _in_float64(feeds)).values
    return {
        name: Reference.of(to_channels_first(double.pop(name)), to_channels_first(single.pop(name))) for name in names
    }


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
