"""CIFAR-10: small generated files in the binary version and as images; the real data where CNNC_DATA holds them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnc.data import KNOWN, Report, cifar10, fetch, load
from cnnc.data.download import RemoteFile
from cnnc.data.file_tree import open_tree
from cnnc.data.images import files_below
from cnnc.diagnostics import CnncError, Exit
from tests.data.conftest import data_folder

CLASSES = KNOWN["cifar10"].classes
RECORD = 3073


def record(label: int, red: int, green: int, blue: int) -> bytes:
    return bytes([label]) + bytes([red]) * 1024 + bytes([green]) * 1024 + bytes([blue]) * 1024


def binary() -> dict[str, bytes]:
    """The files of the binary version, with two records per batch."""
    files = {f"data_batch_{n}.bin": record(n, n, 0, 9) + record(0, 100 + n, 1, 2) for n in range(1, 6)}
    return {**files, "test_batch.bin": record(9, 50, 60, 70), "batches.meta.txt": "\n".join((*CLASSES, "")).encode()}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def pack(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def png(value: int, size: tuple[int, int] = (32, 32)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (value, 20, 30)).save(file, "PNG")
    return file.getvalue()


def image_files() -> dict[str, bytes]:
    files = {f"train/{name}/{i}.png": png(10 * n + i) for n, name in enumerate(CLASSES) for i in range(2)}
    return {**files, **{f"test/{name}/0.png": png(200 + n) for n, name in enumerate(CLASSES)}}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def refused(folder: Path, code: str = "E602") -> str:
    with pytest.raises(CnncError) as caught:
        load("cifar10", folder)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert caught.value.status is Exit.DATA
    return f"{diagnostic.message} | {diagnostic.help}"


# ---- the binary version


@pytest.mark.parametrize("below", [".", "cifar10", "cifar-10-batches-bin"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_binary_version(cache: Path, tmp_path: Path, below: str, packed: bool) -> None:
    if packed:
        pack(tmp_path / below / "cifar-10-binary.tar.gz", binary())
    else:
        fill(tmp_path / below, binary())
    data = load("cifar10", tmp_path)
    assert data.classes == CLASSES
    assert data.train.images.shape == (10, 3, 32, 32)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    assert data.train.images[:, 0, 31, 0].tolist() == [1, 101, 2, 102, 3, 103, 4, 104, 5, 105]
    assert data.test.images[0, :, 5, 6].tolist() == [50, 60, 70]
    assert data.test.labels.tolist() == [9]


def test_the_archive_itself_may_be_named(cache: Path, tmp_path: Path) -> None:
    assert len(load("cifar10", pack(tmp_path / "any.tar.gz", binary())).train) == 10


def test_the_environment_variable_names_the_folder_and_sizes_are_reported(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "cifar10", binary())
    monkeypatch.setenv(fetch.VARIABLE, str(tmp_path))
    lines: list[str] = []
    load("cifar10", report=lines.append)
    assert lines == [f"cifar10: 10 training and 1 test examples from {folder}; all of CIFAR-10 is 50,000 and 10,000"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("data_batch_3.bin", b"", "found 0 bytes"),
        ("data_batch_3.bin", bytes(RECORD - 1), "records of 3,073 bytes, found 3,072 bytes"),
        ("test_batch.bin", bytes(RECORD) + b"\x0a" + bytes(RECORD - 1), "labels 0 to 9, found 10 in record 1"),
        ("batches.meta.txt", b"apple\nfish\n", "the names of CIFAR-10's classes, found apple fish"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_errors_of_the_binary_version(
    cache: Path, tmp_path: Path, name: str, content: bytes, text: str, packed: bool
) -> None:
    files = {**binary(), name: content}
    if packed:
        pack(tmp_path / "cifar-10-binary.tar.gz", files)
    else:
        fill(tmp_path, files)
    message = refused(tmp_path)
    assert text in message
    assert name in message


def test_a_batch_that_is_too_large(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "_MAX_BATCH_BYTES", RECORD)
    assert "found more than 3,073 bytes" in refused(fill(tmp_path, binary()))


def test_damaged_archives(cache: Path, tmp_path: Path) -> None:
    path = pack(tmp_path / "cifar-10-binary.tar.gz", binary())
    whole = path.read_bytes()
    for content in (b"", b"<html>", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert "the archive is damaged" in refused(tmp_path)


def test_an_archive_of_other_files(cache: Path, tmp_path: Path) -> None:
    python = pack(tmp_path / "cifar-10-python.tar.gz", {"data_batch_1": b"cos\nsystem\n"})
    text = refused(python)
    assert "found no data_batch_1.bin" in text
    assert "a pickle, which is never read" in text
    many = pack(tmp_path / "many.tar.gz", {f"{n}": b"" for n in range(101)})
    assert "expected the binary version" in refused(many)


# ---- image files


def test_image_files_in_a_folder_and_in_a_zip(cache: Path, tmp_path: Path) -> None:
    for name, content in image_files().items():
        fill((tmp_path / "folder" / name).parent, {name.rpartition("/")[2]: content})
    (tmp_path / "zip").mkdir()
    zipped(tmp_path / "zip" / "cifar10-some.zip", image_files())
    for place in ("folder", "zip"):
        data = load("cifar10", tmp_path / place)
        assert data.train.labels.tolist() == [n // 2 for n in range(20)]
        assert data.train.images[:, 0, 0, 0].tolist() == [10 * n + i for n in range(10) for i in range(2)]
        assert data.test.images[:, 0, 31, 31].tolist() == list(range(200, 210))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (png(1, (31, 32)), "expected an image of 32x32, found 31x32"),
        (b"not an image", "cannot be read as an image (unknown format)"),
        (png(1)[:60], "cannot be read as an image"),
    ],
)
def test_a_file_that_is_not_a_32x32_image_is_an_error(cache: Path, tmp_path: Path, content: bytes, text: str) -> None:
    message = refused(zipped(tmp_path / "cifar.zip", {**image_files(), "train/cat/1.png": content}))
    assert text in message
    assert f"{tmp_path / 'cifar.zip'}: train/cat/1.png" in message


def test_a_class_without_images(cache: Path, tmp_path: Path) -> None:
    files = {name: data for name, data in image_files().items() if "test/ship" not in name}
    assert "test/ship: expected image files, found none" in refused(zipped(tmp_path / "cifar.zip", files))


# ---- where it is not


def test_a_folder_without_it(cache: Path, tmp_path: Path) -> None:
    text = refused(tmp_path, "E603")
    assert f"there is no CIFAR-10 in {tmp_path}" in text
    assert (
        "download cifar-10-binary.tar.gz (the binary version) from https://www.cs.toronto.edu/~kriz/cifar.html" in text
    )
    assert "there is no folder" in refused(tmp_path / "absent", "E603")


def test_it_is_downloaded_if_it_is_nowhere(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    content = pack(tmp_path / "a.tar.gz", binary()).read_bytes()
    file = RemoteFile("cifar-10-binary.tar.gz", len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(
        cifar10, "FILES", fetch.DataFiles("cifar10", (file,), cifar10.FILES.mirrors, cifar10.FILES.aliases)
    )
    asked: list[str] = []

    def download(file: RemoteFile, mirrors: Sequence[str], folder: Path, report: Report) -> Path:
        asked.append(mirrors[0] + file.name)
        (folder / file.name).write_bytes(content)
        return folder / file.name

    monkeypatch.setattr(fetch, "download", download)
    assert len(load("cifar10").train) == 10
    assert len(load("cifar10").train) == 10
    assert asked == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]


def test_the_checksum_of_the_download() -> None:
    (file,) = cifar10.FILES.files
    assert file.size == 170_052_171
    assert len(bytes.fromhex(file.sha256)) == 32


# ---- the real ones


@pytest.mark.long
def test_real_images() -> None:
    """Half of CIFAR-10: the sizes, and the channel means that are commonly used to normalize it."""
    tree = open_tree(data_folder("cifar10", "cifar10-half.zip") / "cifar10-half.zip")
    assert [len(files_below(tree, f"train/{name}")) for name in CLASSES] == [2500] * 10
    test = cifar10._read_images(tree, "test")
    assert test.images.shape == (5_000, 3, 32, 32)
    assert np.bincount(test.labels).tolist() == [500] * 10
    means = test.images.mean(axis=(0, 2, 3), dtype=np.float64) / 255
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.01)
