"""Draws the curves of a run: loss and metric over epochs, as SVG.

In: the lines of metrics.jsonl. Out: an SVG document, which any browser shows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, GAP = 360, 220, 56, 28, 60
_COLOURS = {"train": "#1f77b4", "val": "#d62728"}

Curve = list[tuple[float, float]]


def curves(lines: Sequence[str], title: str) -> str:
    """Two panels side by side: the loss, and the metric that decides which epoch is best."""
    rows = [json.loads(line) for line in lines]
    metric = next((key[4:] for row in rows for key in row if key.startswith("val_") and key != "val_loss"), "accuracy")
    panels = [_panel("loss", rows, 0), _panel(metric, rows, 1)]
    width = 2 * (WIDTH + LEFT) + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + TOP + 40}" '
        f'font-family="sans-serif" font-size="11"><title>{escape(title)}</title>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(panels)}</svg>\n'
    )


def _panel(name: str, rows: Sequence[dict[str, Any]], column: int) -> str:
    """The SVG of one panel: the curves `train_NAME` and `val_NAME`; `column` is 0 for the left panel, 1 for the right."""
    curves_by_split = {split: _points(rows, f"{split}_{name}") for split in _COLOURS}
    heights = [y for points in curves_by_split.values() for _, y in points]
    low, high = (min(heights), max(heights)) if heights else (0.0, 1.0)
    high = high if high > low else low + 1.0
    last = max(1, len(rows))
    x0, y0 = LEFT + column * (WIDTH + LEFT + GAP // 2), TOP
    parts = [
        f'<text x="{x0}" y="{y0 - 10}" font-weight="bold">{escape(name)}</text>',
        f'<rect x="{x0}" y="{y0}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
    ]
    for part in range(5):
        y = y0 + HEIGHT * part / 4
        label = f"{high - (high - low) * part / 4:.4g}"
        parts.append(f'<line x1="{x0}" x2="{x0 + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
        parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for number, (split, points) in enumerate(curves_by_split.items()):
        pixels = [(x0 + WIDTH * (x - 1) / max(1, last - 1), y0 + HEIGHT * (high - y) / (high - low)) for x, y in points]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
        colour = _COLOURS[split]
        parts.append(f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>' for x, y in pixels]
        if points:
            parts.append(f'<text x="{x0 + 80 + 60 * number}" y="{y0 - 10}" fill="{colour}">{split}</text>')
    parts.append(f'<text x="{x0}" y="{y0 + HEIGHT + 16}">1</text>')
    parts.append(f'<text x="{x0 + WIDTH}" y="{y0 + HEIGHT + 16}" text-anchor="end">epoch {last}</text>')
    return "".join(parts)


def _points(rows: Sequence[dict[str, Any]], key: str) -> Curve:
    """(epoch, number) of each row that has a number under this key."""
    return [(row["epoch"], row[key]) for row in rows if isinstance(row.get(key), int | float)]
