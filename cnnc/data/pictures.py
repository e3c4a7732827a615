"""One picture, or an array of them, for a network to look at.

In: a PNG, JPEG or .npy file and the shape that the network takes. Out: arrays (N, C, H, W), uint8 for
pictures; a .npy file keeps its numbers. Pillow does the decoding, here and nowhere else, so that what `predict` sees
is what training saw; every failure leaves as a CnncError, or as `NoPicture` from `decode`.
"""

from __future__ import annotations

import io
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cnnc.diagnostics import CnncError
from cnnc.files import read_bytes

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 1 << 28


def read_examples(path: Path, shape: tuple[int, ...]) -> tuple[NDArray[Any], str]:
    """The examples of a file as a batch (N, *shape), and a word on what was done to them ("" for nothing).

    Raises CnncError E901 where it cannot be read, E608 where it holds no picture or array of that shape.
    """
    data = read_bytes(path, MAX_BYTES)
    if path.suffix.lower() == ".npy":
        return _array(path, data, shape), ""
    return _picture(path, data, shape)


def _array(path: Path, data: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # numpy raises several kinds for a stranger's bytes
        raise CnncError.of("E608", f"{path} is no .npy array: {str(error).splitlines()[0][:200]}") from error
    if array.shape == shape or (1, *array.shape) == shape:
        array = array.reshape(1, *shape)
    elif array.ndim == len(shape) and shape[0] == 1 and array.shape[1:] == shape[1:]:
        array = array[:, None]
    if array.shape[1:] != shape:
        wanted, found = "x".join(map(str, shape)), "x".join(map(str, array.shape))
        raise CnncError.of("E608", f"{path} holds {found}; the network takes {wanted}, or a batch of them")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.number) or np.issubdtype(array.dtype, np.complexfloating):
        raise CnncError.of("E608", f"{path} holds {array.dtype}, not numbers")
    return array.astype(np.float32)


def _picture(path: Path, data: bytes, shape: tuple[int, ...]) -> tuple[NDArray[Any], str]:
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise CnncError.of(
            "E608", f"the network takes {'x'.join(map(str, shape))}, which is no picture", help="give it a .npy file"
        )
    require()
    try:
        pixels, size = decode(data, shape)
    except NoPicture as error:
        raise CnncError.of("E608", f"{path} is no picture that can be read: {error}") from error
    _, height, width = shape
    note = "" if size == (width, height) else f"{path}: resized from {size[0]}x{size[1]} to {width}x{height}"
    return pixels[None], note


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
