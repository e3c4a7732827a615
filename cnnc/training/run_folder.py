"""The files of a run folder: checkpoints, metrics.jsonl and its curves, the score on the test set.

In: a run, the results of an epoch. Out: files, each written completely or not at all. The training loop decides when.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cnnc.core.files import read_bytes, write_atomic
from cnnc.core.versions import versions
from cnnc.recipe.metrics import finite
from cnnc.reference.parallel.threads import thread_count
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint
from cnnc.training.curves import curves
from cnnc.training.divergence import diverged
from cnnc.training.objective import Score
from cnnc.training.run import Epoch, Run


def save(run: Run, name: str) -> Path:
    """Writes the run's state to NAME.safetensors in its folder.

    Raises CnncError E701 for a weight that is not finite, E902.
    """
    if not all(np.isfinite(array).all() for array in run.weights.values()):
        raise diverged(run, {}, run.progress.epoch, max(0, run.progress.step - 1))
    path = run.folder / f"{name}.safetensors"
    source = run.network.source
    checkpoints.save(
        path,
        Checkpoint(
            source.name,
            source.text,
            run.network.settings,
            run.data.classes,
            run.data.vocabulary,
            run.weights,
            run.slots,
            run.progress,
            versions(),
            thread_count(),
            dict(run.network.includes),
            dict(run.network.survey.reference) if run.network.survey is not None else {},
            dict(run.origin),
        ),
    )
    return path


def save_network(run: Run) -> None:
    """Writes the network's source to network.cnn."""
    write_atomic(run.folder / "network.cnn", run.network.source.text.encode())


def save_metrics(run: Run, lines: list[str]) -> None:
    """Writes metrics.jsonl, and curves.svg, which plots it."""
    write_atomic(run.folder / "metrics.jsonl", "".join(f"{line}\n" for line in lines).encode())
    write_atomic(run.folder / "curves.svg", curves(lines, run.network.name).encode())


def save_test(run: Run, score: Score) -> None:
    """Writes the score of the best weights on the test set to test.json."""
    facts = {"epoch": run.progress.best_epoch + 1, **score.as_dict()}
    write_atomic(run.folder / "test.json", f"{json.dumps(finite(facts))}\n".encode())


def line_of(run: Run, epoch: Epoch) -> dict[str, float | int | None]:
    """An epoch as a line of metrics.jsonl."""
    v = epoch.validation
    return {
        "epoch": epoch.number + 1,
        "train_loss": epoch.train.loss,
        "train_accuracy": epoch.train.accuracy if run.objective.is_classifier else None,
        "val_loss": v.loss if v else None,
        f"val_{run.recipe.metric}": v.result if v else None,
        **({f"val_{name}": value for name, value in v.others} if v else {}),
        "lr": epoch.rate,
        "seconds": round(epoch.seconds, 3),
        "images_per_second": round(epoch.images_per_second, 1),
        "memory": epoch.memory,
    }


def metrics_before(run: Run) -> list[str]:
    """The lines of metrics.jsonl that a resumed run keeps: those of the epochs before its checkpoint."""
    path = run.folder / "metrics.jsonl"
    if not run.progress.epoch or not path.exists():
        return []
    return read_bytes(path).decode(errors="replace").splitlines()[: run.progress.epoch]
