"""What all tests share: as many BLAS threads as the program itself uses, the option that refreshes golden files, and a
line at the end that says how much of the language the table of layers covers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cnnc.reference.parallel.threads import one_blas_thread


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "rewrite tests/language/golden with the diagnostics of this version; read the diff"
    parser.addoption("--refresh-golden", action="store_true", help=help)


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread() -> Iterator[None]:
    """As in training and export; several pytest workers on few cores are slow otherwise."""
    with one_blas_thread():
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Numbers that tests want told whatever became of them."""
    from tests.op_cases import CASES, all_attributes, varied_attributes

    varied, known = varied_attributes(), all_attributes()
    terminalreporter.write_line(
        f"op_cases: {len(CASES)} rows, which vary {len(varied & known)} of {len(known)} (layer, attribute) pairs"
    )
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()) if getattr(report, "when", "") == "call" else ():
                told = (
                    ", ".join(f"{number} {word}" for word, number in value.items())
                    if isinstance(value, dict)
                    else value
                )
                terminalreporter.write_line(f"{name}: {told}")
