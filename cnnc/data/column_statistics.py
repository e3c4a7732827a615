"""Statistics of a column of a data set, from one pass over its batches: range, mean and standard deviation of each channel.

In: batches (N, C, *spatial), added in order. Out: `ColumnStatistics`, whose memory does not grow with the examples. Bytes are
counted, so that their mean and deviation are exact; other values are summed in float64, batch by batch (Chan et al. 1983).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEVELS = 256


class ColumnStatistics:
    """Count, minimum, maximum, mean and standard deviation (of the population) of each channel, as float64 (C,)."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.minimum = np.full(channels, np.inf)
        self.maximum = np.full(channels, -np.inf)
        self.mean = np.zeros(channels)
        self._squares = np.zeros(channels)  # of the differences from the mean

    @property
    def deviation(self) -> NDArray[np.float64]:
        """The standard deviation of each channel."""
        deviation: NDArray[np.float64] = np.sqrt(self._squares / max(1, self.count))
        return deviation

    def add(self, values: NDArray[Any]) -> None:
        """Adds a batch (N, C, *spatial)."""
        if not values.size:
            return
        by_channel = np.moveaxis(values, 1, 0).reshape(len(self.mean), -1)
        if values.dtype == np.uint8:
            counts = np.stack([np.bincount(channel, minlength=_LEVELS) for channel in by_channel])
            levels = np.arange(_LEVELS, dtype=np.float64)
            mean = counts @ levels / by_channel.shape[1]
            squares = (counts * (levels - mean[:, None]) ** 2).sum(axis=1)
        else:
            by_channel = by_channel.astype(np.float64)
            mean = by_channel.mean(axis=1)
            squares = ((by_channel - mean[:, None]) ** 2).sum(axis=1)
        self.minimum = np.minimum(self.minimum, by_channel.min(axis=1))
        self.maximum = np.maximum(self.maximum, by_channel.max(axis=1))
        self._merge(by_channel.shape[1], mean, squares)

    def together(self) -> ColumnStatistics:
        """All channels as one."""
        whole = ColumnStatistics(1)
        whole.minimum, whole.maximum = self.minimum.min(keepdims=True), self.maximum.max(keepdims=True)
        for mean, squares in zip(self.mean, self._squares, strict=True):
            whole._merge(self.count, mean, squares)
        return whole

    def _merge(self, count: int, mean: Any, squares: Any) -> None:
        total = self.count + count
        difference = mean - self.mean
        self.mean = self.mean + difference * (count / total)
        self._squares = self._squares + squares + difference**2 * (self.count * count / total)
        self.count = total
