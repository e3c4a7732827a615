"""The bundled digits."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files

import numpy as np
import pytest

from cnnc.data import KNOWN, load
from cnnc.data.dataset import Dataset
from cnnc.data.digits import scale_levels

# The first image, a nought, in its 17 levels.
FIRST = [
    [0, 0, 5, 13, 9, 1, 0, 0],
    [0, 0, 13, 15, 10, 15, 5, 0],
    [0, 3, 15, 2, 0, 11, 8, 0],
    [0, 4, 12, 0, 0, 8, 8, 0],
    [0, 5, 8, 0, 0, 9, 8, 0],
    [0, 4, 11, 0, 1, 12, 7, 0],
    [0, 2, 14, 5, 10, 12, 0, 0],
    [0, 0, 6, 13, 10, 0, 0, 0],
]


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


def test_sizes_and_types(digits: Dataset) -> None:
    assert digits.name == "digits"
    assert digits.classes == tuple("0123456789")
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    for split in (digits.train, digits.test):
        assert split.images.shape == (len(split), *KNOWN["digits"].shape)
        assert split.images.dtype == np.uint8
        assert split.labels.shape == (len(split),)
        assert split.labels.dtype == np.int64


def test_labels_of_each_class(digits: Dataset) -> None:
    train, test = np.bincount(digits.train.labels), np.bincount(digits.test.labels)
    assert (train + test).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert test.tolist() == [35, 36, 35, 37, 37, 37, 37, 36, 33, 37]


def test_images_have_seventeen_levels_from_0_to_255(digits: Dataset) -> None:
    images = np.concatenate([digits.train.images, digits.test.images])
    levels = [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
    assert np.unique(images).tolist() == levels


def test_levels_are_scaled_to_eight_bits() -> None:
    assert scale_levels(np.arange(17, dtype=np.uint8)).tolist() == [round(v * 255 / 16) for v in range(17)]


def test_first_image(digits: Dataset) -> None:
    assert digits.train.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert digits.train.images[0, 0].tolist() == [[round(v * 255 / 16) for v in row] for row in FIRST]


def test_test_split_is_the_end_of_the_file(digits: Dataset) -> None:
    assert digits.test.labels[-10:].tolist() == [5, 4, 8, 8, 4, 9, 0, 8, 9, 8]
    # The last image, an eight: its first row has the levels 0 0 10 14 8 1 0 0.
    assert digits.test.images[-1, 0, 0].tolist() == [0, 0, 159, 223, 128, 16, 0, 0]


@pytest.mark.parametrize("name", ["images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"])
def test_checksums_match_the_readme(name: str) -> None:
    folder = files("cnnc.data") / "digits"
    packed = (folder / name).read_bytes()
    assert packed[4:8] == bytes(4)  # no time of packing
    content = hashlib.sha256(gzip.decompress(packed)).hexdigest()
    assert content in (folder / "README.md").read_text(encoding="utf-8")
