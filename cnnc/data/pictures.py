"""One picture, or an array of them, for a network to look at.

In: a PNG, JPEG or .npy file and the shape that the network takes. Out: arrays (N, C, H, W), uint8 for
pictures; a .npy file keeps its numbers. Pillow does the decoding; every failure leaves as a CnncError.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.diagnostics import CnncError
from cnnc.files import read_bytes

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
    try:
        from PIL import Image
    except ImportError:
        raise CnncError.of(
            "E906", "reading pictures needs Pillow", help="pip install 'cnnc[images]', or give a .npy file"
        ) from None
    channels, height, width = shape
    try:
        with Image.open(io.BytesIO(data)) as opened:
            picture = opened.convert("L" if channels == 1 else "RGB")
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, DecompressionBombError
        raise CnncError.of("E608", f"{path} is no picture that can be read: {_reason(error)}") from error
    note = ""
    if picture.size != (width, height):
        note = f"{path}: resized from {picture.size[0]}x{picture.size[1]} to {width}x{height}"
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, np.uint8).reshape(height, width, channels)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))[None], note


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return "unknown format" if "cannot identify" in str(error) else text[0][:200] if text else type(error).__name__
