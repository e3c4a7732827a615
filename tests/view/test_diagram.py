"""Shows that diagrams hold each layer once, and that in their drawings nothing overlaps and no line crosses a box or a text."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from cnnc import check
from cnnc.graph.graph import Graph
from cnnc.ops import OPS
from cnnc.view.diagram.diagram import MOST_BOXES, Diagram, diagram_of, role_of, usual_depth
from cnnc.view.diagram.dot import dot_text
from cnnc.view.diagram.drawn import diagram_drawing
from cnnc.view.diagram.far_ends import far_lines, far_shapes
from cnnc.view.diagram.mermaid import mermaid_text
from cnnc.view.diagram.nested import DiagramLayout, layout_of
from cnnc.view.diagram.wiring import Wire, tracks
from cnnc.view.drawing import Box, Drawing, Edge, Label
from cnnc.view.labels import label_width
from cnnc.view.svg import svg_text
from tests.view.golden_files import assert_golden
from tests.view.networks import ODD, PUBLISHED, odd, published, random_network, thousand_layers
from tests.view.pages import HOSTILE

Rectangles = NDArray[np.float64]


# --- what a diagram says ---------------------------------------------------------------------------------------------


def test_boxes_of_lenet5() -> None:
    diagram = diagram_of(published("lenet5"))
    titles = [node.title for node in diagram.nodes]
    assert titles[:4] == ["input 1x28x28", "conv 6 k=5 p=2", "relu", "pool max k=2"]
    assert titles[-1] == "output 10"
    conv = diagram.by_name["conv2"]
    assert (conv.role, conv.shape, conv.parameters) == ("conv", "16x10x10", 2416)
    assert conv.details == ("6x14x14 → 16x10x10", "weight 16x6x5x5", "bias 16")
    assert diagram.by_name["relu2"].shape == "", "the shape does not change"
    several = diagram_of(odd("several inputs and outputs"))
    assert [node.title for node in several.nodes[-3:]] == ["output s: 8x16x16", "output z: 4x8x8", "output m: 24x8x8"]


@pytest.mark.parametrize("depth", [0, 1, 2, 9])
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_layer_and_parameter_is_counted_once(name: str, depth: int) -> None:
    graph = published(name)
    diagram = diagram_of(graph, depth)
    boxes = [node for node in diagram.nodes if not node.title.startswith("output")]
    assert sum(node.layers for node in boxes) == len(graph.nodes)
    assert sum(node.parameters for node in boxes) == graph.total_parameters
    ends = {(edge.source, edge.target) for edge in diagram.edges}
    assert all(source in diagram.by_name and target in diagram.by_name for source, target in ends)


def test_blocks_fold_by_depth() -> None:
    graph = published("resnet50")
    folded = diagram_of(graph, 1)
    stage = folded.by_name["stage2"]
    assert (stage.title, stage.layers, stage.parameters, stage.shape) == ("stage 128 4", 42, 1219584, "512x28x28")
    assert not folded.groups
    half = diagram_of(graph, 2)
    assert list(half.groups) == ["stage1", "stage2", "stage3", "stage4"]
    assert half.by_name["stage2.down1"].path == ("stage2",)
    assert len(diagram_of(graph).groups) == 20


@pytest.mark.parametrize(("name", "depth"), [("lenet5", 0), ("resnet50", 2), ("googlenet", 1), ("vgg16", 0)])
def test_usual_depth(name: str, depth: int) -> None:
    """As much as 40 boxes show; a network without blocks is drawn as it is."""
    graph = published(name)
    assert usual_depth(graph) == depth
    if depth:
        assert len(diagram_of(graph, depth).nodes) - len(graph.outputs) <= MOST_BOXES


def test_shared_parameters_name_their_owner() -> None:
    graph = odd("shared")
    assert diagram_of(graph).by_name["y.conv1"].owner == "x.conv1"
    folded = diagram_of(graph, 1).by_name["y"]
    assert (folded.owner, folded.parameters) == ("x", 0)
    assert "parameters of x" in svg_text(diagram_drawing(diagram_of(graph, 1)))


def test_symbols_stay_symbols() -> None:
    graph = check("net S\ninput 3xHxW\nconv 8 k=3 p=1\n").require_graph()
    diagram = diagram_of(graph, 0, {"input1": "3xHxW", "conv1": "8xHxW"})
    assert [node.title for node in diagram.nodes] == ["input 3xHxW", "conv 8 k=3 p=1", "output 8xHxW"]


def test_every_kind_of_layer_has_a_role() -> None:
    roles = {keyword: role_of(op.__new__(op)) for keyword, op in OPS.items()}
    assert set(roles.values()) >= {"end", "conv", "dense", "pool", "norm", "activation", "merge", "dropout", "reshape"}
    assert roles["conv"] == roles["local"] == "conv"
    assert roles["fc"] == roles["embed"] == "dense"
    assert roles["softmax"] == roles["prelu"] == "activation"
    assert roles["crop"] == roles["flatten"] == "reshape"


# --- nothing overlaps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_overlaps_at_the_usual_depth(name: str) -> None:
    graph = published(name)
    assert_clear(diagram_of(graph, usual_depth(graph)))


@pytest.mark.long
@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_overlaps_at_other_depths(name: str, depth: int) -> None:
    assert_clear(diagram_of(published(name), depth))


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("name", ODD)
def test_nothing_overlaps_in_odd_networks(name: str, depth: int) -> None:
    assert_clear(diagram_of(odd(name), depth))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(60))
def test_nothing_overlaps_in_random_networks(seed: int) -> None:
    graph = random_network(seed)
    for depth in (0, 1):
        assert_clear(diagram_of(graph, depth))


@pytest.mark.long
def test_a_thousand_layers() -> None:
    """In columns, no side much longer than the other; blocks of them too."""
    diagram = diagram_of(thousand_layers())
    assert len(diagram.nodes) == 1002
    layout = layout_of(diagram)
    assert 0.5 < layout.width / layout.height < 3
    assert_clear(diagram)
    ElementTree.fromstring(svg_text(diagram_drawing(diagram)))


def assert_clear(diagram: Diagram) -> None:
    """No text over a box that it does not stand in, a line, a frame's border or another text; no line over a box."""
    drawing, layout = diagram_drawing(diagram), layout_of(diagram)
    boxes = [shape for shape in drawing.shapes if isinstance(shape, Box) and shape.role != "frame"]
    labels = [shape for shape in drawing.shapes if isinstance(shape, Label)]
    frames = [shape for shape in drawing.shapes if isinstance(shape, Box) and shape.role == "frame"]
    box_areas, text_areas = _areas(boxes), np.array([_text_area(label) for label in labels])
    lines = _line_areas(drawing)
    assert len(lines) == sum(len(e.points) - 1 for e in drawing.shapes if isinstance(e, Edge))
    for i, j in zip(*np.nonzero(np.triu(_meet(text_areas, text_areas), 1)), strict=True):
        raise AssertionError(f"{labels[i].text} over {labels[j].text}")
    inside = _within(text_areas, box_areas)
    for i, j in zip(*np.nonzero(_meet(text_areas, box_areas) & ~inside), strict=True):
        raise AssertionError(f"{labels[i].text} over the border of {boxes[j].hint}")
    for i, j in zip(*np.nonzero(_meet(text_areas, lines)), strict=True):
        raise AssertionError(f"a line crosses {labels[i].text} at {lines[j]}")
    for i, j in zip(*np.nonzero(_meet(_shrunk(box_areas), lines)), strict=True):
        raise AssertionError(f"a line crosses {boxes[i].hint} at {lines[j]}")
    frame_areas = _areas(frames)
    for i, j in zip(*np.nonzero(_meet(text_areas, frame_areas) & ~_within(text_areas, frame_areas)), strict=True):
        raise AssertionError(f"{labels[i].text} over the frame {frames[j].hint}")
    placed = np.array([(b.x, b.y, b.x + b.width, b.y + b.sized.height) for b in layout.boxes])
    for i, j in zip(*np.nonzero(np.triu(_meet(placed, placed), 1)), strict=True):
        raise AssertionError(f"{layout.boxes[i].node.name} over {layout.boxes[j].node.name}")
    for area in (box_areas, text_areas, lines, frame_areas):
        assert not len(area) or (area.min() >= 0 and area[:, 2].max() <= drawing.width)
        assert not len(area) or area[:, 3].max() <= drawing.height
    _assert_lines_apart(layout)


