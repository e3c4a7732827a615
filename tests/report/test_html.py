"""Colours of HTML for notebooks can be read on a light page and on a dark one, whose text and background are not cnnc's."""

from __future__ import annotations

import re

import pytest

import cnnc
from cnnc.report.html import confusion_html, diagnostics_html
from cnnc.view.palette import contrast

THEMES = [("#0f172a", "#ffffff"), ("#eceeed", "#181c1a"), ("#d4d4d4", "#1e1e1e")]
"""Text and background of marimo, light and dark, and of Visual Studio Code, dark."""


def over(red: int, green: int, blue: int, share: float, ground: str) -> str:
    """A colour of which a share covers the ground."""
    below = (int(ground[i : i + 2], 16) for i in (1, 3, 5))
    mixed = (round(share * c + (1 - share) * g) for c, g in zip((red, green, blue), below, strict=True))
    return f"#{''.join(f'{value:02x}' for value in mixed)}"


@pytest.mark.parametrize("ground", [ground for _, ground in THEMES])
def test_colours_of_errors_are_readable(ground: str) -> None:
    """A colour has 4.1 on white and on black at once, at the most."""
    warned, wrong = cnnc.check("input 1x8x8\nrelu\nrelu"), cnnc.check("input 1x8x8\nconv 4 k=9")
    html = diagnostics_html([*warned.diagnostics, *wrong.diagnostics])
    colours = set(re.findall(r"color:(#\w{6})", html))
    assert len(colours) == 4
    assert all(contrast(colour, ground) >= 3.9 for colour in colours)


@pytest.mark.parametrize(("text", "ground"), THEMES)
def test_counts_of_a_confusion_matrix_are_readable(text: str, ground: str) -> None:
    html = confusion_html([[50, 1, 0], [0, 30, 20], [0, 0, 1]], ["a", "b", "c"])
    shades = re.findall(r"background:rgba\((\d+),(\d+),(\d+),([\d.]+)\)", html)
    assert len(shades) == 5
    for red, green, blue, share in shades:
        assert contrast(text, over(int(red), int(green), int(blue), float(share), ground)) >= 4.5
