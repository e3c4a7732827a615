"""A line between two processes, on which an answer is waited for awake, for a little while.

A process that sleeps takes 50 to 100 microseconds to wake up, as long as a small layer. So `recv` looks for an answer
many times before it sleeps, and lets other processes run in between.
"""

from __future__ import annotations

import os
import pickle
import select
import time
from multiprocessing.connection import Connection
from typing import Any

AWAKE = 500e-6  # seconds
_let_others = getattr(os, "sched_yield", lambda: None)


class Line:
    """One end of a line, over which objects are sent. Raises OSError and EOFError as the connection does."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)
        self.close = connection.close

    def send(self, what: Any) -> None:
        self._connection.send_bytes(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))

    def recv(self) -> Any:
        end = time.perf_counter() + AWAKE
        while not self._poll.poll(0) and time.perf_counter() < end:
            _let_others()
        return pickle.loads(self._connection.recv_bytes())
