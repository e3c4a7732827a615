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
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnc.analysis import training_memory
from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.files import make_folder, read_bytes, sweep, write_atomic
from cnnc.fuse import for_training
from cnnc.graph import Graph, Node
from cnnc.memory import Meter
from cnnc.network import Network
from cnnc.ops.dense import Input
from cnnc.ops.sequence import Embed
from cnnc.provenance import versions
from cnnc.recipe import CrossEntropy, Recipe, require
from cnnc.reference.crew import Crew, crew_for
from cnnc.reference.engine import Array, StepNumbers, Weights, backward, forward, outward
from cnnc.reference.initial import initialize
from cnnc.reference.parallel import keep_memory, one_blas_thread, thread_count
from cnnc.training import checkpoint as checkpoints
from cnnc.training.augment import augment
from cnnc.training.checkpoint import Checkpoint, Progress
from cnnc.training.curves import curves
from cnnc.training.objective import Objective, Score, feeds_of
from cnnc.training.optimizers import clip, update
from cnnc.training.schedules import factor

SAVE_SECONDS = 300.0  # at most so much work is lost to a power cut
FAR_OFF = 3.0  # a first loss so many times that of guessing is told


class Epoch(NamedTuple):
    """What one epoch came to; `validation` is None without a validation share.

    `memory` is by how many bytes the process has grown since training began (None where the system does not tell).
    """

    number: int
    train: Score
    validation: Score | None
    rate: float
    seconds: float
    images_per_second: float
    memory: int | None
    best: bool


class Watcher:
    """Is told how training goes. The base class is silent."""

    def began(self, run: Run) -> None:
        """Before the first step."""

    def warned(self, run: Run, warning: Diagnostic) -> None:
        """Where something is legal and hardly meant."""

    def stepped(self, run: Run, epoch: int, step: int, loss: float) -> None:
        """After each step; both count from 0."""

    def finished_epoch(self, run: Run, epoch: Epoch) -> None:
        """After each epoch."""

    def close(self) -> None:
        """At the end, however training ended. Whoever made the watcher calls it."""


class Watchers(Watcher):
    """Several that are told the same."""

    def __init__(self, *watchers: Watcher) -> None:
        self._all = watchers

    def began(self, run: Run) -> None:
        for watcher in self._all:
            watcher.began(run)

    def warned(self, run: Run, warning: Diagnostic) -> None:
        for watcher in self._all:
            watcher.warned(run, warning)

    def stepped(self, run: Run, epoch: int, step: int, loss: float) -> None:
        for watcher in self._all:
            watcher.stepped(run, epoch, step, loss)

    def finished_epoch(self, run: Run, epoch: Epoch) -> None:
        for watcher in self._all:
            watcher.finished_epoch(run, epoch)

    def close(self) -> None:
        for watcher in self._all:
            watcher.close()


class Stopping(NamedTuple):
    """Asked after each step: whether to save and stop."""

    asked: Callable[[], bool] = lambda: False


@dataclass
class Run:
    """A run under way."""

    network: Network
    recipe: Recipe
    graph: Graph
    data: Dataset
    train: Split
    validation: Split
    folder: Path
    weights: Weights
    slots: Weights
    progress: Progress
    objective: Objective
    crew: Crew | None = None

    @cached_property
    def stepped(self) -> Graph:
        """What a training step runs."""
        return for_training(self.graph, self.objective.wanted)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.train) // self.recipe.batch)

    @property
    def held(self) -> int:
        """Bytes of weights and slots."""
        return sum(array.nbytes for array in (*self.weights.values(), *self.slots.values()))


class Result(NamedTuple):
    """The end of a run. `test` is the score of the best weights on the test set, None where it was stopped.

    `memory` is by how many bytes the process has grown in training, None where the system does not tell.
    """

    run: Run
    stopped: bool
    test: Score | None
    memory: int | None = None


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
    return train.part(kept), train.part(held)