def _assert_lines_apart(layout: DiagramLayout) -> None:
    """Lines of different tensors cross, but none runs on top of another."""
    taken: dict[tuple[int, float], list[tuple[float, float, str]]] = {}
    for line in layout.lines:
        for start, end in pairwise(line.points):
            axis = 0 if abs(start[0] - end[0]) < 0.01 else 1
            assert abs(start[axis] - end[axis]) < 0.01, "lines are horizontal or vertical"
            low, high = sorted((start[1 - axis], end[1 - axis]))
            taken.setdefault((axis, round(start[axis], 1)), []).append((low, high, line.tensor))
    for place, pieces in taken.items():
        pieces.sort()
        for a, b in pairwise(pieces):
            assert a[2] == b[2] or b[0] >= a[1] - 0.01, f"{a[2]} and {b[2]} share a line at {place}"


def _areas(boxes: list[Box]) -> Rectangles:
    return np.array([(b.x, b.y, b.x + b.width, b.y + b.height) for b in boxes], float).reshape(-1, 4)


def _text_area(label: Label) -> tuple[float, float, float, float]:
    width = label_width(label)
    left = label.x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[label.anchor]
    return left, label.y - 0.75 * label.size, left + width, label.y + 0.2 * label.size


def _line_areas(drawing: Drawing) -> Rectangles:
    pieces = [(*a, *b) for e in drawing.shapes if isinstance(e, Edge) for a, b in pairwise(e.points)]
    ends = np.array(pieces, float).reshape(-1, 4)
    return np.stack(
        [
            np.minimum(ends[:, 0], ends[:, 2]) - 0.5,
            np.minimum(ends[:, 1], ends[:, 3]),
            np.maximum(ends[:, 0], ends[:, 2]) + 0.5,
            np.maximum(ends[:, 1], ends[:, 3]),
        ],
        axis=1,
    )


