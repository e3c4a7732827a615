"""A run as TensorBoard shows it.

In: what a `Watcher` is told. Out: event files in the run's folder `tensorboard`: the loss of every step, and the lines of
metrics.jsonl, both over the count of steps. A run that is resumed takes back what came after its checkpoint. Nothing
here touches the run; the library that writes is tensorboardX, which needs neither PyTorch nor TensorFlow.
"""

from __future__ import annotations

from typing import Any

from cnnc.diagnostics import CnncError
from cnnc.training.run import Epoch, Run, Watcher
from cnnc.training.run_folder import line_of

FOLDER = "tensorboard"


def require() -> Any:
    """The library's writer. Raises CnncError E906 where it is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        help = "pip install 'cnnc[tensorboard]', or leave out --log: metrics.jsonl and curves.svg are always written"
        raise CnncError.of("E906", "--log tensorboard needs tensorboardX", help=help) from None
    return SummaryWriter


class TensorBoard(Watcher):
    """Writes scalars as training goes. Raises CnncError E906 where the library is not installed."""

    def __init__(self) -> None:
        self._make = require()
        self._writer: Any = None

    def began(self, run: Run) -> None:
        p = run.progress
        done = p.epoch * run.steps + p.step
        purge = done + 1 if done else None
        # The library names files by the second; the suffix keeps two that begin in the same one apart.
        self._writer = self._make(str(run.folder / FOLDER), purge_step=purge, filename_suffix=f".{done}")

    def stepped(self, run: Run, epoch: int, step: int, loss: float) -> None:
        self._writer.add_scalar("loss", loss, epoch * run.steps + step + 1)

    def finished_epoch(self, run: Run, epoch: Epoch) -> None:
        at = (epoch.number + 1) * run.steps
        for name, value in line_of(run, epoch).items():
            if value is not None:
                self._writer.add_scalar(name, value, at)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