def train(run: Run, watcher: Watcher | None = None, stopping: Stopping | None = None) -> Result:
    """Runs to the end, or until `stopping` asks; saves as it goes.

    Raises CnncError E701 where the loss is no longer finite; the last good checkpoint is kept.
    """
    watcher, stopping = watcher or Watcher(), stopping or Stopping()
    metrics = _metrics_before(run)
    keep_memory()
    with one_blas_thread(), working(run), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow is looked for, and said in our own words
        if run.progress == Progress() or not (run.folder / "last.safetensors").exists():
            save(run, "last")  # from the first moment on there is something to go on from
        write_atomic(run.folder / "network.cnn", run.network.source.text.encode())
        watcher.began(run)
        meter = Meter(run.held)
        while run.progress.epoch < run.recipe.epochs and not _is_enough(run):
            begun, seen = time.perf_counter(), run.progress.seen
            if not _epoch(run, watcher, stopping):
                save(run, "last")
                return Result(run, True, None)
            seconds = time.perf_counter() - begun
            _finish_epoch(run, watcher, metrics, seconds, run.progress.seen - seen, meter)
        grown, _ = _memory(run, meter)
        best = checkpoints.load(checkpoints.find(run.folder, "best")).weights
        test = run.objective.evaluate(best, run.data.test)
        found = {"epoch": run.progress.best_epoch + 1, **test.as_dict()}
        write_atomic(run.folder / "test.json", f"{json.dumps(found)}\n".encode())
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


class Rehearsal(NamedTuple):
    """What a run would take: seconds a step, examples a second, seconds in all; the first loss beside chance's.

    Bytes: what `cnnc check --batch` predicts, what it really grew by (None where the system does not tell), and the
    most that the process held.
    """

    loss: float
    chance: float | None
    seconds: float
    rate: float
    total: float
    predicted: int
    measured: int | None
    peak: int


def rehearse(run: Run) -> Rehearsal:
    """Two steps of a run, the second of them timed; nothing is saved. Raises CnncError E701."""
    batch = min(run.recipe.batch, len(run.train))
    meter = Meter(run.held)
    inputs = tuple(column[np.arange(batch)] for column in run.train.inputs)
    targets = tuple(column[np.arange(batch)] for column in run.train.targets)
    keep_memory()
    with one_blas_thread(), working(run):
        loss, _, _ = one_step(run, 0, 0, inputs, targets)
        begun = time.perf_counter()
        one_step(run, 0, 1, inputs, targets)
        seconds = time.perf_counter() - begun
        growth, whole = _memory(run, meter)
    total = seconds * run.steps * run.recipe.epochs
    predicted = training_memory(run.graph, batch, run.recipe.slots)
    return Rehearsal(loss, run.objective.chance, seconds, batch / seconds, total, predicted, growth, whole)


def _memory(run: Run, meter: Meter) -> tuple[int | None, int]:
    """By how much this process and its workers have grown, and what they held at most, in bytes."""
    growth, whole = meter.growth, meter.whole
    for more, all_of_it in run.crew.memory() if run.crew is not None else ():
        growth = None if growth is None or more is None else growth + more
        whole += all_of_it
    return growth, whole


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
        if epoch == step == 0 and (warning := _odd_first_loss(run, loss)) is not None:
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
        raise _diverged(run, feeds, epoch, step)
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


def _odd_first_loss(run: Run, loss: float) -> Diagnostic | None:
    """W701 where an untrained classifier does not begin at about the loss of guessing."""
    chance = run.objective.chance
    if chance is None or chance / FAR_OFF <= loss <= FAR_OFF * chance:
        return None
    above = loss > chance
    return Diagnostic(
        "W701",
        f"the first loss is {loss:.4g}; guessing costs {chance:.4g}, the logarithm of the number of classes",
        run.objective.terms[0].output.span,
        help="the scores begin too large: scale the input (`normalize`), or give the last layer `init=normal`"
        if above
        else "the answer may be in the input, or all labels may be one",
    )


