"""Verification: compares every tensor of an exported model with the NumPy network, element by element.

Input: the model, the graph as it was before any pass, and its weights. Output: `Verification`, with the deviation of each
layer.

The reference is the network in float64. An element with the reference value b may deviate by

    1e-4·|b| + 1e-5·min(1, max |b| of the channel) + 32·noise,  and at most by 1e-5 + 1e-4·max |b| of the tensor

The noise is that of float32 itself: the root mean square difference between the NumPy network in float32 and in float64,
per channel where a channel has at least 32 nonzero elements, else over the tensor ("of the channel" likewise). So a sum
whose terms cancel may deviate by what any order of float32 addition costs, and no more; a wrong small element among large
ones fails.

Worked case: a channel (3 samples, 1, 8, 8) holds elements up to 2.0, and its 192 elements differ between float32 and
float64 by 1e-7 (root mean square). An element of 0.001 may deviate by 1e-4·0.001 + 1e-5·1 + 32·1e-7 = 1.33e-5. Scaled by
1e-3 (elements up to 0.002, noise 1e-10), an element of 1e-6 may deviate by 1e-10 + 1e-5·0.002 + 3.2e-9 = 2.3e-8.

Each model runs with one sample and with several: every tensor with onnxruntime's optimizations off, and the outputs of
the model as users run it.
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
from cnnc.onnx.run.session import Provider, Session
from cnnc.ops.dense import Input
from cnnc.reference.engine import forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_first

RTOL, ATOL, NOISE = 1e-4, 1e-5, 32
_MIN_CHANNEL_ELEMENTS = 32  # nonzero elements from which the noise is per channel
LARGE_MACS = 10**9  # multiply-adds from which a network is verified with fewer samples


def sample_count(graph: Graph) -> int:
    """The larger of the two batch sizes that a network is verified with; the other is 1."""
    return 2 if graph.total_macs > LARGE_MACS else 3


class Deviation(NamedTuple):
    """The element of a tensor that deviates most from the network, relative to what is allowed there.

    `difference`, `value` (the network's) and `allowed` belong to that element; `scale` is the tensor's largest magnitude.
    """

    name: str
    difference: float
    value: float
    allowed: float
    scale: float

    @property
    def passes(self) -> bool:
        """Whether the difference is allowed."""
        return self.difference <= self.allowed

    @property
    def share(self) -> float:
        """The difference relative to what is allowed: above 1 it is too large."""
        if self.allowed:
            return self.difference / self.allowed
        return float("inf") if self.difference else 0.0

    @property
    def relative(self) -> float:
        """The difference relative to the tensor's largest magnitude."""
        return self.difference / self.scale if self.scale else self.difference


class Verification(NamedTuple):
    """The deviation of every tensor that was compared, in graph order; a model output is compared twice."""

    deviations: tuple[Deviation, ...]

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
    return Verification(tuple(d for one in verifications for d in one.deviations))


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
                    d = references[name].deviation(name, value)
                    worst[name] = max(worst.get(name, d), d, key=lambda d: d.share)
        deviations += worst.values()
    return Verification(tuple(deviations))


class _Reference(NamedTuple):
    """A tensor (N, C, ...) in float64. `noise` (float32 noise) and `largest` (largest magnitude) broadcast to it: they are
    per channel, (1, C, 1, ...), where a channel has enough elements, else the same for the whole tensor."""

    value: Array
    noise: Array
    largest: Array

    @classmethod
    def of(cls, value: Array, single: Array) -> _Reference:
        """`single` is the same tensor computed in float32, for the first samples."""
        sizes, axes = np.abs(value), (0, *range(2, value.ndim))
        part = value[: len(single)]
        # elements that a relu has set to 0 have no noise, and would dilute that of the others
        nonzero = (part != 0) | (single != 0)
        squares = np.square(single - part, dtype=np.float64)
        count, total = nonzero.sum(axes, keepdims=True), squares.sum(axes, keepdims=True)
        everywhere = squares.sum() / max(1, nonzero.sum())
        many = count >= _MIN_CHANNEL_ELEMENTS
        noise = np.sqrt(np.where(many, total / np.maximum(1, count), everywhere))
        return cls(value, noise, np.where(many, sizes.max(axes, keepdims=True, initial=0), sizes.max(initial=0)))

    def deviation(self, name: str, output: Array) -> Deviation:
        """The largest deviation of `output`, the model's tensor `name`, over the samples that both have."""
        output, reference = output[: len(self.value)], self.value[: len(output)]
        scale = float(np.abs(reference).max(initial=0))
        if output.shape != reference.shape:
            return Deviation(name, float("inf"), 0.0, 0.0, scale)
        allowed = RTOL * np.abs(reference) + ATOL * np.minimum(1, self.largest) + NOISE * self.noise
        allowed = np.minimum(allowed, ATOL + RTOL * scale)
        difference = np.abs(output.astype(np.float64) - reference)
        difference[~np.isfinite(difference)] = np.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(difference == 0, 0, difference / allowed)
        if not share.size:
            return Deviation(name, 0.0, 0.0, ATOL, 0.0)
        worst = np.unravel_index(int(share.argmax()), share.shape)
        return Deviation(name, float(difference[worst]), float(reference[worst]), float(allowed[worst]), scale)


def _references(
    graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], names: list[str]
) -> dict[str, _Reference]:
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
        name: _Reference.of(to_channels_first(double.pop(name)), to_channels_first(single.pop(name))) for name in names
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
