"""Sources of other frameworks and binary files: one error that names the format, and a translation that checks."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

from cnnc.diagnostics import CnncError, Diagnostic, Exit, Source
from cnnc.language.foreign import MAX_SHOWN
from cnnc.language.parse import parse
from cnnc.network import check, load
from tests.language.foreign_sources import FOREIGN, Foreign
from tests.language.programs import MODELS
from tests.language.test_diagnostics import FILES, read


def translation(help: str) -> str:
    match = re.search(r"in this language (?:its first lines are|it is) `([^`]+)`", help)
    return match[1] if match else ""


@pytest.mark.parametrize("foreign", FOREIGN, ids=[f.name for f in FOREIGN])
def test_one_error_names_the_format_and_translates_the_first_lines(foreign: Foreign) -> None:
    (error,) = check(foreign.text, foreign.name).diagnostics
    assert error.code == "E009"
    assert error.status == Exit.SOURCE
    assert foreign.format in error.message
    assert error.help
    shown = "; ".join(foreign.statements.split("; ")[:MAX_SHOWN])
    if shown and not shown.startswith("input"):  # completed by the edit for a network without an input
        shown = f"input 1x28x28; {shown}"
    assert translation(error.help) == shown
    if foreign.statements:
        (edit,) = error.edits
        assert edit.shown == translation(error.help)
        assert edit.span.text == foreign.text


@pytest.mark.parametrize("foreign", [f for f in FOREIGN if f.statements], ids=lambda f: f.name)
def test_the_translation_is_a_network(foreign: Foreign) -> None:
    text = foreign.statements if foreign.statements.startswith("input") else f"input 1x28x28; {foreign.statements}"
    assert not [d.message for d in check(text).diagnostics if d.severity == "error"]


@pytest.mark.parametrize("foreign", FOREIGN, ids=[f.name for f in FOREIGN])
def test_a_part_of_such_a_source_raises_nothing(foreign: Foreign) -> None:
    random = Random(foreign.name)
    for _ in range(20):
        start, end = sorted(random.sample(range(len(foreign.text) + 1), 2))
        for diagnostic in check(foreign.text[start:end]).diagnostics:
            assert diagnostic.code[1] not in "789"


def sources() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in MODELS] + [read(path).text for path in FILES]


@pytest.mark.long
def test_a_network_with_a_typo_is_never_taken_for_another_format() -> None:
    random = Random("typos")
    characters = "abxz039 =[](){}:;,.#\"'-_/*\n\tNT"
    for text in sources():
        for _ in range(3):
            position = random.randrange(len(text) + 1)
            typo = random.choice(
                ("", random.choice(characters), random.choice(characters) + text[position : position + 1])
            )
            broken = text[:position] + typo + text[position + 1 :]
            assert "E009" not in [d.code for d in parse_errors(broken)], broken


def parse_errors(text: str) -> list[Diagnostic]:
    return parse(Source("a.cnn", text))[1]


def test_a_pasted_line_in_a_network_is_not_taken_for_the_whole() -> None:
    text = "input 3x32x32\nconv 8 k=3\nrelu\nnn.Conv2d(8, 16, 3)\nfc 10\n"
    (error,) = check(text).diagnostics
    assert (error.code, error.help) == ("E002", "write `conv 16 k=3`")
    (edit,) = error.edits
    assert check(text[: edit.span.start] + edit.text + text[edit.span.end :]).ok


@pytest.mark.parametrize(
    ("text", "message", "fixed"),
    [
        (
            "input 8\n<<<<<<< HEAD\nfc 3\n=======\nfc 4\nrelu\n>>>>>>> b\nfc 2\n",
            "merge conflict",
            ["input 8\nfc 3\nfc 2\n", "input 8\nfc 4\nrelu\nfc 2\n"],
        ),
        (
            "input 8\r\n<<<<<<< HEAD\r\nfc 3\r\n||||||| base\r\nfc 9\r\n=======\r\n>>>>>>> b\r\nfc 2\r\n",
            "merge conflict",
            ["input 8\r\nfc 3\r\nfc 2\r\n", "input 8\r\nfc 2\r\n"],
        ),
        ("# Mine\n\n```cnn\ninput 8\nfc 3\n```\n", "Markdown", ["input 8\nfc 3\n"]),
    ],
)
def test_marks_around_a_network(text: str, message: str, fixed: list[str]) -> None:
    (error,) = [d for d in check(text).diagnostics if d.severity == "error"]
    assert error.code == "E009"
    assert message in error.message
    assert [edit.text for edit in error.edits] == fixed


@pytest.mark.parametrize(
    "text",
    [
        "input 8\n<<<<<<< HEAD\nfc 3\n",
        "input 8\n>>>>>>> b\nfc 3\n",
        "input 8\n<<<<<<< a\n=======\n<<<<<<< b\n=======\n>>>>>>> b\n",
    ],
)
def test_half_a_merge_conflict_has_syntax_errors(text: str) -> None:
    assert "E009" not in [d.code for d in check(text).diagnostics]


def test_a_good_source_does_not_load_the_recognizers() -> None:
    program = "import sys; from cnnc.network import check; check('input 1x8x8; relu'); print('cnnc.language.foreign' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"\0" * 10)
    return buffer.getvalue()


def array(save: Callable[[io.BytesIO], None]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


BINARY = [
    ("x.onnx", b"\x08\x08\x12\x07pytorch\x1a\x032.1" + bytes(range(256)), "an ONNX model", "cnnc import {}"),
    ("x.onnx", b"\x08\x08\x12\x07pytorch:\x02\x12\x00", "an ONNX model", "cnnc import {}"),
    ("model", b"\x08\x08\x12\x07pytorch\x1a\x032.1" + bytes(range(256)), "an ONNX model", "cnnc import {}"),
    ("x.onnx", bytes(range(128, 256)), "an ONNX model", "cnnc import {}"),
    ("x.pt", archive("archive/data.pkl", "archive/version"), "a PyTorch checkpoint", "cnnc import model.onnx"),
    ("x.pth", b"\x80\x02}q\x00X\x01\x00\x00\x00aK\x01s.\xff", "a PyTorch checkpoint", "cnnc import model.onnx"),
    ("x.h5", b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5", "cnnc import model.onnx"),
    ("x.keras", archive("metadata.json", "config.json"), "a Keras model", "cnnc import model.onnx"),
    ("x.safetensors", (16).to_bytes(8, "little") + b'{"a":{"dtype":1}}\0', "safetensors", "cnnc info {}"),
    ("x.npz", array(lambda b: np.savez(b, x=np.zeros(3))), ".npz", 'data npz "{}"'),
    ("x.npy", array(lambda b: np.save(b, np.zeros(3))), "NumPy", "cnnc predict"),
    ("x.png", b"\x89PNG\r\n\x1a\n" + bytes(20), "PNG", "cnnc predict"),
    ("x.jpg", b"\xff\xd8\xff\xe0" + bytes(20), "JPEG", "cnnc predict"),
    ("x.tflite", b"\x1c\0\0\0TFL3" + bytes(20), "TensorFlow Lite", "cnnc import model.onnx"),
    ("x.cnn", "input 1x8x8\nrelu\n".encode("utf-16"), "UTF-16", "UTF-8"),
    ("x.gz", gzip.compress(b"input 1x8x8"), "gzip", "unpack"),
    ("x.weights", bytes(range(128, 256)), "Darknet", "cnnc import model.onnx"),
    ("large.onnx", b"\x08\x08\x12\x07pytorch" + bytes(5 << 20), "an ONNX model", "cnnc import {}"),
]


@pytest.mark.parametrize(("name", "content", "kind", "help"), BINARY, ids=[f"{b[0]}-{b[2]}" for b in BINARY])
def test_a_binary_file_is_named(tmp_path: Path, name: str, content: bytes, kind: str, help: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CnncError) as caught:
        load(path)
    (error,) = caught.value.diagnostics
    assert (error.code, error.status) == ("E009", Exit.SOURCE)
    assert kind in error.message
    assert help.format(path) in error.help


def test_an_unknown_binary_file_keeps_its_error(tmp_path: Path) -> None:
    path = tmp_path / "x.cnn"
    path.write_bytes(b"input 1x8x8\n\xff\xfa\x01")
    with pytest.raises(CnncError) as caught:
        load(path)
    assert [d.code for d in caught.value.diagnostics] == ["E008"]
