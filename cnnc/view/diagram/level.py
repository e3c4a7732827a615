"""One level laid out: the boxes of a network, or of one frame, and the lines between them.

In: `LevelCell`s in topological order, and then the height to aim for. Out: a `Level`: the position of each cell, and on demand the
points of each line. Lines run down between boxes and sideways between ranks only, so that they cross neither boxes nor texts. A level that is
higher than `height` is broken into columns, as text is, where a single line comes from the rank above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from cnnc.view.diagram.chains import LevelCell, Plan, plan_of
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


class _Channel(NamedTuple):
    """The lines between a rank and the next, and the y of each, from the lower edge of the rank on."""

    wires: tuple[Wire, ...]
    levels: Mapping[tuple[str, float], float]
    height: float


class Ranked(NamedTuple):
    """A level before it is broken into columns: its cells in ranks, and the lines between these."""

    cells: Sequence[LevelCell]
    plan: Plan
    routes: _Routes
    heights: Sequence[float]
    channels: Sequence[_Channel]
    band: float
    tail: float

    def laid_out(self, height: float) -> Level:
        """The level in columns that are about as high as this."""
        top_edge = any(cell.edge == "top" for cell in self.cells)
        bottom_edge = any(cell.edge == "bottom" for cell in self.cells)
        inner = (1 if top_edge else 0, len(self.heights) - (2 if bottom_edge else 1))
        columns = _columns(self.heights, self.channels, height, inner)
        top = 0.0 if top_edge else self.band + (HEAD if len(columns) > 1 else 0)
        return self._placed(frozenset(columns), top, top_edge)

    def _placed(self, columns: frozenset[int], top: float, top_edge: bool) -> Level:
        """The level in coordinates, from (0, 0) on; `columns` are the ranks that begin one."""
        column_of: list[int] = []
        tops: list[float] = []
        y, bottom = top, top
        for rank, height in enumerate(self.heights):
            channel = self.channels[rank].height if rank < len(self.channels) else 0
            if rank in columns:
                y = top if rank == 0 or not top_edge else tops[1]
                column_of.append(column_of[-1] + 1 if column_of else 0)
            else:
                column_of.append(column_of[-1])
            tops.append(y)
            y += height
            bottom = max(bottom, y + (channel if rank + 1 in columns else 0))
            y += channel
        bottom += self.tail
        shifts, gutters = _shifts(self.plan, column_of)
        positions = {}
        for cell in self.cells:
            rank = self.plan.ranks[cell.name]
            upper = bottom if cell.edge == "bottom" else tops[rank]
            positions[cell.name] = (self.plan.axes[cell.name] + shifts[column_of[rank]], upper)
        width = max(gutters[-1] - GUTTER / 2, 0.0)
        return Level(width, bottom, positions, self, column_of, tops, shifts, gutters)


class Level(NamedTuple):
    """Cells by name, each with the x of its axis and the y of its upper edge, and the size of the whole.

    By rank: its column, and the y of its upper edge. By column: how far it is shifted, and the x of the gutter behind it.
    """

    width: float
    height: float
    cells: Mapping[str, Point]
    ranked: Ranked
    column_of: Sequence[int]
    tops: Sequence[float]
    shifts: Sequence[float]
    gutters: Sequence[float]

    @property
    def columns(self) -> int:
        """The number of columns."""
        return len(self.gutters)

    def lines(self) -> Iterator[Line]:
        """The lines; a level whose size alone is asked for needs none."""
        by_name = {cell.name: cell for cell in self.ranked.cells}
        source = {tensor: cell.name for cell in self.ranked.cells for tensor in cell.outputs}
        for (tensor, target), way in self.ranked.routes.ways.items():
            giver = source[tensor]
            start = way[0][1] + self.shifts[self.column_of[way[0][0]]]
            points: list[Point] = [(start, self.cells[giver][1] + by_name[giver].height)]
            for rank, above, below in way:
                if above != below or self.column_of[rank] != self.column_of[rank + 1]:
                    points += self._turn(tensor, rank, above, below)
            points.append((way[-1][2] + self.shifts[self.column_of[way[-1][0] + 1]], self.cells[target][1]))
            yield Line(tensor, target, _without_repeats(points))

    def _turn(self, tensor: str, rank: int, above: float, below: float) -> list[Point]:
        """The points of a line in the channel below a rank: sideways, or through the gutter to the next column."""
        here, there = self.column_of[rank], self.column_of[rank + 1]
        channel, lower = self.ranked.channels[rank], self.tops[rank] + self.ranked.heights[rank]
        x, x_below = above + self.shifts[here], below + self.shifts[there]
        if here == there:
            y = lower + channel.levels.get((tensor, above), 0)
            return [(x, y), (x_below, y)]
        turn, head = lower + channel.height - HEAD, self.tops[rank + 1] - HEAD
        return [(x, turn), (self.gutters[here], turn), (self.gutters[here], head), (x_below, head)]


def ranked(cells: Sequence[LevelCell], labelled: frozenset[str], band: float = 0) -> Ranked:
    """The ranks of a level. `labelled` are the tensors with a label below the box that gives them, `band` is left free at the top."""
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
    return Ranked(cells, plan, routes, heights, channels, band, LABELLED if count - 1 in label_ranks else 0)


def _channel(wires: Sequence[Wire], stub: float, head: float) -> _Channel:
    rows = tracks(wires)
    used = max((row + 1 for row in rows if row is not None), default=0)
    levels = {
        (wire.tensor, wire.top): stub + row * TRACK for wire, row in zip(wires, rows, strict=True) if row is not None
    }
    return _Channel(tuple(wires), levels, stub + max(0, used - 1) * TRACK + head)


class _Routes:
    """Where the line of each tensor passes: for each reader the x above and below each channel on the way."""

    def __init__(self, cells: Sequence[LevelCell], plan: Plan) -> None:
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


def _shifts(plan: Plan, column_of: Sequence[int]) -> tuple[list[float], list[float]]:
    """How far each column is moved to the right, and the x in the middle of the gutter behind it."""
    count = column_of[-1] + 1 if column_of else 0
    left, right = [0.0] * count, [0.0] * count
    for rank, (low, high) in plan.extents.items():
        column = column_of[rank]
        left[column], right[column] = min(left[column], low), max(right[column], high)
    shifts: list[float] = []
    gutters: list[float] = []
    x = 0.0
    for low, high in zip(left, right, strict=True):
        shifts.append(x - low)
        x += high - low
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
