"""Rows of images of which some are signed maps: what raises a score is bright orange, what lowers it dark blue.

In: images and maps of one input. Out: a `Drawing`. In grey, positive is brighter than zero and negative darker.

    picture_rows("conv1[0]", "The nine strongest", [("patches", [Image("17", pixels)])])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.view.document import Item
from cnnc.view.drawing import Box, Drawing, Edge, Label, Raster, Shape
from cnnc.view.inspect.tiles import LONGEST_LABEL, GreyScale, SheetTile, curve_shapes, scale_of, tile_sheet
from cnnc.view.labels import BODY, MARGIN, SMALL, TextLines, text_lines
from cnnc.view.number_text import number_text
from cnnc.view.shades import Pixels, image_pixels, score_pixels
from cnnc.view.text_width import shortened, text_width

WIDTH, CURVES = 900, 8
_GAP, _LABEL = 12, 11


_MARKED = 0.1


class Image(NamedTuple):
    """Pixels, and one line below them."""

    label: str
    pixels: Pixels


def picture_rows(
    title: str, description: str, rows: Sequence[tuple[str, Sequence[Image]]], side: float = 90
) -> Drawing:
    """Rows of images, each with a heading; images wider than the drawing go on in the next line."""
    head = _head(title, description)
    shapes: list[Shape] = [*head.labels]
    y = head.bottom + 6
    for heading, images in rows:
        if heading:
            text = text_lines(heading, MARGIN, y, WIDTH - 2 * MARGIN, "text", SMALL)
            shapes += text.labels
            y = text.bottom + 4
        fitting = [image._replace(label=shortened(image.label, LONGEST_LABEL, _LABEL)) for image in images]
        for line in _lines(fitting, side):
            tallest = max(_size(image.pixels, side)[0] for image in line)
            x = float(MARGIN)
            for image in line:
                height, width = _size(image.pixels, side)
                shapes.append(Raster(x, y, width, height, image.pixels, image.label))
                shapes.append(Box(x, y, width, height, "axis"))
                shapes.append(Label(x, y + tallest + 14, image.label, "start", "note", _LABEL))
                x += max(width, text_width(image.label, _LABEL)) + _GAP
            y += tallest + 24
        y += 2
    return Drawing(WIDTH, y, title, description, tuple(shapes), head.bottom)


def _lines(images: Sequence[Image], side: float) -> list[list[Image]]:
    """The images in lines that fit into the drawing."""
    lines: list[list[Image]] = []
    x = 0.0
    for image in images:
        room = max(_size(image.pixels, side)[1], text_width(image.label, _LABEL))
        if not lines or x + room > WIDTH - 2 * MARGIN:
            lines.append([])
            x = 0.0
        lines[-1].append(image)
        x += room + _GAP
    return lines


def _head(title: str, description: str) -> TextLines:
    """The title of a drawing and the description below it."""
    head = text_lines(title, MARGIN, MARGIN, WIDTH - 2 * MARGIN, "title", BODY + 1)
    below = text_lines(description, MARGIN, head.bottom, WIDTH - 2 * MARGIN, "note", SMALL)
    return TextLines([*head.labels, *below.labels], below.bottom)


def _size(pixels: Pixels, side: float) -> tuple[float, float]:
    """The height and width of an image whose longer side is about `side`; small images are enlarged by a whole number."""
    longest = max(pixels.shape[:2])
    each = max(1, int(side // longest)) if longest <= side else side / longest
    return pixels.shape[0] * each, pixels.shape[1] * each


def input_sheet(
    title: str, inputs: Sequence[tuple[str, Array]], low: float, high: float, description: str = ""
) -> Drawing:
    """Inputs (C, *spatial) with their labels on one scale: images, or curves for series, a row of its channels for each."""
    if inputs[0][1].ndim == 2:
        channels = min(len(inputs[0][1]), CURVES)
        tiles = [
            SheetTile(label if c == 0 else f"input channel {c}", values[c])
            for label, values in inputs
            for c in range(channels)
        ]
        text = f"{description} The curves run from {number_text(low)} to {number_text(high)}.".strip()
        more = len(inputs[0][1])
        notes = [f"The first {CURVES} of {more:,} input channels are shown."] if more > CURVES else []
        columns = channels if channels > 1 else 0
        return tile_sheet(title, text, tiles, GreyScale(low, high), side=80, columns=columns, notes=notes)
    images = [Image(label, image_pixels((shown_plane(values) - low) / (high - low))) for label, values in inputs]
    text = f"{description} Black is {number_text(low)}, white is {number_text(high)}."
    if inputs[0][1].ndim == 4:
        text += f" The middle slice of {inputs[0][1].shape[1]} is shown."
    return picture_rows(title, text.strip(), [("", images)], 120)


class Patch(NamedTuple):
    """A part of an input (C, *spatial), and a signed map of the same shape."""

    values: Array
    map: Array


def projection_items(title: str, labels: Sequence[str], patches: Sequence[Patch]) -> list[Item]:
    """Patches of inputs above the maps that belong to them, each map on its own scale; of series as curves."""
    text = "Each patch is what the activation reads, cut at the border; each projection has its own scale."
    if patches[0].values.ndim == 2:
        maps = [patch.map / (float(np.abs(patch.map).max()) or 1) for patch in patches]
        values = [patch.values for patch in patches]
        low, high = min(0.0, *(float(v.min()) for v in values)), max(1.0, *(float(v.max()) for v in values))
        of_test = input_sheet(f"{title}: patches", list(zip(labels, values, strict=True)), low, high, text)
        return [of_test, input_sheet(f"{title}: projections", list(zip(labels, maps, strict=True)), -1, 1)]
    if patches[0].values.ndim == 4:
        text += " The middle slice is shown."
    shown = [Image(label, input_pixels(patch.values)) for label, patch in zip(labels, patches, strict=True)]
    planes = [signed_plane(patch.map) for patch in patches]
    back = [
        Image(label, score_pixels(plane / (float(np.abs(plane).max()) or 1)))
        for label, plane in zip(labels, planes, strict=True)
    ]
    rows = [
        ("Patches of the test set: example and activation", shown),
        ("Projections: orange (bright in grey) is positive", back),
    ]
    return [picture_rows(title, text, rows, 84)]


def shown_plane(values: Array) -> Array:
    """An image (H, W, 1 or 3) of an input (C, *spatial): colours of three channels, else the mean of all channels.

    A vector becomes a row of pixels, a series rows of its channels, a volume its middle slice.
    """
    if values.ndim == 1:
        return values[None, :, None]
    if values.ndim == 2:
        return values[..., None]
    if values.ndim == 4:
        values = values[:, values.shape[1] // 2]
    last = np.moveaxis(values, 0, -1)
    return last if last.shape[-1] in (1, 3) else last.mean(-1, keepdims=True)


def input_pixels(values: Array) -> Pixels:
    """An input (C, *spatial) as an image: from 0 to 1, or from its least to its largest number where it exceeds that."""
    plane = shown_plane(values)
    low, high = min(0.0, float(plane.min())), max(1.0, float(plane.max()))
    return image_pixels((plane - low) / (high - low))


def signed_plane(values: Array) -> Array:
    """The sum over the channels of a map (C, *spatial), as rows and columns; a series keeps its channels."""
    if values.ndim <= 2:
        return values if values.ndim == 2 else values[None]
    plane: Array = values.sum(0)
    return plane[plane.shape[0] // 2] if plane.ndim == 3 else plane


def map_image(name: str, plane: Array) -> Image:
    """A signed map (H, W) on its own scale, which the label states."""
    largest = float(np.abs(plane).max())
    return Image(f"{name}: ±{number_text(largest)}", score_pixels(plane / (largest or 1)))


def overlay(name: str, plane: Array, values: Array) -> Image:
    """A signed map (H, W) over the faded input: the stronger it is, the less of the input shows."""
    largest = float(np.abs(plane).max())
    part = plane / (largest or 1)
    grey = input_pixels(values)
    grey = grey.mean(-1) if grey.ndim == 3 else grey
    faded = (90 + 100 * (grey / 255))[..., None]  # uint8 numbers must not be multiplied
    alpha = np.abs(part)[..., None]
    colours = score_pixels(np.sign(part))
    return Image(name, np.rint((1 - alpha) * faded + alpha * colours).astype(np.uint8))


def curve_rows(title: str, description: str, rows: Sequence[tuple[str, Array]]) -> Drawing:
    """Series (C, T) of the same length one below the other, so that their positions correspond: a curve for each channel.

    The label of a curve has the channel and the range of its frame.
    """
    head = _head(title, description)
    shapes: list[Shape] = [*head.labels]
    y = head.bottom + 6
    for name, values in rows:
        for c, curve in enumerate(values):
            scale = scale_of(curve)
            channel = f"[{c}]" if len(values) > 1 else ""
            limits = f"{channel}: {number_text(scale.low)} to {number_text(scale.high)}"
            text = f"{shortened(name, LONGEST_LABEL, SMALL)}{limits}"
            shapes.append(Label(MARGIN, y + 13, text, "start", "text", SMALL))
            shapes += curve_shapes(curve, MARGIN, y + 20, WIDTH - 2 * MARGIN, 60, scale)
            y += 92
    return Drawing(WIDTH, y, title, description, tuple(shapes), head.bottom)


def word_rows(title: str, description: str, words: Sequence[str], rows: Sequence[tuple[str, Array]]) -> Drawing:
    """The words of a sentence once for each measure, in boxes shaded by it from -1 to 1 on the scale of its row.

    A line above a word marks a positive measure, one below it a negative one, from a tenth of the scale on.
    """
    head = _head(title, description)
    shapes: list[Shape] = [*head.labels]
    y = head.bottom + 6
    for name, values in rows:
        largest = float(np.abs(values).max())
        text = f"{shortened(name, LONGEST_LABEL, SMALL)}: ±{number_text(largest)}"
        shapes.append(Label(MARGIN, y + 13, text, "start", "text", SMALL))
        x, y = float(MARGIN), y + 25
        for word, value in zip(words, values, strict=True):
            whole, word = word, shortened(word, LONGEST_LABEL, BODY)
            width = text_width(word, BODY) + 12
            if x > MARGIN and x + width > WIDTH - MARGIN:
                x, y = float(MARGIN), y + 36
            shade = float(value) / (largest or 1)
            if abs(shade) >= _MARKED:  # the sign shows in grey too
                line = y - 3 if shade > 0 else y + 27
                shapes.append(Edge(((x, line), (x + width, line)), "text"))
            shapes.append(Box(x, y, width, 24, "plain", shade, f"{whole}: {number_text(float(value))}"))
            shapes.append(Label(x + width / 2, y + 17, word, "middle", "text", BODY, False, shade))
            x += width + 4
        y += 42
    return Drawing(WIDTH, y, title, description, tuple(shapes), head.bottom)
