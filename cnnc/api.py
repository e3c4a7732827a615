"""Training and export as functions of Python: what the commands do, without their words.

In: networks, runs, paths. Out: results as values, or a CnncError. Nothing is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cnnc.export.emit import DEFAULT_OPSET
from cnnc.export.export import Exported, Options
from cnnc.export.export import export as export_network
from cnnc.export.precision import Examples
from cnnc.network import Network, check
from cnnc.recipe import require
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import Result, Watcher, open_data, split, start
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
    run: Path | str,
    out: Path | str,
    *,
    last: bool = False,
    opset: int = DEFAULT_OPSET,
    options: Options | None = None,
    data: Path | str | None = None,
    at: Mapping[str, int] | None = None,
) -> Exported:
    """Exports the best (or last) weights of a run to an ONNX file, written only once it is proven.

    `options` are more ways to write it (`opset` is one of them); int8 and float16 are measured on the run's data set,
    which lies in the folder `data`. `at` fixes sizes that are symbols. Raises CnncError.
    """
    saved = checkpoints.load(checkpoints.find(Path(run), "last" if last else "best"))
    options = options or Options(opset)
    network = saved.network()
    if at:
        network = check(saved.source, saved.file, saved.settings, at)
        network.require_graph()
    p = saved.progress
    trained = {
        "epochs": p.epoch,
        "best_epoch": p.best_epoch + 1,
        "best": p.best_rank,
        "versions": saved.versions,
    }
    return export_network(
        network,
        saved.weights,
        Path(out),
        classes=saved.classes,
        trained=trained,
        options=options,
        examples=_examples(network, data) if options.precision != "float32" else None,
    )


def _examples(network: Network, data: Path | str | None) -> Examples:
    """The examples of the run's data set, split as the run split them: calibration by training data alone."""
    dataset = open_data(network, None if data is None else Path(data), lambda line: None)
    recipe = require(network.recipe, network.name)
    train, held = split(dataset.train, recipe.data.val, recipe.seed)
    return Examples.of(train, held, dataset.test, recipe.seed)


def free_folder(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that is not there yet: no run overwrites another."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free
