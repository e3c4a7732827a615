"""Decodes masks: image files that hold the class of each pixel.

In: the content of a file, the size of the network's output, and the colours of the classes if the masks are coloured. Out: uint8
(1, H, W), the index of the class at each pixel. A mask is resized by nearest neighbour, so that no class arises between
two others. Grey masks and those with a palette hold indices; of coloured masks, `colours` gives the class of each colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.data.file_tree import FileTree
from cnnc.data.image_decoder import LARGEST
from cnnc.data.image_file import DecodedImage, NotAnImage, decode_values

_MOST_COLOURS = 64
_SIDE = 512
"""Of a mask of more pixels per side, the colours of fewer are counted."""


class NotAMask(NotAnImage):
    """An image that is readable and not a mask; the message says why."""


class MaskFiles:
    """The masks in a folder or .zip. A pickled one decodes the same in another process.

    A colour that is not listed becomes the index `other`; None: it is an error.
    """

    def __init__(self, tree: FileTree, colours: Sequence[str], other: int | None) -> None:
        self._tree = tree
        self._colours = tuple(colours)
        self._other = other

    def display_name(self, key: str) -> str:
        """The name of a mask in messages."""
        return self._tree.display_name(key)

    def read(self, key: str, limit: int) -> bytes:
        """The content of a mask. Raises CnncError E602."""
        return self._tree.read(key, limit)

    def states(self, keys: Sequence[str]) -> Iterator[str]:
        """What changes when a mask, or what its pixels mean, changes."""
        yield f"masks {self._colours} {self._other}"
        yield from self._tree.states(keys)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> DecodedImage:
        """The indices of the classes, (1, H, W). Raises NotAnImage."""
        return decode_mask(data, shape, self._colours, self._other)

    def colours_of(self, key: str) -> Counter[str]:
        """The colours of a mask and the number of pixels of each. Raises CnncError E602, NotAnImage."""
        return _colours(decode_values(self.read(key, LARGEST), (_SIDE, _SIDE), True, enlarge=False).pixels)


def decode_mask(data: bytes, shape: tuple[int, ...], colours: Sequence[str], other: int | None) -> DecodedImage:
    """A mask as indices of classes (1, H, W). Raises NotAnImage, NotAMask."""
    _, height, width = shape
    pixels, size, mode = decode_values(
        data, (width, height), bool(colours)
    )  # colours are mapped last: that takes memory
    labels = _by_colour(pixels, colours, other) if colours else _indices(pixels)
    return DecodedImage(labels[None], size, "", mode)


def _indices(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """The values of a grey image, (H, W) or (H, W, 3). Raises NotAMask."""
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise NotAMask("it is coloured, and the network file lists no colours")
        pixels = pixels[..., 0]
    if pixels.dtype.kind == "f" and (pixels != np.rint(pixels)).any():
        raise NotAMask("it holds fractions, which are not the numbers of classes")
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 255:
        raise NotAMask(f"it holds the number {low if low < 0 else high}; masks hold classes from 0 to 255")
    return np.ascontiguousarray(pixels, np.uint8)


def _by_colour(pixels: NDArray[np.uint8], colours: Sequence[str], other: int | None) -> NDArray[np.uint8]:
    """The position in `colours` of the colour of each pixel (H, W, 3). Raises NotAMask."""
    codes = _codes(pixels)
    listed = np.array([int(colour[1:], 16) for colour in colours], np.int64)
    order = np.argsort(listed)
    at = np.minimum(np.searchsorted(listed[order], codes), len(listed) - 1)
    labels = order[at]
    unlisted = listed[labels] != codes
    if unlisted.any():
        if other is None:
            values, counts = np.unique(codes[unlisted], return_counts=True)
            most = f"#{int(values[counts.argmax()]):06x}"
            raise NotAMask(f"{int(unlisted.sum()):,} pixels have a colour that colours= does not list, such as {most}")
        labels = np.where(unlisted, other, labels)
    return labels.astype(np.uint8)


def _codes(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The colours of pixels (..., 3) as numbers, 0xRRGGBB."""
    wide = pixels.astype(np.int64)
    codes: NDArray[np.int64] = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return codes


def _colours(pixels: NDArray[np.uint8]) -> Counter[str]:
    values, counts = np.unique(_codes(pixels), return_counts=True)
    return Counter({f"#{int(v):06x}": int(n) for v, n in zip(values, counts, strict=True)})


def most_common_colours(files: MaskFiles, keys: Sequence[str]) -> tuple[str, ...]:
    """All colours of some masks, sorted; () where there are too many to be those of classes."""
    found: Counter[str] = Counter()
    for key in keys:
        try:
            found += files.colours_of(key)
        except NotAnImage:
            continue
    return tuple(sorted(found)) if len(found) <= _MOST_COLOURS else ()
