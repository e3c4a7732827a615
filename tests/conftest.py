"""What all tests share: one thread for BLAS and for onnxruntime, the option that refreshes golden files, the marker `quick`,
and lines at the end: the properties that tests record, and the CPU time of the run."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from cnnc.reference.parallel.threads import one_blas_thread

gc.set_threshold(
    100_000
)  # by default 700 new objects start a search, which takes two thirds of the time to parse files


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "rewrite tests/language/golden with the diagnostics of this version; read the diff"
    parser.addoption("--refresh-golden", action="store_true", help=help)


def pytest_collection_finish() -> None:
    """Keeps the collected tests out of the search for garbage, which would take a tenth of the time of quick tests."""
    gc.freeze()


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test is quick unless it says otherwise, so that `-m quick` has the tests of a new file at once."""
    if not any(item.get_closest_marker(name) for name in ("long", "slow")):
        item.add_marker("quick")


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread() -> Iterator[None]:
    """As in training and export; several pytest workers on few cores are slow otherwise."""
    with one_blas_thread():
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_onnxruntime_thread() -> Iterator[None]:
    """Where the tests have loaded onnxruntime: the threads of each session wait for work in a busy loop, which takes more
    time than these small models."""
    sessions = sys.modules.get("cnnc.onnx.run.session")
    if sessions is None:
        yield
        return
    defaults = [function.__kwdefaults__ for function in (sessions.Session.__init__, sessions.open_model)]
    with patch.dict(defaults[0], threads=1), patch.dict(defaults[1], threads=1):
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the properties that tests record, and the CPU time."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, value in getattr(report, "user_properties", ()):
                    terminalreporter.write_line(f"{name}: {_property(value)}")
    cpu = sum(os.times()[:4])  # of this process and of the processes that it started and that have ended
    terminalreporter.write_line(f"CPU time: {cpu:.0f} s, without pytest's own workers (-n)")


def _property(value: object) -> str:
    """A recorded property as text: counts by name, or one value."""
    if isinstance(value, dict):
        return ", ".join(f"{number} {word}" for word, number in value.items())
    return str(value)
