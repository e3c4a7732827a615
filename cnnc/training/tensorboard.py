"""Event files for TensorBoard.

In: the calls of a `Callback`. Out: event files in the run's folder `tensorboard`: the loss of every step, and the
columns of metrics.jsonl, both by step. A resumed run purges the steps after its checkpoint. The files are written by
tensorboardX, which needs neither PyTorch nor TensorFlow.
"""

from __future__ import annotations

from typing import Any

from cnnc.diagnostics import CnncError
from cnnc.training.run import Callback, Epoch, Run
from cnnc.training.run_folder import line_of

FOLDER = "tensorboard"


def require_summary_writer() -> Any:
    """The writer class of tensorboardX. Raises CnncError E906 where it is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        help = "run `pip install tensorboardX`, or omit --log: metrics.jsonl and curves.svg are always written"
        raise CnncError.of("E906", "--log tensorboard needs tensorboardX", help=help) from None
    return SummaryWriter


class TensorBoard(Callback):
    """Writes scalars during training. Raises CnncError E906 where tensorboardX is not installed."""

    def __init__(self) -> None:
        self._writer_class = require_summary_writer()
        self._writer: Any = None

    def on_start(self, run: Run) -> None:
        p = run.progress
        done = p.epoch * run.steps_per_epoch + p.step
        purge = done + 1 if done else None
        # tensorboardX names files by the second; the suffix separates two runs that start within one.
        self._writer = self._writer_class(str(run.folder / FOLDER), purge_step=purge, filename_suffix=f".{done}")

    def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
        self._writer.add_scalar("loss", loss, epoch * run.steps_per_epoch + step + 1)

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        at = (epoch.number + 1) * run.steps_per_epoch
        for name, value in line_of(run, epoch).items():
            if value is not None:
                self._writer.add_scalar(name, value, at)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
