"""The face of training: one live line on a terminal, a plain line an epoch in a pipe, both on stderr."""

from __future__ import annotations

import sys
import time
from typing import Any

from cnnc.cli.console import show, tell
from cnnc.diagnostics import Diagnostic
from cnnc.recipe.metrics import decimals
from cnnc.training.run import Callback, Epoch, Run


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' if number != 1 else ''}"


class Console(Callback):
    """Shows rate and time left while an epoch runs, and a line for each that is done."""

    def __init__(self) -> None:
        self._live: Any = None
        self._task: Any = None
        self._done = 0
        self._begun = 0.0

    def on_start(self, run: Run) -> None:
        tell(
            f"{run.network.name}: {run.graph.total_parameters:,} parameters, {len(run.train):,} {_noun(run)} to train on, "
            f"{len(run.validation):,} to validate, {_count(run.recipe.epochs, 'epoch')} of {_count(run.steps_per_epoch, 'step')}"
        )
        p = run.progress
        if p.epoch or p.step:
            if p.epoch >= run.recipe.epochs:
                tell("all epochs are done")
            elif run.stops_early:
                tell(_ended(run))
            else:
                tell(f"going on with epoch {p.epoch + 1} after {_count(p.step, 'step')}")
        self._begun = time.perf_counter()
        if sys.stderr.isatty():
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
            self._live = Progress(*columns, console=RichConsole(stderr=True), transient=True)
            start = run.progress.epoch * run.steps_per_epoch + run.progress.step
            self._task = self._live.add_task(
                "train",
                total=run.recipe.epochs * run.steps_per_epoch,
                completed=start,
                epoch=run.progress.epoch + 1,
                epochs=run.recipe.epochs,
                loss=0.0,
                rate=0.0,
                noun=_noun(run),
            )
            self._live.start()

    def on_warning(self, run: Run, warning: Diagnostic) -> None:
        show([warning])

    def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
        self._done += run.recipe.batch
        if self._live is not None:
            rate = self._done / (time.perf_counter() - self._begun)
            self._live.update(self._task, advance=1, epoch=epoch + 1, loss=loss, rate=rate)

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        text = f"epoch {epoch.number + 1:>{len(str(run.recipe.epochs))}}/{run.recipe.epochs}  loss {decimals(epoch.train.loss)}"
        if run.objective.is_classifier:
            text += f"  accuracy {epoch.train.accuracy:.2%}"
        if epoch.validation is not None:
            text += f"  val loss {decimals(epoch.validation.loss)}  val {epoch.validation}"
        text += f"  {epoch.images_per_second:,.0f} {_noun(run)}/s{'  best' if epoch.best else ''}"
        if run.stops_early and run.progress.epoch < run.recipe.epochs:
            text += f"\n{_ended(run)}"
        if self._live is not None:
            self._live.console.print(text, highlight=False)
        else:
            tell(text)

    def close(self) -> None:
        """Takes the live line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _ended(run: Run) -> str:
    """Why a run ends before its last epoch."""
    assert run.recipe.stop is not None
    p, patience = run.progress, run.recipe.stop.patience
    return f"ended after epoch {p.epoch}: none was better than epoch {p.improved_epoch + 1} (stop patience={patience})"


def _noun(run: Run) -> str:
    return "images" if run.graph.inputs[0].type.rank == 2 else "examples"
