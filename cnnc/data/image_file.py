"""Reads and writes single image files.

In: the content of an image file, and the shape (C, H, W) of the network's input. Out: uint8 arrays. Only this module
uses Pillow, so that prediction decodes images exactly as training does. A failure is a CnncError, or `NotAnImage` from
`decode_image`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import read_bytes, write_atomic
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 1 << 28
"""The most bytes of an image file."""

MAX_DECODED_BYTES = 1 << 28
"""The most bytes that an image of 32-bit pixels may need while it is decoded and converted."""

_WIDE_PIXEL = 12  # bytes: three copies of 32 bits

T = TypeVar("T")


def read_image(path: Path, shape: tuple[int, int, int]) -> tuple[NDArray[np.uint8], str]:
    """An image file as a batch of one (1, C, H, W) uint8, and a note if it was resized or converted, else "".

    Raises CnncError E901 where the file cannot be read, E608 where it is not an image, E906 without Pillow.
    """
    image = _read(path, lambda data: decode_image(data, shape))
    _, height, width = shape
    size = image.size
    resized = "" if size == (width, height) else f"resized from {size[0]}x{size[1]} to {width}x{height}"
    notes = ", ".join(note for note in (resized, image.conversion) if note)
    return image.pixels[None], f"{path}: {notes}" if notes else ""


def read_whole_image(path: Path) -> tuple[NDArray[np.uint8], str]:
    """An image file in its own size (C, H, W) uint8, and a note if its values were converted, else "".

    C is 1 where red, green and blue are equal everywhere, else 3. Raises CnncError E901, E608, E906.
    """

    def decode(data: bytes) -> DecodedImage:
        width, height = decode_image(data, (1, 1, 1)).size
        return decode_image(data, (3, height, width))

    image = _read(path, decode)
    pixels = image.pixels
    is_grey = bool((pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all())
    return pixels[:1] if is_grey else pixels, f"{path}: {image.conversion}" if image.conversion else ""


def image_size(path: Path) -> tuple[int, int]:
    """The height and width of an image file, rotated as its EXIF data say. Raises CnncError E901, E608, E906."""
    width, height = _read(path, lambda data: decode_image(data, (1, 1, 1))).size
    return height, width


def _read(path: Path, read: Callable[[bytes], T]) -> T:
    data = read_bytes(path, MAX_BYTES)
    require_pillow()
    try:
        return read(data)
    except NotAnImage as error:
        raise CnncError.of("E608", f"{path} cannot be read as an image: {error}") from error


def write_png(path: Path, pixels: NDArray[np.uint8], colours: bool = False) -> None:
    """Writes a grey (H, W) or RGB (H, W, 3) image atomically; with `colours`, a label map (H, W), one colour per class.

    Raises CnncError E902, and E906 without Pillow.
    """
    require_pillow()
    from PIL import Image

    image = Image.fromarray(pixels)
    if colours:
        image = image.convert("P")
        image.putpalette(class_colours().tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG")
    write_atomic(path, stream.getvalue())


def class_colours() -> NDArray[np.uint8]:
    """256 colours (256, 3): black, then hues that differ by the golden ratio, so that neighbouring classes look different."""
    from colorsys import hsv_to_rgb

    hues = [hsv_to_rgb(n * 0.618034 % 1, 0.85, 1 - 0.4 * (n // 16 % 2)) for n in range(1, 256)]
    return np.array([[round(255 * part) for part in colour] for colour in [(0, 0, 0), *hues]], np.uint8)


class NotAnImage(Exception):
    """Bytes that are not a readable image; the message says why."""


def require_pillow() -> None:
    """Raises CnncError E906 where Pillow is not installed."""
    if not has_pillow():
        raise CnncError.of("E906", "reading images needs Pillow", help="run `pip install pillow`")


def has_pillow() -> bool:
    """Whether Pillow is installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        return False
    return True


def pillow_version() -> str:
    """The version of the installed Pillow; images may be decoded otherwise by another one."""
    import PIL

    return PIL.__version__


