"""Names for arrays of numbers, shared by every package that computes."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Weights = dict[str, Array]
"""Parameters and buffers by their full names, `conv1.weight`."""
