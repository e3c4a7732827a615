"""The training loop.

In: a network with its recipe, a data set, a run folder, and for a resumed run its checkpoint. Out: checkpoints,
metrics.jsonl, and `RunResult`. It prints nothing and reports to a `Callback`.

Every random choice is a function of the seed, the epoch, the step and the layer, so a run that is stopped at any
moment and resumed ends bit-identical to an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.files import make_folder, remove_temporary_files
from cnnc.core.process_memory import MemoryMeter
from cnnc.core.random_streams import Stream
from cnnc.data.dataset import Dataset, InputNames, Split, bytes_in_memory
from cnnc.diagnostics import CnncError
from cnnc.graph.needs import require_training, require_weights
from cnnc.network import Network
from cnnc.ops.dense import Input
from cnnc.ops.sequence import Embed
from cnnc.recipe.metrics import finite
from cnnc.recipe.recipe import require_recipe
from cnnc.reference.initializers import initialize, require_memory
from cnnc.reference.parallel.threads import keep_memory, one_blas_thread, thread_count
from cnnc.reference.registry import Random
from cnnc.training import checkpoint as checkpoints
from cnnc.training.batches import batches_of_epoch
from cnnc.training.checkpoint import Checkpoint, Progress
from cnnc.training.class_warnings import check_classes, check_predictions
from cnnc.training.divergence import check_batches, check_first_loss, diverged
from cnnc.training.initial_weights import Initial
from cnnc.training.numpy_engine import NumpyEngine
from cnnc.training.objective import Objective, Score, feeds_of
from cnnc.training.run import Callback, Engine, Epoch, Run, RunResult, StepBatch, StepResult, Stopping
from cnnc.training.run_folder import line_of, metrics_before, save, save_curves, save_metrics, save_network, save_test

SAVE_SECONDS = 300.0
"""Time between two checkpoints within an epoch: what a power cut costs at most."""


def open_data(
    network: Network,
    source: Path | Mapping[str, Array] | None,
    report: Callable[[str], None],
    trained: InputNames | None = None,
    download: bool = True,
) -> Dataset:
    """Reads the data set of a network's train section, in the shapes of its inputs.

    `source` is the folder of the data sets, or the arrays to take in place of one. `report` receives lines about what was
    read. Words are numbered, and columns of a table ordered, as a `trained` network has them, where given. Raises CnncError E509
    without a train section, E601 to E603 where the data set is unknown, invalid or missing.
    """
    from cnnc.data import Request, arrays, load

    graph, recipe = network.require_graph(), require_recipe(network.recipe, network.name)
    require_weights(graph, graph.name)
    first = recipe.losses[0]
    output = graph.by_name[first.on or graph.outputs[0]]
    facts: dict[str, Any] = {
        "path": recipe.data.path,
        "inputs": tuple(node.op.fed() for node in graph.inputs if isinstance(node.op, Input)),
        "input_names": tuple(node.name for node in graph.inputs),
        "output_names": graph.outputs,
        "classes": output.type.channels if first.compares_with == "labels" else 0,
        "ignore": first.ignored_label,
        "test": recipe.data.test,
        "seed": recipe.seed,
        "vocabulary_size": max((n.op.vocab for n in graph.nodes if isinstance(n.op, Embed)), default=0),
        "vocabulary": trained.vocabulary if trained is not None else (),
        "columns": trained.columns if trained is not None else (),
        "download": download,
        "target_values": output.type.size if first.compares_with == "values" and not first.of_input else 0,
        "output": output.type,
        **recipe.data.reader_options,
        "rate": recipe.data.sample_rate,
    }
    if isinstance(source, Mapping):
        return arrays.read(Request(report=report, **facts), source)
    return load(recipe.data.name, source, report, **facts)


def open_first_data(
    network: Network,
    source: Path | Mapping[str, Array] | None,
    report: Callable[[str], None],
    initial: Initial | None,
) -> Dataset:
    """The data set of a training that begins with other weights: what these read under a number or in a column stays there.

    That is so for words whose vectors fit, and for a table with the same names of columns. Raises CnncError as `open_data`.
    """
    if initial is None:
        return open_data(network, source, report)
    has_words = initial.has_embeddings_of(network.require_graph())
    names = initial._replace(vocabulary=initial.vocabulary if has_words else ())
    data = open_data(network, source, report, names._replace(columns=()))
    if data.columns != names.columns and sorted(data.columns) == sorted(names.columns):
        return open_data(network, source, report, names)
    return data


def start(
    network: Network,
    data: Dataset,
    folder: Path,
    resume: Checkpoint | None = None,
    engine: Engine | None = None,
    initial: Initial | None = None,
) -> Run:
    """Prepares a run in a folder: splits the data, draws the weights or restores those of `resume`. Writes nothing.

    `engine` computes its steps, by default with NumPy. A new run begins with the weights of `initial` that fit.

    Raises CnncError E607 where the data does not fit the recipe, E610 where an output does not fit its targets, E521 where
    `sampling=balanced` finds no classes, E904 where the weights do not fit into the machine's memory, E913 where training
    needs more than the caller allows, E010 where CNNC_THREADS is not a number, E605 where no weight of `initial` fits, and
    what `engine.prepare` raises.
    """
    thread_count()
    graph = network.require_graph()
    recipe = require_recipe(network.recipe, network.name)
    train, validation = training_and_validation(data, recipe.data.val, recipe.seed)
    if not len(train):
        raise CnncError.of("E607", f"{data.name}: no example is left to train on", help="use a smaller val=")
    if recipe.stop is not None and not len(validation):
        message = "`stop` needs validation data, and none is held back"
        help = "write `data ... val=0.1` to hold back a tenth"
        raise CnncError.of("E607", message, span=recipe.spans.get("stop"), help=help)
    feeds_of(graph, train.inputs)
    require_memory(graph, 2 + recipe.slots)
    batch = min(recipe.batch, len(train))
    require_training(graph, graph.name, batch, recipe.slots, more=bytes_in_memory(data))
    if resume is not None:
        weights = resume.weights
    else:
        weights = initialize(graph, recipe.seed) if initial is None else initial.fitting(graph, recipe.seed)
    slots = resume.slots if resume is not None else {}
    progress = resume.progress if resume is not None else Progress()
    objective = Objective(graph, recipe, data, train)
    recipe = objective.recipe
    origin = resume.origin if resume is not None else initial.origin if initial is not None else {}
    engine = engine or NumpyEngine()
    run = Run(
        network, recipe, graph, data, train, validation, folder, weights, slots, progress, objective, engine, origin
    )
    if recipe.data.sampling is not None:
        _require_classes(run)
    engine.prepare(run)
    return run


def _require_classes(run: Run) -> None:
    """Raises CnncError E521 where no training example has a class that could be sampled."""
    if not (run.labels >= 0).any():
        message = "`sampling=balanced` finds no training example whose label counts"
        raise CnncError.of("E521", message, span=run.recipe.spans.get("data"), help="leave `sampling=balanced` out")


def training_and_validation(data: Dataset, share: float, seed: int) -> tuple[Split, Split]:
    """The examples to train on and those of validation: as the files of the data divide them, else drawn by `split`."""
    return (data.train, data.validation) if data.validation is not None else split(data.train, share, seed)


def split(train: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Draws the fraction `share` of the training data for validation; returns the rest and that part, both in order."""
    count = round(len(train) * share)
    order = np.random.default_rng(Stream.VALIDATION_SPLIT.key(seed)).permutation(len(train))
    validation, rest = np.sort(order[:count]), np.sort(order[count:])
    return train.select(rest), train.select(validation)


