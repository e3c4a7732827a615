"""A drawing as a PNG image, drawn with Pillow on a white background.

In: a `Drawing`. Out: the bytes of a file; each unit is `RATIO` pixels (one in a very large drawing), so that text is legible and
a raster whose pixels are that large or larger stays sharp. Text is set in the font that Pillow brings along, which is the same on every machine;
characters that it lacks are written in others that mean the same, as in a terminal.
"""

from __future__ import annotations

import io
import math
import re
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
    from PIL import Image, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

RATIO = 2
MOST_PIXELS = 40_000_000
"""A drawing with more pixels than this, which few programs show well, has one pixel per unit."""
SOFTWARE = "cnnc"
"""The entry Software of the files, by which cnnc recognizes its own."""

_BITMAP_SIZE = 11  # pixels of the font that Pillow has without FreeType
_MONO = 0.605  # the advance of a character of a fixed-width font, in font sizes
_SET_TOGETHER = re.compile(
    r"[^\W\d_]\S*(?: [^\W\d_]\S*)*|\S+"
)  # words with single spaces between them, or anything else
_HALO, _HOLLOW = 5, 1.5
_HATCH = 6
_UNASSIGNED = "\ue123"  # a character for private use, which the font lacks


def png(drawing: Drawing) -> bytes:
    """The content of a PNG file. Pillow must be installed (`require_pillow`)."""
    from PIL import PngImagePlugin

    image = _Painter(drawing).painted()
    entries = PngImagePlugin.PngInfo()
    entries.add_text("Software", SOFTWARE)
    entries.add_itxt("Title", shown_text(drawing.title))
    entries.add_itxt("Description", shown_text(drawing.description))
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=entries)
    return stream.getvalue()


def ratio_of(drawing: Drawing) -> int:
    """The pixels per unit: RATIO, but 1 for a drawing that would have more than MOST_PIXELS."""
    return RATIO if drawing.width * drawing.height * RATIO**2 <= MOST_PIXELS else 1


