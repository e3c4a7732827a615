"""A drawing as a PNG image, drawn with Pillow on a white background.

In: a `Drawing`. Out: the bytes of a file; each unit is `RATIO` pixels, so that text is legible and a raster whose pixels
are that large or larger stays sharp. Text is set in the font that Pillow brings along, which is the same on every machine;
characters that it lacks are written in others that mean the same, as in a terminal.
"""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from cnnc.core.ascii import COUNTERPARTS
from cnnc.view.drawing import Box, Drawing, Edge, Label, Marker, Polygon, Raster
from cnnc.view.geometry import Point, arrowhead, line_points, marker_points, polyline
from cnnc.view.palette import FORMS, LIGHT, MARKING
from cnnc.view.text_width import shown_text

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

RATIO = 2
SOFTWARE = "cnnc"
"""The entry Software of the files, by which cnnc recognizes its own."""

_BITMAP_SIZE = 11  # pixels of the font that Pillow has without FreeType
_MONO_SIZE = 0.9  # wide letters of the font, which has no fixed width, fit into a column
_MONO = 0.605  # the advance of a character of a fixed-width font, in font sizes
_HALO, _HOLLOW = 5, 1.5
_HATCH = 6
_UNASSIGNED = "\ue123"  # a character for private use, which the font lacks


def png(drawing: Drawing) -> bytes:
    """The content of a PNG file. Pillow must be installed (`require_pillow`)."""
    from PIL import Image, ImageDraw, PngImagePlugin

    size = (math.ceil(drawing.width * RATIO), math.ceil(drawing.height * RATIO))
    image = Image.new("RGB", size, LIGHT.background)
    canvas = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        match shape:
            case Box():
                _draw_box(canvas, shape)
            case Polygon():
                _draw_polygon(canvas, shape)
            case Label():
                _draw_label(image, canvas, shape)
            case Edge():
                _draw_edge(canvas, shape)
            case Marker():
                _draw_marker(canvas, shape)
            case Raster():
                _draw_raster(image, shape)
    entries = PngImagePlugin.PngInfo()
    entries.add_text("Software", SOFTWARE)
    entries.add_itxt("Title", shown_text(drawing.title))
    entries.add_itxt("Description", shown_text(drawing.description))
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=entries)
    return stream.getvalue()


def _draw_box(canvas: ImageDraw.ImageDraw, box: Box) -> None:
    look, form = LIGHT.look(box.role), FORMS[box.role]
    fill = look.fill if box.shade is None else LIGHT.heat(box.shade)[0]
    line = LIGHT.mark if box.shade is not None and box.role in MARKING else look.line
    x0, y0, x1, y1 = (round(n * RATIO) for n in (box.x, box.y, box.x + box.width, box.y + box.height))
    if fill != "none":
        canvas.rounded_rectangle((x0, y0, x1, y1), box.corner * RATIO, fill)
    if form.hatched and box.shade is None:
        for start in range(x0 + y0, x1 + y1, _HATCH * RATIO):  # the lines x + y = start
            left, right = max(x0, start - y1), min(x1, start - y0)
            if left < right:
                canvas.line([(left, start - left), (right, start - right)], LIGHT.look("axis").line, RATIO)
    width = round(form.width * RATIO)
    half = width // 2  # half of the border lies outside, as in SVG
    outer = (x0 - half, y0 - half, x1 + half, y1 + half)
    if form.dash:
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
        for points in _dashes(corners, form.dash):
            canvas.line(points, line, width)
    else:
        canvas.rounded_rectangle(outer, box.corner * RATIO, None, line, width)


def _draw_polygon(canvas: ImageDraw.ImageDraw, polygon: Polygon) -> None:
    look, form = LIGHT.look(polygon.role), FORMS[polygon.role]
    fill = look.fill if polygon.shade is None else LIGHT.heat(polygon.shade)[0]
    line = LIGHT.mark if polygon.shade is not None and polygon.role in MARKING else look.line
    points = [(x * RATIO, y * RATIO) for x, y in polygon.points]
    if fill != "none":
        canvas.polygon(points, fill)
    outline = [*points, *points[:2]]  # the first corner is joined too
    for part in _dashes(outline[:-1], form.dash) if form.dash else [outline]:
        canvas.line(part, line, round(form.width * RATIO), joint="curve")


def _draw_edge(canvas: ImageDraw.ImageDraw, edge: Edge) -> None:
    colour, form = LIGHT.look(edge.role).line, FORMS[edge.role]
    points = [(x * RATIO, y * RATIO) for x, y in polyline(edge._replace(points=line_points(edge)))]
    if len(points) > 2 and points[0] == points[-1]:
        points.append(points[1])  # the first corner is joined too
    if edge.halo:
        canvas.line(points, LIGHT.background, _HALO * RATIO, joint="curve")
    for part in _dashes(points, form.dash) if form.dash else [points]:
        canvas.line(part, colour, round((1 if edge.thin else form.width) * RATIO), joint="curve")
    if edge.arrow:
        canvas.polygon([(x * RATIO, y * RATIO) for x, y in arrowhead(edge)], colour)


