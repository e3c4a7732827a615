"""Recognizes binary files by their first bytes, and names the command that reads them.

In: the path of a file that is not a source. Out: E009, or None for a file of an unknown kind.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from cnnc.core.files import read_start
from cnnc.diagnostics import CnncError, Diagnostic

_PREDICT = "`cnnc predict MODEL {}` applies a network to it"
_EXPORT = "export the model to ONNX where it was made, then run `cnnc import model.onnx`"


class BinaryKind(NamedTuple):
    """A kind of file: its first bytes, and what to do with such a file; `{}` is its path."""

    name: str
    start: re.Pattern[bytes]
    help: str


def _kind(name: str, start: bytes, help: str) -> BinaryKind:
    return BinaryKind(name, re.compile(start, re.DOTALL), help)


KINDS = (
    _kind("a TensorFlow Lite model", rb".{4}TFL3", _EXPORT),
    _kind(
        "a PyTorch checkpoint",
        rb"PK\x03\x04.{26}[^/]{1,80}/data\.pkl|\x80\x02\x8a\x0al\xfc\x9cF|PK\x03\x04.{26}[^/]{1,80}/\.(?:format|data)",
        _EXPORT,
    ),
    _kind("a Keras model", rb"PK\x03\x04.{26}(?:metadata|config)\.json", _EXPORT),
    _kind("an HDF5 file, such as a Keras model", rb"\x89HDF\r\n\x1a\n", _EXPORT),
    _kind(
        "an .npz archive of arrays", rb"PK\x03\x04.{26}[^/]{1,80}\.npy", 'in a train section, `data npz "{}"` reads it'
    ),
    _kind("an array of NumPy", rb"\x93NUMPY", _PREDICT),
    _kind(
        "a .safetensors file, which holds weights",
        rb".{5}\0\0\0\{\s*\"",
        "check the .cnn file next to it; `cnnc info {}` describes a checkpoint of cnnc",
    ),
    _kind("a pickle of Python", rb"\x80[\x02-\x05].{2}", _EXPORT),
    _kind("a PNG image", rb"\x89PNG\r\n\x1a\n", _PREDICT),
    _kind("a JPEG image", rb"\xff\xd8\xff", _PREDICT),
    _kind("a GIF image", rb"GIF8[79]a", _PREDICT),
    _kind("a TIFF image", rb"II\*\0|MM\0\*", _PREDICT),
    _kind("a WebP image", rb"RIFF.{4}WEBP", _PREDICT),
    _kind("a BMP image", rb"BM.{4}\0\0\0\0", _PREDICT),
    _kind("a WAV sound", rb"RIFF.{4}WAVE", ""),
    _kind("a PDF document", rb"%PDF-", "save the source as plain text"),
    _kind("a MATLAB file", rb"MATLAB 5\.0 MAT-file", _EXPORT),
    _kind("a gzip archive", rb"\x1f\x8b", "unpack it first"),
    _kind("a zip archive", rb"PK\x03\x04", "unpack it first"),
    _kind("text in UTF-16", rb"\xff\xfe|\xfe\xff", "save it as UTF-8"),
    _kind("a program or library", rb"\x7fELF|MZ\x90\0", ""),
    _kind("an ONNX model", rb"\x08[\x01-\x1f](?:\x12.[\x20-\x7e]|\x1a.|[:B].)", "run `cnnc import {}`"),
)
_SUFFIXES = {  # of formats without a mark of their own
    ".onnx": "an ONNX model",
    ".pt": "a PyTorch checkpoint",
    ".pth": "a PyTorch checkpoint",
    ".pb": "a TensorFlow graph",
    ".caffemodel": "the weights of a Caffe model",
    ".weights": "the weights of a Darknet model",
}


def recognized(path: Path) -> Diagnostic | None:
    """E009 for a file of a known binary kind."""
    try:
        start = read_start(path)
    except CnncError:
        return None
    by_suffix = _SUFFIXES.get(path.suffix.lower())
    kind = next((kind for kind in KINDS if kind.start.match(start)), None)
    if kind is None and by_suffix is None:
        return None
    name = (
        kind.name if kind is not None and (by_suffix is None or kind.name != "a pickle of Python") else str(by_suffix)
    )
    help = kind.help if kind is not None else "run `cnnc import {}`" if path.suffix.lower() == ".onnx" else _EXPORT
    return Diagnostic("E009", f"{path} is {name}, not the source of a network", help=help.format(path))