class _Painter:
    """An image of the size of a drawing, on which it is painted."""

    def __init__(self, drawing: Drawing) -> None:
        from PIL import Image, ImageDraw

        self.drawing, self.ratio = drawing, ratio_of(drawing)
        size = (math.ceil(drawing.width * self.ratio), math.ceil(drawing.height * self.ratio))
        self.image = Image.new("RGB", size, LIGHT.background)
        self.canvas = ImageDraw.Draw(self.image)

    def painted(self) -> Image.Image:
        """The image with all shapes of the drawing."""
        for shape in self.drawing.shapes:
            match shape:
                case Box():
                    self._box(shape)
                case Polygon():
                    self._polygon(shape)
                case Label():
                    self._label(shape)
                case Edge():
                    self._edge(shape)
                case Marker():
                    self._marker(shape)
                case Raster():
                    self._raster(shape)
        return self.image

    def _box(self, box: Box) -> None:
        look, form = LIGHT.look(box.role), FORMS[box.role]
        fill = look.fill if box.shade is None else LIGHT.heat(box.shade)[0]
        line = LIGHT.mark if box.shade is not None and box.role in MARKING else look.line
        x0, y0, x1, y1 = (round(n * self.ratio) for n in (box.x, box.y, box.x + box.width, box.y + box.height))
        if fill != "none":
            self.canvas.rounded_rectangle((x0, y0, x1, y1), box.corner * self.ratio, fill)
        if form.hatched and box.shade is None:
            for start in range(x0 + y0, x1 + y1, _HATCH * self.ratio):  # the lines x + y = start
                left, right = max(x0, start - y1), min(x1, start - y0)
                if left < right:
                    self.canvas.line(
                        [(left, start - left), (right, start - right)], LIGHT.look("axis").line, self.ratio
                    )
        width = round(form.width * self.ratio)
        half = width // 2  # half of the border lies outside, as in SVG
        outer = (x0 - half, y0 - half, x1 + half, y1 + half)
        if form.dash:
            corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
            for points in self._dashes(corners, form.dash):
                self.canvas.line(points, line, width)
        else:
            self.canvas.rounded_rectangle(outer, box.corner * self.ratio, None, line, width)

    def _polygon(self, polygon: Polygon) -> None:
        look, form = LIGHT.look(polygon.role), FORMS[polygon.role]
        fill = look.fill if polygon.shade is None else LIGHT.heat(polygon.shade)[0]
        line = LIGHT.mark if polygon.shade is not None and polygon.role in MARKING else look.line
        points = [(x * self.ratio, y * self.ratio) for x, y in polygon.points]
        if fill != "none":
            self.canvas.polygon(points, fill)
        outline = [*points, *points[:2]]  # the first corner is joined too
        for part in self._dashes(outline[:-1], form.dash) if form.dash else [outline]:
            self.canvas.line(part, line, round(form.width * self.ratio), joint="curve")

    def _edge(self, edge: Edge) -> None:
        colour, form = LIGHT.look(edge.role).line, FORMS[edge.role]
        points = [(x * self.ratio, y * self.ratio) for x, y in polyline(edge._replace(points=line_points(edge)))]
        if len(points) > 2 and points[0] == points[-1]:
            points.append(points[1])  # the first corner is joined too
        if edge.halo:
            self.canvas.line(points, LIGHT.background, _HALO * self.ratio, joint="curve")
        for part in self._dashes(points, form.dash) if form.dash else [points]:
            self.canvas.line(part, colour, round((1 if edge.thin else form.width) * self.ratio), joint="curve")
        if edge.arrow:
            self.canvas.polygon([(x * self.ratio, y * self.ratio) for x, y in arrowhead(edge)], colour)

    def _dashes(self, points: Sequence[Point], dash: tuple[float, ...]) -> Iterator[list[Point]]:
        """The drawn parts of a dashed line through points; `dash` are lengths drawn and left out in turn."""
        index, left = 0, dash[0] * self.ratio
        for (x0, y0), (x1, y1) in pairwise(points):
            length, done = math.hypot(x1 - x0, y1 - y0), 0.0
            while done < length:
                step = min(left, length - done)
                if index % 2 == 0:
                    yield [(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in (done / length, (done + step) / length)]
                done, left = done + step, left - step
                if left <= 0:
                    index += 1
                    left = dash[index % len(dash)] * self.ratio

    def _marker(self, marker: Marker) -> None:
        colour = LIGHT.look(marker.role).line
        fill, width = (LIGHT.background, round(_HOLLOW * self.ratio)) if marker.hollow else (colour, 1)
        if points := marker_points(marker):
            self.canvas.polygon([(x * self.ratio, y * self.ratio) for x, y in points], fill, colour, width)
            return
        x, y, radius = marker.x * self.ratio, marker.y * self.ratio, marker.size * self.ratio / 2
        self.canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill, colour, width)

    def _raster(self, raster: Raster) -> None:
        from PIL import Image

        x, y = round(raster.x * self.ratio), round(raster.y * self.ratio)
        size = (
            max(1, round((raster.x + raster.width) * self.ratio) - x),
            max(1, round((raster.y + raster.height) * self.ratio) - y),
        )
        pixels = Image.fromarray(raster.pixels)
        shrinks = size[0] < pixels.width or size[1] < pixels.height
        self.image.paste(pixels.resize(size, Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST), (x, y))

    def _label(self, label: Label) -> None:
        from PIL import ImageFont

        font = _font(round(label.size * self.ratio))
        look = LIGHT.look(label.role)
        colour = LIGHT.heat(label.shade)[1] if label.shade is not None else look.text
        text = _writable(shown_text(label.text), font)
        if not isinstance(font, ImageFont.FreeTypeFont):
            self._bitmap_text(label, text, font, colour)
            return
        advance = label.size * self.ratio * _MONO
        width = advance * len(text) if label.mono else font.getlength(text)
        x = label.x * self.ratio - width * {"start": 0, "middle": 0.5, "end": 1}[label.anchor]
        bolder = (0, 1) if FORMS[label.role].bold else (0,)  # the font has no bold face: drawn twice, a pixel apart
        for left, part in _in_columns(x, text, advance, font) if label.mono else [(x, text)]:
            for shift in bolder:
                self.canvas.text((left + shift, label.y * self.ratio), part, colour, font, "ls")

    def _bitmap_text(self, label: Label, text: str, font: Font, colour: str) -> None:
        """Text in the font of one size that Pillow has without FreeType, enlarged to about the size of the label."""
        from PIL import Image, ImageDraw

        width, height = (math.ceil(n) for n in font.getbbox(text)[2:])
        if not width:
            return
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).text((0, 0), text, 255, font)
        factor = max(1.0, label.size * self.ratio / (_BITMAP_SIZE * 1.4))
        mask = mask.resize((round(width * factor), round(height * factor)))
        x = label.x * self.ratio - mask.width * {"start": 0, "middle": 0.5, "end": 1}[label.anchor]
        self.image.paste(colour, (round(x), round(label.y * self.ratio - 0.8 * mask.height)), mask)


# --- text --------------------------------------------------------------------------------------------------------


def _in_columns(x: float, text: str, advance: float, font: ImageFont.FreeTypeFont) -> Iterator[tuple[float, str]]:
    """A text of a fixed-width font in one without: words begin in their column, and numbers and signs keep all of theirs."""
    for found in _SET_TOGETHER.finditer(text):
        part, start = found[0], x + found.start() * advance
        if font.getlength(part) <= advance * len(part) and any(c.isalpha() for c in part):
            yield start, part
        else:
            columns = ((start + i * advance, c) for i, c in enumerate(part))
            yield from ((left + (advance - font.getlength(c)) / 2, c) for left, c in columns)


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
