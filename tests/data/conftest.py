"""Helpers of the data readers' tests: IDX content, an isolated cache, and checks of errors and reports."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnc.core.tensor import DType, TensorType
from cnnc.data import download, fetch, load
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError, Exit

IdxBytes = Callable[..., bytes]


def takes(*shape: int, dtype: DType = "float32") -> TensorType:
    """The type of a network's input."""
    return TensorType(shape, dtype)


def refused(name: str, place: Path | str, code: str = "E602", **request: Any) -> str:
    """Checks that reading a data set raises one error, and returns its message and help, separated by ` | `."""
    with pytest.raises(CnncError) as caught:
        load(name, path=str(place), **request)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert caught.value.status is Exit.DATA
    return f"{diagnostic.message} | {diagnostic.help}"


def loaded_and_reported(name: str, place: Path | str, **request: Any) -> tuple[Dataset, list[str]]:
    """A data set, and the lines reported while reading it, with PLACE for its path."""
    lines: list[str] = []
    data = load(name, report=lines.append, path=str(place), **request)
    return data, [line.replace(f"{place}", "PLACE") for line in lines]


def data_folder(name: str, wanted: str) -> Path:
    """The folder of a real data set in CNNC_DATA; skips the test where it does not hold `wanted`."""
    named = os.environ.get(fetch.VARIABLE)
    folder = Path(named) / name if named else None
    if folder is None or not (folder / wanted).exists():
        pytest.skip(f"{name}/{wanted} is not in the folder CNNC_DATA")
    return folder


def make_idx(sizes: tuple[int, ...], values: bytes, kind: int = 0x08) -> bytes:
    return bytes([0, 0, kind, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + values


@pytest.fixture
def idx_bytes() -> IdxBytes:
    """A function that makes the content of an IDX file from sizes, values and type code."""
    return make_idx


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no CNNC_DATA, and no network access; tests of downloads replace `download.open_url`."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(fetch, "cache_folder", lambda name: folder / name)
    monkeypatch.delenv(fetch.VARIABLE, raising=False)

    monkeypatch.delenv("CNNC_OFFLINE", raising=False)

    def refuse(url: str, start: int = 0) -> None:
        raise AssertionError(f"nothing should be downloaded, but {url} was requested")

    monkeypatch.setattr(download, "open_url", refuse)
    return folder


@pytest.fixture(autouse=True)
def no_decoded_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """No image stays decoded on the disk."""
    monkeypatch.setenv("CNNC_CACHE_GB", "0")
