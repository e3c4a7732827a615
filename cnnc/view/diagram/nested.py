"""The whole diagram in coordinates: each frame is laid out on its own, then as a box of the level around it.

In: a `Diagram`, and the height to aim for. Out: a `DiagramLayout`: boxes, frames, lines and shapes of tensors in coordinates from
(0, 0) on. The line of a tensor that crosses frames is one piece per level; the pieces meet on the frames.

No library for layered layout is used: grandalf (0.6 s for 1,000 layers, where this takes 1 s in all) and igraph (17 MB) place
points without frames, ports, labels and columns, and order branches by crossings, not as operands of the layer that joins them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from cnnc.view.diagram.chains import LevelCell
from cnnc.view.diagram.diagram import Diagram, DiagramGroup, DiagramNode, common
from cnnc.view.diagram.level import Level, Point, Ranked, ranked
from cnnc.view.diagram.sized import NOTE, FrameTexts, SizedBox, frame_texts, sized
from cnnc.view.text_width import text_width

BAND = 22
"""The height of the title of a frame."""
SIDE, FOOT = 12, 11
LABEL = 5
"""Between a line and the label beside it."""
TALL = 1000
"""A diagram that is not higher than this is drawn in one column."""
ASPECT = 1.5
"""Width to height that a higher one gets by columns, if it can."""
_WIDEST = 300  # boxes up to this width are as wide as the widest of their level


class PlacedBox(NamedTuple):
    """A box of a node."""

    node: DiagramNode
    sized: SizedBox
    x: float
    y: float
    width: float


class PlacedFrame(NamedTuple):
    """A frame around an unfolded block."""

    group: DiagramGroup
    texts: FrameTexts
    x: float
    y: float
    width: float
    height: float


class PlacedLine(NamedTuple):
    """A piece of the line of a tensor; `arrow` if it ends at a box."""

    tensor: str
    target: str
    points: tuple[Point, ...]
    arrow: bool


class PlacedShape(NamedTuple):
    """The shape of a tensor, beside the line below the box that gives it: where its baseline begins."""

    tensor: str
    text: str
    x: float
    y: float


class DiagramLayout(NamedTuple):
    """All of it, and the size."""

    width: float
    height: float
    boxes: list[PlacedBox]
    frames: list[PlacedFrame]
    lines: list[PlacedLine]
    shapes: list[PlacedShape]

    def moved(self, x: float, y: float) -> DiagramLayout:
        """The same further right and down."""
        return self._replace(
            boxes=[box._replace(x=box.x + x, y=box.y + y) for box in self.boxes],
            frames=[frame._replace(x=frame.x + x, y=frame.y + y) for frame in self.frames],
            lines=[line._replace(points=tuple((px + x, py + y) for px, py in line.points)) for line in self.lines],
            shapes=[shape._replace(x=shape.x + x, y=shape.y + y) for shape in self.shapes],
        )


def layout_of(diagram: Diagram) -> DiagramLayout:
    """The layout; of a diagram that is higher than `TALL`, the one in columns whose sides come nearest to `ASPECT`."""
    nesting = _Nesting(diagram)
    tried = [_Levels(nesting, math.inf)]
    single = tried[0].root
    if single.height > TALL:
        heights = [TALL * 1.5**power for power in range(-1, 12) if TALL * 1.5**power < single.height]
        tried += [_Levels(nesting, height) for height in heights]
    return min(tried, key=lambda each: abs(math.log(each.root.width / each.root.height / ASPECT))).layout()


class _Nesting:
    """Which boxes and frames each level holds, and which tensors enter and leave each frame."""

    def __init__(self, diagram: Diagram) -> None:
        self.diagram = diagram
        self.nodes = diagram.by_name
        self.items: dict[str, list[str]] = {}
        self.enters: dict[str, dict[str, None]] = {}
        self.leaves: dict[str, dict[str, None]] = {}
        self.reads: dict[str, dict[str, None]] = {}
        self.gives: dict[str, dict[str, None]] = {}
        self.labels = {edge.tensor: text for edge in diagram.edges if (text := diagram.label_of(edge))}
        self.sized = {node.name: sized(node) for node in diagram.nodes}
        self.ranked: dict[str, Ranked] = {}
        self._box_cells: dict[str, dict[str, LevelCell]] = {}
        self.frame_labels: dict[tuple[str, str], str] = {}
        seen: set[str] = set()
        for node in diagram.nodes:
            around = ("", *node.path)
            for outer, inner in zip(around, (*node.path, node.name), strict=True):
                if inner not in seen:
                    seen.add(inner)
                    self.items.setdefault(outer, []).append(inner)
        for edge in diagram.edges:
            source, target = self.nodes[edge.source].path, self.nodes[edge.target].path
            self.gives.setdefault(edge.source, {})[edge.tensor] = None
            self.reads.setdefault(edge.target, {})[edge.tensor] = None
            for name in target[common(source, target) :]:
                self.enters.setdefault(name, {})[edge.tensor] = None
            left = source[common(source, target) :]
            for name in left:
                self.leaves.setdefault(name, {})[edge.tensor] = None
            if left and edge.tensor not in self.labels and self.nodes[edge.target].role != "end":
                self.frame_labels[left[0], edge.tensor] = edge.shape

    def label_of(self, name: str, tensor: str) -> str:
        """The shape that is written below a box or frame; "" for none."""
        return self.labels.get(tensor, "") if name in self.nodes else self.frame_labels.get((name, tensor), "")

    def box_cells(self, name: str) -> Mapping[str, LevelCell]:
        """The boxes of a level as cells, as wide as the widest of them."""
        if name not in self._box_cells:
            boxes = {item: self.sized[item] for item in self.items.get(name, []) if item in self.nodes}
            common = max((box.width for box in boxes.values() if box.width <= _WIDEST), default=0.0)
            self._box_cells[name] = {item: self._box_cell(item, box, common) for item, box in boxes.items()}
        return self._box_cells[name]

    def _box_cell(self, name: str, box: SizedBox, common: float) -> LevelCell:
        node = self.nodes[name]
        width = box.width if box.width > _WIDEST or node.role == "end" else common
        given = list(self.gives.get(name, {}))
        rooms = [self.room(name, tensor) for tensor in given]
        starts = [sum(rooms[:i]) for i in range(len(given))]
        width = max(width, sum(rooms[:-1]) + 32)
        shift = sum(rooms[:-1]) / 2
        outputs = {tensor: start - shift for tensor, start in zip(given, starts, strict=True)}
        right = max([width / 2, *(outputs[t] + room for t, room in zip(given, rooms, strict=True))])
        inputs = dict.fromkeys(self.reads.get(name, {}))
        return LevelCell(name, width / 2, right, box.height, inputs, outputs, node.layers if node.role != "end" else 0)

    def room(self, name: str, tensor: str) -> float:
        """The room that a line and the label beside it need below a box or frame."""
        text = self.label_of(name, tensor)
        return text_width(text, NOTE) + 3 * LABEL if text else 16.0


class _Framed(NamedTuple):
    """The size of a frame, the level in it with its cells, shifted by `pad`, and the x of its axis and of the lines that enter and leave it."""

    level: Level
    cells: Mapping[str, LevelCell]
    texts: FrameTexts
    pad: float
    width: float
    height: float
    axis: float
    enters: Mapping[str, float]
    leaves: Mapping[str, float]


class _Levels:
    """The sizes of all levels, inner ones first, each at most about as high as `height`; `root` is the outermost."""

    def __init__(self, nesting: _Nesting, height: float) -> None:
        self.nesting, self.height = nesting, height
        self.framed: dict[str, _Framed] = {}
        for name in reversed(list(nesting.diagram.groups)):
            self.framed[name] = self._framed(name)
        self.root, self.cells = self._level("", 0)

    def _level(self, name: str, band: float) -> tuple[Level, dict[str, LevelCell]]:
        """The cells of a level laid out; those where lines enter and leave its frame are named after the tensor."""
        nesting = self.nesting
        boxes = nesting.box_cells(name)
        frames = [item for item in nesting.items.get(name, []) if item not in boxes]
        known = nesting.ranked.get(name)
        if frames or known is None:
            cells = [LevelCell(f"{t}\nenters", 0, 0, 0, {}, {t: 0.0}, 0, "top") for t in nesting.enters.get(name, {})]
            cells += [boxes.get(item) or self._frame_cell(item) for item in nesting.items.get(name, [])]
            cells += [
                LevelCell(f"{t}\nleaves", 0, 0, 0, {t: 0.0}, {}, 0, "bottom") for t in nesting.leaves.get(name, {})
            ]
            if known is None or known.cells != cells:  # only frames differ with the height
                labelled = frozenset(t for cell in cells for t in cell.outputs if nesting.label_of(cell.name, t))
                known = nesting.ranked[name] = ranked(cells, labelled, band)
        return known.laid_out(self.height), {cell.name: cell for cell in known.cells}

    def _frame_cell(self, name: str) -> LevelCell:
        group, frame = self.nesting.diagram.groups[name], self.framed[name]
        enters = {t: x - frame.axis for t, x in frame.enters.items()}
        leaves = {t: x - frame.axis for t, x in frame.leaves.items()}
        right = max([frame.width - frame.axis, *(x + self.nesting.room(name, t) for t, x in leaves.items())])
        return LevelCell(name, frame.axis, right, frame.height, enters, leaves, group.layers)

    def _framed(self, name: str) -> _Framed:
        level, cells = self._level(name, BAND + 6)
        enters = {t: level.cells[f"{t}\nenters"][0] for t in self.nesting.enters.get(name, {})}
        leaves = {t: level.cells[f"{t}\nleaves"][0] for t in self.nesting.leaves.get(name, {})}
        first, last = min(enters.values(), default=math.inf), max(enters.values(), default=-math.inf)
        texts = frame_texts(self.nesting.diagram.groups[name], min(first, level.width) - 18 + SIDE)
        left, right = texts.widths
        pad = max(SIDE, left + 18 - first)
        pad_right = max(SIDE, right + 18 - (level.width - last)) if right else SIDE
        width = max(level.width + pad + pad_right, left + right + 36)
        height = level.height + (FOOT if not leaves else 0)
        main = next(iter(enters.values()), width / 2 - pad) + pad
        axis = width / 2 if level.columns > 1 else main
        moved = [{tensor: x + pad for tensor, x in xs.items()} for xs in (enters, leaves)]
        return _Framed(level, cells, texts, pad, width, height, axis, *moved)

    def layout(self) -> DiagramLayout:
        """Everything in coordinates."""
        layout = DiagramLayout(self.root.width, self.root.height, [], [], [], [])
        pending: list[tuple[Level, Mapping[str, LevelCell], float, float]] = [(self.root, self.cells, 0, 0)]
        for level, cells, left, top in pending:
            for name, (level_x, level_y) in level.cells.items():
                cell, x, y = cells[name], left + level_x, top + level_y
                if name in self.nesting.nodes:
                    node, box = self.nesting.nodes[name], self.nesting.sized[name]
                    layout.boxes.append(PlacedBox(node, box, x - cell.left, y, 2 * cell.left))
                elif not cell.edge:
                    frame, group, x0 = self.framed[name], self.nesting.diagram.groups[name], x - cell.left
                    layout.frames.append(PlacedFrame(group, frame.texts, x0, y, frame.width, frame.height))
                    pending.append((frame.level, frame.cells, x0 + frame.pad, y))
                for tensor, offset in cell.outputs.items():
                    if text := self.nesting.label_of(name, tensor):
                        layout.shapes.append(PlacedShape(tensor, text, x + offset + LABEL, y + cell.height + 13))
            for line in level.lines():
                points = tuple((x + left, y + top) for x, y in line.points)
                layout.lines.append(PlacedLine(line.tensor, line.target, points, line.target in self.nesting.nodes))
        return layout
