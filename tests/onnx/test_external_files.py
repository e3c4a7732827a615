"""Weights outside of a model: only files of its folder are opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnc.onnx.external_files import open_external


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outside.data").write_bytes(b"outside")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.data").write_bytes(b"weights")
    (folder / "link.data").symlink_to("weights.data")
    (folder / "way_out.data").symlink_to(tmp_path / "outside.data")
    (folder / "hard.data").hardlink_to(tmp_path / "outside.data")
    return folder


@pytest.mark.parametrize("location", ["weights.data", "./weights.data", "link.data"])
def test_files_of_the_folder_are_opened(location: str, folder: Path) -> None:
    with open_external(folder, location) as file:
        assert file.read() == b"weights"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("../outside.data", "outside the model's folder"),
        ("way_out.data", "outside the model's folder"),
        ("/etc/hostname", "outside the model's folder"),
        ("hard.data", "hard link"),
        ("a\0b", "zero byte"),
        ("missing.data", "No such file"),
        (".", "Is a directory"),
    ],
)
def test_all_else_is_refused(location: str, words: str, folder: Path) -> None:
    with pytest.raises(OSError, match=words):
        open_external(folder, location)
