"""The whole diagram in coordinates: each frame is laid out on its own, then as a box of the level around it.

In: a `Diagram`, and the height to aim for. Out: a `Layout`: boxes, frames, lines and shapes of tensors in coordinates from
(0, 0) on. The line of a tensor that crosses frames is one piece per level; the pieces meet on the frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from cnnc.view.diagram.chains import Cell
from cnnc.view.diagram.diagram import Diagram, DiagramGroup, DiagramNode, common
from cnnc.view.diagram.level import Level, Point, laid_out
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


class Layout(NamedTuple):
    """All of it, and the size."""

    width: float
    height: float
    boxes: tuple[PlacedBox, ...]
    frames: tuple[PlacedFrame, ...]
    lines: tuple[PlacedLine, ...]
    shapes: tuple[PlacedShape, ...]

    def moved(self, x: float, y: float) -> Layout:
        """The same further right and down."""
        return self._replace(
            boxes=tuple(box._replace(x=box.x + x, y=box.y + y) for box in self.boxes),
            frames=tuple(frame._replace(x=frame.x + x, y=frame.y + y) for frame in self.frames),
            lines=tuple(line._replace(points=tuple((px + x, py + y) for px, py in line.points)) for line in self.lines),
            shapes=tuple(shape._replace(x=shape.x + x, y=shape.y + y) for shape in self.shapes),
        )


def layout_of(diagram: Diagram) -> Layout:
    """The layout; of a diagram that is higher than `TALL`, the one in columns whose sides come nearest to `ASPECT`."""
    nesting = _Nesting(diagram)
    single = _Levels(nesting, math.inf).root()
    if single.height <= TALL:
        return single
    heights = [TALL * 1.5**power for power in range(-1, 12) if TALL * 1.5**power < single.height]
    tried = [single, *(_Levels(nesting, height).root() for height in heights)]
    return min(tried, key=lambda each: abs(math.log(each.width / each.height / ASPECT)))


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


class _Framed(NamedTuple):
    """A frame with what is in it, and the x of the lines that enter and leave it."""

    layout: Layout
    axis: float
    enters: Mapping[str, float]
    leaves: Mapping[str, float]


class _Levels:
    """Lays out the levels, inner ones first, each at most about as high as `height`."""

    def __init__(self, nesting: _Nesting, height: float) -> None:
        self.nesting, self.height = nesting, height

    def root(self) -> Layout:
        """The layout of the network."""
        framed: dict[str, _Framed] = {}
        for name in reversed(list(self.nesting.diagram.groups)):
            framed[name] = self._framed(name, framed)
        return self._layout(*self._level("", framed, 0), framed)

    def _level(self, name: str, framed: Mapping[str, _Framed], band: float) -> tuple[Level, dict[str, Cell]]:
        """The cells of a level laid out; those where lines enter and leave its frame are named after the tensor."""
        nesting = self.nesting
        items = nesting.items.get(name, [])
        boxes = {item: sized(nesting.nodes[item]) for item in items if item in nesting.nodes}
        common = max((b.width for item, b in boxes.items() if b.width <= _WIDEST), default=0.0)
        cells = [Cell(f"{t}\nenters", 0, 0, 0, {}, {t: 0.0}, 0, "top") for t in nesting.enters.get(name, {})]
        for item in items:
            if item in boxes:
                cells.append(self._box_cell(item, boxes[item], common))
            else:
                cells.append(self._frame_cell(item, framed[item]))
        cells += [Cell(f"{t}\nleaves", 0, 0, 0, {t: 0.0}, {}, 0, "bottom") for t in nesting.leaves.get(name, {})]
        labelled = frozenset(t for cell in cells for t in cell.outputs if nesting.label_of(cell.name, t))
        level = laid_out(cells, labelled, self.height, band)
        return level, {cell.name: cell for cell in cells}

    def _box_cell(self, name: str, box: SizedBox, common: float) -> Cell:
        node = self.nesting.nodes[name]
        width = box.width if box.width > _WIDEST or node.role == "end" else common
        given = list(self.nesting.gives.get(name, {}))
        rooms = [self._room(name, tensor) for tensor in given]
        starts = [sum(rooms[:i]) for i in range(len(given))]
        width = max(width, sum(rooms[:-1]) + 32)
        shift = sum(rooms[:-1]) / 2
        outputs = {tensor: start - shift for tensor, start in zip(given, starts, strict=True)}
        right = max([width / 2, *(outputs[t] + room for t, room in zip(given, rooms, strict=True))])
        inputs = dict.fromkeys(self.nesting.reads.get(name, {}))
        return Cell(name, width / 2, right, box.height, inputs, outputs, node.layers if node.role != "end" else 0)

    def _room(self, name: str, tensor: str) -> float:
        """The room that a line and the label beside it need below a box."""
        text = self.nesting.label_of(name, tensor)
        return text_width(text, NOTE) + 3 * LABEL if text else 16.0

    def _frame_cell(self, name: str, frame: _Framed) -> Cell:
        group = self.nesting.diagram.groups[name]
        enters = {t: x - frame.axis for t, x in frame.enters.items()}
        leaves = {t: x - frame.axis for t, x in frame.leaves.items()}
        right = max([frame.layout.width - frame.axis, *(x + self._room(name, t) for t, x in leaves.items())])
        return Cell(name, frame.axis, right, frame.layout.height, enters, leaves, group.layers)

    def _framed(self, name: str, framed: Mapping[str, _Framed]) -> _Framed:
        level, cells = self._level(name, framed, BAND + 6)
        layout = self._layout(level, cells, framed)
        enters = {t: level.cells[f"{t}\nenters"][0] for t in self.nesting.enters.get(name, {})}
        leaves = {t: level.cells[f"{t}\nleaves"][0] for t in self.nesting.leaves.get(name, {})}
        first, last = min(enters.values(), default=math.inf), max(enters.values(), default=-math.inf)
        texts = frame_texts(self.nesting.diagram.groups[name], min(first, level.width) - 18 + SIDE)
        left, right = texts.widths
        pad_left = max(SIDE, left + 18 - first)
        pad_right = max(SIDE, right + 18 - (level.width - last)) if right else SIDE
        width = max(level.width + pad_left + pad_right, left + right + 36)
        height = level.height + (FOOT if not leaves else 0)
        frame = PlacedFrame(self.nesting.diagram.groups[name], texts, 0, 0, width, height)
        moved = layout.moved(pad_left, 0)
        main = next(iter(enters.values()), width / 2 - pad_left) + pad_left
        return _Framed(
            moved._replace(width=width, height=height, frames=(frame, *moved.frames)),
            width / 2 if level.columns > 1 else main,
            {tensor: x + pad_left for tensor, x in enters.items()},
            {tensor: x + pad_left for tensor, x in leaves.items()},
        )

    def _layout(self, level: Level, cells: Mapping[str, Cell], framed: Mapping[str, _Framed]) -> Layout:
        """The level with what is in its frames."""
        boxes: list[PlacedBox] = []
        frames: list[PlacedFrame] = []
        lines: list[PlacedLine] = []
        shapes: list[PlacedShape] = []
        for name, (x, y) in level.cells.items():
            cell = cells[name]
            if name in self.nesting.nodes:
                width = 2 * cell.left
                node = self.nesting.nodes[name]
                boxes.append(PlacedBox(node, sized(node), x - cell.left, y, width))
            elif not cell.edge:
                inner = framed[name].layout.moved(x - cell.left, y)
                boxes += inner.boxes
                frames += inner.frames
                lines += inner.lines
                shapes += inner.shapes
            for tensor, offset in cell.outputs.items():
                if text := self.nesting.label_of(name, tensor):
                    shapes.append(PlacedShape(tensor, text, x + offset + LABEL, y + cell.height + 13))
        for line in level.lines:
            arrow = line.target in self.nesting.nodes
            lines.append(PlacedLine(line.tensor, line.target, line.points, arrow))
        return Layout(level.width, level.height, tuple(boxes), tuple(frames), tuple(lines), tuple(shapes))