def _shrunk(areas: Rectangles) -> Rectangles:
    return np.asarray(areas + np.array([1, 1, -1, -1]))


def _meet(a: Rectangles, b: Rectangles) -> NDArray[np.bool_]:
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)), bool)
    return (
        (a[:, None, 0] < b[None, :, 2])
        & (b[None, :, 0] < a[:, None, 2])
        & (a[:, None, 1] < b[None, :, 3])
        & (b[None, :, 1] < a[:, None, 3])
    )


def _within(a: Rectangles, b: Rectangles) -> NDArray[np.bool_]:
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)), bool)
    return (
        (a[:, None, 0] >= b[None, :, 0])
        & (a[:, None, 1] >= b[None, :, 1])
        & (a[:, None, 2] <= b[None, :, 2])
        & (a[:, None, 3] <= b[None, :, 3])
    )


def test_long_lines_have_the_shape_at_their_end_too() -> None:
    """Beside the arrow of a skip, and of the line that enters a new column; never on anything else."""
    for name, depth, shapes in (
        ("unet", 1, ["256x136x136", "128x280x280", "64x568x568"]),
        ("unet", 0, ["512x64x64", "256x136x136", "128x280x280", "64x568x568"]),
        ("resnet50", 2, ["256x56x56", "1024x14x14"]),
        ("googlenet", 1, ["512x14x14"]),
    ):
        diagram = diagram_of(published(name), depth)
        layout = layout_of(diagram)
        far = far_shapes(layout, diagram)
        assert [shape.text for shape in far] == shapes
        ends = {line.tensor: line.points[-1] for line in far_lines(layout)}
        for shape in far:
            x, y = ends[shape.tensor]
            assert y - 50 < shape.y <= y, "just above where the arrow ends"
            assert abs(shape.x - x) < 200
        hints = [s.hint for s in diagram_drawing(diagram).shapes if isinstance(s, Edge) and s.hint]
        assert len(hints) == len(list(far_lines(layout)))


def test_an_overlap_is_found() -> None:
    """Else the tests above would pass on anything."""
    areas = np.array([(0.0, 0, 10, 10), (9, 9, 20, 20), (30, 0, 40, 10)])
    assert _meet(areas, areas)[0].tolist() == [True, True, False]


# --- what a reader sees ----------------------------------------------------------------------------------------------


def test_the_main_chain_is_straight_and_skips_are_at_its_side() -> None:
    layout = layout_of(diagram_of(published("unet"), 1))
    centres = {round(box.x + box.width / 2, 3) for box in layout.boxes}
    assert len(centres) == 1
    skips = {line.tensor: max(x for x, _ in line.points) for line in layout.lines if len(line.points) > 2}
    assert list(skips) == ["e4.relu2", "e3.relu2", "e2.relu2", "e1.relu2"]
    assert sorted(skips.values()) == list(skips.values()), "the longest skip is the outermost"


def test_skips_that_follow_one_another_share_two_lanes() -> None:
    """Each skip begins before the last one ends; 4 and 40 of them need no more lanes than two."""
    lanes = set()
    for count in (4, 40):
        stages = "\n".join(f"r{i}: conv 8 k=3 p=1; relu; add r{i - 1}" for i in range(1, count))
        graph = check(f"input 8x16x16\nr0: conv 8 k=3 p=1; relu\n{stages}\n").require_graph()
        layout = layout_of(diagram_of(graph, 0))
        lanes.add(len({max(x for x, _ in line.points) for line in layout.lines if len(line.points) > 2}))
        assert_clear(diagram_of(graph, 0))
    assert lanes == {2}


def test_branches_stand_in_the_order_of_their_operands() -> None:
    layout = layout_of(diagram_of(published("textcnn")))
    x = {box.node.name: box.x for box in layout.boxes}
    assert x["conv1"] < x["conv2"] < x["conv3"]
    assert x["conv2"] == x["concat1"]


