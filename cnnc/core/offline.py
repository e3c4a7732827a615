"""Whether cnnc may download: `CNNC_OFFLINE=1`, which `--offline` sets for one command, forbids it.

In: the environment variable. Out: `is_offline()`, which everything that downloads asks first.
"""

from __future__ import annotations

import os

from cnnc.diagnostics import CnncError

VARIABLE = "CNNC_OFFLINE"


def is_offline() -> bool:
    """Whether downloads are forbidden. Raises CnncError E010 for a value other than 1 and 0: a typo must not allow them."""
    setting = os.environ.get(VARIABLE, "").strip()
    if setting in ("", "0"):
        return False
    if setting != "1":
        help = f"set {VARIABLE}=1 to download nothing, or unset it"
        raise CnncError.of("E010", f"{VARIABLE} is `{setting}`, which is neither 1 nor 0", help=help)
    return True


def go_offline() -> None:
    """Forbids downloads to this process and to those that it starts."""
    os.environ[VARIABLE] = "1"
