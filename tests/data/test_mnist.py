"""MNIST: small generated files, and the real ones where CNNC_DATA holds them."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnc.data import fetch, load, mnist
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError

IdxBytes = Callable[..., bytes]
NAMES = tuple(file.name for file in mnist.FILES.files)


@pytest.fixture
def small(cache: Path, tmp_path: Path, idx_bytes: IdxBytes) -> Path:
    """A folder with the four files, with three training and two test images."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, count, first in ((NAMES[0], 3, 10), (NAMES[2], 2, 90)):
        pixels = b"".join(bytes([first + n]) * 784 for n in range(count))
        (folder / name).write_bytes(gzip.compress(idx_bytes((count, 28, 28), pixels)))
    for name, labels in ((NAMES[1], [7, 0, 9]), (NAMES[3], [4, 2])):
        (folder / name).write_bytes(gzip.compress(idx_bytes((len(labels),), bytes(labels))))
    return folder


def test_each_file_becomes_its_column(small: Path) -> None:
    data = load("mnist", small)
    assert data.name == "mnist"
    assert data.classes == tuple("0123456789")
    assert data.train.images.shape == (3, 1, 28, 28)
    assert data.train.images[:, 0, 5, 5].tolist() == [10, 11, 12]
    assert data.train.labels.tolist() == [7, 0, 9]
    assert data.test.images[:, 0, 27, 0].tolist() == [90, 91]
    assert data.test.labels.tolist() == [4, 2]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "name", ["{dotted}", "{plain}/{dotted}", "{dotted}/{plain}", "{dotted}/{dotted}", "MNIST/raw/{plain}"]
)
def test_names_that_archivers_give(small: Path, name: str, zipped: bool) -> None:
    for packed in NAMES:
        plain = packed.removesuffix(".gz")
        data = (small / packed).read_bytes()
        (small / packed).unlink()
        path = small / name.format(plain=plain, dotted=plain.replace("-idx", ".idx"))
        path = path.with_name(f"{path.name}.gz") if zipped else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if zipped else gzip.decompress(data))
    assert load("mnist", small).train.labels.tolist() == [7, 0, 9]


def test_the_environment_variable_names_the_folder(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fetch.VARIABLE, str(small.parent))
    assert len(load("mnist").train) == 3


def test_files_with_swapped_names(small: Path) -> None:
    (small / NAMES[0]).write_bytes((small / NAMES[1]).read_bytes())
    with pytest.raises(CnncError) as caught:
        load("mnist", small)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E602"
    found = "expected images (3 dimensions), found labels (1 dimension)"
    assert diagnostic.message == f"{small / NAMES[0]}: {found}"


def test_images_of_another_size(small: Path, idx_bytes: IdxBytes) -> None:
    (small / NAMES[2]).write_bytes(idx_bytes((2, 8, 8), bytes(128)))
    with pytest.raises(CnncError, match=r"expected images of 1x28x28 .* found 1x8x8"):
        load("mnist", small)


def test_several_mirrors_all_https() -> None:
    assert len(mnist.FILES.mirrors) > 1
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in mnist.FILES.mirrors)
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in mnist.FILES.files)


# ---- the real files


@pytest.fixture(scope="module")
def real_paths() -> tuple[Path, ...]:
    named = os.environ.get(fetch.VARIABLE)
    found = fetch.find(mnist.FILES, Path(named)) if named else None
    if found is None:
        pytest.skip("the variable CNNC_DATA leads to no folder with the files of MNIST")
    return found


@pytest.fixture(scope="module")
def real(real_paths: tuple[Path, ...]) -> Dataset:
    return load("mnist", real_paths[0].parent)


def test_real_content_matches_its_checksums(real_paths: tuple[Path, ...]) -> None:
    """Checksums of the decompressed content, which do not depend on the compression."""
    sums = (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    )
    for path, expected in zip(real_paths, sums, strict=True):
        data = path.read_bytes()
        content = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        assert hashlib.sha256(content).hexdigest() == expected


def test_real_sizes_and_labels(real: Dataset) -> None:
    assert real.train.images.shape == (60_000, 1, 28, 28)
    assert real.test.images.shape == (10_000, 1, 28, 28)
    assert real.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert real.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(real.train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(real.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.long
def test_real_pixels(real: Dataset) -> None:
    """The mean and standard deviation that are commonly used to normalize MNIST, and the centre row of its first image."""
    scaled = real.train.images / np.float32(255)
    assert float(scaled.mean(dtype=np.float64)) == pytest.approx(0.1307, abs=5e-5)
    assert float(scaled.std(dtype=np.float64)) == pytest.approx(0.3081, abs=5e-5)
    assert (real.train.images.min(), real.train.images.max()) == (0, 255)
    assert real.train.images[0, 0, 14, 11:18].tolist() == [0, 0, 81, 240, 253, 253, 119]
