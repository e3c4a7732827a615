"""Inputs on which cnnc once did not behave, by target: tests/fuzz/test_fuzz.py tries each of them in every run.

`python -m tests.fuzz TARGET` prints a finding as a row for this table. Shorten it as far as it still shows the mistake.
"""

from __future__ import annotations

from typing import Any

from tests.fuzz.editor import Edit, EditorCase
from tests.fuzz.files import FileCase

_AIFF_BEFORE_ITS_START = b"FORM\x00\x00\x00\xaeAIFFCOMM\x00\x00\x00\x12\x00\x7f"
"""libsndfile seeks to before the start of the file: the error of the callback was printed with a traceback."""

_TIFF = (
    b"II*\x00\x08\x00\x00\x00\n\x00\x00\x01\x04\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01\x01\x04\x00\x01\x00\x00\x00\x03\x00"
    b"\x00\x00\x02\x01\x03\x00\x01\x00\x00\x00\x08\x00\x00\x00\x03\x01\x03\x00\x01\x00\x00\x00\x05\x00\x00\x00\x06\x01\x03\x00"
    b"\x01\x00\x00\x00\x01\x00\x00\x00\x11\x01\x04\x00\x01\x00\x00\x00\x86\x00\x00\x00\x15\x01\x03\x00\x01\x00\x00\x00\x01\x00"
    b"\x00\x00\x16\x01\x04\x00\x01\x00\x00\x00\x03\x00\x00\x00\x17\x01\x04\x00\x01\x00\x00\x00\x04\x00\x00\x00\x1c\x01\x03\x00"
    b"\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"
)
"""LZW data without a start: libtiff printed messages of its own."""

_NOTHING_OF_MUCH = b"\x00\x00\x08\x03\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"
"""An IDX header of 0x4294967295x4294967295: NumPy has no such array, although it is empty."""

_MNIST_FILES = [f"{share}-{kind}-ubyte" for share in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]

_TWICE_TOO_WIDE = """input 8x5x9; pool avg k=2x1 d=3 count_pad=false; filter [[1, 0, -1], [2, 0, -2]]; conv 4 k=3 p=same; relu; train {; data digits }
"""
"""The line is too wide with its body on lines of its own, too; formatting it again broke the list."""

FINDINGS: dict[str, tuple[Any, ...]] = {
    "audio": (FileCase("wav", dict.fromkeys(("d/yes/a.wav", "d/no/b.wav"), _AIFF_BEFORE_ITS_START)),),
    "editor": (EditorCase(('let a = "1\\n2"\nlet b = a\n', ""), (Edit(0, 0, 0, "\n", 0),)),),
    "idx": (FileCase("plain", dict.fromkeys(_MNIST_FILES, _NOTHING_OF_MUCH)),),
    "images": (FileCase("tiff", dict.fromkeys(("d/cat/a.png", "d/dog/b.png"), _TIFF)),),
    "source": (_TWICE_TOO_WIDE,),
}
