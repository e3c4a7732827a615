"""Fixtures for the tests of the NumPy engine."""

from __future__ import annotations

import pytest

from cnnc.reference import engine


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits every batch into shards, however little work it is, so that small networks run as large ones do."""
    for name in ("SHARD_WORK", "BATCH_SUM_WORK", "PARAMETER_WORK"):
        monkeypatch.setattr(engine, name, 1)
