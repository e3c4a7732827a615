"""What the tests of the data readers share: IDX content made by hand, and places of their own to search."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnc.core.tensor import DType, TensorType
from cnnc.data import fetch, load
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError, Exit

IdxBytes = Callable[..., bytes]


def takes(*shape: int, dtype: DType = "float32") -> TensorType:
    """The type of an input."""
    return TensorType(shape, dtype)


def refused(name: str, place: Path | str, code: str = "E602", **request: Any) -> str:
    """The message of the one error that reading a data set raises, and its help after a bar."""
    with pytest.raises(CnncError) as caught:
        load(name, path=str(place), **request)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert caught.value.status is Exit.DATA
    return f"{diagnostic.message} | {diagnostic.help}"


def told(name: str, place: Path | str, **request: Any) -> tuple[Dataset, list[str]]:
    """A data set, and the lines that reading it reports, without the path."""
    lines: list[str] = []
    data = load(name, report=lines.append, path=str(place), **request)
    return data, [line.replace(f"{place}", "PLACE") for line in lines]


def data_folder(name: str, wanted: str) -> Path:
    """A real data set's folder, or a skipped test."""
    named = os.environ.get(fetch.VARIABLE)
    folder = Path(named) / name if named else None
    if folder is None or not (folder / wanted).exists():
        pytest.skip(f"the variable CNNC_DATA leads to no {name}/{wanted}")
    return folder


def make_idx(sizes: tuple[int, ...], values: bytes, kind: int = 0x08) -> bytes:
    return bytes([0, 0, kind, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + values


@pytest.fixture
def idx_bytes() -> IdxBytes:
    """Makes the content of an IDX file of sizes, values and type code."""
    return make_idx


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no CNNC_DATA, and no network: whoever wants one replaces `fetch.open_url`."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(fetch, "cache_folder", lambda name: folder / name)
    monkeypatch.delenv(fetch.VARIABLE, raising=False)

    def refuse(url: str) -> None:
        raise AssertionError(f"nothing should be fetched, but {url} was")

    monkeypatch.setattr(fetch, "open_url", refuse)
    return folder
