"""Progress of a training run, on stderr: a live progress bar on a terminal, and one line per epoch."""

from __future__ import annotations

import sys
import time
from typing import Any

from cnnc.cli.console import print_diagnostics, print_status
from cnnc.diagnostics import Diagnostic
from cnnc.recipe.metrics import decimals
from cnnc.training.run import Callback, Epoch, Run


def _count(number: int, noun: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


class ConsoleProgress(Callback):
    """Shows speed and remaining time during an epoch (on a terminal), and prints one line after each epoch."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._examples = 0
        self._start_time = 0.0

    def on_start(self, run: Run) -> None:
        print_status(
            f"{run.network.name}: {run.graph.total_parameters:,} parameters, {len(run.train):,} training {_noun(run)}, "
            f"{len(run.validation):,} validation {_noun(run)}, {_count(run.recipe.epochs, 'epoch')} of {_count(run.steps_per_epoch, 'step')}"
        )
        p = run.progress
        if p.epoch or p.step:
            if p.epoch >= run.recipe.epochs:
                print_status("all epochs are done; nothing to train")
            elif run.stops_early:
                print_status(_why_stopped(run))
            else:
                print_status(f"resuming at epoch {p.epoch + 1}, step {p.step + 1}")
        self._start_time = time.perf_counter()
        if sys.stderr.isatty():
            self._start_bar(run)

    def _start_bar(self, run: Run) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=30),
            TextColumn(
                "{task.percentage:>3.0f}%  loss {task.fields[loss]:.4f}  {task.fields[rate]:,.0f} {task.fields[noun]}/s"
            ),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=RichConsole(stderr=True), transient=True)
        start = run.progress.epoch * run.steps_per_epoch + run.progress.step
        self._task = self._bar.add_task(
            "train",
            total=run.recipe.epochs * run.steps_per_epoch,
            completed=start,
            epoch=run.progress.epoch + 1,
            epochs=run.recipe.epochs,
            loss=0.0,
            rate=0.0,
            noun=_noun(run),
        )
        self._bar.start()

    def on_warning(self, run: Run, warning: Diagnostic) -> None:
        print_diagnostics([warning])

    def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
        self._examples += run.recipe.batch
        if self._bar is not None:
            rate = self._examples / (time.perf_counter() - self._start_time)
            self._bar.update(self._task, advance=1, epoch=epoch + 1, loss=loss, rate=rate)

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        text = f"epoch {epoch.number + 1:>{len(str(run.recipe.epochs))}}/{run.recipe.epochs}  loss {decimals(epoch.train.loss)}"
        if run.objective.is_classifier:
            text += f"  accuracy {epoch.train.accuracy:.2%}"
        if epoch.validation is not None:
            text += f"  val loss {decimals(epoch.validation.loss)}  val {epoch.validation}"
        text += f"  {epoch.images_per_second:,.0f} {_noun(run)}/s{'  best' if epoch.best else ''}"
        if run.stops_early and run.progress.epoch < run.recipe.epochs:
            text += f"\n{_why_stopped(run)}"
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        else:
            print_status(text)

    def close(self) -> None:
        """Removes the progress bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _why_stopped(run: Run) -> str:
    """Why a run stops before its last epoch."""
    assert run.recipe.stop is not None
    p, patience = run.progress, run.recipe.stop.patience
    return (
        f"stopped after epoch {p.epoch}: no improvement since epoch {p.improved_epoch + 1} (stop patience={patience})"
    )


def _noun(run: Run) -> str:
    """What the examples of a run are called."""
    return "images" if run.graph.inputs[0].type.rank == 2 else "examples"