def _dashes(points: Sequence[Point], dash: tuple[float, ...]) -> Iterator[list[Point]]:
    """The drawn parts of a dashed line through points; `dash` are lengths drawn and left out in turn."""
    index, left = 0, dash[0] * RATIO
    for (x0, y0), (x1, y1) in pairwise(points):
        length, done = math.hypot(x1 - x0, y1 - y0), 0.0
        while done < length:
            step = min(left, length - done)
            if index % 2 == 0:
                yield [(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in (done / length, (done + step) / length)]
            done, left = done + step, left - step
            if left <= 0:
                index += 1
                left = dash[index % len(dash)] * RATIO


def _draw_marker(canvas: ImageDraw.ImageDraw, marker: Marker) -> None:
    colour = LIGHT.look(marker.role).line
    fill, width = (LIGHT.background, round(_HOLLOW * RATIO)) if marker.hollow else (colour, 1)
    if points := marker_points(marker):
        canvas.polygon([(x * RATIO, y * RATIO) for x, y in points], fill, colour, width)
        return
    x, y, radius = marker.x * RATIO, marker.y * RATIO, marker.size * RATIO / 2
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill, colour, width)


def _draw_raster(image: Image.Image, raster: Raster) -> None:
    from PIL import Image

    x, y = round(raster.x * RATIO), round(raster.y * RATIO)
    size = (max(1, round((raster.x + raster.width) * RATIO) - x), max(1, round((raster.y + raster.height) * RATIO) - y))
    pixels = Image.fromarray(raster.pixels)
    shrinks = size[0] < pixels.width or size[1] < pixels.height
    image.paste(pixels.resize(size, Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST), (x, y))


# --- text --------------------------------------------------------------------------------------------------------


def _draw_label(image: Image.Image, canvas: ImageDraw.ImageDraw, label: Label) -> None:
    from PIL import ImageFont

    font = _font(round(label.size * RATIO * (_MONO_SIZE if label.mono else 1)))
    look = LIGHT.look(label.role)
    colour = LIGHT.heat(label.shade)[1] if label.shade is not None else look.text
    text = _writable(shown_text(label.text), font)
    if not isinstance(font, ImageFont.FreeTypeFont):
        _draw_bitmap_text(image, label, text, font, colour)
        return
    advance = label.size * RATIO * _MONO
    width = advance * len(text) if label.mono else font.getlength(text)
    x = label.x * RATIO - width * {"start": 0, "middle": 0.5, "end": 1}[label.anchor]
    bolder = (0, 1) if FORMS[label.role].bold else (0,)  # the font has no bold face: drawn twice, a pixel apart
    parts = [(x, text)]
    if label.mono:  # each character in the middle of its column
        parts = [(x + i * advance + (advance - font.getlength(c)) / 2, c) for i, c in enumerate(text)]
    for left, part in parts:
        for shift in bolder:
            canvas.text((left + shift, label.y * RATIO), part, colour, font, "ls")


def _draw_bitmap_text(image: Image.Image, label: Label, text: str, font: Font, colour: str) -> None:
    """Text in the font of one size that Pillow has without FreeType, enlarged to about the size of the label."""
    from PIL import Image, ImageDraw

    width, height = (math.ceil(n) for n in font.getbbox(text)[2:])
    if not width:
        return
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).text((0, 0), text, 255, font)
    factor = max(1.0, label.size * RATIO / (_BITMAP_SIZE * 1.4))
    mask = mask.resize((round(width * factor), round(height * factor)))
    x = label.x * RATIO - mask.width * {"start": 0, "middle": 0.5, "end": 1}[label.anchor]
    image.paste(colour, (round(x), round(label.y * RATIO - 0.8 * mask.height)), mask)


@lru_cache(maxsize=32)
def _font(size: int) -> Font:
    """Pillow's own font; without FreeType a small one of fixed size."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _writable(text: str, font: Font) -> str:
    """The text with the characters that the font lacks written in others: `2²` as `2^2`, `ä` as `a`."""
    return "".join(c if c.isascii() else _written(c, font) for c in text)


@lru_cache(maxsize=1024)
def _written(character: str, font: Font) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    if _has(character, font):
        return character
    return COUNTERPARTS.get(character) or plain or "?"


def _has(character: str, font: Font) -> bool:
    """Whether the font has a character; one that it lacks looks like one that no font has."""
    try:
        return bytes(font.getmask(character)) != bytes(font.getmask(_UNASSIGNED))
    except UnicodeEncodeError:
        return False
