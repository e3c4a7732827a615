"""`cnnc train --live`: a page on this machine that shows the training, and its replay in the run folder.

In: the calls of a `Callback`. Out: a server on 127.0.0.1 while the training runs, then replay.html. A fault of the page
ends the page, never the training.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path

from cnnc.cli.console import print_status
from cnnc.core.arrays import Array
from cnnc.core.files import first_line, write_atomic
from cnnc.diagnostics import CnncError
from cnnc.live.server import LiveServer
from cnnc.reference.engine import Trace
from cnnc.training.live_moments import LiveMoments
from cnnc.training.run import Callback, Epoch, Run, RunResult
from cnnc.view.live.moment import Moment
from cnnc.view.live.page import event_json, live_html, replay_html
from cnnc.view.live.parts import Parts

REPLAY = "replay.html"


class LivePage(Callback):
    """The page. Raises CnncError E906 where the server is not installed, E908 where the port cannot be used."""

    _run: Run
    _moment: Moment  # the latest

    def __init__(self, port: int) -> None:
        self._server = LiveServer(port)
        self._moments = LiveMoments(self._publish)
        self._fault = ""

    def on_start(self, run: Run) -> None:
        self._run = run
        self._guarded(lambda: self._moments.on_start(run))
        if (subject := self._moments.subject) is not None:
            parts = Parts(subject)  # draws in the thread of the server alone
            self._server.start(
                lambda: self._guarded(lambda: live_html(subject, self._moment, parts.of(self._moment))),
                lambda: self._guarded(lambda: event_json(parts.of(self._moment))),
            )
            print_status(f"live: {self._server.address}")

    def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
        self._guarded(lambda: self._moments.on_step(run, epoch, step, loss))

    def on_validation(self, run: Run, trace: Trace, targets: tuple[Array, ...]) -> None:
        self._guarded(lambda: self._moments.on_validation(run, trace, targets))

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        self._guarded(lambda: self._moments.on_epoch(run, epoch))

    def on_end(self, result: RunResult) -> None:
        self._guarded(lambda: self._moments.on_end(result))

    def close(self) -> None:
        """Sends what is left to the readers, ends the server, and writes the replay."""
        self._guarded(self._moments.fail)
        replay = self._guarded(self._replay) or ""
        farewell = f"The training has ended. Its replay is {replay}." if replay else "The training has ended."
        self._server.close(farewell)
        if self._fault:
            print_status(f"note: the live page stopped: internal error (please report it): {self._fault}")

    def _publish(self, moment: Moment) -> None:
        self._moment = moment
        self._server.notify()

    def _guarded(self, work: Callable[[], str | None]) -> str | None:
        """Does the work of the page; after a fault, no more of it is done."""
        if self._fault:
            return None
        try:
            return work()
        except Exception as error:  # the training must go on, whatever is wrong with the page
            self._fault = f"{type(error).__name__}: {first_line(error)}"
            return None

    # At the end

    def _replay(self) -> str | None:
        """Writes the replay, if there is something to see, and returns its path. An earlier one is kept."""
        subject = self._moments.subject
        if subject is None or not self._moments.advanced:
            return None
        path = _free(self._run.folder)
        try:
            write_atomic(path, replay_html(subject, self._moments.kept).encode())
        except CnncError as error:
            print_status(f"note: the replay is not saved: {error.diagnostics[0].message}")
            return None
        print_status(f"replay: {path}")
        return str(path)


def _free(folder: Path) -> Path:
    """replay.html, or the first of replay-2.html, ... that does not exist: a resumed run does not replace its replay."""
    numbered = (folder / f"replay-{number}.html" for number in count(2))
    return next(path for path in chain([folder / REPLAY], numbered) if not os.path.lexists(path))