class DecodedImage(NamedTuple):
    """Pixels (C, H, W) uint8, and of the file: width and height, Pillow's mode, and which conversion below changed values, else ""."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    conversion: str
    mode: str


OVER_WHITE = "transparent pixels laid over white"
OVER_BLACK = "transparent pixels laid over black, as the others are white,"
FROM_16_BITS = "16-bit values divided by 256"
FROM_FRACTIONS = "fractions from 0 to 1 scaled to 0 to 255"


def decode_image(data: bytes, shape: tuple[int, ...]) -> DecodedImage:
    """An image converted to a shape (C, H, W) of one or three channels.

    It is rotated as its EXIF data say, laid over white where it is transparent (over black where nothing would be seen on
    white), converted to grey or RGB, and resized bilinearly (antialiased where it shrinks; the aspect ratio may change).
    Floats of at most 1 are scaled to 0..255, and 16 bits to 8; values outside these ranges are clipped. Of an animation the
    first frame is read. Thread-safe. Raises NotAnImage.
    """
    channels, height, width = shape
    try:
        image, size = _open(data, (width, height))
        mode = image.mode
        image, conversion = _opaque(image)
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = image.resize((width, height), BILINEAR)
    except NotAnImage:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, DecompressionBombError
        raise NotAnImage(_reason(error)) from error
    pixels = np.asarray(image, np.uint8).reshape(height, width, channels)
    # (H, W, C) -> (C, H, W)
    return DecodedImage(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)), size, conversion, mode)


def _opaque(image: Image.Image) -> tuple[Image.Image, str]:
    """The image without transparency and with values of 0 to 255, and what was converted. Raises NotAnImage."""
    if image.mode[0] in "FI":
        return _eight_bits(np.asarray(image))
    if not image.has_transparency_data:
        return image, ""
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return image, ""
    over_white, over_black = (_laid_over(colour, layer) for colour in ("white", "black"))
    pixels = np.asarray(over_white)
    is_seen = bool((pixels != pixels[0, 0]).any()) or not np.asarray(over_black).any()
    return (over_white, OVER_WHITE) if is_seen else (over_black, OVER_BLACK)


def _laid_over(colour: str, layer: Image.Image) -> Image.Image:
    from PIL import Image

    return Image.alpha_composite(Image.new("RGBA", layer.size, colour), layer).convert("RGB")


def _eight_bits(values: NDArray[Any]) -> tuple[Image.Image, str]:
    """Grey values of 16 or 32 bits, or floats, as 8 bits, and what was converted. Raises NotAnImage."""
    from PIL import Image

    if not np.isfinite(values).all():
        raise NotAnImage("some of its values are infinite or not numbers")
    low, high = values.min(), values.max()
    scaled: NDArray[Any]
    if values.dtype.kind != "f":
        limit, scaled, conversion = 0xFFFF, values >> 8, FROM_16_BITS
    elif high <= 1:
        limit, scaled, conversion = 1, values * np.float32(255) + np.float32(0.5), FROM_FRACTIONS
    else:
        limit, scaled, conversion = 255, values, ""
    if low < 0 or high > limit:
        conversion += f"{', ' * bool(conversion)}values outside 0 to {limit:,} clipped"
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)), conversion


NEAREST = 0  # PIL.Image.Resampling.NEAREST
BILINEAR = 2  # PIL.Image.Resampling.BILINEAR; Pillow is imported only when an image is read

# Common image formats. Some of Pillow's other decoders start programs or are rarely tested.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


@cache
def _formats() -> tuple[str, ...]:
    """The formats that the installed Pillow supports."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


class OwnValues(NamedTuple):
    """The values of an image as its file has them, (H, W) or colours (H, W, 3); the file's width and height, and Pillow's mode."""

    pixels: NDArray[Any]
    size: tuple[int, int]
    mode: str


def decode_values(data: bytes, most: tuple[int, int], as_colours: bool, enlarge: bool = True) -> OwnValues:
    """An image resized to a width and height by nearest neighbour, whose values stay as they are: indices stay indices.

    Indices are those of grey images and palettes; other images, and all with `as_colours`, become RGB. It is rotated as its
    EXIF data say. Without `enlarge`, a smaller image keeps its size. Raises NotAnImage.
    """
    try:
        image, size = _open(data, None)
        mode = image.mode
        if as_colours or not (mode in ("1", "L", "P") or mode[0] in "IF"):
            image = image.convert("RGB")
        width, height = most if enlarge else (min(most[0], size[0]), min(most[1], size[1]))
        pixels = np.asarray(image if size == (width, height) else image.resize((width, height), NEAREST))
    except NotAnImage:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, DecompressionBombError
        raise NotAnImage(_reason(error)) from error
    return OwnValues(pixels, size, mode)


def _open(data: bytes, target_size: tuple[int, int] | None) -> tuple[Image.Image, tuple[int, int]]:
    """An image in upright orientation, and its original (width, height). Raises NotAnImage.

    A JPEG much larger than `target_size` is decoded at a half or less of its size, but at least twice the target size;
    without `target_size` as it is.
    """
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        size = image.size
        pixels, limit = size[0] * size[1], Image.MAX_IMAGE_PIXELS or MAX_DECODED_BYTES
        if pixels > limit:
            raise NotAnImage(f"{size[0]}x{size[1]} is more than {limit:,} pixels")
        if image.mode[0] in "FI" and pixels * _WIDE_PIXEL > MAX_DECODED_BYTES:
            raise NotAnImage(f"{size[0]}x{size[1]} pixels of 32 bits need more than {MAX_DECODED_BYTES >> 20} MiB")
        if target_size is not None:
            side = 2 * max(target_size)  # rotation may exchange width and height
            image.draft(None, (side, side))
        image.load()
        upright: Image.Image = image
        with suppress(Exception):  # the EXIF data may be damaged where the image is not
            upright = ImageOps.exif_transpose(image)
        return upright, size if upright.size == image.size else size[::-1]


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return "unknown format" if "cannot identify" in str(error) else text[0][:200] if text else type(error).__name__
