"""Training and export as functions of Python: what the commands do, without their words.

In: networks, runs, paths. Out: results as values, or a CnncError. Nothing is printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnc.export.export import Exported
from cnnc.export.export import export as export_network
from cnnc.network import Network
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint
from cnnc.training.loop import Result, Watcher, open_data, start
from cnnc.training.loop import train as run_training


def train(
    network: Network, run: Path | str | None = None, data: Path | str | None = None, watcher: Watcher | None = None
) -> Result:
    """Trains a network as its train section says.

    `run` is the run folder (runs/NAME, or the first of runs/NAME-2, ... that is free), `data` the folder of the
    data sets. Raises CnncError.
    """
    dataset = open_data(network, None if data is None else Path(data), lambda line: None)
    folder = free_folder(Path("runs") / Path(network.source.name).stem.strip("<>")) if run is None else Path(run)
    return run_training(start(network, dataset, folder), watcher)


def export(
    run: Path | str, out: Path | str, *, last: bool = False, outputs: Sequence[str] = (), opset: int = 17
) -> Exported:
    """Exports the best (or last) weights of a run to an ONNX file, written only once it is proven.

    With the names of layers as `outputs`, only what these need. Raises CnncError.
    """
    path = checkpoints.find(Path(run), "last" if last else "best")
    saved = checkpoints.load(path)
    return export_network(
        saved.network(),
        saved.weights,
        Path(out),
        outputs=outputs,
        classes=saved.classes,
        vocabulary=saved.vocabulary,
        trained=training_summary(saved, path.parent),
        opset=opset,
    )


def training_summary(saved: Checkpoint, folder: Path) -> dict[str, Any] | None:
    """How the training of a checkpoint went: epochs, its best score, and the test score where it is that of these weights.

    None where it was never trained.
    """
    p, recipe = saved.progress, saved.network().recipe
    if recipe is None or not p.epoch:
        return None
    test = checkpoints.test_score(folder)
    is_of_these = p.step == 0 and p.epoch == p.best_epoch + 1 == test.pop("epoch", 0)
    return {
        "epochs": p.epoch,
        "best_epoch": p.best_epoch + 1,
        "metric": recipe.metric,
        "best": -p.best_rank if recipe.metric == "mse" else p.best_rank,
        "best_loss": p.best_loss,
        "judged_by": "validation" if recipe.data.val else "training",
        "test": test if is_of_these else None,
        "versions": saved.versions,
        "threads": saved.threads,
    }


def free_folder(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that is not there yet: no run overwrites another."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free
