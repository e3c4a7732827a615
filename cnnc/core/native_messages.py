"""Drops what libraries in C write to standard error about damaged files: libtiff in Pillow, mpg123 in libsndfile.

Their functions report the same damage to the caller, which says it in one error that names the file. Neither library can be
told to be silent from Python, so the descriptor of standard error itself leads nowhere meanwhile: use it around one short
call, as what other threads write is dropped as well.

    with without_native_messages():
        image.load()
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

_STDERR = 2


class _Redirection:
    """How many calls go on, and a copy of the descriptor for the time after the last of them; -1 where there is none."""

    lock = Lock()
    calls = 0
    kept = -1


@contextmanager
def without_native_messages() -> Iterator[None]:
    """Thread-safe; without a standard error it changes nothing."""
    with _Redirection.lock:
        _Redirection.calls += 1
        if _Redirection.calls == 1:
            _Redirection.kept = _redirected()
    try:
        yield
    finally:
        with _Redirection.lock:
            _Redirection.calls -= 1
            if not _Redirection.calls and _Redirection.kept >= 0:
                os.dup2(_Redirection.kept, _STDERR)
                os.close(_Redirection.kept)
                _Redirection.kept = -1


def _redirected() -> int:
    """Leads the descriptor to the null device; returns a copy of it as it was."""
    kept = -1
    with suppress(OSError):  # standard error is closed, or no descriptor is left
        kept = os.dup(_STDERR)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, _STDERR)
        os.close(null)
    return kept
