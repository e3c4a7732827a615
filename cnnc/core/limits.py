"""Limits that a caller sets: the most memory and the most parameters that a network, a model or data may need.

In: the options `--max-memory` and `--max-params`, the variables CNNC_MAX_MEMORY and CNNC_MAX_PARAMS, or `cnnc.limits(...)`.
Out: E913 from `require_memory_limit` and `require_parameter_limit`, which are called with what is needed before anything is allocated.

    with limited(parameters=parameter_count("10M", "--max-params")):
        require_parameter_limit(138_357_544, "vgg16")
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from cnnc.diagnostics import CnncError, Span

MEMORY_VARIABLE, PARAMETERS_VARIABLE = "CNNC_MAX_MEMORY", "CNNC_MAX_PARAMS"
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


class Limit(NamedTuple):
    """A limit, and who set it: the option, the variable or the function."""

    value: int
    origin: str


_memory: ContextVar[Limit | None] = ContextVar("most memory", default=None)
_parameters: ContextVar[Limit | None] = ContextVar("most parameters", default=None)


def memory_size(text: str, origin: str) -> Limit:
    """A limit in bytes: `500M`, `1.5GB`, `2GiB`. Raises CnncError E010."""
    return _limit(text, origin, "B", "a size such as 500M or 2GiB")


def parameter_count(text: str, origin: str) -> Limit:
    """A limit of parameters: `250000`, `10M`. Raises CnncError E010."""
    return _limit(text, origin, "", "a number such as 250000 or 10M")


def _limit(text: str, origin: str, unit: str, example: str) -> Limit:
    match = re.fullmatch(
        rf"([0-9]{{1,18}}(?:\.[0-9]{{1,9}})?) ?([kMGT]|[KMG]i)?{unit}{'?' if unit else ''}", text.strip()
    )
    if match is None or not (value := int(float(match[1]) * _UNITS[match[2] or ""])):
        raise CnncError.of("E010", f"{origin} takes {example}, not `{text}`")
    return Limit(value, origin)


@contextmanager
def limited(memory: Limit | None = None, parameters: Limit | None = None) -> Iterator[None]:
    """Sets limits within a `with` block."""
    before = _memory.get(), _parameters.get()
    _memory.set(memory or before[0])
    _parameters.set(parameters or before[1])
    try:
        yield
    finally:
        _memory.set(before[0])
        _parameters.set(before[1])


def most_memory() -> Limit | None:
    """The limit of memory in bytes, None where none is set. Raises CnncError E010 for a bad CNNC_MAX_MEMORY."""
    text = _variable(MEMORY_VARIABLE) if _memory.get() is None else ""
    return memory_size(text, MEMORY_VARIABLE) if text else _memory.get()


def most_parameters() -> Limit | None:
    """The limit of parameters, None where none is set. Raises CnncError E010 for a bad CNNC_MAX_PARAMS."""
    text = _variable(PARAMETERS_VARIABLE) if _parameters.get() is None else ""
    return parameter_count(text, PARAMETERS_VARIABLE) if text else _parameters.get()


def _variable(name: str) -> str:
    import os

    return os.environ.get(name, "").strip()


def require_memory_limit(need: int, what: str, help: str = "", span: Span | None = None) -> None:
    """Raises CnncError E913 where more memory is needed than the limit; `what` needs it, as in `training vgg`."""
    limit = most_memory()
    if limit is not None and need > limit.value:
        shown = [human_bytes(need), human_bytes(limit.value)]
        if shown[0] == shown[1]:  # rounded to the same
            shown = [f"{need:,} B", f"{limit.value:,} B"]
        message = f"{what} needs {shown[0]} of memory; the limit is {shown[1]} ({limit.origin})"
        raise CnncError.of("E913", message, span=span, help=help)


def require_parameter_limit(count: int, what: str, help: str = "", span: Span | None = None) -> None:
    """Raises CnncError E913 where a network or model has more parameters than the limit."""
    limit = most_parameters()
    if limit is not None and count > limit.value:
        message = f"{what} has {count:,} parameters; the limit is {limit.value:,} ({limit.origin})"
        raise CnncError.of("E913", message, span=span, help=help)


def human_bytes(count: int) -> str:
    """`246.8 KB`; a KB is 1000 bytes."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return ""
