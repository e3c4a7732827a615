"""The bar of a training during an epoch: on a terminal, in Jupyter, in marimo.

In: a run that is about to train. Out: a `Bar`, which is updated after each step; None where nothing can show one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any, Protocol

from cnnc.core.terminal import width_of
from cnnc.recipe.metrics import decimals
from cnnc.training.run import Run

PIPE_WIDTH = 80
"""The longest line of an epoch in a pipe or a file."""

_WIDTH_FOR_SPEED, _WIDTH_FOR_BAR = 92, 56  # of the terminal: what the progress bar shows needs these
_SECONDS = 0.5  # between two updates in a notebook, whose messages pile up in the browser otherwise


class Bar(Protocol):
    """What shows the steps of a training."""

    def update(self, epoch: int, loss: float, rate: float) -> None:
        """After a step of an epoch, counted from 1, at `rate` examples per second."""

    def line(self, text: str) -> bool:
        """Prints a line beside the bar, and says whether it did."""

    def close(self) -> None:
        """Removes the bar."""


def in_jupyter() -> bool:
    """Whether the program runs in a kernel of Jupyter."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def in_marimo() -> bool:
    """Whether the program runs in a notebook of marimo."""
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())


def bar_of(run: Run) -> Bar | None:
    """The bar for where the program runs."""
    if in_jupyter():
        from IPython.display import display

        return JupyterBar(run, display)
    if in_marimo():
        return MarimoBar(run, sys.modules["marimo"].status.progress_bar)
    return TerminalBar(run) if sys.stderr.isatty() else None


def _done(run: Run) -> int:
    return run.progress.epoch * run.steps_per_epoch + run.progress.step


def _total(run: Run) -> int:
    return run.recipe.epochs * run.steps_per_epoch


class TerminalBar:
    """A bar on the last line of a terminal."""

    def __init__(self, run: Run) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        width = width_of(sys.stderr) or PIPE_WIDTH
        speed = "  {task.fields[rate]:,.0f} {task.fields[noun]}/s" if width >= _WIDTH_FOR_SPEED else ""
        columns = [
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=30 if width >= _WIDTH_FOR_SPEED else 10),
            TextColumn(f"{{task.percentage:>3.0f}}%  loss {{task.fields[loss]}}{speed}"),
            TimeRemainingColumn(),
        ]
        if width < _WIDTH_FOR_BAR:
            del columns[1]
        self._bar = Progress(*columns, console=RichConsole(stderr=True), transient=True)
        self._task = self._bar.add_task(
            "train",
            total=_total(run),
            completed=_done(run),
            epoch=run.progress.epoch + 1,
            epochs=run.recipe.epochs,
            loss=decimals(0),
            rate=0.0,
            noun=run.noun,
        )
        self._bar.start()

    def update(self, epoch: int, loss: float, rate: float) -> None:
        self._bar.update(self._task, advance=1, epoch=epoch, loss=decimals(loss), rate=rate)

    def line(self, text: str) -> bool:
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        return True

    def close(self) -> None:
        self._bar.stop()


class _NotebookBar:
    """What the bars of notebooks share: the step, the text, and how often it is shown."""

    def __init__(self, run: Run) -> None:
        self.done, self.total = _done(run), _total(run)
        self._epochs, self._noun = run.recipe.epochs, run.noun
        self._unshown, self._next = 0, 0.0

    def update(self, epoch: int, loss: float, rate: float) -> None:
        self.done, self._unshown = self.done + 1, self._unshown + 1
        if time.monotonic() >= self._next:
            text = f"epoch {epoch}/{self._epochs}  loss {decimals(loss)}  {rate:,.0f} {self._noun}/s"
            self.show(text, self._unshown)
            self._unshown, self._next = 0, time.monotonic() + _SECONDS

    def show(self, text: str, steps: int) -> None:
        """Shows the text and the steps since the last time."""
        raise NotImplementedError

    def line(self, text: str) -> bool:
        return False


class JupyterBar(_NotebookBar):
    """An element of the cell's output that is replaced in place; `display` is that of IPython."""

    def __init__(self, run: Run, display: Callable[..., Any]) -> None:
        super().__init__(run)
        self._text = ""
        self._handle = display(self, display_id=True)

    def show(self, text: str, steps: int) -> None:
        self._text = text
        self._handle.update(self)

    def close(self) -> None:
        self._text, self.total = "", 0
        self._handle.update(self)

    def __repr__(self) -> str:
        return f"{self.done:,} of {self.total:,} steps  {self._text}" if self.total else ""

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self.done}" max="{self.total}"></progress> {escape(self._text)}'
        return f"<div>{bar if self.total else ''}</div>"


class MarimoBar(_NotebookBar):
    """The progress bar of marimo, `marimo.status.progress_bar`, in the output of the cell."""

    def __init__(self, run: Run, progress_bar: Callable[..., Any]) -> None:
        super().__init__(run)
        self._context = progress_bar(total=max(1, self.total - self.done), title=run.network.name, remove_on_exit=True)
        self._bar = self._context.__enter__()

    def show(self, text: str, steps: int) -> None:
        self._bar.update(increment=steps, subtitle=text)

    def close(self) -> None:
        self._context.__exit__(None, None, None)
