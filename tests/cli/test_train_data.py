"""`cnnc train` and its data: folders, damaged files and missing files."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cnnc, codes

GREY = """input 1x28x28
pool avg k=7
fc 10
softmax
train { data mnist; epochs 1; batch 8 }
"""


def idx(sizes: tuple[int, ...], values: bytes) -> bytes:
    return bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + values


IMAGES = idx((20, 28, 28), bytes(i % 251 for i in range(20 * 784)))

LABELS = idx((20,), bytes(i % 10 for i in range(20)))

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A folder with twenty generated images in files like those of MNIST; writes grey.cnn, which trains on them."""
    (tmp_path / "grey.cnn").write_text(GREY)
    folder = tmp_path / "data"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(IMAGES if "images" in name else LABELS)
    return folder


def test_data_from_a_folder(cnnc: Cnnc, mnist: Path) -> None:
    for more in (("--data", "data"), ()):
        done = cnnc("train", "grey.cnn", *more, env={"CNNC_DATA": str(mnist)})
        assert done.returncode == 0, done.stderr
        assert re.search(r"of 20\), 95% interval [\d.]+% to [\d.]+%, weights of epoch 1", done.stdout)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:-1]),
        ("train-images-idx3-ubyte", lambda data: data[:10]),
        ("train-images-idx3-ubyte", lambda data: b""),
        ("train-images-idx3-ubyte", lambda data: data + b"x"),
        ("train-images-idx3-ubyte", lambda data: gzip.compress(data)[:-20]),
        ("train-images-idx3-ubyte", lambda data: LABELS),
        ("train-labels-idx1-ubyte", lambda data: IMAGES),
        ("train-labels-idx1-ubyte", lambda data: idx((19,), bytes(19))),
        ("train-labels-idx1-ubyte", lambda data: idx((20,), bytes([11] * 20))),
        ("t10k-images-idx3-ubyte", lambda data: idx((20, 8, 8), bytes(20 * 64))),
        ("t10k-images-idx3-ubyte", lambda data: b"\x89PNG" + data),
    ],
    ids=["cut", "cut header", "empty", "too long", "cut gzip", "labels", "images", "few", "class 11", "8x8", "PNG"],
)
def test_damaged_data(cnnc: Cnnc, mnist: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (mnist / name).write_bytes(damage((mnist / name).read_bytes()))
    done = cnnc("train", "grey.cnn", "--data", "data")
    assert done.returncode == 3
    assert codes(done.stderr) == ["E602"]
    assert name in done.stderr
    assert not (tmp_path / "runs").exists()


def test_missing_data(cnnc: Cnnc, mnist: Path) -> None:
    (mnist / NAMES[0]).unlink()
    for folder in ("data", "nowhere", "grey.cnn"):
        done = cnnc("train", "grey.cnn", "--data", folder)
        assert done.returncode == 3
        assert codes(done.stderr) == ["E603"]
        assert "help" in done.stderr
