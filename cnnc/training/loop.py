"""The training loop.

In: a network with its recipe, a data set, a run folder, and a checkpoint to go on from. Out: checkpoints,
metrics.jsonl, and `Result`. What it has to tell goes to a `Watcher`; it prints nothing.

Every random choice is a function of the seed, the epoch, the step and the layer, so a run that is
stopped at any moment and resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.files import make_folder, sweep
from cnnc.core.process_memory import Meter
from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import CnncError
from cnnc.network import Network
from cnnc.ops.dense import Input
from cnnc.ops.sequence import Embed
from cnnc.recipe.metrics import finite
from cnnc.recipe.statements import CrossEntropy, require
from cnnc.reference.engine import StepNumbers, backward, forward
from cnnc.reference.initializers import initialize
from cnnc.reference.parallel.processes import crew_for
from cnnc.reference.parallel.threads import keep_memory, one_blas_thread
from cnnc.training import checkpoint as checkpoints
from cnnc.training.augment import augment
from cnnc.training.checkpoint import Checkpoint, Progress
from cnnc.training.divergence import diverged, odd_first_loss
from cnnc.training.objective import Objective, Score, feeds_of
from cnnc.training.optimizers import clip, update
from cnnc.training.run import Epoch, Result, Run, Stopping, Watcher
from cnnc.training.run_folder import line_of, metrics_before, save, save_metrics, save_network, save_test
from cnnc.training.schedules import factor

SAVE_SECONDS = 300.0  # at most so much work is lost to a power cut


def open_data(
    network: Network, folder: Path | None, report: Callable[[str], None], vocabulary: Sequence[str] = ()
) -> Dataset:
    """The data set of a network's train section, brought to its inputs. Raises CnncError.

    Words are numbered by the `vocabulary` that the network was trained with, where there is one already.
    """
    from cnnc.data import load

    graph, recipe = network.require_graph(), require(network.recipe, network.name)
    first = recipe.losses[0]
    output = graph.by_name[first.on or graph.outputs[0]]
    classify = isinstance(first, CrossEntropy)
    return load(
        recipe.data.name,
        folder,
        report,
        path=recipe.data.path,
        inputs=tuple(node.op.fed() for node in graph.inputs if isinstance(node.op, Input)),
        input_names=tuple(node.name for node in graph.inputs),
        output_names=graph.outputs,
        classes=output.type.channels if classify else 0,
        ignore=first.ignore if isinstance(first, CrossEntropy) else None,
        test=recipe.data.test,
        seed=recipe.seed,
        vocabulary_size=max((n.op.vocab for n in graph.nodes if isinstance(n.op, Embed)), default=0),
        vocabulary=tuple(vocabulary),
    )


def start(network: Network, data: Dataset, folder: Path, resume: Checkpoint | None = None) -> Run:
    """Prepares a run: splits the data, draws or restores the weights. Raises CnncError."""
    graph = network.require_graph()
    recipe = require(network.recipe, network.name)
    train, validation = split(data.train, recipe.data.val, recipe.seed)
    if not len(train):
        raise CnncError.of("E607", f"{data.name}: no example is left to train on", help="a smaller val= leaves more")
    if recipe.stop is not None and not len(validation):
        message = "`stop` looks at the validation share, and there is none"
        raise CnncError.of(
            "E607", message, span=recipe.places.get("stop"), help="`data ... val=0.1` holds a tenth back"
        )
    feeds_of(graph, train.inputs)
    weights = resume.weights if resume is not None else initialize(graph, recipe.seed)
    slots = resume.slots if resume is not None else {}
    progress = resume.progress if resume is not None else Progress()
    make_folder(folder)
    for name in checkpoints.RUN_FILES:
        sweep(folder / name)
    objective = Objective(graph, recipe, data)
    return Run(network, recipe, graph, data, train, validation, folder, weights, slots, progress, objective)


def split(train: Split, share: float, seed: int) -> tuple[Split, Split]:
    """The training data without its validation share, and that share, drawn from the seed."""
    count = round(len(train) * share)
    order = np.random.default_rng([seed, 3]).permutation(len(train))
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    return train.select(kept), train.select(held)


def train(run: Run, watcher: Watcher | None = None, stopping: Stopping | None = None) -> Result:
    """Runs to the end, or until `stopping` asks; saves as it goes.

    Raises CnncError E701 where the loss is no longer finite; the last good checkpoint is kept.
    """
    watcher, stopping = watcher or Watcher(), stopping or Stopping()
    metrics = metrics_before(run)
    keep_memory()
    with one_blas_thread(), working(run), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow is looked for, and said in our own words
        if run.progress == Progress() or not (run.folder / "last.safetensors").exists():
            save(run, "last")  # from the first moment on there is something to go on from
        save_network(run)
        watcher.began(run)
        meter = Meter(run.held)
        while run.progress.epoch < run.recipe.epochs and not run.is_enough:
            begun, seen = time.perf_counter(), run.progress.seen
            if not _epoch(run, watcher, stopping):
                save(run, "last")
                return Result(run, True, None)
            seconds = time.perf_counter() - begun
            _finish_epoch(run, watcher, metrics, seconds, run.progress.seen - seen, meter)
        grown, _ = run.memory(meter)
        best = checkpoints.load(checkpoints.find(run.folder, "best")).weights
        test = run.objective.evaluate(best, run.data.test)
        save_test(run, test)
        return Result(run, False, test, grown)


@contextmanager
def working(run: Run) -> Iterator[None]:
    """Inside, worker processes take their parts of each batch, where the run is long enough to be worth it."""
    left = run.recipe.epochs - run.progress.epoch
    run.crew = crew_for(run.stepped, run.weights, run.objective.wanted, run.recipe.batch, left * len(run.train))
    if run.crew is None:
        yield
        return
    with run.crew:
        run.weights = run.crew.adopt(run.weights)
        try:
            yield
        finally:
            run.crew = None


def _epoch(run: Run, watcher: Watcher, stopping: Stopping) -> bool:
    """Trains from where the run stands to the end of the epoch; false where it was asked to stop."""
    epoch = run.progress.epoch
    order = np.random.default_rng([run.recipe.seed, 1, epoch]).permutation(len(run.train))
    saved = time.monotonic()
    for step in range(run.progress.step, run.steps):
        if stopping.asked():
            return False
        chosen = order[step * run.recipe.batch : (step + 1) * run.recipe.batch]
        inputs = tuple(column[chosen] for column in run.train.inputs)
        if run.recipe.augment is not None:
            random = np.random.default_rng([run.recipe.seed, 4, epoch, step])
            inputs = (augment(inputs[0], run.recipe.augment, random), *inputs[1:])
        loss, right, answers = one_step(run, epoch, step, inputs, tuple(c[chosen] for c in run.train.targets))
        if epoch == step == 0 and (warning := odd_first_loss(run, loss)) is not None:
            watcher.warned(run, warning)
        p = run.progress
        run.progress = replace(
            p,
            step=step + 1,
            loss_sum=p.loss_sum + loss * len(chosen),
            right=p.right + right,
            answers=p.answers + answers,
            seen=p.seen + len(chosen),
        )
        watcher.stepped(run, epoch, step, loss)
        if time.monotonic() - saved > SAVE_SECONDS:
            save(run, "last")
            saved = time.monotonic()
    return not (stopping.asked() and run.progress.step < run.steps)


def one_step(
    run: Run, epoch: int, step: int, inputs: tuple[Array, ...], targets: tuple[Array, ...]
) -> tuple[float, int, int]:
    """One batch forward and backward, and the update; returns the loss, the right answers, and all answers."""
    recipe, graph, objective = run.recipe, run.stepped, run.objective

    random = StepNumbers(recipe.seed, epoch, step)
    feeds = feeds_of(graph, inputs)
    if run.crew is not None:
        trace = run.crew.forward(run.weights, feeds, random)
    else:
        trace = forward(graph, run.weights, feeds, wanted=objective.wanted, training=True, random=random)
    batch = objective.batch(trace, targets)
    if not math.isfinite(batch.loss):
        raise diverged(run, feeds, epoch, step)
    right, answers = objective.right(trace, targets)
    if run.crew is not None:
        gradients = run.crew.backward(run.weights, trace, batch.seeds)
    else:
        gradients, _ = backward(graph, run.weights, trace, batch.seeds)
    if recipe.clip is not None:
        clip(gradients, recipe.clip)
    rate = recipe.optimizer.lr * factor(recipe.schedule, epoch + step / run.steps, recipe.epochs)
    update(recipe.optimizer, run.weights, gradients, run.slots, rate)
    run.weights.update(trace.buffers)
    return batch.loss, right, answers


def _finish_epoch(run: Run, watcher: Watcher, metrics: list[str], seconds: float, images: int, meter: Meter) -> None:
    """Validates, keeps the best, writes metrics and checkpoints, and moves on to the next epoch.

    `seconds` and `images` are those since the epoch began or was resumed. Raises CnncError E701.
    """
    p = run.progress
    trained = Score(p.right, p.answers or p.seen, p.loss_sum / p.seen)
    validation = run.objective.evaluate(run.weights, run.validation) if len(run.validation) else None
    judged = validation or trained
    if not math.isfinite(judged.loss):
        part = next(run.objective.parts(run.validation))
        first = feeds_of(run.graph, tuple(column[part] for column in run.validation.inputs))
        raise diverged(run, first, p.epoch, p.step - 1)
    better = validation is None or validation.rank >= p.best_rank  # of equals, the one trained longer
    if better:
        improved = p.epoch if validation is None or judged.rank > p.best_rank else p.improved_epoch
        p = replace(p, best_epoch=p.epoch, best_rank=judged.rank, best_loss=judged.loss, improved_epoch=improved)
    rate = run.recipe.optimizer.lr * factor(run.recipe.schedule, p.epoch, run.recipe.epochs)
    done = Epoch(p.epoch, trained, validation, rate, seconds, images / seconds, run.memory(meter)[0], better)
    run.progress = replace(p, epoch=p.epoch + 1, step=0, loss_sum=0.0, right=0, answers=0, seen=0)
    metrics.append(json.dumps(finite(line_of(run, done))))
    save_metrics(run, metrics)
    if better:
        save(run, "best")
    save(run, "last")
    watcher.finished_epoch(run, done)
