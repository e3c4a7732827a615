"""The metrics: their names, and how people read them. How they are counted stands in training/objective.py."""

from __future__ import annotations

import math
from typing import Any

METRICS = ("accuracy", "top5", "mse", "psnr", "iou")
LESS_IS_BETTER = ("mse",)
OF_LABELS = ("accuracy", "top5", "iou")
"""Those counted on a loss that compares with labels, cross_entropy; the others are counted on any other."""


def decimals(value: float, places: int = 4) -> str:
    """A loss or the like with so many decimals; in short form where it is so large that they say nothing."""
    return f"{value:.{places}f}" if abs(value) < 1e6 else f"{value:.4g}"


def finite(value: Any) -> Any:
    """A value for JSON, in which numbers that it does not know (the psnr of equal pictures) are null."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shown(metric: str, value: float) -> str:
    """A metric as people read it: shares in per cent, psnr in decibels."""
    if metric == "mse":
        return decimals(value, 5)
    return f"{value:.2f} dB" if metric == "psnr" else f"{value:.2%}"
