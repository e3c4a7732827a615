"""Reads and writes single image files.

In: the content of an image file, and the shape (C, H, W) of the network's input. Out: uint8 arrays. Only this module
uses Pillow, so that prediction decodes images exactly as training does. A failure is a CnncError, or `NotAnImage` from
`decode_image`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import read_bytes, write_atomic
from cnnc.core.native_messages import without_native_messages
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 1 << 28
"""The most bytes of an image file."""

MAX_DECODED_BYTES = 1 << 28
"""The most bytes that an image of 32-bit pixels may need while it is decoded and converted."""

_ORIENTATION = 0x0112  # the tag of EXIF

_WIDE_PIXEL = 12  # bytes: three copies of 32 bits

T = TypeVar("T")


class PixelRule(NamedTuple):
    """What the source says of how files become pixels: the colour below transparent ones, and the values of 16 bits or floats that become 0
    and 255. None leaves it to the rules of `decode_image`."""

    background: str | None = None
    value_range: tuple[float, float] | None = None

    def described(self, channels: int) -> dict[str, Any]:
        """What `decode_image` does, for the metadata of a model; report/model.py says it in words."""
        return {
            "decoder": "Pillow",
            "frame": "first",
            "exif": "turned upright",
            "background": self.background,
            "range": list(self.value_range) if self.value_range is not None else None,
            "colour": "grey" if channels == 1 else "RGB",
            "resize": "bilinear and antialiased",
            "crop": "without a crop",
            "aspect": "the aspect ratio may change",
        }


DEFAULT_RULE = PixelRule()


def read_image(
    path: Path, shape: tuple[int, int, int], rule: PixelRule = DEFAULT_RULE
) -> tuple[NDArray[np.uint8], str]:
    """An image file as a batch of one (1, C, H, W) uint8, and a note if it was resized or converted, else "".

    Raises CnncError E901 where the file cannot be read, E608 where it is not an image, E906 without Pillow.
    """
    image = _read(path, lambda data: decode_image(data, shape, rule))
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
    """Pixels (C, H, W) uint8, and of the file: width and height, the conversions below that changed values, separated by `; `, Pillow's
    mode, and the least and largest value, where they do not have 8 bits."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    conversion: str
    mode: str
    values: tuple[float, float] | None = None


TURNED = "turned as the EXIF data say"
FIRST_FRAME = "only the first of several frames read"
TO_GREY = "colours converted to grey"
OVER_WHITE = "transparent pixels laid over white"
OVER_BLACK = "transparent pixels laid over black, as the others are white,"
FROM_16_BITS = "16-bit values divided by 256"
FROM_FRACTIONS = "fractions from 0 to 1 scaled to 0 to 255"
FROM_FLOATS = "fractional values taken as 0 to 255"

_GREY_MODES = ("1", "L", "LA", "La", "I", "F")


def decode_image(data: bytes, shape: tuple[int, ...], rule: PixelRule = DEFAULT_RULE) -> DecodedImage:
    """An image converted to a shape (C, H, W) of one or three channels.

    It is rotated as its EXIF data say, laid over the background where it is transparent (without one over white, over black where
    nothing would be seen on white), converted to grey or RGB, and resized bilinearly (antialiased where it shrinks; the
    aspect ratio may change). Values of 16 bits and floats are scaled from the range to 0..255; without one, 16 bits to 8,
    and floats of at most 1 from 0..1. Values outside are clipped. Of an animation the first frame is read. Thread-safe.
    Raises NotAnImage.
    """
    channels, height, width = shape
    values = None
    try:
        image, size, conversions = _open(data, (width, height))
        mode, loses_colours = image.mode, channels == 1 and _has_colours(image)
        if mode[0] in "FI":
            numbers = np.asarray(image)
            image, conversion = _eight_bits(numbers, rule.value_range)
            values = float(numbers.min()), float(numbers.max())
        else:
            image, conversion = _opaque(image, rule.background)
        conversions += [conversion] if conversion else []
        conversions += [TO_GREY] if loses_colours else []
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = image.resize((width, height), BILINEAR)
    except NotAnImage:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, DecompressionBombError
        raise NotAnImage(_reason(error)) from error
    pixels = np.asarray(image, np.uint8).reshape(height, width, channels)
    # (H, W, C) -> (C, H, W)
    return DecodedImage(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)), size, "; ".join(conversions), mode, values)


