"""There and back: what cnnc exports comes back as the network it was, whatever the layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnc.diagnostics import Source
from cnnc.graph.graph import Graph
from cnnc.language.format import format_text
from cnnc.network import check, load
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import run_passes
from cnnc.onnx.emit.size_family import family
from cnnc.reference.initializers import initialize
from tests import paths
from tests.model_files import network_of
from tests.onnx.importer.nets import network
from tests.onnx.importer.parts import exported, imported, outputs, signature
from tests.op_cases import CASES, Case, graph_of, random_feeds, random_weights

pytestmark = pytest.mark.long

MODELS = sorted(paths.MODELS.glob("*.cnn"))
LARGE = 12_000_000  # parameters; above it a round trip takes gigabytes, or minutes

# Rows whose second export is not the first one, though it computes the same.
SIMPLER = {
    "flatten-vector": "a flatten of a vector does nothing",
    "group_norm-each": "groups of one channel are an instance_norm",
    "layer_norm-one-channel": "over one channel it is an instance_norm",
    "upsample-none": "by 1, it does nothing",
    "upsample-bilinear-none": "by 1, it does nothing",
    "maxout-one": "of one channel, it does nothing",
    "pad-none": "by 0, it does nothing",
    "crop-all": "of the whole, it does nothing",
}
# Rows whose parameters are more afterwards: what is shared there has no `share` in the language, or is stored twice.
MORE = {
    "flip-shared-unturned": "the weight is stored as it is and turned",
    "flip-shared-turned-first": "the weight is stored as it is and turned",
}


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_every_layer_comes_back(case: Case) -> None:
    graph = graph_of(case)
    weights = random_weights(graph, 0)
    first = exported(graph, weights)
    found = imported(first)
    again = found.network.require_graph()
    feeds = random_feeds(case, graph, 3, 1)
    fed = {found.inputs[name]: array for name, array in feeds.items()}
    for made, expected in zip(outputs(again, found.weights, fed), outputs(graph, weights, feeds), strict=True):
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)
    same = signature(exported(again, found.weights)) == signature(first)
    assert same != (case.id in SIMPLER or case.id in MORE)
    if case.id not in MORE and case.id != "pool-weighted-narrow":  # whose weights are those of a filter, which counts
        left = graph_of_export(case)
        assert (again.total_parameters, again.total_macs) == (left.total_parameters, left.total_macs)


def graph_of_export(case: Case) -> Graph:
    """What the passes leave of a row."""
    graph = graph_of(case)
    return run_passes(graph, random_weights(graph, 0))[0]


@pytest.mark.parametrize("opset", [13, 20])
def test_other_opsets_come_back(opset: int) -> None:
    for case in CASES[::5]:
        graph = graph_of(case)
        if opset < 16 and "unpool" in case.id:
            continue
        weights = random_weights(graph, 0)
        first = exported(graph, weights, opset)
        found = imported(first)
        same = signature(exported(found.network.require_graph(), found.weights, opset)) == signature(first)
        assert same != (case.id in SIMPLER or case.id in MORE), case.id


def models() -> list[Any]:
    found = []
    for path in MODELS:
        large = network_of(path).require_graph().total_parameters > LARGE
        found.append(pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if large else []))
    return found


@pytest.mark.parametrize("path", models())
def test_every_model_comes_back(path: Path) -> None:
    """The same operators, attributes and initializers; a text that is laid out, checks, and is shorter than the graph."""
    graph = load(path).require_graph()
    first = exported(graph, initialize(graph, 0))
    found = imported(first)
    again = found.network.require_graph()
    assert signature(exported(again, found.weights)) == signature(first)
    assert format_text(Source("net.cnn", found.text)) == found.text
    assert again.total_macs == graph.total_macs
    assert len(found.text.splitlines()) <= len(first.graph.node) + 12
    # a second time, nothing changes: not even a name
    assert imported(exported(again, found.weights)).text.partition("\n")[2] == found.text.partition("\n")[2]


@pytest.mark.parametrize(
    "text",
    [
        "input 3xHxW; a: conv 8 k=3 p=1; pool max k=2; conv 16 k=3 p=1; upsample 2; concat a; conv 2 k=1",
        "input 3xHxW; conv 8 k=3 s=2 p=1; relu; layer_norm; group_norm groups=2; global_pool avg; fc 10",
        "input 2xHxW; q: pool max k=2; scale 2; unpool q; conv 3 k=3 p=same; pool weighted k=3 s=1 p=1; global_pool max",
        "input 4xHxW; channel_shuffle 2; space_to_depth 2; instance_norm; lrn size=4; depth_to_space 2; softmax",
        "input T dtype=int64; embed 8 vocab=20; conv 8 k=3 p=same; relu; global_pool max; fc 2",
    ],
)
def test_open_sizes_come_back(text: str) -> None:
    network = check(text)
    graph = network.require_graph()
    smaller, weights = run_passes(graph, random_weights(graph, 0))
    proto = emit(smaller, weights, {}, family=family(network, smaller, lambda other: run_passes(other, weights)[0]))
    found = imported(proto).network
    assert found.survey is not None
    assert network.survey is not None
    assert found.survey.legal == network.survey.legal
    assert [n.op.keyword for n in found.require_graph().nodes] == [n.op.keyword for n in graph.nodes]


def trip(seed: int) -> None:
    text = network(seed)
    graph = check(text).require_graph()
    weights = random_weights(graph, seed)
    first = exported(graph, weights)
    found = imported(first)
    again = found.network.require_graph()
    case = Case("random", text)
    feeds = random_feeds(case, graph, 2, seed)
    fed = {found.inputs[name]: array for name, array in feeds.items()}
    for made, expected in zip(outputs(again, found.weights, fed), outputs(graph, weights, feeds), strict=True):
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(expected).max())))
    left, _ = run_passes(graph, weights)
    assert (again.total_parameters, again.total_macs) == (left.total_parameters, left.total_macs), text
    assert format_text(Source("net.cnn", found.text)) == found.text


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_random_networks_come_back(seed: int) -> None:
    trip(seed)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_many_random_networks_come_back(seed: int) -> None:
    trip(seed)
