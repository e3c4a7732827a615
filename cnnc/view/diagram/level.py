"""One level laid out: the boxes of a network, or of one frame, and the lines between them.

In: `Cell`s in topological order, and the height to aim for. Out: a `Level`: the position of each cell, and the points of each
line. Lines run down between boxes and sideways between ranks only, so that they cross neither boxes nor texts. A level that is
higher than `height` is broken into columns, as text is, where a single line comes from the rank above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from cnnc.view.diagram.chains import Cell, Plan, plan_of
from cnnc.view.diagram.wiring import Wire, tracks

Point = tuple[float, float]

STUB, LABELLED = 7, 18
"""The straight part of a line below a box, without and with a label beside it."""
TRACK = 9
HEAD = 13
"""The straight part of a line above a box, with its arrowhead."""
GUTTER = 44


class Line(NamedTuple):
    """The line of a tensor from the cell that gives it to one that reads it."""

    tensor: str
    target: str
    points: tuple[Point, ...]


class Level(NamedTuple):
    """Cells by name, each with the x of its axis and the y of its upper edge; lines; and the size of the whole."""

    width: float
    height: float
    cells: Mapping[str, Point]
    lines: tuple[Line, ...]
    columns: int


class _Channel(NamedTuple):
    """The lines between a rank and the next, and the y of each, from the lower edge of the rank on."""

    wires: tuple[Wire, ...]
    levels: Mapping[tuple[str, float], float]
    height: float


def laid_out(cells: Sequence[Cell], labelled: frozenset[str], height: float, band: float = 0) -> Level:
    """The level. `labelled` are the tensors with a label below the box that gives them, `band` is left free at the top."""
    plan = plan_of(cells)
    count = max(plan.ranks.values(), default=-1) + 1
    heights = [0.0] * count
    for cell in cells:
        heights[plan.ranks[cell.name]] = max(heights[plan.ranks[cell.name]], cell.height)
    routes = _Routes(cells, plan)
    label_ranks = {plan.ranks[cell.name] for cell in cells if not labelled.isdisjoint(cell.outputs)}
    top_edge = any(cell.edge == "top" for cell in cells)
    bottom_edge = any(cell.edge == "bottom" for cell in cells)
    channels = []
    for rank in range(count - 1):
        stub: float = LABELLED if rank in label_ranks else STUB
        stub = max(stub, band) if rank == 0 and top_edge else stub
        head = STUB if bottom_edge and rank == count - 2 else HEAD
        channels.append(_channel(routes.wires(rank), stub, head))
    columns = _columns(heights, channels, height, (1 if top_edge else 0, count - (2 if bottom_edge else 1)))
    tail = LABELLED if count - 1 in label_ranks else 0
    top = 0.0 if top_edge else band + (HEAD if len(columns) > 1 else 0)
    return _placed(cells, plan, routes, heights, channels, columns, top, tail)


def _channel(wires: Sequence[Wire], stub: float, head: float) -> _Channel:
    rows = tracks(wires)
    used = max((row + 1 for row in rows if row is not None), default=0)
    levels = {
        (wire.tensor, wire.top): stub + row * TRACK for wire, row in zip(wires, rows, strict=True) if row is not None
    }
    return _Channel(tuple(wires), levels, stub + max(0, used - 1) * TRACK + head)


class _Routes:
    """Where the line of each tensor passes: for each reader the x above and below each channel on the way."""

    def __init__(self, cells: Sequence[Cell], plan: Plan) -> None:
        self.ways: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
        ends: dict[int, dict[tuple[str, float], list[float]]] = {}
        source = {tensor: cell for cell in cells for tensor in cell.outputs}
        for cell in cells:
            for tensor in cell.inputs:
                giver = source[tensor]
                start = plan.axes[giver.name] + giver.outputs[tensor]
                end = plan.axes[cell.name] + plan.ports[cell.name, tensor]
                first, last = plan.ranks[giver.name], plan.ranks[cell.name]
                lane = next((x for x, _, to in plan.lanes[tensor] if to >= last - 1), start)
                xs = [start, *[lane] * (last - first - 1), end]
                way = [(first + i, above, below) for i, (above, below) in enumerate(pairwise(xs))]
                self.ways[tensor, cell.name] = way
                for rank, above, below in way:
                    bottoms = ends.setdefault(rank, {}).setdefault((tensor, above), [])
                    if below not in bottoms:
                        bottoms.append(below)
        self._ends = ends

    def wires(self, rank: int) -> list[Wire]:
        """The lines between this rank and the next."""
        return [Wire(tensor, above, tuple(below)) for (tensor, above), below in self._ends.get(rank, {}).items()]


def _columns(
    heights: Sequence[float], channels: Sequence[_Channel], height: float, inner: tuple[int, int]
) -> list[int]:
    """The first rank of each column; `inner` are the ranks that a column may begin with and end before."""
    total = sum(heights) + sum(channel.height for channel in channels)
    wanted = max(1, round(total / height + 0.3)) if total > height else 1
    allowed = {rank for rank in range(inner[0] + 1, inner[1]) if len(channels[rank - 1].wires) == 1}
    starts, y, left, target = [0], 0.0, total, total / wanted
    for rank in range(len(heights)):
        step = heights[rank] + (channels[rank].height if rank < len(channels) else 0)
        if rank in allowed and y + step / 2 > target and left > target / 3:
            starts.append(rank)
            y = 0.0
        y += step
        left -= step
    return starts


def _placed(
    cells: Sequence[Cell],
    plan: Plan,
    routes: _Routes,
    heights: Sequence[float],
    channels: Sequence[_Channel],
    columns: Sequence[int],
    top: float,
    tail: float,
) -> Level:
    """The level in coordinates, from (0, 0) on."""
    top_edge = any(cell.edge == "top" for cell in cells)
    column_of: list[int] = []
    tops: list[float] = []
    y, bottom = top, top
    for rank, height in enumerate(heights):
        if rank in columns:
            y = top if rank == 0 or not top_edge else tops[1]
            column_of.append(column_of[-1] + 1 if column_of else 0)
        else:
            column_of.append(column_of[-1])
        tops.append(y)
        y += height
        bottom = max(bottom, y + (channels[rank].height if rank + 1 in columns else 0))
        y += channels[rank].height if rank < len(channels) else 0
    bottom += tail
    shifts, gutters = _shifts(plan, column_of)
    positions = {}
    for cell in cells:
        rank = plan.ranks[cell.name]
        upper = bottom if cell.edge == "bottom" else tops[rank]
        positions[cell.name] = (plan.axes[cell.name] + shifts[column_of[rank]], upper)
    by_name = {cell.name: cell for cell in cells}
    source = {tensor: cell.name for cell in cells for tensor in cell.outputs}
    lines = []
    for (tensor, target), way in routes.ways.items():
        giver = source[tensor]
        points: list[Point] = [(way[0][1] + shifts[column_of[way[0][0]]], positions[giver][1] + by_name[giver].height)]
        for rank, above, below in way:
            here, there = column_of[rank], column_of[rank + 1]
            x, x_below = above + shifts[here], below + shifts[there]
            y = tops[rank] + heights[rank] + channels[rank].levels.get((tensor, above), 0)
            if here != there:
                turn = tops[rank] + heights[rank] + channels[rank].height - HEAD
                head = tops[rank + 1] - HEAD
                points += [(x, turn), (gutters[here], turn), (gutters[here], head), (x_below, head)]
            elif above != below:
                points += [(x, y), (x_below, y)]
        points.append((way[-1][2] + shifts[column_of[way[-1][0] + 1]], positions[target][1]))
        lines.append(Line(tensor, target, _without_repeats(points)))
    width = max(gutters[-1] - GUTTER / 2, 0.0)
    return Level(width, bottom, positions, tuple(lines), len(columns))


def _shifts(plan: Plan, column_of: Sequence[int]) -> tuple[list[float], list[float]]:
    """How far each column is moved to the right, and the x in the middle of the gutter behind it."""
    shifts: list[float] = []
    gutters: list[float] = []
    x = 0.0
    for column in range(column_of[-1] + 1 if column_of else 0):
        extents = [plan.extents[rank] for rank in plan.extents if column_of[rank] == column]
        left = min((low for low, _ in extents), default=0.0)
        right = max((high for _, high in extents), default=0.0)
        shifts.append(x - left)
        x += right - left
        gutters.append(x + GUTTER / 2)
        x += GUTTER
    return shifts, gutters or [0.0]


def _without_repeats(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points without those that repeat the one before or lie on a straight line."""
    kept: list[Point] = []
    for point in points:
        if kept and abs(point[0] - kept[-1][0]) < 0.01 and abs(point[1] - kept[-1][1]) < 0.01:
            continue
        if len(kept) > 1 and any(abs(kept[-2][i] - kept[-1][i]) < 0.01 > abs(kept[-1][i] - point[i]) for i in (0, 1)):
            kept.pop()
        kept.append(point)
    return tuple(kept)