def _has_colours(image: Image.Image) -> bool:
    """Whether an image has a mode of colours, or a palette that is not grey."""
    if image.mode != "P":
        return image.mode.split(";")[0] not in _GREY_MODES
    palette = image.getpalette("RGB") or []
    return not palette[0::3] == palette[1::3] == palette[2::3]


def _opaque(image: Image.Image, background: str | None) -> tuple[Image.Image, str]:
    """The image without transparency, and what was converted."""
    if not image.has_transparency_data:
        return image, ""
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return image, ""
    if background is not None:
        return _laid_over(background, layer), f"transparent pixels laid over {background}"
    over_white, over_black = (_laid_over(colour, layer) for colour in ("white", "black"))
    pixels = np.asarray(over_white)
    is_seen = bool((pixels != pixels[0, 0]).any()) or not np.asarray(over_black).any()
    return (over_white, OVER_WHITE) if is_seen else (over_black, OVER_BLACK)


def _laid_over(colour: str, layer: Image.Image) -> Image.Image:
    from PIL import Image

    return Image.alpha_composite(Image.new("RGBA", layer.size, colour), layer).convert("RGB")


def _eight_bits(values: NDArray[Any], value_range: tuple[float, float] | None) -> tuple[Image.Image, str]:
    """Grey values of 16 or 32 bits, or floats, as 8 bits, and what was converted. Raises NotAnImage."""
    from PIL import Image

    if not np.isfinite(values).all():
        raise NotAnImage("some of its values are infinite or not numbers")
    low, high = values.min(), values.max()
    start, limit = value_range or (0.0, _limit(values.dtype.kind, high))
    scaled: NDArray[Any]
    if value_range is not None:
        conversion = f"values from {start:,g} to {limit:,g} scaled to 0 to 255"
        scaled = (values.astype(np.float32) - np.float32(start)) * np.float32(255 / (limit - start)) + np.float32(0.5)
    elif values.dtype.kind != "f":
        scaled, conversion = values >> 8, FROM_16_BITS
    elif limit == 1:
        scaled, conversion = values * np.float32(255) + np.float32(0.5), FROM_FRACTIONS
    else:
        scaled, conversion = values, FROM_FLOATS
    if low < start or high > limit:
        conversion += f"; values outside {start:,g} to {limit:,g} clipped"
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)), conversion


def _limit(kind: str, high: float) -> float:
    """The value that becomes 255 where the source gives no range."""
    return 65535.0 if kind != "f" else 1.0 if high <= 1 else 255.0


NEAREST = 0  # PIL.Image.Resampling.NEAREST
BILINEAR = 2  # PIL.Image.Resampling.BILINEAR; Pillow is imported only when an image is read

# Common image formats. Some of Pillow's other decoders start programs or are rarely tested.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


@cache
def _formats() -> tuple[str, ...]:
    """The formats that the installed Pillow supports. From then on Pillow's log messages about damaged files are not printed."""
    import logging

    from PIL import Image

    logging.getLogger("PIL").addHandler(logging.NullHandler())
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
        image, size, _ = _open(data, None)
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


def _open(data: bytes, target_size: tuple[int, int] | None) -> tuple[Image.Image, tuple[int, int], list[str]]:
    """An image in upright orientation, its original (width, height), and what was converted. Raises NotAnImage.

    A JPEG much larger than `target_size` is decoded at a half or less of its size, but at least twice the target size;
    without `target_size` as it is.
    """
    from PIL import Image, ImageOps

    conversions = []
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
        with without_native_messages() if image.format == "TIFF" else nullcontext():
            image.load()
        if getattr(image, "is_animated", False):
            conversions.append(FIRST_FRAME)
        upright: Image.Image = image
        with suppress(Exception):  # the EXIF data may be damaged where the image is not
            is_turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
            upright = ImageOps.exif_transpose(image)
            conversions += [TURNED] if is_turned else []
        return upright, size if upright.size == image.size else size[::-1], conversions


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return "unknown format" if "cannot identify" in str(error) else text[0][:200] if text else type(error).__name__
