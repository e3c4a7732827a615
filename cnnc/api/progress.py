"""Progress: one line per epoch of a training, with a live bar on a terminal; and the notes of other functions.

In: `progress=` of a public function, or what the command line prints with. Out: a `Callback` for training (`callback_of`), or a
function that takes lines (`report_of`). Nothing shows where there is neither a terminal nor a notebook.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from cnnc.api.progress_bars import PIPE_WIDTH, Bar, bar_of, in_jupyter, in_marimo
from cnnc.api.python_words import note_words
from cnnc.core.limits import human_bytes
from cnnc.core.terminal import width_of
from cnnc.data import ignore_report
from cnnc.diagnostics import Diagnostic, render
from cnnc.recipe.losses import BALANCED
from cnnc.recipe.metrics import decimals, format_metric, metric_text
from cnnc.recipe.recipe import require_recipe
from cnnc.training.run import Callback, Epoch, Run


def _count(number: int, noun: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


Report = Callable[[str], None]
Progress = bool | Callable[[str], None]
"""True shows progress in a terminal or notebook, False shows none; a function gets each line."""


def in_notebook() -> bool:
    """Whether the program runs in a notebook of Jupyter or marimo."""
    return in_jupyter() or in_marimo()


def report_of(progress: Progress) -> Report:
    """What takes the lines of `progress=`, which it gets in the words of the caller."""
    words = note_words()
    if callable(progress):
        return lambda line: progress(words(line))
    if progress and in_notebook():
        return lambda line: _write(sys.stdout, words(line))
    return (lambda line: _write(sys.stderr, words(line))) if progress and sys.stderr.isatty() else ignore_report


def callback_of(progress: Progress) -> Callback:
    """What shows the progress of a training for `progress=`."""
    report = report_of(progress)
    if report is ignore_report:
        return Callback()

    def warn(warnings: Iterable[Diagnostic]) -> None:
        for warning in warnings:
            report(render(warning))

    return TrainingProgress(report, warn, with_bar=progress is True)


def _write(stream: Any, line: str) -> None:
    stream.write(f"{line}\n")
    stream.flush()


def device_lines(run: Run) -> Iterable[str]:
    """The device or provider that computes, in a line, where the engine has a choice: `running on cuda:0`.

    Of processes that train together, each has a device of its own: `running on cuda in 4 processes`.
    """
    provider, processes = run.engine.provider, run.ranks.size
    if provider and processes > 1:
        yield f"running on {provider.partition(':')[0]} in {processes} processes"
    elif provider:
        yield f"running on {provider}"


def _computed_weights(run: Run) -> Iterable[str]:
    """The numbers in place of `balanced`, as a source states them: `loss cross_entropy: weights=balanced is [0.5, 2.5]`."""
    written_recipe = require_recipe(run.network.recipe, run.network.name)
    for written, computed in zip(written_recipe.losses, run.recipe.losses, strict=True):
        if written.balance == BALANCED and isinstance(computed.balance, tuple):
            (name,) = (spec.name for spec in written.arguments if getattr(written, spec.name) == BALANCED)
            numbers = ", ".join(f"{number:.6g}" for number in computed.balance)
            yield f"loss {written.kind}: {name}={BALANCED} is [{numbers}]"


class TrainingProgress(Callback):
    """Shows a bar during an epoch (on a terminal or in a notebook), and reports one line after each epoch."""

    def __init__(self, report: Report, warn: Callable[[Iterable[Diagnostic]], None], *, with_bar: bool = True) -> None:
        self._report = report
        self._warn = warn
        self._with_bar = with_bar
        self._bar: Bar | None = None
        self._examples = 0
        self._start_time = 0.0

    def on_start(self, run: Run) -> None:
        self._report(
            f"{run.network.name}: {run.graph.total_parameters:,} parameters, {len(run.train):,} training {run.noun}, "
            f"{len(run.validation):,} validation {run.noun}, {_count(run.recipe.epochs, 'epoch')} of {_count(run.steps_per_epoch, 'step')}"
        )
        for line in (*device_lines(run), *_computed_weights(run)):
            self._report(line)
        p = run.progress
        if p.epoch or p.step:
            if p.epoch >= run.recipe.epochs:
                self._report("all epochs are done; nothing to train")
            elif run.stops_early:
                self._report(_why_stopped(run))
            else:
                self._report(f"resuming at epoch {p.epoch + 1}, step {p.step + 1}")
        self._start_time = time.perf_counter()
        is_done = p.epoch >= run.recipe.epochs or run.stops_early
        if self._with_bar and not is_done:
            self._bar = bar_of(run)

    def on_warning(self, run: Run, warning: Diagnostic) -> None:
        self._warn([warning])

    def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
        self._examples += run.recipe.batch
        if self._bar is not None:
            rate = self._examples / (time.perf_counter() - self._start_time)
            self._bar.update(epoch + 1, loss, rate)

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        text = epoch_line(run, epoch, width_of(sys.stderr) or PIPE_WIDTH)
        if run.stops_early and run.progress.epoch < run.recipe.epochs:
            text += f"\n{_why_stopped(run)}"
        if self._bar is None or not self._bar.line(text):
            self._report(text)

    def close(self) -> None:
        """Removes the progress bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def epoch_line(run: Run, epoch: Epoch, width: int) -> str:
    """The results of an epoch in one line of at most `width` characters.

    What does not fit is left out in this order: memory of the device, speed, training accuracy, further metrics from the last on, validation
    loss, training loss. metrics.jsonl has all of it.
    """
    parts = [
        (f"epoch {epoch.number + 1:>{len(str(run.recipe.epochs))}}/{run.recipe.epochs}", 0),
        (f"loss {decimals(epoch.train.loss)}", 1),
    ]
    if run.objective.is_classifier:
        parts.append((f"accuracy {epoch.train.accuracy:.2%}", _ACCURACY))
    if epoch.validation is not None:
        parts += [(f"val loss {decimals(epoch.validation.loss)}", 2), (f"val {epoch.validation}", 0)]
        others = epoch.validation.others
        parts += [
            (f"val {metric_text(name)} {format_metric(name, value)}", 3 + i) for i, (name, value) in enumerate(others)
        ]
    data = f" (data {epoch.waiting:.0%})" if epoch.waiting >= SHOWN_WAITING else ""
    parts.append((f"{epoch.images_per_second:,.0f} {run.noun}/s{data}", _SPEED))
    if epoch.device_memory is not None:
        parts.append((f"device {human_bytes(epoch.device_memory)}", _DEVICE))
    best = ("best", 0)
    while sum(len(text) + 2 for text, _ in [*parts, best]) - 2 > width and (left_out := max(drop for _, drop in parts)):
        parts = [part for part in parts if part[1] != left_out]
    return "  ".join(text for text, _ in [*parts, *([best] if epoch.best else [])])


SHOWN_WAITING = 0.1
"""From this fraction of the time on, the time in which the steps wait for their examples is shown."""

_ACCURACY, _SPEED, _DEVICE = 1000, 1001, 1002  # what is left out of a line first has the highest number


def _why_stopped(run: Run) -> str:
    """Why a run stops before its last epoch."""
    assert run.recipe.stop is not None
    p, patience = run.progress, run.recipe.stop.patience
    return (
        f"stopped after epoch {p.epoch}: no improvement since epoch {p.improved_epoch + 1} (stop patience={patience})"
    )
