"""Golden drawings: small ones as SVG in the folder golden, so that a change of any face or layout shows.

    assert_golden("units", units_drawing(graph), request)

After an intended change: pytest tests/view --refresh-golden, then look at the drawings. The class that keeps the style of
a document apart is a checksum of it; the files have `c` instead, so that a change of one shape is a change of one line.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnc.view.drawing import Drawing
from cnnc.view.svg import svg_text


def assert_golden(name: str, drawing: Drawing, request: pytest.FixtureRequest) -> None:
    """Compares a drawing with its file, or writes it."""
    path = Path(__file__).parent / "golden" / f"{name}.svg"
    text = re.sub(r"\bc[0-9a-f]{8}\b", "c", svg_text(drawing))
    if request.config.getoption("--refresh-golden"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
