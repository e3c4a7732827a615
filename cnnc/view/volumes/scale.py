"""How large a volume is drawn: pixels per element of the spatial axes, channels, and vectors.

In: the shapes of all volumes. Out: `VolumeScale`. A scale is linear where the smallest size stays visible, else a square root; `notes` says which.

    VolumeScale.of([(1, 28, 28), (6, 28, 28), (10,)]).side(14)     # 55.0, half of side(28)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

SIDE, DEPTH, BAR = 110, 70, 110
LARGEST_LINEAR = 24
"""A linear scale is used up to this ratio of the largest to the smallest size."""
MOST_MAPS = 32
"""Maps are drawn one behind the other up to this number of channels."""
MAP_STEP = 4
"""How far apart maps are that are drawn one behind the other."""
MOST_STACK = 42
"""How far the last map may be from the first one."""
THIN = 9
"""The width of a vector, and the least height of a vector or sequence."""
SLANT = 0.35
"""The length of the slanted side of a block, against its size."""


class VolumeAxis(NamedTuple):
    """Sizes of one kind: the largest, its length in pixels, and whether lengths grow with the size or with its square root."""

    largest: int
    pixels: float
    linear: bool

    def length(self, size: int) -> float:
        """The length of a size."""
        share = size / self.largest
        return self.pixels * (share if self.linear else sqrt(share))

    @property
    def word(self) -> str:
        """The scale in words."""
        return "linear" if self.linear else "square root"


class VolumeScale(NamedTuple):
    """The axes; `stacked` says that maps are drawn one behind the other instead of as a block."""

    spatial: VolumeAxis
    channels: VolumeAxis
    features: VolumeAxis
    stacked: bool
    notes: tuple[str, ...]

    @classmethod
    def of(cls, shapes: Sequence[tuple[int, ...]]) -> VolumeScale:
        """The scale on which all of these shapes are drawn."""
        maps = [shape for shape in shapes if len(shape) > 1]
        vectors = [shape[0] for shape in shapes if len(shape) == 1]
        spatial = _axis([size for shape in maps for size in shape[1:][-2:]], SIDE)
        channels = _axis([shape[0] for shape in maps], DEPTH)
        features = _axis(vectors, BAR)
        stacked = all(len(shape) == 3 and shape[0] <= MOST_MAPS for shape in maps)
        parts = []
        if maps:
            sides = "length" if all(len(shape) == 2 for shape in maps) else "height and width"
            parts.append(f"{sides} {spatial.word} (largest {spatial.largest})")
            parts.append(
                "one square per channel" if stacked else f"channels {channels.word} (largest {channels.largest})"
            )
        if vectors:
            parts.append(f"vectors {features.word} (largest {features.largest})")
        notes = ["scale: " + ", ".join(parts)]
        if any(len(shape) > 3 for shape in maps):
            notes.append("of volumes CxDxHxW, the depth D is written but not drawn")
        heights = [(features if len(shape) == 1 else spatial).length(shape[-1]) for shape in shapes if len(shape) < 3]
        if any(height < THIN for height in heights):
            notes.append("the shortest vectors and sequences are drawn longer, to be seen")
        return cls(spatial, channels, features, stacked, tuple(notes))

    def side(self, size: int) -> float:
        """The length of a spatial size."""
        return self.spatial.length(size)


def _axis(sizes: Sequence[int], pixels: float) -> VolumeAxis:
    largest, smallest = max(sizes, default=1), min((size for size in sizes if size > 1), default=1)
    return VolumeAxis(largest, pixels, largest <= LARGEST_LINEAR * smallest)
