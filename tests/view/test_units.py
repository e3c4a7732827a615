"""Shows that units have an edge for each entry of a layer's matrix, and which units one of them depends on."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import hypot

import pytest

from cnnc import CnncError, check
from cnnc.graph.graph import Graph
from cnnc.view.drawing import Edge, Label, Marker
from cnnc.view.labels import label_width
from cnnc.view.units import affected, affecting, unit_edges, units_drawing
from tests.view.golden_files import assert_golden


def _graph(layers: str) -> Graph:
    return check(f"net Small\ninput 1x5\n{layers}").require_graph()


def test_a_convolution_is_sparse_and_a_dense_layer_is_not() -> None:
    edges = unit_edges(_graph("conv 1 k=3 p=1\nfc 5\n"))
    conv = [(edge.start, edge.end) for edge in edges if edge.target == "conv1"]
    assert sorted(conv) == sorted((i, j) for i in range(5) for j in range(5) if abs(i - j) <= 1), "a band matrix"
    assert sum(edge.target == "fc1" for edge in edges) == 25


def test_receptive_field_from_below_and_from_above() -> None:
    edges = unit_edges(_graph("conv 1 k=3 p=1\nconv 1 k=3 p=1\n"))
    assert affecting(edges, ("conv2", 2)) >= {("input1", i) for i in range(5)}
    assert {unit for name, unit in affected(edges, ("input1", 0)) if name == "conv2"} == {0, 1, 2}


def test_one_shared_weight_is_marked() -> None:
    drawing = units_drawing(_graph("conv 1 k=3\n"))
    marked = [shape for shape in drawing.shapes if isinstance(shape, Edge) and shape.role == "series2"]
    assert len(marked) == 3, "one edge per output"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("input 1x4x4\nrelu\n", "input1 is 1x4x4"),
        ("input 1x50\nfc 2\n", "has 50 units"),
        ("input 1x40\nfc 40\n", "edges"),
    ],
)
def test_other_networks_are_one_error(source: str, message: str) -> None:
    with pytest.raises(CnncError, match=message):
        units_drawing(check(f"net N\n{source}").require_graph())


SKIP = "conv 1 k=3 p=1\nrelu\nconv 1 k=3 p=1\nadd input1\npool max k=2\nfc 3\n"
CONCAT = "a: fc 2\nb: fc 3\nconcat a b\nfc 2\n"


@pytest.mark.parametrize("layers", [SKIP, CONCAT, "fc 4\nfc 1\n", "relu\n" * 6])
def test_lines_pass_between_units_and_labels_stand_alone(layers: str) -> None:
    drawing = units_drawing(_graph(layers))
    units = [shape for shape in drawing.shapes if isinstance(shape, Marker)]
    for line in (shape for shape in drawing.shapes if isinstance(shape, Edge)):
        for (x0, y0), (x1, y1) in pairwise(line.points):
            for k in range(101):
                x, y = x0 + (x1 - x0) * k / 100, y0 + (y1 - y0) * k / 100
                near = {(unit.x, unit.y) for unit in units if hypot(unit.x - x, unit.y - y) < unit.size / 2}
                assert near <= {line.points[0], line.points[-1]}, line.hint
    labels = [shape for shape in drawing.shapes if isinstance(shape, Label)]
    for a, b in combinations(labels, 2):
        left, right = sorted((a, b), key=lambda label: label.x)
        half = {"start": 0.0, "middle": 0.5}
        gap = (right.x - half[right.anchor] * label_width(right)) - (
            left.x + (1 - half[left.anchor]) * label_width(left)
        )
        assert gap > 0 or abs(a.y - b.y) >= a.size, f"{a.text} overlaps {b.text}"
    assert all(abs(label.y - unit.y) > unit.size for label in labels for unit in units)


def test_the_note_names_the_marks_that_are_drawn() -> None:
    def note(at: tuple[str, int]) -> str:
        drawing = units_drawing(_graph("conv 1 k=3\nfc 2\n"), at)
        texts = [shape.text for shape in drawing.shapes if isinstance(shape, Label)]
        return " ".join(texts[next(i for i, text in enumerate(texts) if text.startswith("diamond")) :])

    assert note(("fc1", 1)) == "diamond: unit 1 of fc1; squares: the units that affect it"
    assert note(("input1", 0)) == "diamond: unit 0 of input1; triangles: those it affects"
    both = "squares: the units that affect it; triangles: those it affects"
    assert note(("conv1", 0)) == f"diamond: unit 0 of conv1; {both}"


def test_golden(request: pytest.FixtureRequest) -> None:
    """A small network as SVG, compared with its file."""
    assert_golden("units", units_drawing(_graph("conv 1 k=3 p=1\nadd input1\nfc 2\n"), ("conv1", 2)), request)
