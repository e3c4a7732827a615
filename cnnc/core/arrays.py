"""Array types shared by every package that computes with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = dict[str, Array]
"""Parameters and buffers by full name, such as `conv1.weight`."""

Rows = slice | NDArray[np.int64]
"""Positions along the first axis, in order."""
