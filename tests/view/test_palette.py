"""Shows that texts are readable on a light and on a dark background, and that roles and shades stay apart in grey."""

from __future__ import annotations

from itertools import combinations
from typing import get_args

import pytest

from cnnc.view.drawing import LayerRole, Role
from cnnc.view.palette import DARK, FORMS, LEVELS, LIGHT, MARKERS, Palette, contrast, level, luminance

PALETTES = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])


@PALETTES
def test_texts_are_readable(palette: Palette) -> None:
    for role, look in palette.looks.items():
        ground = palette.background if look.fill == "none" or role.startswith("series") else look.fill
        assert contrast(look.text, ground) >= 4.5, role


@PALETTES
def test_texts_on_heat_maps_are_readable(palette: Palette) -> None:
    for step in range(-LEVELS, LEVELS + 1):
        fill, text = palette.heat(step / LEVELS)
        assert contrast(fill, text) >= 4.5


@PALETTES
def test_borders_that_mean_something_stand_out(palette: Palette) -> None:
    for role in ("read", "weight", "result", *MARKERS, *get_args(LayerRole)):
        look = palette.look(role)
        assert contrast(look.line, palette.background) >= 3, role
        assert role in MARKERS or look.fill == "none" or contrast(look.line, look.fill) >= 3, role


@PALETTES
def test_marks_stand_out_from_every_shade(palette: Palette) -> None:
    fills = [palette.heat(step / LEVELS)[0] for step in range(-LEVELS, LEVELS + 1)]
    assert min(contrast(palette.mark, fill) for fill in [palette.background, *fills]) >= 3


def test_roles_have_a_form_of_their_own() -> None:
    """Width, dashes, hatching or weight of the text: colour alone tells no two roles of cells apart."""
    roles: tuple[Role, ...] = ("plain", "read", "weight", "result", "padding", "zero", "faint")
    assert all(FORMS[a] != FORMS[b] for a, b in combinations(roles, 2))
    assert all(FORMS[a] != FORMS[b] for a, b in combinations(get_args(LayerRole), 2))
    assert len(set(MARKERS.values())) == len(MARKERS)


@PALETTES
def test_shades_get_steadily_stronger(palette: Palette) -> None:
    """From 0 to 1 and from 0 to -1 the luminance changes in one direction, and blue is darker than orange."""
    for sign in (-1, 1):
        values = [luminance(palette.heat(sign * step / LEVELS)[0]) for step in range(LEVELS + 1)]
        assert values in (sorted(values), sorted(values, reverse=True))
        assert len(set(values)) == len(values)
    assert all(luminance(palette.heat(-k / 20)[0]) < luminance(palette.heat(k / 20)[0]) for k in range(1, 21))


@pytest.mark.parametrize(
    ("shade", "step"), [(0, 0), (1, 20), (-1, -20), (7, 20), (float("-inf"), -20), (float("nan"), 0)]
)
def test_shades_outside_the_range(shade: float, step: int) -> None:
    assert level(shade) == step
