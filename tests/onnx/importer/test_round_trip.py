"""Round trips: a network that cnnc exports is imported as the same network, for every layer and every model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cnnc.diagnostics import Source
from cnnc.graph.graph import Graph
from cnnc.language.format import format_text
from cnnc.network import check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import run_passes
from cnnc.onnx.emit.size_family import build_size_family
from cnnc.ops.filter import Filter
from cnnc.ops.pool import Pool
from cnnc.reference.initializers import initialize
from tests.model_files import FILES, LARGE, network_of
from tests.onnx.importer.model_builders import export_graph, graph_signature, import_proto, outputs
from tests.onnx.importer.random_networks import random_network
from tests.op_cases import CASES, Case, graph_of, random_feeds, random_weights

pytestmark = pytest.mark.long


# Rows whose second export differs from the first, because the import simplifies the network.
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
# Rows with more parameters after the import: what is shared there is stored twice.
MORE = {
    "flip-shared-unturned": "the weight is stored as it is and flipped",
    "flip-shared-turned-first": "the weight is stored as it is and flipped",
}


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_every_layer_survives_a_round_trip(case: Case) -> None:
    graph = graph_of(case)
    weights = random_weights(graph, 0)
    first_export = export_graph(graph, weights)
    result = import_proto(first_export)
    reimported = result.network.require_graph()
    feeds = random_feeds(case, graph, 3, 1)
    fed = {result.inputs[name]: array for name, array in feeds.items()}
    for actual, expected in zip(outputs(reimported, result.weights, fed), outputs(graph, weights, feeds), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    same = graph_signature(export_graph(reimported, result.weights)) == graph_signature(first_export)
    assert same != (case.id in SIMPLER or case.id in MORE)
    if case.id not in MORE:
        left = graph_of_export(case)
        assert (reimported.total_parameters, reimported.total_macs) == (left.total_parameters, left.total_macs)


def graph_of_export(case: Case) -> Graph:
    """The graph of a row after the export's passes."""
    graph = graph_of(case)
    return run_passes(graph, random_weights(graph, 0))[0]


@pytest.mark.parametrize("opset", [13, 20])
def test_other_opsets_survive_a_round_trip(opset: int) -> None:
    for case in CASES[::5]:
        graph = graph_of(case)
        if opset < 16 and "unpool" in case.id:
            continue
        weights = random_weights(graph, 0)
        first_export = export_graph(graph, weights, opset)
        result = import_proto(first_export)
        same = graph_signature(export_graph(result.network.require_graph(), result.weights, opset)) == graph_signature(
            first_export
        )
        assert same != (case.id in SIMPLER or case.id in MORE), case.id


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in LARGE else []) for path in FILES]
)
def test_every_model_survives_a_round_trip(path: Path) -> None:
    """The operators, attributes and initializers are the same; the source is formatted, valid and shorter than the graph."""
    graph = network_of(path).require_graph()
    first_export = export_graph(graph, initialize(graph, 0))
    result = import_proto(first_export)
    reimported = result.network.require_graph()
    assert graph_signature(export_graph(reimported, result.weights)) == graph_signature(first_export)
    assert format_text(Source("net.cnn", result.source)) == result.source
    assert reimported.total_macs == graph.total_macs
    assert len(result.source.splitlines()) <= len(first_export.graph.node) + 12
    # a second round trip changes nothing, not even a name
    assert (
        import_proto(export_graph(reimported, result.weights)).source.partition("\n")[2]
        == result.source.partition("\n")[2]
    )


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
def test_open_sizes_survive_a_round_trip(text: str) -> None:
    network = check(text)
    graph = network.require_graph()
    smaller, weights = run_passes(graph, random_weights(graph, 0))
    proto = emit(
        smaller, weights, {}, family=build_size_family(network, smaller, lambda other: run_passes(other, weights)[0])
    )
    result = import_proto(proto).network
    assert result.survey is not None
    assert network.survey is not None
    assert result.survey.legal == network.survey.legal
    assert [n.op.keyword for n in result.require_graph().nodes] == [n.op.keyword for n in graph.nodes]


def macs_without_means(graph: Graph) -> int:
    """A weighted mean may come back as a plain mean, which counts no multiplications, or as a filter."""
    return sum(graph.macs(node) for node in graph.nodes if not isinstance(node.op, Pool | Filter))


def check_round_trip(seed: int) -> None:
    text = random_network(seed)
    graph = check(text).require_graph()
    weights = random_weights(graph, seed)
    first_export = export_graph(graph, weights)
    result = import_proto(first_export)
    reimported = result.network.require_graph()
    case = Case("random", text)
    feeds = random_feeds(case, graph, 2, seed)
    fed = {result.inputs[name]: array for name, array in feeds.items()}
    for actual, expected in zip(outputs(reimported, result.weights, fed), outputs(graph, weights, feeds), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(expected).max())))
    left, _ = run_passes(graph, weights)
    assert reimported.total_parameters == left.total_parameters, text
    assert macs_without_means(reimported) == macs_without_means(left), text
    assert format_text(Source("net.cnn", result.source)) == result.source


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
@example(20_000)
def test_random_networks_survive_a_round_trip(seed: int) -> None:
    check_round_trip(seed)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_many_random_networks_survive_a_round_trip(seed: int) -> None:
    check_round_trip(seed)
