"""Shows that units have an edge for each entry of a layer's matrix, and which units one of them depends on."""

from __future__ import annotations

import pytest

from cnnc import CnncError, check
from cnnc.graph.graph import Graph
from cnnc.view.drawing import Edge
from cnnc.view.units import affected, affecting, unit_edges, units_drawing


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
