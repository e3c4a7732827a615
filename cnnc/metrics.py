"""The metrics: their names, and how people read them. How they are counted stands in training/objective.py."""

from __future__ import annotations

METRICS = ("accuracy", "top5", "mse", "psnr", "iou")
LESS_IS_BETTER = ("mse",)
OF_LABELS = ("accuracy", "top5", "iou")
"""Those counted on a loss that compares with labels, cross_entropy; the others are counted on any other."""


def shown(metric: str, value: float) -> str:
    """A metric as people read it: shares in per cent, psnr in decibels."""
    if metric == "mse":
        return f"{value:.5f}"
    return f"{value:.2f} dB" if metric == "psnr" else f"{value:.2%}"
