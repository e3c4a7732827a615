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

FINDINGS: dict[str, tuple[Any, ...]] = {
    "audio": (FileCase("wav", dict.fromkeys(("d/yes/a.wav", "d/no/b.wav"), _AIFF_BEFORE_ITS_START)),),
    "editor": (EditorCase(('let a = "1\\n2"\nlet b = a\n', ""), (Edit(0, 0, 0, "\n", 0),)),),
    "images": (FileCase("tiff", dict.fromkeys(("d/cat/a.png", "d/dog/b.png"), _TIFF)),),
}
