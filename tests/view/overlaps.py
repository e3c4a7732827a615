"""Which shapes of a drawing overlap, or reach beyond it: what tests of drawings assert.

In: a drawing. Out: its shapes for which that is so; both lists are empty for a drawing as it should be.

    assert collisions(drawing) == []
    assert outside(drawing) == []
"""

from __future__ import annotations

from cnnc.view.drawing import Box, Drawing, Edge, Label, Raster, Shape
from cnnc.view.text_width import text_width

Area = tuple[float, float, float, float]


def area(shape: Shape) -> Area:
    """Left, top, right, bottom."""
    match shape:
        case Label():
            width = text_width(shape.text, shape.size, mono=shape.mono, bold=shape.role in ("title", "result"))
            left = shape.x - {"start": 0.0, "middle": width / 2, "end": width}[shape.anchor]
            return left, shape.y - 0.75 * shape.size, left + width, shape.y + 0.22 * shape.size
        case Box() | Raster():
            return shape.x, shape.y, shape.x + shape.width, shape.y + shape.height
        case Edge():
            xs, ys = zip(*shape.points, strict=True)
            return min(xs), min(ys), max(xs), max(ys)
        case _:
            raise TypeError(shape)


def overlap(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def within(a: Area, b: Area) -> bool:
    return b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3]


def collisions(drawing: Drawing) -> list[tuple[Shape, Shape]]:
    """Pairs of shapes that overlap, but for a text or an image within its box, and an outline on its image."""
    shapes = sorted(((area(s), s) for s in drawing.shapes if not isinstance(s, Label) or s.text), key=lambda p: p[0][0])
    pairs = []
    for i, (a, first) in enumerate(shapes):
        for b, second in shapes[i + 1 :]:
            if b[0] >= a[2]:
                break
            if overlap(a, b) and not may_overlap(first, second):
                pairs.append((first, second))
    return pairs


def may_overlap(first: Shape, second: Shape) -> bool:
    kinds = {type(first), type(second)}
    if Edge in kinds:
        frames = [shape for shape in (first, second) if isinstance(shape, Box)]
        return Label not in kinds and all(box.role == "axis" for box in frames)
    a, b = area(first), area(second)
    return kinds in ({Box, Label}, {Box, Raster}) and (within(a, b) or within(b, a))


def outside(drawing: Drawing) -> list[Shape]:
    whole = (0.0, 0.0, drawing.width, drawing.height)
    return [shape for shape in drawing.shapes if not within(area(shape), whole)]
