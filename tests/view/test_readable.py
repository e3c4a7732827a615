"""Shows that in drawings of every kind, texts are at least 11 pixels high and stand out from what they are written on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cnnc import check
from cnnc.ops.activation import Gelu, Relu, Softmax
from cnnc.view.activation_curves import activation_curves
from cnnc.view.arrange import arranged
from cnnc.view.diagram.diagram import diagram_of
from cnnc.view.diagram.drawn import diagram_drawing
from cnnc.view.drawing import Box, Drawing, Label, Polygon
from cnnc.view.labels import label_width
from cnnc.view.page import Page
from cnnc.view.palette import DARK, FORMS, LIGHT, Palette, contrast
from cnnc.view.training_curves import training_curves
from cnnc.view.units import units_drawing
from cnnc.view.volumes.drawn import volumes_drawing
from cnnc.view.volumes.volumes import volumes_of
from tests.view.networks import PUBLISHED, published
from tests.view.pages import contact_sheet, heat_map, letters
from tests.view.test_inspect import NETS, items_of
from tests.view.test_training_curves import SHAPES


def inspected() -> list[Drawing]:
    items = [item for items in items_of(NETS["rgb"]).values() for item in items]
    return [item for item in items if isinstance(item, Drawing)]


def pages() -> list[Page]:
    return [letters(), heat_map(steps=3), contact_sheet()]


KINDS: dict[str, Callable[[], list[Drawing]]] = {
    "graph": lambda: [diagram_drawing(diagram_of(published(name), depth)) for name in PUBLISHED for depth in (0, 1)],
    "volumes": lambda: [volumes_drawing(volumes_of(published(name), 1)) for name in PUBLISHED],
    "edges": lambda: [units_drawing(check("input 1x5\nconv 1 k=3 p=1\nrelu\nfc 2\n").require_graph())],
    "activations": lambda: [activation_curves("All", [(op.keyword, op.make()) for op in (Relu, Gelu, Softmax)])],
    "curves": lambda: [training_curves("Training", runs) for runs in SHAPES.values()],
    "inspect": inspected,
    "unfold": lambda: [arranged(page, step) for page in pages() for step in range(min(3, len(page.steps)))],
}


def fill_below(drawing: Drawing, label: Label, palette: Palette) -> str:
    """The colour of the uppermost area that is drawn before a label and holds its middle."""
    x = label.x + {"start": 0.5, "middle": 0.0, "end": -0.5}[label.anchor] * label_width(label)
    y = label.y - label.size / 3
    fill = palette.background
    for shape in drawing.shapes:
        if shape is label:
            break
        if isinstance(shape, Box) and shape.x <= x <= shape.x + shape.width and shape.y <= y <= shape.y + shape.height:
            look = palette.look(shape.role).fill
            if shape.shade is not None:
                fill = palette.heat(shape.shade)[0]
            elif look != "none":
                fill = look
    return fill


@pytest.mark.parametrize("kind", KINDS)
def test_texts_stand_out(kind: str) -> None:
    labels = 0
    for drawing in KINDS[kind]():
        for label in [shape for shape in drawing.shapes if isinstance(shape, Label) and shape.text.strip()]:
            assert label.size >= 11, label
            for palette in (LIGHT, DARK):
                colour = palette.heat(label.shade)[1] if label.shade is not None else palette.look(label.role).text
                assert contrast(colour, fill_below(drawing, label, palette)) >= 4.5, label
            labels += 1
    assert labels > 5


@pytest.mark.parametrize("kind", KINDS)
def test_areas_that_differ_only_in_colour_have_a_text(kind: str) -> None:
    """A polygon or box without a text of its own is told apart by its border, so that a grey print shows the same."""
    for drawing in KINDS[kind]():
        roles = {shape.role for shape in drawing.shapes if isinstance(shape, Box | Polygon) and shape.shade is None}
        assert len({FORMS[role] for role in roles}) == len(roles), roles
