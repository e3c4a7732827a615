"""What the tests of the data readers share: IDX content made by hand, and places of their own to search."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnc.data import fetch

IdxBytes = Callable[..., bytes]


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
