"""Volumes as a drawing, with arrows that cross no text.

In: `Volumes`, and notes. Out: a `Drawing`. Texts stand above and below a volume, within its column. Lines run between columns (gaps), above
lanes (channels), and left of all bands, where there is no text.

    volumes_drawing(volumes_of(graph))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

from cnnc.view.drawing import Drawing, Edge, Label, Marker, Role, Shape
from cnnc.view.labels import LINE, MARGIN, SMALL, TITLE, TextColumn
from cnnc.view.text_width import text_width, wrapped
from cnnc.view.volumes.grid import Lane, VolumeCell, cells_of
from cnnc.view.volumes.scale import VolumeScale
from cnnc.view.volumes.solid import Solid, moved, solid_of, window_on
from cnnc.view.volumes.volumes import Volume, Volumes

WIDEST = 1240
"""A network that is wider than this is broken into bands."""
GAP, TRACK, TEXT = 26, 7, 96
NARROW_GAP, NARROW_TEXT = 18, 56
"""Between and below the volumes of a U that would be wider than WIDEST."""
PORT, NARROWEST_PORT = 6, 4
"""How far apart arrows end that have one target; where it is too small for that, they join."""
MOST_ACROSS = 12
"""A band is not broken where more lines than this would run on from it to the next ones."""
JOINT = 5
"""The size of the dot where lines join that end in one volume."""
MOST_SKIPS = 4
"""More skips than this into one volume join above it: lines of their own would take most of the drawing."""
SMALLEST_WINDOW = 4
"""A kernel that would be drawn smaller than this is an arrow instead."""
HEIGHT = LINE * SMALL / 13


Point = tuple[float, float]


class _Placed(NamedTuple):
    """A volume with its shapes and texts; x and y are the upper left corner of the solid."""

    solid: Solid
    x: float
    y: float
    centre: float

    def left(self, down: float) -> tuple[float, float]:
        """Where an arrow ends, `down` from the centre."""
        return self.x + self.solid.left(self.solid.height / 2 + down), self.centre + down

    def right(self, down: float = 0) -> tuple[float, float]:
        """Where an arrow begins, `down` from the centre."""
        return self.x + self.solid.right(self.solid.height / 2 + down), self.centre + down


def volumes_drawing(volumes: Volumes, notes: Sequence[str] = ()) -> Drawing:
    """The drawing."""
    layout = _Layout(volumes)
    right = layout.columns()[1]
    if right > WIDEST + MARGIN:
        layout = _Layout(volumes, is_narrow=True)
        right = layout.columns()[1]
    head = TextColumn(MARGIN, max(right - MARGIN, 420))
    head.add(volumes.name, "title", TITLE)
    shapes, bottom = layout.shapes(head.y)
    column = TextColumn(bottom + 12, max(right - MARGIN, 420))
    column.add("; ".join(layout.scale.notes), "note", SMALL)
    if layout.skips:
        column.add("dashed arrows: skips", "note", SMALL)
    for note in notes:
        column.add(note, "note", SMALL)
    shown = f"{len(volumes.items)} volumes, from {volumes.items[0].caption} to {volumes.items[-1].caption}"
    width = max(right + MARGIN, 420 + 2 * MARGIN)
    return Drawing(width, column.y + MARGIN, volumes.name, shown, (*head.labels, *shapes, *column.labels))


class _Layout:
    """Coordinates, computed in the order: tracks of lines, widths of gaps, heights of channels, places."""

    def __init__(self, volumes: Volumes, is_narrow: bool = False) -> None:
        self.volumes = volumes
        self.items = {volume.name: volume for volume in volumes.items}
        self.scale = VolumeScale.of([volume.shape for volume in volumes.items])
        self.cells = cells_of(volumes)
        self.solids = {v.name: solid_of(v, self.scale, _role(v)) for v in volumes.items}
        self.gap, text = (NARROW_GAP, NARROW_TEXT) if is_narrow else (GAP, TEXT)
        self.captions = {v.name: _caption_lines(v.caption) if is_narrow else (v.caption,) for v in volumes.items}
        self.operations = {v.name: _lines(v.operations, max(text, self.solids[v.name].width)) for v in volumes.items}
        self.widths = self._column_widths()
        self.filled: dict[Lane, set[int]] = {}
        for cell in self.cells.values():
            self.filled.setdefault(cell.lane, set()).add(cell.column)
        self.band_of = self._bands()
        self.routed = dict.fromkeys(edge for edge in volumes.edges if not self._is_straight(*edge))
        self.skips = volumes.skips
        self.merged: set[str] = set()
        self.ports = self._ports()
        self.joined = self._joined()
        self.gaps: dict[tuple[int, int], list[object]] = {}
        self.channels: dict[tuple[int, Lane | None], list[object]] = {}
        self.margin: dict[str, int] = {}
        for source, target in self.routed:
            self._reserve(source, target)
        self._share_margin()

    def _column_widths(self) -> list[float]:
        widths = [0.0] * (1 + max(cell.column for cell in self.cells.values()))
        for name, cell in self.cells.items():
            texts = [text_width(line, SMALL) for line in (*self.captions[name], *self.operations[name])]
            widths[cell.column] = max(widths[cell.column], self.solids[name].width, *texts)
        return widths

    def _is_straight(self, source: str, target: str) -> bool:
        """Whether nothing stands between two volumes of one lane and band."""
        first, last = self.cells[source], self.cells[target]
        between = self.filled[first.lane] & set(range(first.column + 1, last.column))
        return first.lane == last.lane and not between and self.band_of[first.column] == self.band_of[last.column]

    def _bands(self) -> list[int]:
        """The band of each column. A band ends where it is full; a U is never broken."""
        is_u = any(lane[0] for lane in self.filled)
        steps = [0] * (len(self.widths) + 1)
        for source, target in self.volumes.edges:
            steps[self.cells[source].column + 1] += 1
            steps[self.cells[target].column + 1] -= 1
        crossing = [*accumulate(steps[:-1])]
        bands, start = [0] * len(self.widths), 0
        while not is_u and start < len(self.widths):
            used, stop = 0.0, start
            while stop < len(self.widths) and used + self.widths[stop] + self.gap <= WIDEST:
                used, stop = used + self.widths[stop] + self.gap + TRACK * max(crossing[stop] - 1, 0), stop + 1
            stop = max(stop, start + 1)
            if stop < len(self.widths):  # break where the fewest lines cross, in the last third of the band
                choices = range(start + max(1, (stop - start) * 2 // 3), stop + 1)
                stop = min(reversed(choices), key=crossing.__getitem__)
            while stop < len(self.widths) and crossing[stop] > MOST_ACROSS:
                stop += 1
            bands[start:stop] = [bands[start]] * (stop - start)
            if stop < len(self.widths):
                bands[stop:] = [bands[start] + 1] * (len(bands) - stop)
            start = stop
        return bands

    def _ports(self) -> dict[tuple[str, str], float]:
        """How far from the centre each line ends: a straight one at 0, those from above above it, those from below below it.

        Lines along the channel above a volume share one, and skips another.
        """
        ports: dict[tuple[str, str], float] = {}
        for target, sources in self.volumes.sources.items():
            last = self.cells[target]
            lanes = {source: self.cells[source].lane for source in sources}
            for source in sources:
                if (source, target) in self.routed and not self._is_elbow(self.cells[source], last):
                    lanes[source] = (-1, (source, target) not in self.skips)
            ordered = sorted(set(lanes.values()))
            centre = ordered.index(last.lane) if last.lane in ordered else len(ordered) // 2
            reach = max(self.solids[target].height / 2 - 2, 0)
            step = min(PORT, reach / max(centre, len(ordered) - 1 - centre, 1))
            if step < NARROWEST_PORT:
                self.merged.add(target)
                step = 0
            ports |= {(source, target): step * (ordered.index(lane) - centre) for source, lane in lanes.items()}
        return ports

    def _reserve(self, source: str, target: str) -> None:
        """Gives a line its tracks: those that leave one volume share them in its gap, and each has its own elsewhere."""
        first, last = self.cells[source], self.cells[target]
        _track(self.gaps.setdefault((self.band_of[first.column], first.column + 1), []), ("out", source))
        if not self._is_elbow(first, last):
            _track(self.gaps.setdefault((self.band_of[last.column], last.column), []), self._entry(source, target))
            _track(self.channels.setdefault((self.band_of[last.column], last.lane), []), self._above(source, target))
            if self.band_of[first.column] != self.band_of[last.column]:
                _track(self.channels.setdefault((self.band_of[first.column], None), []), source)

    def _share_margin(self) -> None:
        """Gives each volume that is read in a later band a track in the margin; those whose lines do not meet share one."""
        last: dict[str, int] = {}
        for source, target in self.routed:
            band = self.band_of[self.cells[target].column]
            if band != self.band_of[self.cells[source].column]:
                last[source] = max(band, last.get(source, 0))
        free: list[int] = []  # for each track the band from which on it is free
        for source in sorted(last, key=lambda name: self.cells[name].column):
            first = self.band_of[self.cells[source].column]
            track = next((i for i, band in enumerate(free) if band <= first), len(free))
            free[track : track + 1] = [last[source]]
            self.margin[source] = track

    def _joined(self) -> set[str]:
        """The volumes whose skips join."""
        counts: dict[str, int] = {}
        for source, target in self.routed:
            if (source, target) in self.skips and not self._is_elbow(self.cells[source], self.cells[target]):
                counts[target] = counts.get(target, 0) + 1
        return {target for target, count in counts.items() if count > MOST_SKIPS}

    def _above(self, source: str, target: str) -> object:
        """The track of a line in the channel above its target: its own, or that of all skips that join there."""
        return target if target in self.joined and (source, target) in self.skips else (source, target)

    def _entry(self, source: str, target: str) -> tuple[str, str, bool]:
        """The track on which a line along a channel reaches its target: skips share one, and other lines another."""
        return "in", target, (source, target) in self.skips

    def _is_elbow(self, first: VolumeCell, last: VolumeCell) -> bool:
        """Whether a line needs one gap only."""
        return last.column == first.column + 1 and self.band_of[first.column] == self.band_of[last.column]

    def shapes(self, top: float) -> tuple[list[Shape], float]:
        """All shapes, from `top` downwards, and their lower bound."""
        xs, _ = self.columns()
        tops, centres, bottoms = self._rows(top)
        placed: dict[str, _Placed] = {}
        for name, cell in self.cells.items():
            solid, centre = self.solids[name], centres[self.band_of[cell.column], cell.lane]
            x = xs[cell.column] + (self.widths[cell.column] - solid.width) / 2
            placed[name] = _Placed(solid, x, centre - solid.height / 2, centre)
        solids: list[Shape] = []
        windows: list[Shape] = []
        texts: list[Shape] = []
        lines: list[Shape] = []
        for name, place in placed.items():
            solids += [moved(shape, place.x, place.y) for shape in place.solid.shapes]
            texts += self._texts(name, place, xs[self.cells[name].column] + self.widths[self.cells[name].column] / 2)
        joints: list[Shape] = []
        stubs: dict[str, Edge] = {}
        reached: set[str] = set()
        by_source: dict[str, list[Edge]] = {name: [] for name in placed}
        for source, target in self.volumes.edges:
            role: Role = "series2" if (source, target) in self.skips else "text"
            hint = f"{source} to {target}"
            if (source, target) in self.routed:
                points = self._route(source, target, placed, xs, tops, bottoms)
                if self._above(source, target) == target:
                    joints.append(Marker(*points[-4], "circle", role, JOINT, hint))
                    if (
                        target in reached
                    ):  # only the way to where the lines join: the longest of a source covers the others
                        stub = Edge(points[:-3], role, hint=f"{source} to several", corner=4)
                        stubs[source] = max(stub, stubs.get(source, stub), key=lambda edge: -edge.points[-1][1])
                        continue
                    reached.add(target)
                by_source[source].append(Edge(points, role, True, hint, 4, target not in self.merged))
                continue
            window = self._window(source, target, placed)
            windows += window
            if not window:
                by_source[source].append(Edge((placed[source].right(), placed[target].left(0)), role, True, hint))
        for edges in by_source.values():
            lines += _forked(edges)
        lines += [*stubs.values(), *joints]
        return [*lines, *solids, *windows, *texts], max(bottoms.values())

    def columns(self) -> tuple[list[float], float]:
        """The left side of each column, and the right side of the widest band with the tracks behind it."""
        left = MARGIN + (max(self.margin.values(), default=-1) + 2) * TRACK * bool(self.margin)
        xs, x, right = [], 0.0, 0.0
        for column, width in enumerate(self.widths):
            band = self.band_of[column]
            if column == 0 or band != self.band_of[column - 1]:
                x = left
            x += self.gap * (x != left) + TRACK * len(self.gaps.get((band, column), ()))
            xs.append(x)
            x += width
            right = max(right, x + self.gap + TRACK * len(self.gaps.get((band, column + 1), ())))
        return xs, right

    def _rows(self, y: float) -> tuple[dict[tuple[int, Lane], float], dict[tuple[int, Lane], float], dict[int, float]]:
        """By band and lane the top of the channel above it and the centre of its volumes; by band its lower bound."""
        tops, centres, bottoms = {}, {}, {}
        for band in sorted(set(self.band_of)):
            for lane in sorted({c.lane for c in self.cells.values() if self.band_of[c.column] == band}):
                names = [n for n, c in self.cells.items() if c.lane == lane and self.band_of[c.column] == band]
                half = max(self.solids[name].height for name in names) / 2
                tops[band, lane] = y + TRACK
                y += TRACK * (1 + len(self.channels.get((band, lane), ()))) + 8
                y += HEIGHT * max(len(self.captions[name]) for name in names)
                centres[band, lane] = y + half
                y += 2 * half + 8 + HEIGHT * max(len(self.operations[name]) for name in names) + 8
            bottoms[band] = y
            y += TRACK * (1 + len(self.channels.get((band, None), ())))
        return tops, centres, bottoms

    def _texts(self, name: str, place: _Placed, middle: float) -> Iterable[Label]:
        for i, line in enumerate(reversed(self.captions[name])):
            yield Label(middle, place.y - 6 - i * HEIGHT, line, "middle", "text", SMALL)
        y = place.y + place.solid.height + 4 + SMALL
        for i, line in enumerate(self.operations[name]):
            yield Label(middle, y + i * HEIGHT, line, "middle", "note", SMALL)

    def _route(
        self,
        source: str,
        target: str,
        placed: dict[str, _Placed],
        xs: list[float],
        tops: dict[tuple[int, Lane], float],
        bottoms: dict[int, float],
    ) -> tuple[tuple[float, float], ...]:
        first, last = self.cells[source], self.cells[target]
        band, end = self.band_of[first.column], self.band_of[last.column]
        x1, y1 = placed[target].left(self.ports[source, target])
        is_down = y1 > placed[source].centre if self._is_elbow(first, last) else band != end
        x0, y0 = placed[source].right(self._leaving(source) * (1 if is_down else -1))
        out = xs[first.column] + self.widths[first.column] + 6
        out += TRACK * self.gaps[band, first.column + 1].index(("out", source))
        if self._is_elbow(first, last):
            return (x0, y0), (out, y0), (out, y1), (x1, y1)
        gap = self.gaps[end, last.column]
        into = xs[last.column] - 12 - TRACK * (len(gap) - 1 - gap.index(self._entry(source, target)))
        over = tops[end, last.lane] + TRACK * self.channels[end, last.lane].index(self._above(source, target))
        if band == end:
            return (x0, y0), (out, y0), (out, over), (into, over), (into, y1), (x1, y1)
        under = bottoms[band] + TRACK * self.channels[band, None].index(source)
        side = MARGIN + TRACK * self.margin[source]
        return (
            (x0, y0), (out, y0), (out, under), (side, under), (side, over), (into, over), (into, y1), (x1, y1),
        )  # fmt: skip

    def _leaving(self, source: str) -> float:
        """How far from the centre a line leaves that turns off, where another one runs straight on."""
        if not any(edge[0] == source and edge not in self.routed for edge in self.volumes.edges):
            return 0
        reach = min(PORT, self.solids[source].height / 2 - 2)
        return reach if reach >= NARROWEST_PORT else 0

    def _window(self, source: str, target: str, placed: dict[str, _Placed]) -> list[Shape]:
        """The kernel as a window on the face of what it reads, with two lines to the point that it gives."""
        kernel, shape = self.items[target].kernel, self.items[source].shape
        face, column = placed[source].solid.face, self.cells[source].column
        if not kernel or not face or self.cells[target].column != column + 1:
            return []
        place, goal, side = placed[source], placed[target], self.scale.side
        share = side(kernel[0]) / side(shape[1]), side(kernel[1]) / side(shape[2])
        corners = [(x + place.x, y + place.y) for x, y in window_on(face, share)]
        if min(max(of) - min(of) for of in zip(*corners, strict=True)) < SMALLEST_WINDOW:
            return []
        x, y, width, height = goal.solid.front
        tip = goal.x + x + min(width / 2, 6), goal.y + y + height / 2
        role: Role = "weight"
        outline = Edge((*corners, corners[0]), role, hint=f"{source}: window of {target}")
        return [outline, Edge((corners[1], tip), "note"), Edge((corners[2], tip), "note")]


def _role(volume: Volume) -> Role:
    first = volume.operations[0].split(" ")[0]
    if first == "input":
        return "end"
    if first in ("add", "concat", "sub", "mul", "maximum"):
        return "merge"
    return "dense" if len(volume.shape) == 1 else "pool" if "pool" in first else "conv"


def _lines(operations: Sequence[str], width: float) -> tuple[str, ...]:
    """The operations in lines of about this width, broken between words only."""
    longest = max(text_width(word, SMALL) for text in operations for word in text.split(" "))
    return tuple(line for text in operations for line in wrapped(text, max(width, min(longest, TEXT)), SMALL))


def _caption_lines(caption: str) -> tuple[str, ...]:
    channels, at, sides = caption.partition("@")
    return (channels + at, sides) if at else (caption,)


def _forked(edges: Sequence[Edge]) -> list[Edge]:
    """The lines of one source: their halos below all of them, so that none cuts another where they part.

    A dashed line begins where it parts from a solid one: dashes below a line would make it ragged.
    """
    if len(edges) == 1:
        return list(edges)
    solid = [edge.points for edge in edges if edge.role == "text"]
    edges = [edge if edge.role == "text" else edge._replace(points=_parted(edge.points, solid)) for edge in edges]
    halos = [edge._replace(hint="") for edge in edges if edge.halo]
    solid_last = sorted(edges, key=lambda edge: edge.role == "text")
    return [*halos, *(edge._replace(halo=False) for edge in solid_last)]


def _parted(points: tuple[Point, ...], others: Sequence[tuple[Point, ...]]) -> tuple[Point, ...]:
    """A line without what it shares with one of the others, which turn off from it on the way."""
    shortest = points
    for other in others:
        index = next((i for i, (a, b) in enumerate(zip(points, other, strict=False)) if a != b), 0)
        if 0 < index < len(other):
            (x, y), (to_x, to_y), (at_x, at_y) = points[index - 1], points[index], other[index]
            along_x = y == to_y == at_y and min(x, to_x) < at_x < max(x, to_x)
            along_y = x == to_x == at_x and min(y, to_y) < at_y < max(y, to_y)
            rest = ((at_x, at_y), *points[index:])
            shortest = rest if (along_x or along_y) and len(rest) <= len(shortest) else shortest
    return shortest


def _track(tracks: list[object], line: object) -> None:
    if line not in tracks:
        tracks.append(line)
