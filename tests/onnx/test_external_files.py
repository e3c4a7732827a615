"""Files of weights: those of the model's folder are opened, others are refused with the reason."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from cnnc.core.files import open_file
from cnnc.diagnostics import CnncError
from cnnc.onnx import external_files
from cnnc.onnx.external_files import ExternalData, open_external


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a model with the file w.bin; beside the folder lies the file secret."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w.bin").write_bytes(b"weights")
    return tmp_path / "model"


def test_a_file_of_the_folder_is_opened(folder: Path) -> None:
    with open_external(folder, "w.bin") as file:
        assert file.read() == b"weights"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("../secret", "outside the model's folder"),
        ("soft", "outside the model's folder"),
        ("hard", "it is a hard link"),
        ("a\0b", "contains a zero byte"),
        ("circle", "symbolic links"),
        ("missing", "No such file"),
    ],
)
def test_other_files_are_refused(folder: Path, location: str, reason: str) -> None:
    (folder / "soft").symlink_to(folder.parent / "secret")
    os.link(folder.parent / "secret", folder / "hard")
    (folder / "circle").symlink_to("circle")
    with pytest.raises(OSError, match=reason):
        open_external(folder, location)


@pytest.mark.parametrize("location", ["../secret", "soft", "{folder}/w.bin"])
def test_a_location_is_refused_where_the_system_does_not_name_open_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    """An absolute path, too, since the folder of a model may be moved."""
    (folder / "soft").symlink_to(folder.parent / "secret")
    monkeypatch.setattr(external_files, "_path_of", lambda file: None)
    with pytest.raises(OSError, match="outside the model's folder"):
        open_external(folder, location.format(folder=folder))
    with open_external(folder, "w.bin") as file:
        assert file.read() == b"weights"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs a system that names open files")
def test_a_name_that_becomes_a_link_before_it_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped(path: Path) -> object:
        path.unlink()
        path.symlink_to(folder.parent / "secret")
        return open_file(path)

    monkeypatch.setattr(external_files, "open_file", swapped)
    with pytest.raises(OSError, match="outside the model's folder"):
        open_external(folder, "w.bin")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the open files of this process in /proc")
def test_a_file_that_is_refused_is_closed(folder: Path) -> None:
    os.link(folder.parent / "secret", folder / "hard")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="it is a hard link"):
        open_external(folder, "hard")
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize(
    ("entries", "needed", "content"),
    [
        ({}, 7, b"weights"),
        ({"offset": "", "length": ""}, 4, b"weig"),
        ({"offset": "0", "length": "2"}, 2, b"we"),
        ({"offset": "4", "length": "3"}, 3, b"hts"),
        ({"offset": "7"}, 0, b""),
    ],
)
def test_the_bytes_of_a_tensor(folder: Path, entries: dict[str, str], needed: int, content: bytes) -> None:
    data = ExternalData(folder, "E622").read({"location": "w.bin", **entries}, needed, "x")
    assert data.tobytes() == content


LONG = "n" * 101
READS = "x takes 4 bytes; the model reads"


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"location": ""}, "x is stored in another file, but the model does not name the file"),
        ({"location": b"w.bin"}, "x is stored in another file, but the model does not name the file"),
        ({"length": "3"}, f"{READS} 3 bytes of w.bin from 0 on, and the file has 7"),
        ({"offset": "4"}, f"{READS} 4 bytes of w.bin from 4 on, and the file has 7"),
        ({"offset": "-1"}, "x: `-1` is not a number of bytes"),
        ({"offset": "٣"}, "x: `٣` is not a number of bytes"),
        ({"offset": "9" * 18}, f"{READS} 4 bytes of w.bin from {10**18 - 1:,} on, and the file has 7"),
        ({"offset": "9" * 19}, f"x: `{'9' * 19}` is not a number of bytes"),
        ({"length": "9" * 101}, f"x: `{'9' * 97}...` is not a number of bytes"),
        ({"length": b"4"}, "x: the offset or length of its data is not UTF-8"),
        ({"location": "../secret"}, "x is stored in ../secret: it is outside the model's folder"),
        ({"location": LONG[1:]}, f"x is stored in {LONG[1:]}: no such file or directory"),
        ({"location": LONG}, f"x is stored in {'n' * 97}...: no such file or directory"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_tensor_that_cannot_be_read(folder: Path, entries: dict[str, str | bytes], problem: str) -> None:
    with pytest.raises(CnncError) as error:
        ExternalData(folder, "E622").read({"location": "w.bin", **entries}, 4, "x")
    assert [(d.code, d.message) for d in error.value.diagnostics] == [("E622", problem)]


def test_a_model_that_is_not_a_file_has_no_files_of_weights() -> None:
    with pytest.raises(CnncError, match=r"x is stored in w\.bin, but the model was not read from a folder"):
        ExternalData(None, "E622").read({"location": "w.bin"}, 4, "x")


def test_tensors_take_no_more_bytes_than_a_file_has(folder: Path) -> None:
    """A small file cannot fill many tensors; files are told apart, not their names."""
    (folder / "v.bin").write_bytes(b"weights")
    (folder / "same.bin").symlink_to("w.bin")
    files = ExternalData(folder, "E622")
    for location, needed in (("w.bin", 4), ("same.bin", 3), ("v.bin", 7)):
        files.read({"location": location}, needed, "x")
    with pytest.raises(CnncError, match=r"y and the tensors before it take 8 bytes of w\.bin, which has 7"):
        files.read({"location": "w.bin"}, 1, "y")


@pytest.mark.parametrize(("failing", "problem"), [(True, "x: cannot read w.bin"), (False, "x: w.bin ended early")])
def test_a_file_that_fails_or_shrinks_while_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failing: bool, problem: str
) -> None:
    class File(io.BufferedReader):
        def read(self, size: int | None = -1) -> bytes:
            if failing:
                raise OSError(errno.EIO, "input/output error")
            return super().read(3)

    monkeypatch.setattr(external_files, "open_external", lambda root, name: File(io.FileIO(root / name)))
    with pytest.raises(CnncError, match=problem):
        ExternalData(folder, "E622").read({"location": "w.bin"}, 7, "x")
