"""Checkpoints: what is written is read again, and no damage is taken for a checkpoint."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as safetensors

from cnnc.diagnostics import CnncError, Exit
from cnnc.network import check
from cnnc.reference.initializers import initialize
from cnnc.reference.machine import machine
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint, Progress
from tests.training.conftest import refused

SOURCE = "input 1x8x8\npool max k=4\nfc 10\nsoftmax\ntrain { data digits }  # α\n"


@pytest.fixture
def made() -> Checkpoint:
    weights = initialize(check(SOURCE).require_graph(), 0)
    return Checkpoint(
        file="näme.cnn",
        source=SOURCE,
        settings=("train.epochs=2",),
        classes=tuple("0123456789"),
        vocabulary=("déjà", "vu"),
        weights=weights,
        slots={"steps": np.array(17, np.int64), "fc1.weight.mean": np.full_like(weights["fc1.weight"], -0.0)},
        progress=Progress(1, 5, 0.1 + 0.2, 7, 8, 8, 0, 0.5, float("inf")),
        versions={"cnnc": "0"},
        threads=3,
    )


@pytest.fixture
def file(tmp_path: Path, made: Checkpoint) -> Path:
    checkpoints.save(tmp_path / "last.safetensors", made)
    return tmp_path / "last.safetensors"


def parts(data: bytes) -> tuple[bytes, bytes]:
    """The header and the tensors of a safetensors file."""
    end = 8 + int.from_bytes(data[:8], "little")
    return data[8:end], data[end:]


def joined(header: bytes, tensors: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + tensors


def test_only_imported_weights_have_an_origin(tmp_path: Path, made: Checkpoint, file: Path) -> None:
    assert b"origin" not in parts(file.read_bytes())[0]
    assert checkpoints.load(file).origin == {}
    origin = {"file": "net.onnx", "sha256": "ab", "producer": "pytorch 2.13.0"}
    checkpoints.save(tmp_path / "imported.safetensors", replace(made, origin=origin))
    assert checkpoints.load(tmp_path / "imported.safetensors").origin == origin


def test_all_comes_back(file: Path, made: Checkpoint) -> None:
    found = checkpoints.load(file)
    assert found == replace(made, weights=found.weights, slots=found.slots)
    for ours, theirs in ((made.weights, found.weights), (made.slots, found.slots)):
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            assert (array.dtype, array.shape, array.tobytes()) == (
                theirs[name].dtype,
                theirs[name].shape,
                theirs[name].tobytes(),
            )
            assert theirs[name].flags.writeable
    assert found.network().source.text == SOURCE


def test_equal_checkpoints_are_equal_files(file: Path, made: Checkpoint, tmp_path: Path) -> None:
    turned = replace(made, weights=dict(reversed(made.weights.items())))
    for _ in range(20):
        checkpoints.save(tmp_path / "again.safetensors", turned)
        assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_others_can_read_the_weights(file: Path, made: Checkpoint) -> None:
    tensors = safetensors.load_file(file)
    np.testing.assert_array_equal(tensors["weights/fc1.weight"], made.weights["fc1.weight"])
    facts = json.loads(json.loads(parts(file.read_bytes())[0])["__metadata__"]["cnnc"])
    assert facts["classes"] == list("0123456789")
    assert facts["preprocessing"] == {"range": [0, 1], "layout": "channels first"}
    assert len(facts["sha256"]) == 64


@pytest.mark.long
def test_every_length_short_of_the_whole(file: Path) -> None:
    data = file.read_bytes()
    lengths = {*range(0, len(data), 7), *range(20), *range(len(data) - 20, len(data))}
    for length in sorted(lengths):
        file.write_bytes(data[:length])
        assert refused(file) is None, length


def test_bytes_too_many(file: Path) -> None:
    data = file.read_bytes()
    for more in (b"\0", b" ", data):
        file.write_bytes(data + more)
        assert refused(file) is None


@pytest.mark.long
def test_single_bits_flipped(file: Path) -> None:
    data = file.read_bytes()
    header = 8 + len(parts(data)[0])
    draw = random.Random(0)
    places = [*range(64), *(8 * byte + draw.randrange(8) for byte in range(8, header))]
    places += [draw.randrange(8 * header, 8 * len(data)) for _ in range(400)]
    places += [8 * header, 8 * len(data) - 1]
    for place in places:
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        assert refused(file) is None, f"bit {place % 8} of byte {place // 8}"


@pytest.mark.long
def test_stretches_lost_or_overwritten(file: Path) -> None:
    data = file.read_bytes()
    draw = random.Random(1)
    for _ in range(200):
        start = draw.randrange(len(data))
        stop = min(len(data), start + 1 + draw.randrange(200))
        for piece in (b"", b"\0" * (stop - start), draw.randbytes(stop - start)):
            damaged = data[:start] + piece + data[stop:]
            if damaged != data:
                file.write_bytes(damaged)
                assert refused(file) is None


def test_metadata_of_another_checkpoint(file: Path, made: Checkpoint, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    for change in (
        {"weights": {name: array + 1 for name, array in made.weights.items()}},
        {"progress": Progress(2)},
        {"source": SOURCE + "# other\n"},
    ):
        checkpoints.save(other, replace(made, **change))
        (header, tensors), (header2, tensors2) = parts(file.read_bytes()), parts(other.read_bytes())
        for mixed in (joined(header, tensors2), joined(header2, tensors)):
            if mixed not in (file.read_bytes(), other.read_bytes()):
                (tmp_path / "mixed").write_bytes(mixed)
                assert refused(tmp_path / "mixed") is None


def test_two_fields_of_the_metadata_swapped(file: Path) -> None:
    header, tensors = parts(file.read_bytes())
    facts = json.loads(header)
    meta = facts["__metadata__"]
    for a, b in (("cnnc", "digest"), ("cnnc", "format"), ("digest", "format")):
        facts["__metadata__"] = {**meta, a: meta[b], b: meta[a]}
        file.write_bytes(joined(json.dumps(facts).encode(), tensors))
        assert refused(file) is None
    names = [name for name in facts if name != "__metadata__"]
    facts = {**json.loads(header), names[0]: facts[names[1]], names[1]: facts[names[0]]}
    file.write_bytes(joined(json.dumps(facts).encode(), tensors))
    assert refused(file) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        b"\0" * 64,
        b"\xff" * 64,
        b"PK\3\4" + b"\0" * 60,
        joined(b"[" * 50_000, b""),
        joined(b"[]", b""),
        joined(b"{}", b""),
        joined(b'{"__metadata__": 3}', b""),
        joined(b'{"__metadata__": {"format": "cnnc-checkpoint-1"}}', b""),
        joined(b'{"__metadata__": {"format": "cnnc-checkpoint-1", "cnnc": "{}", "digest": "0"}}', b""),
        joined(b'{"a": {"dtype": "F32", "shape": [99999999999999], "data_offsets": [0, 4]}}', b"abcd"),
        (2**63).to_bytes(8, "little") + b"{}",
        safetensors.save({"x": np.zeros(3, np.float32)}),
        safetensors.save({"x": np.zeros(3, np.float32)}, {"format": "pt"}),
    ],
    ids=lambda data: f"{len(data)} bytes {data[:12]!r}",
)
def test_what_is_no_checkpoint(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(data)
    assert refused(tmp_path / "x.safetensors") is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"\0" * 7, "it is truncated, or another kind of file"),
        (b"PK\3\4" + b"\0" * 60, "it is truncated, or another kind of file"),
        (joined(b"{}", b"")[:9], "it is truncated, or another kind of file"),
        (joined(b"{]", b""), "its header cannot be read"),
        (joined(b"{}", b""), "its header was not written by cnnc"),
        (
            joined(b'{"__metadata__": {"format": "cnnc-checkpoint-1"}}', b"\0"),
            "it has 58 bytes, and its header describes 57",
        ),
    ],
)
def test_why_a_file_is_no_checkpoint(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(CnncError, match=f"x is damaged or not a checkpoint: {reason}") as caught:
        checkpoints.load(tmp_path / "x")
    assert caught.value.diagnostics[0].help == "the run's other checkpoint (best or last) may be intact"


def test_a_model_in_place_of_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"a model")
    with pytest.raises(CnncError, match=r"`cnnc import .*x\.onnx` turns a model into a network and a checkpoint"):
        checkpoints.load(tmp_path / "x.onnx")


def with_facts(made: Checkpoint, path: Path, tensors: Mapping[str, Any] = {}, **changes: Any) -> Path:
    """Writes a checkpoint with a right checksum whose facts or progress are changed, and whose tensors are added to."""
    facts = {**checkpoints.facts_of(made), "progress": asdict(made.progress)}
    progress = {**facts["progress"], **changes.pop("progress", {})}
    text = json.dumps({**facts, "progress": progress, **changes})
    arrays = {**{f"weights/{name}": array for name, array in made.weights.items()}, **tensors}
    metadata = {"cnnc": text, "digest": checkpoints._digest(arrays, text), "format": checkpoints.FORMAT}
    path.write_bytes(b"".join(checkpoints.safetensors_parts(arrays, metadata)))
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"file": 3}, "its file is not text"),
        ({"file": "\ud800.cnn"}, "surrogates not allowed"),
        ({"source": None}, "its source is not text"),
        ({"settings": "train.epochs=2"}, "its settings is not a list"),
        ({"classes": [0, 1]}, "its classes is not text"),
        ({"vocabulary": {}}, "its vocabulary is not a list"),
        ({"versions": []}, "its versions has no names"),
        ({"versions": {"cnnc": 1}}, "its versions is not text"),
        ({"includes": {"a.cnn": None}}, "its includes is not text"),
        ({"threads": 0}, "its threads is not a whole number of at least 1"),
        ({"threads": True}, "its threads is not a whole number of at least 1"),
        ({"threads": 1.0}, "its threads is not a whole number of at least 1"),
        ({"threads": 2**63}, "its threads is not a whole number of at least 1"),
        ({"sizes": {"H": 0}}, "its sizes is not a whole number of at least 1"),
        ({"engine": 5}, "its engine is not text"),
        ({"provider": ["cuda"]}, "its provider is not text"),
        ({"engine_options": 1}, "its engine_options has no names"),
        ({"dataset": 0}, "its dataset is not text"),
        ({"progress": {"epoch": -1}}, "its epoch is not a whole number of at least 0"),
        ({"progress": {"step": 0.5}}, "its step is not a whole number of at least 0"),
        ({"progress": {"best_epoch": -2}}, "its best_epoch is not a whole number of at least -1"),
        ({"progress": {"best_loss": "low"}}, "its progress has no number as best_loss"),
        ({"tensors": {"weights/fc1.bias": np.zeros(10, np.int64)}}, "its weight fc1.bias is int64"),
        ({"tensors": {"other/x": np.zeros(1)}}, "other"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_content_of_another_kind_under_a_right_checksum(
    tmp_path: Path, made: Checkpoint, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CnncError, match=reason) as caught:
        checkpoints.load(with_facts(made, tmp_path / "x", **changes))
    assert [d.code for d in caught.value.diagnostics] == ["E605"]


def test_the_ends_of_what_a_checkpoint_may_hold(tmp_path: Path, made: Checkpoint) -> None:
    progress = {"epoch": 0, "best_epoch": -1, "best_loss": 2}
    found = checkpoints.load(with_facts(made, tmp_path / "x", threads=1, sizes={"H": 1}, progress=progress))
    assert (found.threads, found.sizes, found.progress.best_epoch) == (1, {"H": 1}, -1)
    assert (found.engine, found.provider, found.engine_options, found.dataset, found.slots) == ("numpy", "", {}, "", {})


def test_noise(tmp_path: Path) -> None:
    draw = random.Random(2)
    for length in (1, 8, 9, 100, 5000):
        (tmp_path / "x").write_bytes(draw.randbytes(length))
        assert refused(tmp_path / "x") is None


def test_where_there_is_none(tmp_path: Path, file: Path) -> None:
    assert checkpoints.find(file) == file
    assert checkpoints.find(tmp_path, "best") == file, "a run that has no best yet has its last"
    for path in (tmp_path / "nowhere", tmp_path.parent):
        with pytest.raises(CnncError) as caught:
            checkpoints.find(path)
        assert [d.code for d in caught.value.diagnostics] == ["E606"]
        assert caught.value.status is Exit.DATA
    for name in ("b", "a", "c"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "last.safetensors").touch()
    with pytest.raises(CnncError, match="runs holds no checkpoint") as caught:
        checkpoints.find(tmp_path / "runs")
    assert caught.value.diagnostics[0].help == f"name a run folder in it, such as {tmp_path / 'runs' / 'a'}"


def test_a_run_that_has_not_begun() -> None:
    assert Progress() == Progress(0, 0, 0.0, 0, 0, 0, -1, float("-inf"), float("inf"), -1)


def test_a_checkpoint_is_shown_without_its_weights(made: Checkpoint) -> None:
    assert "array" not in repr(made)


def test_the_best_epoch_and_the_score_of_a_run_folder(tmp_path: Path, made: Checkpoint) -> None:
    assert checkpoints.best_epoch(tmp_path) is None
    assert checkpoints.test_score(tmp_path) == {}
    for best in (0, 6):
        checkpoints.save(tmp_path / "best.safetensors", replace(made, progress=Progress(9, best_epoch=best)))
        assert checkpoints.best_epoch(tmp_path) == best + 1
    whole = (tmp_path / "best.safetensors").read_bytes()
    for damaged in (b"", whole[:20], whole.replace(b"best_epoch", b"bast_epoch")):
        (tmp_path / "best.safetensors").write_bytes(damaged)
        assert checkpoints.best_epoch(tmp_path) is None
    for text, score in (('{"epoch": 3}', {"epoch": 3}), ("[3]", {}), ("{", {}), ("", {}), ("[" * 5000, {})):
        (tmp_path / "test.json").write_text(text)
        assert checkpoints.test_score(tmp_path) == score


def test_weights_of_another_network(made: Checkpoint) -> None:
    for weights, difference in (
        ({}, "fc1.bias is missing in the checkpoint, 10 in the network"),
        ({**made.weights, "fc1.bias": np.zeros((9, 1), np.float32)}, "fc1.bias is 9x1 in the checkpoint, 10 in"),
        ({**made.weights, "fc2.bias": np.zeros(())}, "fc2.bias is a scalar in the checkpoint, missing in the network"),
    ):
        with pytest.raises(CnncError, match=f"does not fit the network: {difference}") as caught:
            replace(made, weights=weights).network()
        assert [d.code for d in caught.value.diagnostics] == ["E605"]


def test_a_full_disk_leaves_what_was_there(file: Path, made: Checkpoint, tmp_path: Path) -> None:
    """The system takes half of the file, and no more."""
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(CnncError) as caught:
            checkpoints.save(file, replace(made, progress=Progress(2)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [d.code for d in caught.value.diagnostics] == ["E902"]
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_whole(
    file: Path, made: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that trains replaces its checkpoint by one with a longer header at any moment."""
    real = checkpoints._metadata
    seen: list[bytes] = []

    def metadata(data: bytes) -> dict[str, str]:
        if not seen:
            checkpoints.save(file, replace(made, source=made.source + "# longer\n" * 9))
        seen.append(data)
        return real(data)

    monkeypatch.setattr(checkpoints, "_metadata", metadata)
    assert checkpoints.load(file).source == made.source
    assert checkpoints.load(file).source != made.source


def test_what_decides_the_last_bits_is_recorded_and_an_earlier_checkpoint_without_it_is_read(
    file: Path, made: Checkpoint, tmp_path: Path
) -> None:
    assert b"machine" not in parts(file.read_bytes())[0]
    assert checkpoints.load(file).machine == {}
    facts = machine()
    assert set(facts) == {"blas", "python", "simd", "system"}
    assert all(facts.values())
    checkpoints.save(tmp_path / "now.safetensors", replace(made, machine=facts))
    assert checkpoints.load(tmp_path / "now.safetensors").machine == facts


def test_the_library_reads_what_is_written(file: Path, made: Checkpoint) -> None:
    """A checkpoint is a safetensors file for others as well."""
    from safetensors import safe_open

    assert len(parts(file.read_bytes())[0]) % 8 == 0, "tensors that are mapped into memory are aligned"
    with safe_open(file, "numpy") as opened:
        assert set(opened.metadata()) == {"cnnc", "digest", "format"}
        names = set(opened.keys())
        assert names == {f"weights/{k}" for k in made.weights} | {f"slots/{k}" for k in made.slots}
        for name, array in made.weights.items():
            np.testing.assert_array_equal(opened.get_tensor(f"weights/{name}"), array)
