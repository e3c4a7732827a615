"""Terminals: the width of one that a stream may be, and the colours of diagnostics.

width_of(sys.stderr)    # 120, or None in a pipe
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

from cnnc.diagnostics import Role

_STYLES: Mapping[Role, str] = {"error": "1;31", "warning": "1;33", "note": "34", "position": "2;34", "help": "1;36"}


def coloured(text: str, role: Role) -> str:
    """Text in the colours in which a terminal shows this part of a diagnostic."""
    return f"\x1b[{_STYLES[role]}m{text}\x1b[0m"


def width_of(stream: TextIO) -> int | None:
    """The width of the terminal that the stream is, None if it is not one. COLUMNS overrides it."""
    if not stream.isatty():
        return None
    setting = os.environ.get("COLUMNS", "")
    if setting.isascii() and setting.isdigit() and int(setting) > 0:
        return int(setting)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80
