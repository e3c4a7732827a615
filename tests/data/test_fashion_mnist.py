"""Fashion-MNIST, from small generated files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnc.data import KNOWN, fashion_mnist, fetch, load, mnist
from cnnc.diagnostics import CnncError

IdxBytes = Callable[..., bytes]
NAMES = tuple(file.name for file in fashion_mnist.FILES.files)
MNIST_LABELS = [5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7]


def fill(folder: Path, idx_bytes: IdxBytes, labels: list[int]) -> Path:
    folder.mkdir(parents=True)
    for name, some in ((NAMES[1], labels), (NAMES[3], [4, 2])):
        (folder / name).write_bytes(gzip.compress(idx_bytes((len(some),), bytes(some))))
    for name, count in ((NAMES[0], len(labels)), (NAMES[2], 2)):
        (folder / name).write_bytes(gzip.compress(idx_bytes((count, 28, 28), bytes(range(count)) * 784)))
    return folder


@pytest.mark.parametrize("name", ["fashion_mnist", "fashion-mnist"])
def test_it_is_read_from_a_folder_of_either_name(
    cache: Path, tmp_path: Path, idx_bytes: IdxBytes, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fill(tmp_path / "mine" / name, idx_bytes, [9, 0, 0])
    monkeypatch.setenv(fetch.VARIABLE, str(tmp_path / "mine"))
    for data in (load("fashion_mnist"), load("fashion_mnist", tmp_path / "mine" / name)):
        assert data.name == "fashion_mnist"
        assert data.classes[9] == "Ankle boot"
        assert data.classes == KNOWN["fashion_mnist"].classes
        assert data.train.images.shape == (3, 1, 28, 28)
        assert data.train.labels.tolist() == [9, 0, 0]
        assert data.test.labels.tolist() == [4, 2]


def test_mnist_under_its_name_is_refused(cache: Path, tmp_path: Path, idx_bytes: IdxBytes) -> None:
    folder = fill(tmp_path / "mine", idx_bytes, MNIST_LABELS)
    with pytest.raises(CnncError, match="expected the labels of Fashion-MNIST, found those of MNIST") as caught:
        load("fashion_mnist", folder)
    assert caught.value.diagnostics[0].code == "E602"
    assert len(load("mnist", folder).train) == len(MNIST_LABELS)


def test_files_and_mirrors() -> None:
    assert tuple(file.name for file in mnist.FILES.files) == NAMES
    sums = [file.sha256 for file in fashion_mnist.FILES.files]
    assert all(len(bytes.fromhex(sum_)) == 32 for sum_ in sums)
    assert not set(sums) & {file.sha256 for file in mnist.FILES.files}
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in fashion_mnist.FILES.mirrors)


def test_a_folder_without_it_says_where_it_was_searched(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(CnncError) as caught:
        load("fashion_mnist", tmp_path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E603"
    assert f"{tmp_path / 'fashion_mnist'} nor {tmp_path / 'fashion-mnist'}" in diagnostic.message
