"""What several tests of the reference need."""

from __future__ import annotations

import pytest

from cnnc.reference import engine


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are split however little there is to do, so that small networks show what large ones would."""
    for name in ("SHARD_WORK", "BATCH_SUM_WORK", "PARAMETER_WORK"):
        monkeypatch.setattr(engine, name, 1)
