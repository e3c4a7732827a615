"""The proof: the exported graph beside the NumPy network, every tensor compared.

In: the model, the graph as it was before any pass, and its weights. Out: `Proof`, with the deviation of
each layer. A tensor passes where max|a − b| ≤ 1e-5 + 1e-4·max|b|. It runs twice: every tensor with
onnxruntime's optimizations off, and the outputs of the model as users will run it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx

from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.export.runtime import Session
from cnnc.graph import Graph
from cnnc.ops.dense import Input
from cnnc.ops.sequence import Embed
from cnnc.reference.engine import Array, forward, outward

RTOL, ATOL = 1e-4, 1e-5


class Deviation(NamedTuple):
    """How far a tensor is from the trainer's: the largest difference, and the largest value to hold it against."""

    name: str
    difference: float
    scale: float

    @property
    def passes(self) -> bool:
        return self.difference <= ATOL + RTOL * self.scale

    @property
    def relative(self) -> float:
        return self.difference / self.scale if self.scale else self.difference


class Proof(NamedTuple):
    deviations: tuple[Deviation, ...]

    @property
    def worst(self) -> Deviation:
        return max(self.deviations, key=lambda d: d.difference / (ATOL + RTOL * d.scale))

    def require(self, graph: Graph) -> None:
        """Raises CnncError E801 with the first line of the text that deviates."""
        for deviation in self.deviations:
            if not deviation.passes:
                node = graph.by_name[deviation.name]
                raise CnncError(
                    Diagnostic(
                        "E801",
                        f"{deviation.name} of the exported graph deviates from the network: by "
                        f"{deviation.difference:.3g} where values reach {deviation.scale:.3g}",
                        node.span,
                        label="this layer is the first to deviate",
                        calls=node.calls,
                        help="please report it: the file was not written",
                    )
                )


def sample_feeds(graph: Graph, batch: int, seed: int = 0) -> dict[str, Array]:
    """Random input: 0..255 for uint8, numbers in 0..1 for float32, integers that the embeds know for int64."""
    known = vocabularies(graph)
    random = np.random.default_rng(seed)
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


def prove(model: onnx.ModelProto, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]) -> Proof:
    """Compares every value of the network that the model still has. Raises CnncError E604 where it does not run."""
    trace = forward(graph, weights, feeds, keep_all=True)
    made = {output for node in model.graph.node for output in node.output}
    names = [node.name for node in graph.nodes if node.name in made and node.name in trace.values]
    whole = Session(_with_outputs(model, names), graph.name, "cpu", optimize=False)
    plain = Session(model.SerializeToString(), graph.name, "cpu")
    every = dict(zip(names, whole.run(feeds, names), strict=True))
    final = dict(zip(plain.outputs, plain.run(feeds), strict=True))
    found = [_compare(name, every[name], outward(trace.values[name])) for name in names]
    found += [_compare(name, final[name], outward(trace.values[name])) for name in plain.outputs]
    return Proof(tuple(found))


def _compare(name: str, found: Array, expected: Array) -> Deviation:
    if found.shape != expected.shape:
        return Deviation(name, float("inf"), 0.0)
    difference = np.abs(found.astype(np.float64) - expected)
    if not np.isfinite(difference).all():
        return Deviation(name, float("inf"), 0.0)
    return Deviation(name, float(difference.max(initial=0)), float(np.abs(expected).max(initial=0)))


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> bytes:
    """The model with these tensors as its outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {info.name: info for info in [*model.graph.value_info, *model.graph.output]}
    del copy.graph.output[:]
    copy.graph.output.extend(known[name] for name in names)
    data: bytes = copy.SerializeToString()
    return data
