"""Shows that volumes are drawn to the stated scale, and that in the drawing no text is crossed or covered."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import sqrt

import pytest

from cnnc import check
from cnnc.graph.graph import Graph
from cnnc.view.diagram.diagram import usual_depth
from cnnc.view.drawing import Box, Drawing, Edge, Label, Marker, Polygon
from cnnc.view.labels import label_width
from cnnc.view.volumes.drawn import WIDEST, volumes_drawing
from cnnc.view.volumes.grid import cells_of
from cnnc.view.volumes.scale import SIDE, VolumeScale
from cnnc.view.volumes.solid import solid_of
from cnnc.view.volumes.volumes import volumes_of
from tests.view.golden_files import assert_golden
from tests.view.networks import ODD, PUBLISHED, odd, published, random_network, thousand_layers

Rectangle = tuple[float, float, float, float]


def _rectangle(shape: Box | Label | Polygon) -> Rectangle:
    match shape:
        case Box():
            return shape.x, shape.y, shape.x + shape.width, shape.y + shape.height
        case Polygon():
            xs, ys = zip(*shape.points, strict=True)
            return min(xs), min(ys), max(xs), max(ys)
        case Label():
            width = label_width(shape)
            left = shape.x - {"start": 0, "middle": width / 2, "end": width}[shape.anchor]
            return left, shape.y - shape.size * 0.75, left + width, shape.y + shape.size * 0.2


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _crosses(edge: Edge, box: Rectangle) -> bool:
    """Whether a line meets a rectangle: sampled every pixel where it comes near."""
    for (x0, y0), (x1, y1) in pairwise(edge.points):
        if max(x0, x1) <= box[0] or min(x0, x1) >= box[2] or max(y0, y1) <= box[1] or min(y0, y1) >= box[3]:
            continue
        steps = int(max(abs(x1 - x0), abs(y1 - y0))) + 1
        for k in range(steps + 1):
            x, y = x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps
            if box[0] < x < box[2] and box[1] < y < box[3]:
                return True
    return False


def _require_readable(drawing: Drawing) -> None:
    labels = [(shape.text, _rectangle(shape)) for shape in drawing.shapes if isinstance(shape, Label)]
    solids = [_rectangle(shape) for shape in drawing.shapes if isinstance(shape, Box | Polygon)]
    lines = [shape for shape in drawing.shapes if isinstance(shape, Edge)]
    for (first, a), (second, b) in combinations(labels, 2):
        assert not _overlap(a, b), f"{first} overlaps {second}"
    for text, box in labels:
        assert not any(_overlap(box, solid) for solid in solids), f"{text} is on a volume"
        assert not any(_crosses(line, box) for line in lines), f"a line crosses {text}"
        assert min(box[0], drawing.width - box[2], drawing.height - box[3]) >= 0, f"{text} is cut off"


def _require_free_lines(drawing: Drawing) -> None:
    """No arrow passes through a volume or its border; at its ends it may touch."""
    fronts = [_rectangle(shape) for shape in drawing.shapes if isinstance(shape, Box)]
    for line in drawing.shapes:
        if isinstance(line, Edge) and line.arrow:
            assert not any(_crosses(line, (x0 + 1, y0 + 1, x1 - 1, y1 - 1)) for x0, y0, x1, y1 in fronts), line.hint


@pytest.mark.parametrize("name", [*PUBLISHED, *ODD])
def test_arrows_pass_between_volumes(name: str) -> None:
    graph = published(name) if name in PUBLISHED else odd(name)
    _require_free_lines(volumes_drawing(volumes_of(graph, usual_depth(graph))))


def test_a_u_is_as_narrow_as_its_texts_allow() -> None:
    graph = published("unet")
    assert volumes_drawing(volumes_of(graph, 1)).width < WIDEST, "folded, it fits a page"
    drawing = volumes_drawing(volumes_of(graph))
    assert drawing.width < 2750
    texts = [shape.text for shape in drawing.shapes if isinstance(shape, Label)]
    assert {"64@", "568x568", "conv_transpose", "relu"} <= set(texts), "no word is broken"


def test_an_operation_is_as_wide_as_its_volume_before_it_wraps() -> None:
    texts = [s.text for s in volumes_drawing(volumes_of(published("lenet5"))).shapes if isinstance(s, Label)]
    assert "conv 6 k=5 p=2" in texts


def test_a_line_that_turns_off_begins_beside_the_one_that_runs_on() -> None:
    drawing = volumes_drawing(volumes_of(published("unet"), 1))
    starts = {s.hint: s.points[0][1] for s in drawing.shapes if isinstance(s, Edge) and s.arrow and s.hint}
    for source, skip, down in (("e1", "up4", "pool1"), ("e4", "up1", "pool4")):
        assert starts[f"{source} to {down}"] - starts[f"{source} to {skip}"] >= 4


def test_texts_name_several_inputs_and_the_length_of_sequences() -> None:
    texts = [s.text for s in volumes_drawing(volumes_of(published("text_ranker"))).shapes if isinstance(s, Label)]
    assert {"input query", "input document"} <= set(texts)
    waves = [s.text for s in volumes_drawing(volumes_of(published("waves"))).shapes if isinstance(s, Label)]
    assert any(text.startswith("scale: length linear (largest 128)") for text in waves)
    assert "input" in waves, "one input needs no name"


def test_a_skip_begins_where_it_leaves_the_solid_line_of_its_volume() -> None:
    edges = [s for s in volumes_drawing(volumes_of(published("text_ranker"))).shapes if isinstance(s, Edge) and s.arrow]
    skip = next(edge for edge in edges if edge.hint == "d.flatten1 to concat1")
    solid = next(edge for edge in edges if edge.hint == "d.flatten1 to sim")
    assert skip.points[0] == solid.points[2], "at the bend of the solid line"
    assert skip.points[0][1] > skip.points[1][1], "and runs on upwards"


def test_folded_blocks_say_that_they_are_blocks() -> None:
    assert "block double 64" in {item.operations[0] for item in volumes_of(published("unet"), 1).items}


def test_only_skips_are_dashed() -> None:
    assert volumes_of(published("textcnn")).skips == frozenset(), "parallel branches are no skips"
    skips = volumes_of(published("unet"), 1).skips
    assert len(skips) == 4


def test_arrows_into_one_volume_end_apart() -> None:
    drawing = volumes_drawing(volumes_of(published("unet"), 1))
    ends = [shape.points[-1] for shape in drawing.shapes if isinstance(shape, Edge) and shape.arrow and shape.hint]
    for a, b in combinations(ends, 2):
        assert abs(a[0] - b[0]) + abs(a[1] - b[1]) >= 2


def test_a_kernel_too_small_to_see_is_an_arrow() -> None:
    graph = check("net K\ninput 1x200x200\nconv 4 k=1\nconv 4 k=60\n").require_graph()
    edges = [shape for shape in volumes_drawing(volumes_of(graph)).shapes if isinstance(shape, Edge)]
    assert [edge.hint for edge in edges if edge.arrow] == ["input1 to conv1"]
    assert [edge.hint for edge in edges if edge.role == "weight"] == ["conv1: window of conv2"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_readable(name: str) -> None:
    graph = published(name)
    _require_readable(volumes_drawing(volumes_of(graph, usual_depth(graph)), ["a note"]))


@pytest.mark.long
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_readable_without_folding(name: str) -> None:
    _require_readable(volumes_drawing(volumes_of(published(name))))


@pytest.mark.parametrize("name", ODD)
def test_odd_networks_are_readable(name: str) -> None:
    _require_readable(volumes_drawing(volumes_of(odd(name))))


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_are_readable(seed: int) -> None:
    _require_readable(volumes_drawing(volumes_of(random_network(seed))))


def _scale(graph: Graph) -> tuple[VolumeScale, list[tuple[tuple[int, ...], tuple[float, float, float, float]]]]:
    volumes = volumes_of(graph).items
    scale = VolumeScale.of([volume.shape for volume in volumes])
    return scale, [(volume.shape, solid_of(volume, scale, "conv").front) for volume in volumes]


def test_lenet5_is_to_a_linear_scale() -> None:
    scale, fronts = _scale(published("lenet5"))
    assert scale.notes[0].startswith("scale: height and width linear (largest 28), one square per channel")
    for shape, (_, _, width, height) in fronts:
        if len(shape) == 3:
            assert (width, height) == pytest.approx((SIDE * shape[2] / 28, SIDE * shape[1] / 28))


def test_large_differences_have_a_scale_of_square_roots() -> None:
    scale, fronts = _scale(published("resnet50"))
    assert "height and width square root (largest 224), channels square root (largest 2048)" in scale.notes[0]
    for shape, (_, _, width, height) in fronts:
        if len(shape) == 3:
            assert height == pytest.approx(SIDE * sqrt(shape[1] / 224))
            assert width == pytest.approx(scale.channels.pixels * sqrt(shape[0] / 2048))


def test_elementwise_layers_belong_to_the_volume_before_them() -> None:
    items = volumes_of(published("lenet5")).items
    assert [item.caption for item in items[:4]] == ["1@28x28", "6@28x28", "6@14x14", "16@10x10"]
    assert items[1].operations == ("conv 6 k=5 p=2", "relu")
    assert items[1].kernel == (5, 5)


def test_unet_is_a_u() -> None:
    graph = published("unet")
    for depth in (0, 1):
        volumes = volumes_of(graph, depth)
        cells = cells_of(volumes)
        levels = [cells[item.name].lane[0] for item in volumes.items]
        assert (levels[0], max(levels), levels[-1]) == (0, 4, 0)
        assert len(set(cells.values())) == len(cells), "no two volumes share a place"


def test_a_residual_network_has_no_lanes_for_sizes() -> None:
    cells = cells_of(volumes_of(published("resnet50")))
    assert {cell.lane[0] for cell in cells.values()} == {0}


def test_branches_stand_below_one_another() -> None:
    cells = cells_of(volumes_of(published("textcnn")))
    assert {cells[name].lane for name in ("conv1", "conv2", "conv3")} == {(0, 0), (0, 1), (0, 2)}
    assert len({cells[name].column for name in ("conv1", "conv2", "conv3")}) == 1


def test_shapes_of_other_ranks() -> None:
    source = "net V\ninput 1x8x16x16\nconv 2 k=3 p=1\n"
    items = volumes_of(check(source).require_graph()).items
    assert [item.caption for item in items] == ["1@8x16x16", "2@8x16x16"]
    drawing = volumes_drawing(volumes_of(check(source).require_graph()))
    assert any("depth D is written but not drawn" in shape.text for shape in drawing.shapes if isinstance(shape, Label))


def test_golden(request: pytest.FixtureRequest) -> None:
    """A small network as SVG, compared with its file."""
    source = "net Small\ninput 1x8x8\nc: conv 4 k=3 p=1\nrelu\nconv 4 k=3 p=1\nadd c\npool max k=2\nfc 2\n"
    assert_golden("volumes", volumes_drawing(volumes_of(check(source).require_graph())), request)


def test_lines_of_bands_that_do_not_meet_share_the_margin() -> None:
    """A thousand residual layers are hardly wider than the volumes of a band."""
    assert volumes_drawing(volumes_of(thousand_layers())).width < 1300


def test_many_skips_into_one_volume_join() -> None:
    """Each has a dot where it joins; one line per volume that is read and per volume that reads is drawn, not one per skip."""
    layers = "".join(
        f"c{i}: concat {' '.join(f'x{j}' for j in range(i))}\nx{i}: conv 8 k=3 p=1\n" for i in range(1, 40)
    )
    drawing = volumes_drawing(volumes_of(check(f"net Dense\nx0: input 8x16x16\n{layers}").require_graph()))
    dots = [shape for shape in drawing.shapes if isinstance(shape, Marker)]
    assert len({dot.hint for dot in dots}) == len(dots) > 600
    count = sum(isinstance(shape, Edge) and shape.role == "series2" and shape.hint != "" for shape in drawing.shapes)
    apart, readers, others = 1 + 2 + 3 + 4, 34, 37  # skips into c2 to c5; c6 to c39; x1 to x37, which join that of x0
    assert count == apart + readers + others
    assert drawing.height < 1200