def _is_enough(run: Run) -> bool:
    """Whether validation has not improved for as many epochs as `stop patience=` allows; as good as before is no better."""
    p = run.progress
    return run.recipe.stop is not None and p.epoch > 0 and p.epoch - 1 - p.improved_epoch >= run.recipe.stop.patience


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
        raise _diverged(run, first, p.epoch, p.step - 1)
    better = validation is None or validation.rank >= p.best_rank  # of equals, the one trained longer
    if better:
        improved = p.epoch if validation is None or judged.rank > p.best_rank else p.improved_epoch
        p = replace(p, best_epoch=p.epoch, best_rank=judged.rank, best_loss=judged.loss, improved_epoch=improved)
    rate = run.recipe.optimizer.lr * factor(run.recipe.schedule, p.epoch, run.recipe.epochs)
    done = Epoch(p.epoch, trained, validation, rate, seconds, images / seconds, _memory(run, meter)[0], better)
    run.progress = replace(p, epoch=p.epoch + 1, step=0, loss_sum=0.0, right=0, answers=0, seen=0)
    metrics.append(json.dumps(line_of(run, done)))
    write_atomic(run.folder / "metrics.jsonl", "".join(f"{line}\n" for line in metrics).encode())
    write_atomic(run.folder / "curves.svg", curves(metrics, run.network.name).encode())
    if better:
        save(run, "best")
    save(run, "last")
    watcher.finished_epoch(run, done)


def save(run: Run, name: str) -> Path:
    """Writes the run as it stands to NAME.safetensors in its folder. Raises CnncError E701 rather than keep no numbers."""
    if not all(np.isfinite(array).all() for array in run.weights.values()):
        raise _diverged(run, {}, run.progress.epoch, max(0, run.progress.step - 1))
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
        ),
    )
    return path


def line_of(run: Run, epoch: Epoch) -> dict[str, float | int | None]:
    """An epoch as metrics.jsonl tells it."""
    v = epoch.validation
    return {
        "epoch": epoch.number + 1,
        "train_loss": epoch.train.loss,
        "train_accuracy": epoch.train.accuracy if run.objective.answers else None,
        "val_loss": v.loss if v else None,
        f"val_{run.recipe.metric}": v.result if v else None,
        **({f"val_{name}": value for name, value in v.others} if v else {}),
        "lr": epoch.rate,
        "seconds": round(epoch.seconds, 3),
        "images_per_second": round(epoch.images_per_second, 1),
        "memory": epoch.memory,
    }


def _metrics_before(run: Run) -> list[str]:
    """The lines of metrics.jsonl that a resumed run keeps: those of the epochs that its checkpoint has seen."""
    path = run.folder / "metrics.jsonl"
    if not run.progress.epoch or not path.exists():
        return []
    return read_bytes(path).decode(errors="replace").splitlines()[: run.progress.epoch]


def _diverged(run: Run, feeds: dict[str, Array], epoch: int, step: int) -> CnncError:
    """E701, naming the first layer whose weights, or whose value on these feeds, are not finite."""
    guilty = _not_finite(run, feeds)
    kept = run.folder / "last.safetensors"
    where = f"; {guilty.name} is the first layer that is not finite" if guilty is not None else ""
    saved = f"the last good checkpoint is {kept}; " if kept.exists() else ""
    return CnncError(
        Diagnostic(
            "E701",
            f"training diverged at epoch {epoch + 1}, step {step + 1}: the loss is not finite{where}",
            guilty.span if guilty is not None else None,
            help=f"{saved}try a lower learning rate, e.g. --set train.optimizer.lr={run.recipe.optimizer.lr / 10:g}",
        )
    )


def _not_finite(run: Run, feeds: dict[str, Array]) -> Node | None:
    graph, weights = run.graph, run.weights
    for node in graph.nodes:
        if any(not np.isfinite(weights[f"{node.parameter_owner}.{p.name}"]).all() for p in graph.parameters(node)):
            return node
    if not feeds:
        return None
    values = forward(graph, weights, feeds, keep_all=True, training=True, random=_fixed).values
    return next((n for n in graph.nodes if n.name in values and not np.isfinite(outward(values[n.name])).all()), None)


def _fixed(layer: str) -> np.random.Generator:
    return np.random.default_rng(0)
