"""How often elements are read, against plain loops and the engine's gradients; receptive fields, against perturbations."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from cnnc.core.arguments import Axes
from cnnc.graph.analysis import receptive_fields
from cnnc.graph.graph import Graph
from cnnc.network import check
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv
from cnnc.ops.pool import Pool
from cnnc.reference.engine import backward, forward
from cnnc.view.animation import stills
from cnnc.view.arrange import arranged
from cnnc.view.coverage import Coverage, Paths, layer_coverage, paths, positions, window_coverage
from cnnc.view.coverage_page import count_text, coverage_page
from cnnc.view.field_page import field_page, fields_between
from cnnc.view.fields import Interval, field_at
from cnnc.view.page import Picture
from cnnc.view.unfold.terms import inside, reads
from cnnc.view.window_page import window_page
from tests.view.networks import PUBLISHED, published
from tests.view.overlaps import collisions, outside
from tests.view.test_window_page import POOLS, WINDOWS, layer_of

NETWORKS = [
    "input 1x9x9; conv 1 k=3 p=1; relu; conv 1 k=3 s=2",
    "input 1x8x7; conv 1 k=3 d=2 p=1; pool avg k=2; conv 1 k=2",
    "input 1x6x6; a: conv 1 k=3 p=1; conv 1 k=3 p=1; add a; conv 1 k=2",
    "input 1x5x5; conv_transpose 1 k=3 s=2 p=1; conv 1 k=3",
    "input 1x12; conv 1 k=3 s=2; conv 1 k=2",
    "input 1x6x6; conv 1 k=3; crop 3x3; conv 1 k=2",
    "input 1x6x6; conv 1 k=3; pad 1; conv 1 k=2",
]


def graph_of(source: str) -> Graph:
    return check(source).require_graph()


@pytest.mark.parametrize(("line", "size"), [*WINDOWS, *POOLS])
def test_counts_of_a_layer_are_those_of_plain_loops(line: str, size: str) -> None:
    op, x, graph = layer_of(line, size)
    counts = np.zeros(x.spatial)
    for position in product(*map(range, graph.nodes[-1].type.spatial)):
        for element in reads(op, x, (0, *position)):
            if inside(element[1:], x.spatial):
                counts[element[1:]] += 1
    coverage = window_coverage(op, x)
    np.testing.assert_array_equal(coverage.counts, counts)
    np.testing.assert_array_equal(layer_coverage(graph, graph.nodes[-1]).counts, counts)
    assert coverage.taps is not None
    assert counts.sum() <= coverage.outputs * coverage.taps
    drawing = arranged(coverage_page([coverage], "coverage"))
    assert collisions(drawing) == []
    assert outside(drawing) == []


def gradient(graph: Graph, at: Axes | None) -> np.ndarray:
    """The gradient of the sum of the output, or of one position, by the input, where all weights are 1; a mean counts as a sum."""
    weights = {
        name: np.zeros(p.shape) if name.endswith("bias") else np.ones(p.shape) for name, p in graph.weights.items()
    }
    x = np.ones((1, *graph.nodes[0].type.shape))
    trace = forward(graph, weights, {"input1": x}, training=True)
    node = graph.by_name[graph.outputs[0]]
    upstream = np.zeros((1, *node.type.spatial, 1))
    upstream[(0, *at, 0) if at is not None else ...] = 1
    _, inputs = backward(graph, weights, trace, {node.name: upstream}, needs_input_gradients=True)
    means = math.prod(math.prod(n.op.k) for n in graph.nodes if isinstance(n.op, Pool))
    result: np.ndarray = inputs["input1"][0, 0] * means
    return result


@pytest.mark.parametrize("source", NETWORKS)
def test_paths_are_the_gradient_of_the_sum_with_all_weights_one(source: str) -> None:
    graph = graph_of(source)
    name = graph.outputs[0]
    spatial = graph.by_name[name].type.spatial
    np.testing.assert_allclose(paths(graph, name, np.ones(spatial))["input1"].counts, gradient(graph, None))
    middle = tuple(size // 2 for size in spatial)
    counts = paths(graph, name, positions(graph.by_name[name].type, middle))["input1"].counts
    np.testing.assert_allclose(counts, gradient(graph, middle))


@pytest.mark.parametrize("source", NETWORKS)
def test_a_field_is_what_a_perturbation_reaches(source: str) -> None:
    graph = graph_of(source)
    name = graph.outputs[0]
    node, sizes = graph.by_name[name], graph.nodes[0].type.spatial
    random = np.random.default_rng(2)
    weights = {key: random.uniform(0.5, 1.5, p.shape) for key, p in graph.weights.items()}
    x = random.uniform(0.5, 1.5, (1, *graph.nodes[0].type.shape))
    base = forward(graph, weights, {"input1": x}).values[name]
    changed = np.zeros((*sizes, *node.type.spatial), bool)
    for element in product(*map(range, sizes)):
        other = x.copy()
        other[(0, 0, *element)] += 0.5
        changed[element] = (np.abs(forward(graph, weights, {"input1": other}).values[name] - base) > 1e-9)[0, ..., 0]
    for at in product(*map(range, node.type.spatial)):
        reached = changed.reshape(*sizes, -1)[..., np.ravel_multi_index(at, node.type.spatial)]
        counts = paths(graph, name, positions(node.type, at))["input1"].counts
        np.testing.assert_array_equal(counts > 0, reached)
        field = field_at(receptive_fields(graph)[name], at)
        assert all(
            interval.first <= i <= interval.last
            for e in np.argwhere(reached)
            for i, interval in zip(e, field, strict=True)
        )


@pytest.mark.long
def test_counts_beyond_all_floats_are_those_of_whole_numbers() -> None:
    """Through 700 layers, some 10^330 paths, against the same sums in whole numbers; layers near the outputs stay exact."""
    graph = graph_of("input 1x9; " + "; ".join(["conv 1 k=3 p=1"] * 700))
    through = paths(graph, "conv700", np.ones(9))
    expected = [1] * 9
    for layer in range(699, -1, -1):
        expected = [sum(expected[max(0, i - 1) : i + 2]) for i in range(9)]
        counts, exponent = through[f"conv{layer}" if layer else "input1"]
        if layer in (699, 680):
            assert (counts.tolist(), exponent) == (expected, 0)
    assert max(expected) > 10**310
    for count, whole in zip(counts, expected, strict=True):
        assert Fraction(float(count)) * 2**exponent / whole == pytest.approx(1, rel=1e-12)
    text = coverage_page([Coverage("", counts, 9, exponent=exponent)], "").notes[0]
    assert count_text(Decimal(sum(expected))) in text


def test_an_element_that_is_read_once_stays_one_that_is_read() -> None:
    """However far its count is below the others."""
    counts = Paths(np.array([0.0, 1.0, 1e190]))
    for _ in range(3):
        counts = Paths(counts.counts * [1, 1, 1e100], counts.exponent).reduced()
        assert (counts.counts > 0).tolist() == [False, True, True]
    together = counts.plus(Paths(np.array([1.0, 0.0, 0.0])))
    assert (together.counts > 0).all()
    assert together.exponent == counts.exponent


def test_the_layers_between_are_listed_with_their_fields() -> None:
    graph = graph_of("input 1x12x12; conv 2 k=3; relu; pool max k=2; conv 2 k=3 p=1")
    through = paths(graph, "conv2", positions(graph.by_name["conv2"].type, (0, 4)))
    layers = fields_between(graph, "conv2", (0, 4), through)
    assert [layer.name for layer in layers] == ["conv1", "pool1", "conv2"]
    assert [tuple(i.size for i in layer.interval) for layer in layers] == [(3, 3), (4, 4), (8, 8)]
    assert layers[-1].interval == ((-2, 5), (6, 13))
    page = field_page(graph, "conv2", (0, 4), "input1", None)
    assert (
        "The field is 8x8: rows -2 to 5, columns 6 to 13; 28 of its 64 elements lie beyond the border, in padding."
        in page.notes
    )


@pytest.mark.parametrize("with_image", [False, True])
@pytest.mark.parametrize(
    "source", [*NETWORKS, "input 1x40; conv 2 k=3; pool max k=2; conv 2 k=5", "input 1x28x28; conv 2 k=5; fc 3"]
)
def test_nothing_overlaps_on_the_page_of_a_field(source: str, with_image: bool) -> None:
    graph = graph_of(source)
    sizes = graph.nodes[0].type.spatial
    pixels = np.zeros(sizes if len(sizes) == 2 else (12, *sizes), np.uint8) if with_image else None
    at = (0,) * len(graph.by_name[graph.outputs[0]].type.spatial)
    page = field_page(graph, graph.outputs[0], at, "input1", pixels)
    drawing = arranged(page)
    assert collisions(drawing) == []
    assert outside(drawing) == []
    if with_image:
        panel = page.bands[0].panels[0]
        assert isinstance(panel, Picture)
        assert len(panel.outlines) == 1


def test_a_field_beyond_the_border_shows_the_nearest_element() -> None:
    crops = [Interval(first, last).crop(8) for first, last in ((2, 4), (-3, 1), (6, 12), (-5, -2), (9, 11), (-9, 20))]
    assert [(crop.start, crop.stop) for crop in crops] == [(2, 5), (0, 2), (6, 8), (0, 1), (7, 8), (0, 8)]


def test_counts_are_written_as_elsewhere() -> None:
    texts = [count_text(count) for count in (0, 999, 2500, 240_000, 999_999, 1_234_567, 2.4e15)]
    assert texts == ["0", "999", "2,500", "240,000", "999,999", "1.2·10^6", "2.4·10^15"]


@pytest.mark.long
@pytest.mark.parametrize("with_image", [False, True])
@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_overlaps_on_the_pages_of_published_networks(name: str, with_image: bool) -> None:
    """The field and the coverage of an early, a middle and the last layer with positions; that of textcnn begins at its words."""
    graph = published(name)
    nodes = tuple(n.replace(inputs=()) if n.op.keyword == "embed" else n for n in graph.nodes)
    graph = graph.replace(nodes=nodes)
    layers = [n for n in graph.nodes if n.inputs and n.type.spatial]
    source = next(n for n in graph.nodes if not n.inputs and n.type.spatial)
    sizes = source.type.spatial
    pixels = np.zeros((12, *sizes)[-2:], np.uint8) if with_image else None
    for node in (layers[0], layers[len(layers) // 2], layers[-1]):
        at = tuple(size // 2 for size in node.type.spatial)
        for page in (
            field_page(graph, node.name, at, source.name, pixels, ("A note.",)),
            coverage_page([layer_coverage(graph, node)], f"{name}: how often {node.name} reads each element"),
        ):
            drawing = arranged(page)
            assert not collisions(drawing), (node.name, page.title)
            assert not outside(drawing), (node.name, page.title)


@pytest.mark.long
@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_overlaps_where_the_windows_of_published_networks_move(name: str) -> None:
    seen = set()
    for node in published(name).nodes:
        if type(node.op) not in (Conv, Pool) or not node.inputs:
            continue
        source = f"input 1x{'x'.join(['9'] * len(node.type.spatial))}; {node.op.keyword} {_one_channel(node.op)}"
        network = check(source)
        if source in seen or network.graph is None or len(network.graph.nodes) != 2:
            continue
        seen.add(source)
        op = network.graph.nodes[1].op
        page = window_page(op, network.graph.nodes[0].type, f"{name} {node.name}")
        for drawing in (arranged(page), arranged(stills(page, 9))):
            assert not collisions(drawing), source
            assert not outside(drawing), source
    assert seen


def _one_channel(op: Op) -> str:
    """The arguments of a layer with a single output channel and no groups."""
    words = [word for word in op.brief().split() if not word.startswith("groups=")]
    return " ".join("1" if word.isdigit() else word for word in words)
