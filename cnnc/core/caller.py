"""Who calls: the command line, or a program in Python. An error names options for the one, and parameters for the other.

In: `on_command_line()`, which `cnnc.cli.main` is within. Out: `is_command_line`, and the forms of settings and sizes. Texts with other
options are written in words of the command line; cnnc.api.python_words puts them into those of Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_PARAMETERS = {"set": "settings"}
_is_command_line = False


@contextmanager
def on_command_line() -> Iterator[None]:
    """Within it, errors speak of options."""
    global _is_command_line
    before, _is_command_line = _is_command_line, True
    try:
        yield
    finally:
        _is_command_line = before


def is_command_line() -> bool:
    """Whether a command runs, whose user typed options."""
    return _is_command_line


def option(name: str) -> str:
    """An option, or the parameter for the same: `--at` or `at`."""
    return f"--{name}" if _is_command_line else _PARAMETERS.get(name, name)


def written_settings(*settings: str) -> str:
    """How settings are given: `--set a=1 --set b=2`, or `settings=["a=1", "b=2"]`."""
    if _is_command_line:
        return " ".join(f"--set {setting}" for setting in settings)
    return f"settings=[{', '.join(map(_quoted, settings))}]"


def written_sizes(sizes: Mapping[str, int]) -> str:
    """How sizes of symbols are given: `--at H=32,W=32`, or `at={"H": 32, "W": 32}`."""
    if _is_command_line:
        return f"--at {','.join(f'{name}={size}' for name, size in sizes.items())}"
    return f"at={{{', '.join(f'{_quoted(name)}: {size}' for name, size in sizes.items())}}}"


def _quoted(text: str) -> str:
    return f'"{text}"'