def train(run: Run, callback: Callback | None = None, stopping: Stopping | None = None) -> RunResult:
    """Trains to the end, or until `stopping` asks to stop; saves checkpoints on the way.

    The caller holds the lock of the run's folder (`run_folder.new_folder`, `run_lock.locked`).

    Raises CnncError E701 where the loss is no longer finite (the last good checkpoint stays), E704 where a worker process
    died, E902 where a file cannot be written.
    """
    callback, stopping = callback or Callback(), stopping or Stopping()
    if run.ranks.is_first:
        make_folder(run.folder)
        for name in checkpoints.RUN_FILES:
            remove_temporary_files(run.folder / name)
    metrics = metrics_before(run)
    keep_memory()
    with one_blas_thread(), run.engine.running(run), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a loss that is not finite is reported as E701
        if run.progress == Progress() or not (run.folder / "last.safetensors").exists():
            save(run, "last")  # so that a run can be resumed from its first step on
        save_network(run)
        callback.on_start(run)
        if run.progress == Progress():
            for warning in (*check_batches(run), *check_classes(run)):
                callback.on_warning(run, warning)
        meter, first = MemoryMeter(run.state_bytes), run.progress.epoch
        try:
            while run.progress.epoch < run.recipe.epochs and not run.stops_early:
                start_time, examples_before = time.perf_counter(), run.progress.seen
                if not _epoch(run, callback, stopping):
                    save(run, "last")
                    _save_last_curves(run, metrics, first)
                    return _ended(RunResult(run, True, None), callback)
                seconds = time.perf_counter() - start_time
                _finish_epoch(run, callback, metrics, seconds, run.progress.seen - examples_before, meter)
        except BaseException:
            with suppress(CnncError):  # which would hide what ended the training
                _save_last_curves(run, metrics, first)
            raise
        _save_last_curves(run, metrics, first)
        growth, _ = run.memory(meter)
        best = run.ranks.first(lambda: checkpoints.load(checkpoints.find(run.folder, "best")).weights)
        runner = run.engine.runner(run, best)
        test, matrix = run.objective.measure_classes(runner, run.data.test, run.engine.scoring_ranks)
        save_test(run, metrics, test, matrix)
        for warning in check_predictions(run, matrix):
            callback.on_warning(run, warning)
        return _ended(RunResult(run, False, test, growth, matrix), callback)


