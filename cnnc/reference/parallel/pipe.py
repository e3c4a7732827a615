"""A pipe between two processes whose receiver polls for a short while before it sleeps.

A process that sleeps takes 50 to 100 microseconds to wake up, as long as a small layer. So `recv` polls for up to
`POLL_SECONDS`, yielding the core to other processes in between, before it blocks.
"""

from __future__ import annotations

import os
import pickle
import select
import time
from multiprocessing.connection import Connection
from typing import Any

POLL_SECONDS = 500e-6
_yield_core = getattr(os, "sched_yield", lambda: None)


class PollingPipe:
    """One end of a pipe for pickled objects. Raises OSError and EOFError as multiprocessing's Connection does."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)
        self.close = connection.close

    def send(self, message: Any) -> None:
        """Sends any object that can be pickled."""
        self._connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def recv(self) -> Any:
        """The next object; waits for it."""
        deadline = time.perf_counter() + POLL_SECONDS
        while not self._poll.poll(0) and time.perf_counter() < deadline:
            _yield_core()
        return pickle.loads(self._connection.recv_bytes())
