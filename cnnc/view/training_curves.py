"""The curves of training runs over epochs: one panel per quantity, and a table of scores that is the legend too.

In: the rows of metrics.jsonl of one or several runs, their best epochs and test scores. Out: a drawing. Of one run, training,
validation and test differ in colour, dashes and marker. Of several, runs differ so, and training has a thin line and hollow
markers. The best epoch has a ring.

    run = TrainingRun("lenet5", ({"epoch": 1, "train_loss": 0.3, "val_loss": 0.1, "lr": 0.05},), 1, {"loss": 0.09})
    training_curves("Training of lenet5", [run], falling=("loss",))
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from math import inf
from typing import NamedTuple

from cnnc.view.axis import Axis, AxisScale, round_step, scale_of
from cnnc.view.chart import Curve, CurvePoint, curve_look, plot_shapes
from cnnc.view.chart_grid import chart_grid
from cnnc.view.drawing import Anchor, Box, Drawing, Edge, Label, Marker, Shape
from cnnc.view.labels import BODY, LINE, SMALL, text_lines
from cnnc.view.number_text import number_text
from cnnc.view.text_width import text_width, wrapped

_WIDTH, _HIGH = 980, 220
_WIDEST = 460
"""The width of the whole, the height of the area of the curves, and the greatest width of a panel."""
_SPREAD = 100
"""Where the largest number is this many times the smallest, the axis is logarithmic."""
_SPLITS = {"train": "training", "val": "validation"}
_TEST_LOOK = 2
_SAMPLE, _NAME, _COLUMN_GAP = 34, 240, 16


class TrainingRun(NamedTuple):
    """A run: rows as in metrics.jsonl, one per epoch; the best epoch, from 1 on (None if not known), and its test score.

    The score is that of the weights of the best epoch, by the name of the quantity; empty for a run without one.
    """

    name: str
    rows: tuple[Mapping[str, float | None], ...]
    best_epoch: int | None = None
    test: Mapping[str, float] = {}

    def value(self, key: str, epoch: int | None) -> float | None:
        """A number of an epoch."""
        return next((row.get(key) for row in self.rows if row["epoch"] == epoch), None)

    def has(self, key: str) -> bool:
        """Whether any epoch has a number under this key."""
        return any(row.get(key) is not None for row in self.rows)

    @property
    def last_epoch(self) -> int:
        """The last epoch that was trained."""
        return int(max(row["epoch"] or 0 for row in self.rows))


def is_drawn(key: str) -> bool:
    """Whether a number of a row is drawn: the learning rate, and what was measured on training or validation data."""
    return key == "lr" or key.partition("_")[0] in _SPLITS


def training_curves(title: str, runs: Sequence[TrainingRun], falling: Collection[str] = ("loss",)) -> Drawing:
    """The drawing of one run, or of several laid over one another.

    `falling` are the quantities of which less is better; their axis is logarithmic where they span decades.
    """
    quantities, panels = _quantities(runs), _panel_names(runs)
    columns = max(1, len(panels)) if len(panels) < 4 else 2 if len(panels) == 4 else 3
    drawings = curve_panels(runs, falling, min(_WIDEST, (_WIDTH - 24 * (columns - 1)) / columns))
    table = score_table(runs[0]) if len(runs) == 1 else _compared_table(runs, quantities)
    return chart_grid(title, _description(runs, quantities), drawings, columns, table, _notes(runs, panels))


def curve_panels(runs: Sequence[TrainingRun], falling: Collection[str], width: float) -> list[Drawing]:
    """One drawing of this width per quantity, the learning rate last; the table of the scores is their legend."""
    panels = _panel_names(runs)
    ups = [_up(panel, runs, panel == "lr" or panel in falling) for panel in panels]
    left = max((text_width(text, SMALL) for up in ups for _, text in up.ticks), default=0) + 8
    across = epoch_scale(max(run.last_epoch for run in runs), max(3, int((width - left) / 40)))
    return [_panel(panel, runs, across, up, width, left) for panel, up in zip(panels, ups, strict=True)]


def _panel_names(runs: Sequence[TrainingRun]) -> list[str]:
    return [*_quantities(runs), *(["lr"] if any(run.has("lr") for run in runs) else [])]


def _quantities(runs: Sequence[TrainingRun]) -> list[str]:
    """The names of what was measured, without `train_` and `val_`: the loss, then the metrics in their order."""
    keys = [key for run in runs for key in run.rows[-1] if run.has(key)]
    names = [name for split, _, name in (key.partition("_") for key in keys) if split in _SPLITS]
    tested = [name for run in runs for name in run.test if name in names]
    return list(dict.fromkeys([*(name for name in names if name == "loss"), *names, *tested]))


def _description(runs: Sequence[TrainingRun], quantities: Sequence[str]) -> str:
    """One sentence per run, for readers who do not see the picture."""
    return "\n".join(_sentence(run, quantities) for run in runs)


def _sentence(run: TrainingRun, quantities: Sequence[str]) -> str:
    epochs = f"{run.last_epoch} epoch{'s' if run.last_epoch != 1 else ''}"
    at = run.best_epoch if run.best_epoch is not None else run.last_epoch
    scores = [
        f"{word} {name} {value_text(value)}"
        for name in quantities
        for split, word in _SPLITS.items()
        if (value := run.value(f"{split}_{name}", at)) is not None
    ]
    scores += [f"test {name} {value_text(run.test[name])}" for name in quantities if name in run.test]
    which = f"best epoch {at}" if run.best_epoch is not None else f"last epoch {at}"
    return f"{run.name}: {epochs}; {which}: {', '.join(scores) or 'no numbers'}."


def _notes(runs: Sequence[TrainingRun], panels: Sequence[str]) -> list[str]:
    """What a reader would miss in the curves: epochs whose numbers are not finite, and that losses may differ."""
    notes = []
    if len({frozenset(panel for panel in panels if any(map(run.has, _keys(panel)))) for run in runs}) > 1:
        notes.append("The runs have different metrics: compare their losses only where they are of the same kind.")
    for run in runs:
        for key in [key for panel in panels for key in _keys(panel) if run.has(key)]:
            gaps = [int(row["epoch"] or 0) for row in run.rows if row.get(key) is None]
            if gaps:
                what = f"{run.name}: {_title(key)}" if len(runs) > 1 else _title(key).capitalize()
                notes.append(f"{what} is missing or not finite at epoch {_ranges(gaps)}.")
    return notes


def _keys(panel: str) -> list[str]:
    return ["lr"] if panel == "lr" else [f"{split}_{panel}" for split in _SPLITS]


def _title(key: str) -> str:
    split, _, name = key.partition("_")
    return f"{_SPLITS[split]} {name}" if split in _SPLITS else "learning rate"


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers in their order in short: `3, 5 to 9`, at most six of them."""
    groups = [[n for _, n in group] for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    texts = [f"{group[0]} to {group[-1]}" if len(group) > 1 else str(group[0]) for group in groups]
    return ", ".join(texts[:6]) + (", ..." if len(texts) > 6 else "")


def value_text(value: float | None) -> str:
    """A number of the table, with four digits; `–` for none."""
    return "–" if value is None else number_text(value, 4)


# Panels


def epoch_scale(last: int, about: int) -> AxisScale:
    """The axis of epochs from 1 to the last, with about this number of ticks at whole numbers, and some room at its ends."""
    step = max(1, int(round_step(last / about)))
    first = [1] if 2 * step <= last and step > 2 else []
    ticks = [*first, *range(step, last + 1, step)]
    room = (last - 1) / 50 or 0.5
    return AxisScale(1 - room, last + room, False, tuple((float(tick), f"{tick:,}") for tick in ticks))


def _up(panel: str, runs: Sequence[TrainingRun], may_be_log: bool) -> AxisScale:
    values = [value for run in runs for key in _keys(panel) for row in run.rows if (value := row.get(key)) is not None]
    values += [float(run.test[panel]) for run in runs if len(runs) == 1 and panel in run.test]
    low = 0.0 if min(values, default=0) == max(values, default=0) > 0 else None  # a constant is seen beside 0
    log = may_be_log and min(values, default=0) > 0 and max(values) / min(values) >= _SPREAD
    return scale_of(Axis(panel, log, low), map(float, values), 8 if log else 5)


def _panel(
    panel: str, runs: Sequence[TrainingRun], across: AxisScale, up: AxisScale, width: float, left: float
) -> Drawing:
    """One quantity."""
    only = runs[0] if len(runs) == 1 else None
    curves = _curves_of(only, panel) if only is not None else _compared_curves(runs, panel)
    best = only.best_epoch if only is not None else None
    return curve_panel("learning rate" if panel == "lr" else panel, curves, across, up, width, left, best)


def curve_panel(
    title: str, curves: Sequence[Curve], across: AxisScale, up: AxisScale, width: float, left: float, best: int | None
) -> Drawing:
    """Curves over the epochs: their title, their area, which begins at `left`, and the word `epoch` below it."""
    title += " (logarithmic)" if up.log else ""
    head = text_lines(title, 0, 0, width, "title", BODY)
    plot = Box(round(left) + 0.5, round(head.bottom) + 26.5, round(width - left - 8), _HIGH)
    marks = _best(best, plot, across) if best is not None and across.shows(best) else []
    shapes: list[Shape] = [*head.labels, *plot_shapes(curves, plot, across, up, marks)]
    bottom = plot.y + plot.height
    shapes.append(Label(plot.x + plot.width / 2, bottom + 36, "epoch", "middle", "note", SMALL))
    return Drawing(width, bottom + 42, title, "", tuple(shapes))


def _best(epoch: int, plot: Box, across: AxisScale) -> list[Shape]:
    """The line at the best epoch, and its number above the curves."""
    x = plot.x + plot.width * across.part(epoch)
    text = f"best: {epoch:,}"
    half = text_width(text, SMALL) / 2
    at = min(max(x, plot.x + half), plot.x + plot.width - half)
    line = Edge(((x, plot.y), (x, plot.y + plot.height)), "note")
    return [line, Label(at, plot.y - 11, text, "middle", "note", SMALL)]


def _points(run: TrainingRun, key: str) -> tuple[CurvePoint, ...]:
    points = []
    for row in run.rows:
        value = row.get(key)
        points.append(CurvePoint(row["epoch"] or 0, inf if value is None else value))
    return tuple(points)


def _ring(run: TrainingRun) -> int | None:
    """The index of the best epoch."""
    return next((i for i, row in enumerate(run.rows) if row["epoch"] == run.best_epoch), None)


def _curves_of(run: TrainingRun, panel: str) -> list[Curve]:
    """Training and validation, and the test score at the best epoch."""
    if panel == "lr":
        return [Curve("learning rate", _points(run, "lr"), look=3)]
    splits = [split for split in _SPLITS if run.has(f"{split}_{panel}")]
    curves = [
        Curve(
            _SPLITS[split],
            _points(run, f"{split}_{panel}"),
            list(_SPLITS).index(split),
            ring=_ring(run) if split == splits[-1] else None,
        )
        for split in splits
    ]
    if panel in run.test and run.best_epoch is not None:
        curves.append(Curve("test", (CurvePoint(run.best_epoch, run.test[panel]),), _TEST_LOOK, line=False))
    return curves


def _compared_curves(runs: Sequence[TrainingRun], panel: str) -> list[Curve]:
    """Of each run the training in a thin line, and above it the validation; the rings are on the validation if there is one."""
    if panel == "lr":
        return [Curve(run.name, _points(run, "lr"), number) for number, run in enumerate(runs) if run.has("lr")]
    curves = []
    for split in _SPLITS:
        for number, run in enumerate(runs):
            key = f"{split}_{panel}"
            if run.has(key):
                ring = _ring(run) if split == "val" or not run.has(f"val_{panel}") else None
                name = f"{run.name}, {_SPLITS[split]}"
                curves.append(Curve(name, _points(run, key), number, thin=split == "train", ring=ring))
    return curves


# Tables


class _Row(NamedTuple):
    """A row of a table: the look of its sample, whether the sample is thin and has a line, its name and its cells."""

    look: int
    thin: bool
    line: bool
    name: str
    cells: tuple[str, ...]


def score_table(run: TrainingRun) -> Drawing:
    """Training, validation and test of one run at its best epoch, with samples of their curves."""
    quantities = _quantities([run])
    at = run.best_epoch if run.best_epoch is not None else run.last_epoch
    which = "best" if run.best_epoch is not None else "last"
    rows = [
        _Row(look, False, True, word, tuple(value_text(run.value(f"{split}_{name}", at)) for name in quantities))
        for look, (split, word) in enumerate(_SPLITS.items())
        if any(run.has(f"{split}_{name}") for name in quantities)
    ]
    if run.test:
        cells = tuple(value_text(run.test.get(name)) for name in quantities)
        rows.append(_Row(_TEST_LOOK, False, run.best_epoch is None, "test", cells))
    return _table(f"at the {which} epoch, {at:,} of {run.last_epoch:,}", quantities, rows)


def _compared_table(runs: Sequence[TrainingRun], quantities: Sequence[str]) -> Drawing:
    """Of each run its epochs, and what it scored at its best."""
    columns = [
        (f"{_SPLITS[split]} {name}", f"{split}_{name}")
        for name in quantities
        for split in _SPLITS
        if any(run.has(f"{split}_{name}") for run in runs)
    ]
    tests = [name for name in quantities if any(name in run.test for run in runs)]
    heads = ["epochs", "best epoch", *(head for head, _ in columns), *(f"test {name}" for name in tests)]
    rows = []
    for number, run in enumerate(runs):
        at = run.best_epoch if run.best_epoch is not None else run.last_epoch
        cells = [f"{run.last_epoch:,}", f"{run.best_epoch:,}" if run.best_epoch is not None else "–"]
        cells += [value_text(run.value(key, at)) for _, key in columns]
        cells += [value_text(run.test.get(name)) for name in tests]
        rows.append(_Row(number, False, True, run.name, tuple(cells)))
    table = _table("at the best epoch", heads, rows)
    y = table.height + 4
    role, form = curve_look(0)
    shapes: list[Shape] = list(table.shapes)
    x = 0.0
    for text, thin in (("validation", False), ("training", True)):
        shapes += _sample(_Row(0, thin, True, "", ()), x, y + 8)
        shapes.append(Label(x + _SAMPLE + 6, y + 12, text, size=SMALL))
        x += _SAMPLE + 6 + text_width(text, SMALL) + 24
    shapes.append(Marker(x + 7, y + 8, form, role, 14, hollow=True))
    shapes.append(Marker(x + 7, y + 8, form, role))
    shapes.append(Label(x + 22, y + 12, "best epoch", size=SMALL))
    right = x + 22 + text_width("best epoch", SMALL)
    return Drawing(max(table.width, right), y + 20, "", "", tuple(shapes))


def _table(corner: str, heads: Sequence[str], rows: Sequence[_Row]) -> Drawing:
    """A table with a sample of the curve before the name of each row; numbers are aligned right."""
    names = [wrapped(row.name, _NAME, BODY) for row in rows]
    first = wrapped(corner, _NAME, SMALL)
    name_width = max(
        [text_width(line, BODY) for lines in names for line in lines] + [text_width(s, SMALL) for s in first]
    )
    head_lines = [wrapped(head, 66, SMALL) for head in heads]
    left = _SAMPLE + 6 + name_width
    ends = []
    for column, lines in enumerate(head_lines):
        widths = [text_width(line, SMALL) for line in lines] + [text_width(row.cells[column], BODY) for row in rows]
        left += _COLUMN_GAP + max(widths, default=0)
        ends.append(left)
    high = max([len(first), *map(len, head_lines)])
    shapes: list[Shape] = _head(first, 0, "start", high)
    for lines, end in zip(head_lines, ends, strict=True):
        shapes += _head(lines, end, "end", high)
    y = high * 16.0 + 4
    shapes.append(Edge(((0, y), (left, y)), "axis"))
    for row, lines in zip(rows, names, strict=True):
        shapes += _sample(row, 0, y + LINE / 2 + 2)
        shapes += [Label(_SAMPLE + 6, y + 15 + n * LINE, line, size=BODY) for n, line in enumerate(lines)]
        shapes += [Label(end, y + 15, cell, "end", size=BODY) for end, cell in zip(ends, row.cells, strict=True)]
        y += LINE * len(lines)
    return Drawing(left, y + 6, "", "", tuple(shapes))


def _head(lines: Sequence[str], x: float, anchor: Anchor, high: int) -> list[Shape]:
    """The head of a column, its last line at the bottom of `high` lines."""
    first = high - len(lines)
    return [Label(x, (first + n) * 16 + SMALL, line, anchor, "note", SMALL) for n, line in enumerate(lines)]


def _sample(row: _Row, x: float, y: float) -> list[Shape]:
    role, form = curve_look(row.look)
    line: list[Shape] = [Edge(((x, y), (x + _SAMPLE, y)), role, thin=row.thin)] if row.line else []
    return [*line, Marker(x + _SAMPLE / 2, y, form, role, hollow=row.thin)]
