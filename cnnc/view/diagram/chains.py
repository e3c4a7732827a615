"""Ranks and chains of one level: which boxes stand below one another, and where the chains stand side by side.

In: `LevelCell`s in topological order. Out: a `Plan`: the rank of each cell, counted from the top, and the x of its axis; and for
each tensor the lanes in which its line passes the ranks between a cell and its readers.

The longest path is the main chain and stays straight. Every other cell continues the chain of what it reads or begins a
chain of its own; a line that passes ranks is a chain of lanes. A chain hangs on the one from which it branches off, on the
side that its operand has in the layer where both meet: `add in` draws the skip on the right, `concat { from skip } { }` on
the left. Chains that span few ranks are placed first, next to their parent, so that an outer skip encloses an inner one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

GAP = 18
"""Units between boxes side by side."""
LANE = 7
"""Units on each side of a line that passes a rank."""


class LevelCell(NamedTuple):
    """A box of a level: how far it reaches to the left and right of its axis, and its height.

    `inputs` and `outputs` are the tensors that it reads and gives, with the x of the line relative to the axis (None: the
    plan chooses). `right` includes the room for the label below it. `layers` counts for the longest path. `edge` is "top" or
    "bottom" for the points where lines enter or leave a frame.
    """

    name: str
    left: float
    right: float
    height: float
    inputs: Mapping[str, float | None]
    outputs: Mapping[str, float]
    layers: int = 1
    edge: str = ""


@dataclass(eq=False)
class Chain:
    """Cells below one another, and lanes between and after them: `extents` are those of each rank around its axis."""

    number: int
    parent: Chain | None
    extents: dict[int, tuple[float, float]] = field(default_factory=dict)
    cells: list[str] = field(default_factory=list)
    children: list[Chain] = field(default_factory=list)
    operand: int = 1
    offset: float = 0.0

    @property
    def span(self) -> int:
        """The number of ranks from its first to its last."""
        return max(self.extents) - min(self.extents) if self.extents else 0


class Lane(NamedTuple):
    """Where the line of a tensor runs between the ranks `first` and `last`, both included: on the axis of a chain."""

    chain: Chain
    first: int
    last: int


class Plan(NamedTuple):
    """The ranks of the cells, the chain of each, the lanes of each tensor, and the extents of each rank."""

    ranks: Mapping[str, int]
    axes: Mapping[str, float]
    lanes: Mapping[str, tuple[tuple[float, int, int], ...]]
    ports: Mapping[tuple[str, str], float]
    extents: Mapping[int, tuple[float, float]]


class Links(NamedTuple):
    """Who gives a tensor, and who reads it, in order."""

    source: Mapping[str, str]
    readers: Mapping[str, Sequence[str]]


def plan_of(cells: Sequence[LevelCell]) -> Plan:
    """The plan of a level."""
    by_name = {cell.name: cell for cell in cells}
    links = _links(cells)
    ranks = _ranks(cells, links)
    builder = _Chains(by_name, links, ranks)
    builder.build(_main_path(cells, links))
    left, right = _place(builder.main)
    axes, numbers = _absolute(builder.main)
    lanes = {
        tensor: tuple((numbers[lane.chain.number], lane.first, lane.last) for lane in found)
        for tensor, found in builder.lanes.items()
    }
    extents = {rank: (left[rank], right[rank]) for rank in left}
    return Plan(ranks, axes, lanes, builder.ports(), extents)


def _links(cells: Sequence[LevelCell]) -> Links:
    source = {tensor: cell.name for cell in cells for tensor in cell.outputs}
    readers: dict[str, list[str]] = {tensor: [] for tensor in source}
    for cell in cells:
        for tensor in cell.inputs:
            readers[tensor].append(cell.name)
    return Links(source, readers)


def _ranks(cells: Sequence[LevelCell], links: Links) -> dict[str, int]:
    """Each cell one rank below the lowest that it reads; a cell that reads nothing just above its first reader."""
    ranks: dict[str, int] = {}
    below_frame = int(any(cell.edge == "top" for cell in cells))
    for cell in cells:
        first = 0 if cell.edge == "top" else below_frame
        ranks[cell.name] = max((ranks[links.source[tensor]] + 1 for tensor in cell.inputs), default=first)
    for cell in reversed(cells):
        readers = [ranks[name] for tensor in cell.outputs for name in links.readers[tensor]]
        if not cell.inputs and cell.edge != "top" and readers:
            ranks[cell.name] = min(readers) - 1
    last = max(ranks.values(), default=0)
    inner = max((ranks[cell.name] for cell in cells if cell.edge != "bottom"), default=-1)
    for cell in cells:
        if cell.edge == "bottom":
            ranks[cell.name] = max(last, inner + 1)
    return ranks


def _main_path(cells: Sequence[LevelCell], links: Links) -> list[tuple[str, str]]:
    """The path with the most layers, as pairs of a cell and the tensor by which it is reached ("" for the first).

    Of several equally long ones, the one from where the frame is entered first, and the one through the middle operands.
    """
    best: dict[str, int] = {}
    entrance = next((cell.name for cell in cells if cell.edge == "top"), "")
    through: dict[str, str] = {}
    for cell in cells:
        operands = list(cell.inputs)
        middle = (len(operands) - 1) / 2
        order = sorted(operands, key=lambda t: (-best[links.source[t]], abs(operands.index(t) - middle)))
        if order:
            through[cell.name] = order[0]
        best[cell.name] = 2 + 4 * cell.layers + (best[links.source[order[0]]] if order else cell.name == entrance)
    name = max(best, key=lambda each: best[each]) if best else ""
    path = []
    while name:
        tensor = through.get(name, "")
        path.append((name, tensor))
        name = links.source[tensor] if tensor else ""
    return path[::-1]


class _Chains:
    """Builds the chains and lanes."""

    def __init__(self, cells: Mapping[str, LevelCell], links: Links, ranks: Mapping[str, int]) -> None:
        self.cells, self.links, self.ranks = cells, links, ranks
        self.main = Chain(0, None)
        self.count = 1
        self.chain_of: dict[str, Chain] = {}
        self.arrival: dict[str, str] = {}  # the tensor by which a cell continues its chain
        self.heir: dict[str, tuple[str, str]] = {}  # the cell that continues the chain of another, and the tensor
        self.lanes: dict[str, list[Lane]] = {}

    def build(self, main: Sequence[tuple[str, str]]) -> None:
        """Fills chains and lanes, starting from the main path."""
        for name, tensor in main:
            self._append(name, self.main, tensor)
        for name, cell in self.cells.items():
            if name not in self.chain_of:
                self._join_or_begin(name, cell)
        for name, cell in self.cells.items():
            for tensor in cell.outputs:
                self._add_lanes(name, tensor)
        for chain in {id(c): c for c in self.chain_of.values()}.values():
            if chain.parent is not None:
                chain.operand = self._operand_of(chain)

    def ports(self) -> dict[tuple[str, str], float]:
        """For each reader and tensor, where its line arrives, relative to the axis: beside the line of the chain."""
        ports: dict[tuple[str, str], float] = {}
        for name, cell in self.cells.items():
            operands = list(cell.inputs)
            middle = operands.index(self.arrival[name]) if name in self.arrival else (len(operands) - 1) / 2
            room = min(cell.left, cell.right) - 12
            step = min(18.0, room / max(1.0, middle, len(operands) - 1 - middle))
            for index, tensor in enumerate(operands):
                offset = cell.inputs[tensor]
                ports[name, tensor] = (index - middle) * step if offset is None else offset
        return ports

    def _append(self, name: str, chain: Chain, tensor: str) -> None:
        if tensor:
            self.arrival[name] = tensor
            self.heir[self.links.source[tensor]] = (name, tensor)
        chain.cells.append(name)
        cell = self.cells[name]
        chain.extents[self.ranks[name]] = (-cell.left, cell.right)
        self.chain_of[name] = chain

    def _join_or_begin(self, name: str, cell: LevelCell) -> None:
        sources = [(tensor, self.links.source[tensor]) for tensor in cell.inputs]
        for tensor, source in sources:
            if source not in self.heir and self.chain_of[source].cells[-1] == source:
                self._append(name, self.chain_of[source], tensor)
                return
        parent = self.chain_of[sources[0][1]] if sources else self.main
        self._append(name, self._new_chain(parent), "")

    def _new_chain(self, parent: Chain) -> Chain:
        chain = Chain(self.count, parent)
        self.count += 1
        parent.children.append(chain)
        return chain

    def _add_lanes(self, name: str, tensor: str) -> None:
        """The lanes of a tensor: on the axis of its chain down to the heir, or if there is none to the last reader; then beside it."""
        rank, chain = self.ranks[name], self.chain_of[name]
        readers = [self.ranks[reader] for reader in self.links.readers[tensor]]
        lanes = self.lanes.setdefault(tensor, [])
        heir = self.heir.get(name)
        reach = rank
        if heir is not None and heir[1] == tensor:
            reach = self.ranks[heir[0]] - 1
        elif heir is None and readers and tensor == next(iter(self.cells[name].outputs)):
            reach = max(readers) - 1
        if reach > rank:
            self._fill(chain, rank + 1, reach)
            lanes.append(Lane(chain, rank + 1, reach))
        far = max(readers, default=0) - 1
        if far > max(reach, rank):
            beside = self._new_chain(chain)
            self._fill(beside, rank + 1, far)
            lanes.append(Lane(beside, rank + 1, far))
            reader = max(self.links.readers[tensor], key=lambda each: self.ranks[each])
            beside.operand = self._side_at(reader, tensor)

    def _fill(self, chain: Chain, first: int, last: int) -> None:
        for rank in range(first, last + 1):
            chain.extents[rank] = (-LANE, LANE)

    def _operand_of(self, chain: Chain) -> int:
        """The operand that a chain is where it ends, counted from that of the chain it meets; 1 if it meets none."""
        for tensor in self.cells[chain.cells[-1]].outputs:
            for reader in self.links.readers[tensor]:
                return self._side_at(reader, tensor)
        return 1

    def _side_at(self, reader: str, tensor: str) -> int:
        operands = list(self.cells[reader].inputs)
        if reader not in self.arrival:
            return 1
        return operands.index(tensor) - operands.index(self.arrival[reader]) or 1


Contour = dict[int, float]


class _Side:
    """What stands on one side of a chain: how far boxes reach from its axis at each rank, and where lines pass ranks."""

    def __init__(self, contour: Contour) -> None:
        self.boxes = contour
        self.reach = dict(contour)
        self.lines: list[tuple[int, float]] = []  # the ranks as bits, and the distance from the axis

    def line(self, ranks: Sequence[int]) -> float:
        """The distance of a line that passes ranks: as near as boxes and other lines at these ranks leave room."""
        bits = sum(1 << rank for rank in ranks)
        step = 2 * LANE + GAP
        x = max(self.boxes.get(rank, 0.0) for rank in ranks) + LANE + GAP
        for other in sorted(other for taken, other in self.lines if taken & bits):
            if x > other - step:
                x = max(x, other + step)
        self.lines.append((bits, x))
        return x

    def chain(self, near: Contour) -> float:
        """The distance of a chain that reaches `near` towards the axis at each rank: beyond all that stands at these ranks."""
        return max((self.reach.get(rank, 0.0) + to for rank, to in near.items()), default=0.0) + GAP

    def add(self, far: Contour, is_line: bool) -> None:
        """Takes in how far a chain or line reaches."""
        for contour in (self.reach,) if is_line else (self.reach, self.boxes):
            for rank, to in far.items():
                contour[rank] = max(contour.get(rank, 0.0), to)


def _place(main: Chain) -> tuple[Contour, Contour]:
    """Sets the offsets of all chains from their parents; returns how far they reach to the left and right per rank."""
    chains = [main]
    for chain in chains:
        chains += chain.children
    contours: dict[int, tuple[Contour, Contour]] = {}
    for chain in reversed(chains):
        left = _Side({rank: -extent[0] for rank, extent in chain.extents.items()})
        right = _Side({rank: extent[1] for rank, extent in chain.extents.items()})
        for child in sorted(chain.children, key=lambda c: (c.span, abs(c.operand), c.number)):
            low, high = contours.pop(child.number)
            sign = 1 if child.operand > 0 else -1
            side = right if sign > 0 else left
            is_line = not child.cells and not child.children
            near = {rank: -to for rank, to in low.items()} if sign > 0 else high
            distance = side.line(list(child.extents)) if is_line else side.chain(near)
            child.offset = sign * distance
            left.add({rank: -(child.offset + to) for rank, to in low.items()}, is_line)
            right.add({rank: child.offset + to for rank, to in high.items()}, is_line)
        contours[chain.number] = ({rank: -to for rank, to in left.reach.items()}, right.reach)
    return contours[main.number]


def _absolute(main: Chain) -> tuple[dict[str, float], dict[int, float]]:
    """The x of the axis of each cell, and of each chain by number."""
    axes: dict[str, float] = {}
    numbers: dict[int, float] = {}
    pending: list[tuple[Chain, float]] = [(main, 0.0)]
    while pending:
        chain, x = pending.pop()
        numbers[chain.number] = x
        axes.update((name, x) for name in chain.cells)
        pending += [(child, x + child.offset) for child in chain.children]
    return axes, numbers
