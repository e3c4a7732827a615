"""The batches of an epoch are the same in memory and decoded by workers, after a resumption, and shared among ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnnc.core.arrays import Rows
from cnnc.core.worker_process import can_start_workers
from cnnc.data import image_column
from cnnc.network import check
from cnnc.recipe.augmentation import Augment
from cnnc.training.augment import augment
from cnnc.training.batches import batches_of_epoch
from cnnc.training.loop import open_data, start
from cnnc.training.numpy_engine import NumpyEngine
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


def started(photos: Path, step: int = 0, settings: tuple[str, ...] = ()) -> Run:
    """A run that is `step` steps into its second epoch."""
    network = check(SOURCE.format(photos), settings=settings)
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


class Sharing(NumpyEngine):
    """An engine whose process gets some of the examples of each batch."""

    def __init__(self, rank: int, ranks: int, interleaved: bool) -> None:
        super().__init__()
        self.share = rank, ranks, interleaved

    def rows(self, size: int) -> Rows:
        rank, ranks, interleaved = self.share
        return np.arange(size)[rank::ranks] if interleaved else slice(size * rank // ranks, size * (rank + 1) // ranks)


@pytest.mark.parametrize("settings", [(), ("train.augment.mixup=0.4", "train.augment.cutmix=1")], ids=["", "mixed"])
@pytest.mark.parametrize("interleaved", [False, True], ids=["runs", "interleaved"])
def test_processes_share_each_batch(photos: Path, interleaved: bool, settings: tuple[str, ...]) -> None:
    whole = list(batches_of_epoch(started(photos, settings=settings)))
    ranks = 9  # more than the examples of a batch: some get none
    engines = [Sharing(rank, ranks, interleaved) for rank in range(ranks)]
    run = started(photos, settings=settings)
    shares = []
    for run.engine in engines:
        shares.append(list(batches_of_epoch(run)))
    for step, batch in enumerate(whole):
        for engine, share in zip(engines, shares, strict=True):
            rows = engine.rows(batch.size)
            assert share[step].size == batch.size
            assert share[step].inputs[0].tobytes() == batch.inputs[0][rows].tobytes()
            assert share[step].targets[0].tolist() == batch.targets[0][rows].tolist()


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name not in Augment.mixing])
def test_a_process_augments_its_images_as_one_for_all_would(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (13, 3, 11, 9), np.uint8)
    statement = Augment.make(**{name: AUGMENTATIONS[name]})
    whole = augment(images, statement, np.random.default_rng(1))
    for rows in (slice(3, 8), np.array([12, 0, 5]), slice(0, 0)):
        part = augment(images[rows], statement, np.random.default_rng(1), 13, rows)
        assert part.tobytes() == whole[rows].tobytes()
