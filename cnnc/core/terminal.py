"""The terminal that a stream may be.

width_of(sys.stderr)    # 120, or None in a pipe
"""

from __future__ import annotations

import os
from typing import TextIO


def width_of(stream: TextIO) -> int | None:
    """The width of the terminal that the stream is, None if it is none. COLUMNS overrides it."""
    if not stream.isatty():
        return None
    setting = os.environ.get("COLUMNS", "")
    if setting.isascii() and setting.isdigit() and int(setting) > 0:
        return int(setting)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80