def test_high_drawings_are_broken_into_columns() -> None:
    layout = layout_of(diagram_of(published("vgg16")))
    assert layout.height < 1000 < layout.width
    low = layout_of(diagram_of(published("lenet5")))
    assert len({round(box.x + box.width / 2) for box in low.boxes}) == 1


def test_wires_cross_as_little_as_possible() -> None:
    """The line that ends further inside comes first, so that the outer one passes below its bend."""
    assert tracks([Wire("inner", 40, (10,)), Wire("outer", 80, (20,))]) == [0, 1]
    assert tracks([Wire("a", 0, (40,)), Wire("b", 40, (80,))]) == [1, 0], "a must not run down onto b"
    assert tracks([Wire("straight", 0, (0,)), Wire("bent", 30, (60,))]) == [None, 0]


def test_golden(request: pytest.FixtureRequest) -> None:
    """A small network as SVG, compared with its file."""
    graph = check(
        "net Small\nblock b { conv 4 k=3 p=1; relu; add in }\ninput 4x8x8\nb\npool max k=2\nfc 2\n"
    ).require_graph()
    assert_golden("diagram", diagram_drawing(diagram_of(graph)), request)


# --- text for other programs -----------------------------------------------------------------------------------------


def hostile() -> Graph:
    """A graph whose every name tries to break out of the format."""
    graph = odd("nested blocks with skips")
    bad = '"]; n9 --> n8 <img src=x onerror=alert(1)> \\" &lt; } -- end\n%% ' + HOSTILE
    names = {node.name: bad + node.name for node in graph.nodes}
    nodes = tuple(
        node.replace(
            name=names[node.name],
            inputs=tuple(names[name] for name in node.inputs),
            path=tuple(bad + name for name in node.path),
        )
        for node in graph.nodes
    )
    return graph.replace(name=bad, nodes=nodes, outputs=tuple(names[name] for name in graph.outputs))


@pytest.mark.parametrize("depth", [0, 1])
def test_mermaid_is_well_formed(depth: int) -> None:
    for graph in (published("resnet50"), odd("several inputs and outputs"), hostile()):
        diagram = diagram_of(graph, depth)
        lines = mermaid_text(diagram).splitlines()
        assert lines[0] == "%% drawn by cnnc"
        assert lines[1].startswith("%% ")
        assert lines[2] == "flowchart TD"
        text = r'"[\w .,:=+*/()#;<>-]*"'
        forms = (
            rf'subgraph g\d+\["{text[1:-1]}"\]|end',
            rf"n\d+(\(\[|\(|\{{\{{|\[\[|\[/|\[){text}(\]\)|\)|\}}\}}|\]\]|\\\]|\]):::is_\w+",
            rf"n\d+ -->(\|{text}\|)? n\d+",
            r"classDef is_\w+ fill:#\w+,stroke:#\w+,color:#\w+,stroke-width:[\d.]+px(,stroke-dasharray:[\d. ]+)?",
        )
        for line in lines[3:]:
            assert re.fullmatch("|".join(forms), line.strip()), line
            assert not re.search(r"<(?!br>)", line.replace("-->", "")), line
        stripped = [line.strip() for line in lines]
        assert sum(line.startswith("subgraph") for line in stripped) == stripped.count("end") == len(diagram.groups)
        assert sum(" -->" in line for line in lines[3:]) == len(diagram.edges)


@pytest.mark.parametrize("depth", [0, 1])
def test_dot_is_well_formed(depth: int) -> None:
    for graph in (published("resnet50"), odd("several inputs and outputs"), hostile()):
        diagram = diagram_of(graph, depth)
        text = dot_text(diagram)
        assert text.startswith("// drawn by cnnc\ndigraph ")
        bare = re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text.split("\n", 1)[1])
        assert bare.count("{") == bare.count("}") == 1 + len(diagram.groups)
        for line in bare.strip().splitlines():
            value = r'(""|[\w.]+)'
            forms = (
                r"digraph \"\" \{|subgraph cluster_\d+ \{|\}",
                rf"(\w+={value} ?)+",
                rf"(n\d+|node|edge)( -> n\d+)?( \[(\w+={value} ?)+\])?",
            )
            assert re.fullmatch("|".join(forms), line.strip()), line
        assert bare.count("->") == len(diagram.edges)


def test_hostile_names_stay_texts_in_svg() -> None:
    for depth in (0, 1):
        drawing = diagram_drawing(diagram_of(hostile(), depth))
        root = ElementTree.fromstring(svg_text(drawing))
        assert {element.tag.split("}")[1] for element in root.iter()} <= {
            "svg", "title", "desc", "metadata", "style", "rect", "path", "text", "g",
        }  # fmt: skip
    assert_clear(diagram_of(hostile(), 0))
