"""The proof: the exported graph beside the NumPy network, every tensor compared, element by element.

In: the model, the graph as it was before any pass, and its weights. Out: `Proof`, with the deviation of each layer.

The truth is the network in float64. What an element may differ from it is

    1e-4·|b| + 1e-5·min(1, largest |b| around) + 32·noise,  and never more than 1e-5 + 1e-4·largest |b| of the tensor

The noise is that of float32 itself: the root mean square of how far the same NumPy network in float32 is from the
one in float64, in this tensor. So a sum whose terms cancel, small beside what it is made of, is allowed what any
order of adding in float32 costs, and no more; a wrong small value beside large ones is found. Noise and "around"
are taken channel by channel where a channel has 32 elements that are not 0, else over the tensor.

Each model runs with one sample and with several: every tensor with onnxruntime's optimizations off, and the
outputs of the model as users will run it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from cnnc.core.arrays import Array, Weights
from cnnc.core.random_streams import Stream
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Graph
from cnnc.onnx.run.session import Provider, Session
from cnnc.ops.dense import Input
from cnnc.ops.sequence import Embed
from cnnc.reference.engine import forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_first

RTOL, ATOL, NOISE = 1e-4, 1e-5, 32
_CHANNEL = 32  # elements from which a channel has a noise of its own
LARGE = 10**9  # multiply-adds from which a network is compared with fewer samples


def samples_of(graph: Graph) -> int:
    """The larger of the two batches that a network is compared with; the other is 1."""
    return 2 if graph.total_macs > LARGE else 3


class Deviation(NamedTuple):
    """Where a tensor is furthest from the network's, in terms of what is allowed there.

    `difference`, `value` (the network's) and `allowed` are those of one element; `scale` is the tensor's largest value.
    """

    name: str
    difference: float
    value: float
    allowed: float
    scale: float

    @property
    def passes(self) -> bool:
        return self.difference <= self.allowed

    @property
    def share(self) -> float:
        """The difference in parts of what is allowed: above 1 it is too large."""
        if self.allowed:
            return self.difference / self.allowed
        return float("inf") if self.difference else 0.0

    @property
    def relative(self) -> float:
        return self.difference / self.scale if self.scale else self.difference


class Proof(NamedTuple):
    deviations: tuple[Deviation, ...]

    @property
    def worst(self) -> Deviation:
        return max(self.deviations, key=lambda d: d.share)

    @property
    def layers(self) -> tuple[Deviation, ...]:
        """The largest deviation of each layer, in the order of the text."""
        found: dict[str, Deviation] = {}
        for d in self.deviations:
            if d.name not in found or d.share > found[d.name].share:
                found[d.name] = d
        return tuple(found.values())

    def require(self, graph: Graph) -> None:
        """Raises CnncError E801 with the first line of the text that deviates."""
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


def together(proofs: Iterable[Proof]) -> Proof:
    """Several proofs of one model as one."""
    return Proof(tuple(d for proof in proofs for d in proof.deviations))


def random_weights(graph: Graph, seed: int) -> Weights:
    """Weights of an untrained network at which no mistake can hide: what begins as 0 or 1 throughout (biases, scales,
    running statistics) is drawn as well, so that a batch norm that is folded wrongly shows."""
    weights = initialize(graph, seed)
    for name, parameter in graph.weights.items():
        random = np.random.default_rng(Stream.VERIFY_WEIGHTS.key(seed, name))
        if parameter.name == "var":
            weights[name] = random.uniform(0.5, 2, parameter.shape).astype(np.float32)
        elif (weights[name] == weights[name].flat[0]).all():
            weights[name] += random.uniform(-0.2, 0.2, parameter.shape).astype(np.float32)
    return weights


def sample_feeds(graph: Graph, batch: int, seed: int = 0) -> dict[str, Array]:
    """Random input: 0..255 for uint8, numbers in 0..1 for float32, integers that the embeds know for int64."""
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


def vocabularies(graph: Graph) -> dict[str, int]:
    """For each node of integers that embeds read, at once or past layers that carry it along, the smallest vocabulary."""
    found: dict[str, int] = {}
    for node in reversed(graph.nodes):
        readers = graph.consumers[node.name]
        sizes = [r.op.vocab if isinstance(r.op, Embed) else found.get(r.name) for r in readers]
        known = [size for size in sizes if size is not None]
        if known and node.type.dtype == "int64":
            found[node.name] = min(known)
    return found


class Subject(NamedTuple):
    """A model to be proven; `folder` holds the weights that it keeps outside."""

    model: onnx.ModelProto
    folder: Path | None = None
    provider: Provider = "cpu"

    @contextmanager
    def session(self, name: str, outputs: list[str] | None = None) -> Iterator[Session]:
        """The model as users run it; with `outputs`, those tensors of it, unoptimized. Raises CnncError E604."""
        model = self.model if outputs is None else _with_outputs(self.model, outputs)
        if self.folder is None:
            yield Session(model.SerializeToString(), name, self.provider, optimize=outputs is None)
            return
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".onnx") as file:
            file.write(model.SerializeToString())
            file.flush()
            yield Session(Path(file.name), name, self.provider, optimize=outputs is None)


def prove(
    model: onnx.ModelProto | Subject, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]
) -> Proof:
    """Compares every value of the network that the model still has. Raises CnncError E604 where it does not run."""
    subject = model if isinstance(model, Subject) else Subject(model)
    made = {output for node in subject.model.graph.node for output in node.output}
    names = [node.name for node in graph.nodes if node.name in made]
    outputs = [info.name for info in subject.model.graph.output]
    truths = _truths(graph, weights, feeds, names)
    count = len(next(iter(feeds.values())))
    found: list[Deviation] = []
    for every, kept in ((names, names), (None, outputs)):
        worst: dict[str, Deviation] = {}
        with subject.session(graph.name, every) as session:
            for samples in sorted({1, count}):
                values = session.run({name: array[:samples] for name, array in feeds.items()}, kept)
                for name, value in zip(kept, values, strict=True):
                    d = truths[name].deviation(name, value)
                    worst[name] = max(worst.get(name, d), d, key=lambda d: d.share)
        found += worst.values()
    return Proof(tuple(found))


class _Truth(NamedTuple):
    """A tensor (N, ...) in float64; the noise of float32 and the largest value around each element, as they broadcast."""

    value: Array
    noise: Array
    around: Array

    @classmethod
    def of(cls, value: Array, single: Array) -> _Truth:
        """`single` is the same in float32, for the first samples."""
        sizes, axes = np.abs(value), (0, *range(2, value.ndim))
        part = value[: len(single)]
        # what a rectifier has set to 0 has no noise of its own, and says nothing of that of the others
        alive = (part != 0) | (single != 0)
        squares = np.square(single - part, dtype=np.float64)
        count, total = alive.sum(axes, keepdims=True), squares.sum(axes, keepdims=True)
        everywhere = squares.sum() / max(1, alive.sum())
        many = count >= _CHANNEL
        noise = np.sqrt(np.where(many, total / np.maximum(1, count), everywhere))
        return cls(value, noise, np.where(many, sizes.max(axes, keepdims=True, initial=0), sizes.max(initial=0)))

    def deviation(self, name: str, found: Array) -> Deviation:
        """Where the samples of a tensor whose truth is known are furthest from what is allowed."""
        found, truth = found[: len(self.value)], self.value[: len(found)]
        scale = float(np.abs(truth).max(initial=0))
        if found.shape != truth.shape:
            return Deviation(name, float("inf"), 0.0, 0.0, scale)
        allowed = RTOL * np.abs(truth) + ATOL * np.minimum(1, self.around) + NOISE * self.noise
        allowed = np.minimum(allowed, ATOL + RTOL * scale)
        difference = np.abs(found.astype(np.float64) - truth)
        difference[~np.isfinite(difference)] = np.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(difference == 0, 0, difference / allowed)
        if not share.size:
            return Deviation(name, 0.0, 0.0, ATOL, 0.0)
        worst = np.unravel_index(int(share.argmax()), share.shape)
        return Deviation(name, float(difference[worst]), float(truth[worst]), float(allowed[worst]), scale)


def _truths(
    graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], names: list[str]
) -> dict[str, _Truth]:
    """The values of these nodes in float64, and the noise of float32.

    Of a large network those of one sample alone, but for its outputs: the values of all would fill the memory.
    """
    doubled = _doubled(weights)
    some = {n: a[:1] for n, a in feeds.items()} if graph.total_macs > LARGE else feeds
    single = forward(graph, weights, some, wanted=names).values
    double = forward(graph, doubled, _doubled(some), wanted=names).values
    if some is not feeds:
        double |= forward(graph, doubled, _doubled(feeds)).values
    return {name: _Truth.of(to_channels_first(double.pop(name)), to_channels_first(single.pop(name))) for name in names}


def _doubled(arrays: Mapping[str, Array]) -> Weights:
    return {n: a.astype(np.float64) if np.issubdtype(a.dtype, np.floating) else a for n, a in arrays.items()}


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """The model with these tensors as its outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {info.name: info for info in [*model.graph.value_info, *model.graph.output]}
    del copy.graph.output[:]
    copy.graph.output.extend(known[name] for name in names)
    return copy
