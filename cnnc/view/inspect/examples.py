"""Examples of a data set, and outputs of a network for them, as pixels, numbers or words.

In: one example, channels first, or the numbers of its words. Out: pixels or one line of text.

    example_pixels(digit)              # uint8 (8, 8)
    numbers_line(np.ones(3))           # '1 1 1'
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnc.core.arrays import Array
from cnnc.view.inspect.signed_maps import input_pixels
from cnnc.view.inspect.words import word_text
from cnnc.view.shades import Pixels, image_pixels

NUMBERS = 8
"""The most numbers in a line."""


def example_pixels(values: Array) -> Pixels:
    """An input of the data as an image: bytes from 0 to 255, floats from 0 to 1 or to their own range."""
    scaled = values / np.float32(255) if values.dtype == np.uint8 else np.nan_to_num(values.astype(np.float32))
    if scaled.ndim == 1:
        scaled = scaled[None]
    return input_pixels(scaled)


def class_pixels(labels: Array, classes: int) -> Pixels:
    """A map of classes as grey: black is class 0, white the last; of a volume the middle slice."""
    while labels.ndim > 2:
        labels = labels[len(labels) // 2]
    labels = labels if labels.ndim == 2 else labels.reshape(1, -1)
    return image_pixels(np.clip(labels, 0, None)[..., None] / max(1, classes - 1))


def overlaid_pixels(image: Pixels, labels: Array, colours: Array, ignored: int | None = None) -> Pixels:
    """A label map (H, W) laid over an image: each class but 0 in half of its colour, of `colours` (256, 3); ignored labels white.

    The map is enlarged or reduced to the size of the image by nearest neighbour.
    """
    height, width = image.shape[:2]
    rows, columns = (np.arange(n) * size // n for n, size in zip((height, width), labels.shape, strict=True))
    resized = labels[rows][:, columns]
    base = (image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)).astype(np.float32)
    laid_over = np.where((resized == ignored)[..., None], 255, colours[np.clip(resized, 0, 255)].astype(np.float32))
    is_marked = (resized != 0) | (resized == ignored)
    return np.where(is_marked[..., None], (base + laid_over) / 2, base).astype(np.uint8)


def side_by_side(images: Sequence[Pixels]) -> Pixels:
    """Images of one example in a row, with a white line between them; all in colours if one is, smaller ones on white."""
    if len(images) == 1:
        return images[0]
    coloured = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images]
    height = max(len(image) for image in coloured)
    gap = max(1, height // 16)
    padded = [np.pad(image, ((0, height - len(image)), (0, gap), (0, 0)), constant_values=255) for image in coloured]
    return np.concatenate(padded, axis=1)[:, :-gap]


def numbers_line(values: Array) -> str:
    """The first numbers of an array."""
    flat = values.reshape(-1)
    return " ".join(f"{value:.4g}" for value in flat[:NUMBERS]) + (" …" if flat.size > NUMBERS else "")


def sentence(words: Array, vocabulary: Sequence[str]) -> str:
    """The words of a text without its padding."""
    return " ".join(word_text(int(number), vocabulary) for number in words.reshape(-1) if number)


def shortened(name: str) -> str:
    """A name of at most 20 characters."""
    return name if len(name) <= 20 else name[:19] + "…"