def _save_last_curves(run: Run, metrics: list[str], first: int) -> None:
    """Draws the last epochs too; `first` is the epoch with which this process began."""
    if run.progress.epoch > first:
        save_curves(run, metrics)


def _ended(result: RunResult, callback: Callback) -> RunResult:
    callback.on_end(result)
    return result


def _epoch(run: Run, callback: Callback, stopping: Stopping) -> bool:
    """Trains from the run's current step to the end of the epoch; returns False where it was stopped before."""
    run.waited = 0.0
    with closing(batches_of_epoch(run)) as batches:
        return _steps(run, batches, callback, stopping)


def _steps(run: Run, batches: Iterator[StepBatch], callback: Callback, stopping: Stopping) -> bool:
    epoch = run.progress.epoch
    saved = time.monotonic()
    for step in range(run.progress.step, run.steps_per_epoch):
        stops, is_due = run.ranks.any(stopping.requested(), time.monotonic() - saved > SAVE_SECONDS)
        if stops:
            return False
        if is_due:
            save(run, "last")
            saved = time.monotonic()
        batch = next(batches)
        loss, right, total = run.engine.step(run, batch)
        if epoch == step == 0 and (warning := check_first_loss(run, loss)) is not None:
            callback.on_warning(run, warning)
        p = run.progress
        run.progress = replace(
            p,
            step=step + 1,
            loss_sum=p.loss_sum + loss * batch.size,
            right=p.right + right,
            answers=p.answers + total,
            seen=p.seen + batch.size,
        )
        callback.on_step(run, epoch, step, loss)
    return True


def one_step(
    run: Run,
    epoch: int,
    step: int,
    inputs: tuple[Array, ...],
    targets: tuple[Array, ...],
    random: Random | None = None,
) -> StepResult:
    """One training step: forward, backward, update.

    `inputs` and `targets` hold one whole batch (N, ...) per column of the data set; `random` replaces the random numbers of the
    layers. Raises CnncError E701 where the loss is not finite, E704 where a worker process died.
    """
    size = len(inputs[0])
    rows = run.engine.rows(size)
    own_inputs, own_targets = (tuple(column[rows] for column in columns) for columns in (inputs, targets))
    return run.engine.step(run, StepBatch(epoch, step, own_inputs, own_targets, size), random)


def _finish_epoch(
    run: Run, callback: Callback, metrics: list[str], seconds: float, examples: int, meter: MemoryMeter
) -> None:
    """Validates, updates the best epoch, writes metrics and checkpoints, and moves on to the next epoch.

    `seconds` and `examples` count from the start of the epoch, or from where it was resumed. Raises CnncError E701.
    """
    p = run.progress
    training = Score(p.right, p.answers or p.seen, p.loss_sum / p.seen)
    observer = partial(callback.on_validation, run)
    run.fetch()
    runner = run.engine.runner(run, run.weights)
    validation = (
        run.objective.measure(runner, run.validation, observer, run.engine.scoring_ranks)
        if len(run.validation)
        else None
    )
    deciding = validation or training
    if not math.isfinite(deciding.loss):
        part = next(run.objective.parts(run.validation))
        first = feeds_of(run.graph, tuple(column[part] for column in run.validation.inputs))
        raise diverged(run, first, p.epoch, p.step - 1)
    better = validation is None or validation.rank >= p.best_rank  # of equally good epochs, the later one
    if better:
        improved = p.epoch if validation is None or deciding.rank > p.best_rank else p.improved_epoch
        p = replace(p, best_epoch=p.epoch, best_rank=deciding.rank, best_loss=deciding.loss, improved_epoch=improved)
    rate = run.recipe.learning_rate(p.epoch)
    growth, on_device = run.memory(meter)[0], run.engine.device_memory()
    waiting = run.waited / seconds if seconds else 0.0
    done = Epoch(p.epoch, training, validation, rate, seconds, examples / seconds, growth, better, on_device, waiting)
    run.progress = replace(p, epoch=p.epoch + 1, step=0, loss_sum=0.0, right=0, answers=0, seen=0)
    metrics.append(json.dumps(finite(line_of(run, done))))
    save_metrics(run, metrics)
    if better:
        save(run, "best")
    save(run, "last")
    callback.on_epoch(run, done)
