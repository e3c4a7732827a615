"""Where volumes stand: columns from left to right, lanes for branches, bands where a network is too wide for one row.

In: `Volumes`. Out: a `VolumeCell` per volume. A network whose maps shrink and grow again (U-Net) has a lane for each size, so that it looks like a U.
"""

from __future__ import annotations

from math import log2
from typing import NamedTuple

from cnnc.view.volumes.volumes import Volume, Volumes

Lane = tuple[int, int]
"""The level of the size (0 where sizes have no lanes), and the branch."""


class VolumeCell(NamedTuple):
    """A place: `column` is counted through all bands."""

    column: int
    lane: Lane


def cells_of(volumes: Volumes) -> dict[str, VolumeCell]:
    """The place of each volume; no two are the same."""
    sources = volumes.sources
    items = {volume.name: volume for volume in volumes.items}
    levels = _levels(volumes)
    if not _is_u(volumes, levels):
        levels = dict.fromkeys(levels, 0)
    cells: dict[str, VolumeCell] = {}
    taken: set[tuple[int, Lane]] = set()
    for name in items:
        before = sources[name]
        column = max((cells[source].column + 1 for source in before), default=0)
        branch = min((cells[source].lane[1] for source in before), default=0)
        while (column, (levels[name], branch)) in taken:
            branch += 1
        cells[name] = VolumeCell(column, (levels[name], branch))
        taken.add((column, cells[name].lane))
    return cells


def _levels(volumes: Volumes) -> dict[str, int]:
    """How often each volume's maps were made smaller; a vector has the level of what it reads."""
    items, sources = {volume.name: volume for volume in volumes.items}, volumes.sources
    order = {name: i for i, name in enumerate(items)}
    levels: dict[str, int] = {}
    for name, volume in items.items():
        before = max(sources[name], key=order.__getitem__, default="")
        levels[name] = levels[before] + _smaller(items[before], volume) if before else 0
    return levels


def _smaller(before: Volume, after: Volume) -> int:
    if len(before.shape) < 2 or len(before.shape) != len(after.shape):
        return 0
    halvings = log2(before.shape[-1] / after.shape[-1])
    return round(halvings) if abs(halvings) >= 0.75 else 0


def _is_u(volumes: Volumes, levels: dict[str, int]) -> bool:
    """Whether maps that were smaller are joined with maps of their level that never were."""
    sources, lowest = volumes.sources, dict[str, int]()
    for name, level in levels.items():
        lowest[name] = max([level, *(lowest[source] for source in sources[name])])
    return any(
        any(lowest[source] > levels[name] for source in before)
        and any(lowest[source] == levels[name] for source in before)
        for name, before in sources.items()
    )
