"""The batches of an epoch are the same in memory and decoded by workers, after a resumption, and shared among ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnnc.core.worker_process import can_start_workers
from cnnc.data import image_column
from cnnc.network import check
from cnnc.recipe.augmentation import Augment
from cnnc.training.augment import augment
from cnnc.training.batches import batches_of_epoch, rank_rows
from cnnc.training.loop import open_data, start
from cnnc.training.run import Run, StepBatch
from tests.data.test_images import by_class, folder_of
from tests.training.statement_cases import AUGMENTATIONS

SOURCE = """
net Photos
input 1x4x6
fc 2
train {{ data images "{}"; augment flip shift=1 noise=0.1; optimizer sgd lr=0.1; batch 7; epochs 2 }}
"""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CNNC_CACHE_GB", "0")
    return folder_of(tmp_path / "photos", by_class(20, 20))


def started(photos: Path, step: int = 0) -> Run:
    """A run that is `step` steps into its second epoch."""
    network = check(SOURCE.format(photos))
    run = start(network, open_data(network, None, lambda line: None), photos.parent / "run")
    run.progress = replace(run.progress, epoch=1, step=step)
    return run


def content(batches: list[StepBatch]) -> list[tuple[int, bytes, bytes]]:
    return [(batch.step, batch.inputs[0].tobytes(), batch.targets[0].tobytes()) for batch in batches]


@pytest.mark.skipif(not can_start_workers(), reason="workers inherit files, which this system does not support")
@pytest.mark.long
def test_workers_change_no_batch_also_after_a_resumption(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = content(list(batches_of_epoch(started(photos))))
    assert [step for step, *_ in expected] == [0, 1, 2, 3, 4]
    monkeypatch.setattr(image_column, "largest_in_memory", lambda: 0)
    monkeypatch.setattr(image_column, "FEWEST_FOR_WORKERS", 8)
    monkeypatch.setenv("CNNC_WORKERS", "2")
    run = started(photos, step=2)
    assert content(list(batches_of_epoch(run))) == expected[2:]
    assert run.waited > 0
    run.progress = replace(run.progress, step=0)
    assert content(list(batches_of_epoch(run))) == expected


@pytest.mark.parametrize("ranks", [1, 2, 3, 9])
def test_ranks_share_each_batch_in_order(photos: Path, ranks: int) -> None:
    whole = list(batches_of_epoch(started(photos)))
    shares = [list(batches_of_epoch(started(photos), rank, ranks)) for rank in range(ranks)]
    for step, batch in enumerate(whole):
        parts = [share[step] for share in shares]
        assert max(part.size for part in parts) - min(part.size for part in parts) <= 1
        assert np.concatenate([part.inputs[0] for part in parts]).tobytes() == batch.inputs[0].tobytes()
        assert np.concatenate([part.targets[0] for part in parts]).tolist() == batch.targets[0].tolist()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_rank_augments_its_images_as_one_process_would(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (13, 3, 11, 9), np.uint8)
    statement = Augment.make(**{name: AUGMENTATIONS[name]})
    whole = augment(images, statement, np.random.default_rng(1))
    rows = [rank_rows(13, rank, 4) for rank in range(4)]
    parts = [augment(images[r], statement, np.random.default_rng(1), 13, r.start) for r in rows]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
