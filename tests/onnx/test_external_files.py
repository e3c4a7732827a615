"""Files of weights: those of the model's folder are opened, others are refused with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cnnc.core.files import open_file
from cnnc.onnx import external_files
from cnnc.onnx.external_files import open_external


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


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs a system that names open files")
def test_a_name_that_becomes_a_link_before_it_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped(path: Path) -> object:
        path.unlink()
        path.symlink_to(folder.parent / "secret")
        return open_file(path)

    monkeypatch.setattr(external_files, "open_file", swapped)
    with pytest.raises(OSError, match="outside the model's folder"):
        open_external(folder, "w.bin")
