"""Model files in parts: the bytes are those of the complete message, and a file that is read in parts is the same model."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.network import check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.wire_format import MIN_LARGE_BYTES, SplitFile, file_parts, read_file
from tests.op_cases import random_weights

TEXT = "input 3x8x8\nconv 16 k=3 p=1\nbn\nrelu\nfc 10\nsoftmax\n"


def emitted() -> tuple[onnx.ModelProto, dict[str, Array], onnx.ModelProto]:
    """A model without its large tensors, their content, and the complete model."""
    graph = check(TEXT).require_graph()
    weights = random_weights(graph, 0)
    content: dict[str, Array] = {}
    model = emit(graph, weights, {"key": "value"}, content=content)
    return model, content, emit(graph, weights, {"key": "value"})


def joined(split: SplitFile) -> onnx.ModelProto:
    """The complete model of a file that was read."""
    model: onnx.ModelProto = onnx.ModelProto.FromString(split.message)
    for index, data in split.raw_data.items():
        model.graph.initializer[index].raw_data = data.tobytes()
    return model


def test_the_parts_are_the_bytes_of_the_complete_message() -> None:
    model, content, whole = emitted()
    assert sorted(content) == ["conv1.weight", "fc1.weight"]
    assert max(len(t.raw_data) for t in model.graph.initializer) < MIN_LARGE_BYTES
    data = b"".join(file_parts(model, content))
    assert data == whole.SerializeToString(deterministic=True)
    onnx.checker.check_model(onnx.ModelProto.FromString(data), full_check=True)


def test_the_parts_do_not_copy_the_tensors() -> None:
    model, content, _ = emitted()
    parts = [np.frombuffer(part, np.uint8) for part in file_parts(model, content)]
    for array in content.values():
        assert any(np.shares_memory(part, array) for part in parts)


def test_a_file_is_read_without_its_large_tensors(tmp_path: Path) -> None:
    _, content, whole = emitted()
    onnx.save(whole, tmp_path / "x.onnx")
    split = read_file(tmp_path / "x.onnx", 10**9)
    names = [t.name for t in whole.graph.initializer]
    assert {names[index]: data.nbytes for index, data in split.raw_data.items()} == {
        name: array.nbytes for name, array in content.items()
    }
    assert len(split.message) < 8000
    assert joined(split) == whole


def field(number: int, data: bytes) -> bytes:
    """A field with bytes, shorter than 2^14."""
    return bytes([number << 3 | 2, len(data) & 0x7F | 0x80, len(data) >> 7]) + data


LARGE = numpy_helper.from_array(np.arange(1000, dtype=np.float32), "w").SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        field(7, field(2, b"first")) + field(7, field(5, LARGE)),  # two graphs, which protobuf merges
        field(7, field(5, LARGE + field(9, bytes(2000)))),  # the data of a tensor twice: the last counts
        field(7, field(5, LARGE))[:-1],  # ends early
        field(7, field(5, LARGE) + b"\x2a\xff\x7f"),  # a length beyond the end of the graph
        field(7, field(5, LARGE)) + b"\xff" * 11,  # a number that does not end
        field(7, field(5, LARGE)) + b"\x0b\x0c",  # a group, which protobuf has given up
        b"",
        b"no model at all",
    ],
)
def test_a_file_in_another_layout_is_read_as_it_is(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(data)
    split = read_file(tmp_path / "x.onnx", 10**9)
    if split.raw_data:
        assert joined(split) == onnx.ModelProto.FromString(data)
    else:
        assert split.message == data


@pytest.mark.long
def test_a_damaged_file_is_read_like_a_message_or_not_at_all(tmp_path: Path) -> None:
    """Whatever bytes change, the model is the one that protobuf reads."""
    _, _, whole = emitted()
    data = whole.SerializeToString()
    random = np.random.default_rng(0)
    read = 0
    for _ in range(300):
        changed = bytearray(data)
        for position in random.integers(0, len(data), 3):
            changed[position] = random.integers(256)
        (tmp_path / "x.onnx").write_bytes(changed)
        split = read_file(tmp_path / "x.onnx", 10**9)
        try:
            expected = onnx.ModelProto.FromString(bytes(changed))
        except DecodeError:
            with pytest.raises(DecodeError):
                joined(split)
            continue
        read += bool(split.raw_data)
        assert joined(split).SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
    assert read > 100


def test_a_file_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(bytes(100))
    with pytest.raises(CnncError, match="larger than 99 bytes") as caught:
        read_file(tmp_path / "x.onnx", 99)
    assert caught.value.diagnostics[0].code == "E903"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    _, _, whole = emitted()
    data = whole.SerializeToString()
    assert len(data) < 65536, "more than a pipe holds would block"
    os.write(writing, data)
    os.close(writing)
    try:
        assert read_file(Path(f"/dev/fd/{reading}"), 10**9) == SplitFile(data, {})
    finally:
        os.close(reading)
