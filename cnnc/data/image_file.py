"""One picture, for a network to look at; or one that it made.

In: a picture's file and the shape that the network takes. Out: arrays (1, C, H, W), uint8. Pillow does the decoding,
here and nowhere else, so that what `predict` sees is what training saw; every failure leaves as a CnncError, or as
`NoPicture` from `decode`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import read_bytes, write_atomic
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 1 << 28

T = TypeVar("T")


def read_picture(path: Path, shape: tuple[int, int, int]) -> tuple[NDArray[np.uint8], str]:
    """A picture as a batch of one (1, C, H, W), and a word on what was done to it ("" for nothing).

    Raises CnncError E901 where it cannot be read, E608 where it holds no picture.
    """
    pixels, size = _read(path, lambda data: decode(data, shape))
    _, height, width = shape
    note = "" if size == (width, height) else f"{path}: resized from {size[0]}x{size[1]} to {width}x{height}"
    return pixels[None], note


def size_of(path: Path) -> tuple[int, int]:
    """The height and width of a picture, turned as its camera says. Raises CnncError E901, E608."""
    _, (width, height) = _read(path, lambda data: decode(data, (1, 1, 1)))
    return height, width


def _read(path: Path, read: Callable[[bytes], T]) -> T:
    data = read_bytes(path, MAX_BYTES)
    require()
    try:
        return read(data)
    except NoPicture as error:
        raise CnncError.of("E608", f"{path} is no picture that can be read: {error}") from error


def write_png(path: Path, pixels: NDArray[np.uint8], colours: bool = False) -> None:
    """Writes a grey (H, W) or RGB (H, W, 3) picture whole; with `colours`, numbers of classes (H, W), each in its colour.

    Raises CnncError E902, and E906 without Pillow.
    """
    require()
    from PIL import Image

    picture = Image.fromarray(pixels)
    if colours:
        picture = picture.convert("P")
        picture.putpalette(_palette())
    made = io.BytesIO()
    picture.save(made, "PNG")
    write_atomic(path, made.getvalue())


def _palette() -> bytes:
    """256 colours, the first black: hues a golden section apart, so that neighbours differ."""
    from colorsys import hsv_to_rgb

    hues = [hsv_to_rgb(n * 0.618034 % 1, 0.85, 1 - 0.4 * (n // 16 % 2)) for n in range(1, 256)]
    return bytes(round(255 * part) for colour in [(0, 0, 0), *hues] for part in colour)


class NoPicture(Exception):
    """Bytes that hold no picture; the text says why."""


def require() -> None:
    """Raises CnncError E906 where Pillow is not installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise CnncError.of(
            "E906", "reading pictures needs Pillow", help="pip install 'cnnc[images]', or give it arrays"
        ) from None


def decode(data: bytes, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """A picture brought to a shape (C, H, W) of one or three channels, and its own width and height.

    It is turned as its camera says, made grey or RGB, and resized bilinearly (over all its pixels, where it shrinks;
    the aspect may change). Of a moving picture this is the first. Threads may call it at once. Raises NoPicture.
    """
    channels, height, width = shape
    try:
        picture, size = _open(data, (width, height))
        picture = picture.convert("L" if channels == 1 else "RGB")
        if picture.size != (width, height):
            picture = picture.resize((width, height), BILINEAR)
    except NoPicture:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, DecompressionBombError
        raise NoPicture(_reason(error)) from error
    pixels = np.asarray(picture, np.uint8).reshape(height, width, channels)
    # (H, W, C) -> (C, H, W)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)), size


BILINEAR = 2  # PIL.Image.Resampling.BILINEAR; Pillow is loaded only when a picture is read

# What people keep pictures in. Others of Pillow's decoders start programs or are little tried.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


@cache
def _formats() -> tuple[str, ...]:
    """Those of them that this Pillow knows."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _open(data: bytes, wanted: tuple[int, int]) -> tuple[Image.Image, tuple[int, int]]:
    """A picture upright and in eight bits, and its own size.

    A JPEG much larger than `wanted` is decoded at half its size or less (never below twice what is wanted).
    """
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data), formats=_formats()) as picture:
        size = picture.size
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and size[0] * size[1] > limit:
            raise NoPicture(f"{size[0]}x{size[1]} are more than {limit:,} pixels")
        side = 2 * max(wanted)  # turned pictures exchange width and height
        picture.draft(None, (side, side))
        picture.load()
        if picture.mode.startswith("I"):  # sixteen bits, which convert would cut off
            high = np.clip(np.asarray(picture).astype(np.int64) >> 8, 0, 255)
            return Image.fromarray(high.astype(np.uint8)), size
        upright: Image.Image = picture
        with suppress(Exception):  # an EXIF block may be broken where the picture is not
            upright = ImageOps.exif_transpose(picture)
        return upright, size if upright.size == picture.size else size[::-1]


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return "unknown format" if "cannot identify" in str(error) else text[0][:200] if text else type(error).__name__
