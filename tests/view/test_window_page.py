"""A moving window: what each step marks, checked against the engine; and the animation, checked step by step."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from cnnc.core.tensor import TensorType
from cnnc.network import check
from cnnc.reference.engine import forward
from cnnc.view.animation import animated_svg, merged, stills
from cnnc.view.arrange import arranged, layout_of
from cnnc.view.drawing import Label
from cnnc.view.page import Grid, Page
from cnnc.view.panels import panel_shapes
from cnnc.view.window_page import axis_frame, never_read, readings, window_page
from tests.view.overlaps import collisions, outside

WINDOWS = [
    ("conv 1 k=3 s=2 p=1", "5x5"),
    ("conv 1 k=3 d=2 p=same", "6x5"),
    ("conv 1 k=2x3 p=[1,0,0,2]", "4x5"),
    ("conv 1 k=3 flip=true", "4x4"),
    ("conv 1 k=3 d=2 p=causal", "7"),
    ("conv_transpose 1 k=3 s=2 p=1", "3x3"),
    ("conv_transpose 1 k=3 s=2 p=1 output_pad=1", "3x4"),
    ("conv_transpose 1 k=2 s=3", "4"),
    ("conv_transpose 1 k=3 p=3", "6x6"),
    ("conv_transpose 1 k=3 s=2 d=2 p=[0,2,1,0]", "3x3"),
]
POOLS = [("pool max k=2", "5x7"), ("pool avg k=3 s=2 ceil=true", "6x6"), ("pool avg k=3 p=1 count_pad=true", "4x4")]


def layer_of(line: str, size: str) -> tuple[Any, TensorType, Any]:
    graph = check(f"input 1x{size}; {line}").require_graph()
    return graph.nodes[-1].op, graph.nodes[0].type, graph


def page_of(line: str, size: str) -> Page:
    op, x, _ = layer_of(line, size)
    return window_page(op, x, line)


@pytest.mark.parametrize(("line", "size"), WINDOWS)
def test_the_taps_on_the_padded_input_give_what_the_engine_computes(line: str, size: str) -> None:
    op, x, graph = layer_of(line, size)
    random = np.random.default_rng(1)
    values = random.normal(size=x.shape)
    weights = {name: random.normal(size=p.shape) for name, p in graph.weights.items()}
    weights[next(name for name in weights if name.endswith("bias"))][:] = 0
    output = forward(graph, weights, {"input1": values[None]}).values[graph.outputs[0]][0, ..., 0]
    frames = [axis_frame(rule) for rule in op.rules(x)]
    area = np.zeros([frame.size for frame in frames])
    area[
        tuple(
            slice(f.zero, f.zero + (m - 1) * f.spacing + 1, f.spacing) for f, m in zip(frames, x.spatial, strict=True)
        )
    ] = values[0]
    kernel = next(w for name, w in weights.items() if name.endswith("weight")).reshape(-1)
    every = readings(op, x)
    assert len(every) == output.size
    for reading in every:
        total = sum(area[place] * kernel[tap - 1] for place, tap in reading.taps if tap)
        assert total == pytest.approx(output[reading.output])


@pytest.mark.parametrize(("line", "size"), [*WINDOWS, *POOLS])
def test_each_step_marks_its_window_and_fills_one_more_output(line: str, size: str) -> None:
    op, x, _ = layer_of(line, size)
    page, every = page_of(line, size), readings(op, x)
    assert len(page.steps) == len(every)
    for number, (step, reading) in enumerate(zip(page.steps, every, strict=True)):
        shown = {panel.name: panel for panel in step.panels}
        source, output = shown["x"], shown["y"]
        assert isinstance(source, Grid)
        assert isinstance(output, Grid)
        read = {(i, j) for i, row in enumerate(source.cells) for j, cell in enumerate(row) if cell.role == "read"}
        assert read == {(0, *place)[-2:] for place, _ in reading.taps}
        roles = [cell.role for row in output.cells for cell in row]
        assert roles == ["plain"] * number + ["result"] + ["faint"] * (len(every) - number - 1)
        assert f"{reading.inside}" in {cell.text for row in output.cells for cell in row if cell.role == "result"}


@pytest.mark.parametrize(("line", "size"), [*WINDOWS, *POOLS])
def test_nothing_overlaps(line: str, size: str) -> None:
    page = page_of(line, size)
    for drawing in (arranged(page, 0), arranged(page), arranged(stills(page, 9))):
        assert collisions(drawing) == []
        assert outside(drawing) == []


def test_the_rule_has_its_numbers() -> None:
    text = str(page_of("conv 1 k=3 s=2 p=1 d=1", "5x5").bands[1])
    assert "out = floor((m + 2p - k)/s) + 1" in text
    assert "floor((5 + 1 + 1 - 3)/2) + 1 = 3" in text
    assert "(2·(3 - 1) + 1)" in str(page_of("conv 1 k=3 d=2", "7").bands[1])


def test_what_is_never_read_is_named() -> None:
    assert "Never read: row 5 and column 5." in page_of("conv 1 k=3 s=2", "6x6").notes
    assert "Never read: columns 2, 5." in page_of("conv 1 k=2x2 s=1x3", "2x6").notes
    assert never_read({(0, 0)}, (1, 1)) == ""
    assert never_read({(0, 0), (1, 1)}, (2, 2)) == "Never read: 2 elements."


# --- animation -------------------------------------------------------------------------------------------------------


def visible_texts(svg: str, part: float) -> list[str]:
    """The texts that are visible at a part of the time, by the keyframes; at -1 those without animation."""
    root = ElementTree.fromstring(svg)
    frames: dict[str, list[tuple[float, str]]] = {}
    for name, body in re.findall(r"@keyframes ([\w-]+)\{(.*)\}\n", svg):
        frames[name] = [(float(at), state) for at, state in re.findall(r"([\d.]+)%\{visibility:(\w+)\}", body)]
        assert frames[name][0][0] == 0
        assert f".{name}{{animation:{name} " in svg
    texts = []

    def walk(element: ElementTree.Element) -> None:
        name = element.get("class", "")
        if name in frames:
            state = element.get("visibility", "visible")
            if part >= 0:
                state = [state for at, state in frames[name] if at <= 100 * part][-1]
            if state == "hidden":
                return
        if element.tag.endswith("}text"):
            texts.append(element.text or "")
        for child in element:
            walk(child)

    walk(root)
    return texts


@pytest.mark.parametrize(("line", "size"), [WINDOWS[0], WINDOWS[5], POOLS[0]])
def test_each_step_of_an_animation_shows_what_the_page_shows(line: str, size: str) -> None:
    page = page_of(line, size)
    svg = animated_svg(page)
    ticks = len(page.steps) + 1
    for number, step in enumerate(page.steps):
        shown = sorted(visible_texts(svg, (number + 0.5) / ticks))
        layout = arranged(page, number)
        assert {step.title, *step.lines} <= set(shown)
        titles = [text for text in shown if text.startswith("position ")]
        assert titles == [step.title]
        expected = sorted(s.text for s in layout.shapes if isinstance(s, Label) and re.fullmatch(r"\d+", s.text))
        assert sorted(text for text in shown if re.fullmatch(r"\d+", text)) == expected
    assert page.steps[-1].title in visible_texts(svg, 0.999)
    still = visible_texts(svg, -1)
    assert [text for text in still if text.startswith("position ")] == [page.steps[page.current].title]


def test_an_animation_is_self_contained_and_may_stand_still() -> None:
    svg = animated_svg(page_of(*WINDOWS[0]))
    assert "<script" not in svg
    assert set(re.findall(r"https?://[^\"' )]+", svg)) == {"http://www.w3.org/2000/svg"}
    before, _, _ = svg.partition("@keyframes")
    assert before.endswith("@media screen and (prefers-reduced-motion:no-preference){\n")
    assert "prefers-color-scheme:dark" in svg


def test_a_page_with_one_step_does_not_move() -> None:
    assert "@keyframes" not in animated_svg(page_of("conv 1 k=3", "3x3"))


def test_shapes_of_a_step_keep_their_order() -> None:
    page = page_of(*WINDOWS[0])
    frames = []
    layout = layout_of(page, 0, 960)
    for number in range(len(page.steps)):
        panels = [panel for band in page.at_step(number)[0] for panel in band.panels]
        frames.append(
            [s for panel, place in zip(panels, layout.places, strict=True) for s in panel_shapes(panel, place)]
        )
    timed = merged(frames)
    for number, frame in enumerate(frames):
        assert [item.shape for item in timed if number in item.steps] == frame


def test_stills_name_the_steps_that_they_leave_out() -> None:
    page = stills(page_of("conv 1 k=3 p=1", "5x5"), 9)
    assert page.steps == ()
    assert "9 of 25 steps are shown." in page.notes
    titles = [panel.title for band in page.bands for panel in band.panels if panel.name.startswith("x@")]
    assert len(titles) == 9
    assert titles[0].endswith("output (0, 0)")
    assert titles[-1].endswith("output (4, 4)")


def test_stills_of_a_wide_window_fill_few_rows() -> None:
    """One step per row: the first, the last and two between, not nine."""
    page = stills(page_of("conv_transpose 1 k=3 s=2", "5x5"), 9)
    assert arranged(page).height < 2500
    assert page.notes[0].startswith("4 of ")
