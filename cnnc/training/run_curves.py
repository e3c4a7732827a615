"""The metrics of a run folder as curves: reads metrics.jsonl, the best epoch and the test score.

In: a run folder, or the lines of its metrics. Out: a `TrainingRun` for cnnc/view, with notes on what could not be read.

    run, notes = read_training_run(Path("runs/lenet5"), "lenet5")
    training_curves("lenet5", [run], FALLING)
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from cnnc.diagnostics import CnncError
from cnnc.recipe.declaration import kinds_of
from cnnc.recipe.metrics import Metric
from cnnc.training import checkpoint as checkpoints
from cnnc.view.training_curves import TrainingRun, is_drawn

FALLING = frozenset({"loss", *(name for name, metric in kinds_of(Metric).items() if metric.less_is_better)})
"""The quantities of which less is better."""

_LAST_EPOCH = 1 << 31
"""The number of an epoch that no run reaches."""

Row = dict[str, float | None]


def training_run(name: str, lines: Iterable[str], best_epoch: int | None, score: Mapping[str, Any]) -> TrainingRun:
    """A run from lines of metrics.jsonl, at least one of which can be read; the others are left out.

    `best_epoch` counts from 1, `score` is test.json, the score of that epoch; both are dropped if no line is about it.
    """
    return _run_of([row for row in map(_row, lines) if row is not None], name, best_epoch, score)


def read_training_run(folder: Path, name: str) -> tuple[TrainingRun, list[str]]:
    """The run in a folder, called `name`, and notes on lines that are left out.

    Raises CnncError E606 for what is not a run, E612 for a run without a finished epoch or without numbers, E901, E903.
    """
    path = folder / "metrics.jsonl"
    if folder.is_file():
        raise CnncError.of("E606", f"{folder} is a file, not a run folder", help=_help_for_file(folder))
    if not path.is_file():
        checkpoints.find(folder, "last")
    lines = checkpoints.metric_lines(folder)
    read = {number: _row(line) for number, line in enumerate(lines, 1) if line.strip()}
    if not read:
        help = f"`cnnc train --resume {quote(str(folder))}` continues the run"
        raise CnncError.of("E612", f"{folder} has no metrics: none of its epochs has ended", help=help)
    rows = [row for row in read.values() if row is not None]
    if not rows:
        raise CnncError.of("E612", f"{path} holds no line that can be read", help="name another run")
    if not any(row[key] is not None for row in rows for key in row if is_drawn(key)):
        raise CnncError.of("E612", f"{path} holds no finite loss, metric or learning rate", help="name another run")
    score = checkpoints.test_score(folder)
    tested = _epoch(score.get("epoch"))
    best = checkpoints.best_epoch(folder)
    if best is None:
        best = tested
    run = _run_of(rows, name, best, score if tested is not None and tested == best else {})
    return run, _damage_notes(path, [number for number, row in read.items() if row is None])


def _damage_notes(path: Path, damaged: Sequence[int]) -> list[str]:
    """Which lines are left out, the first three by their numbers."""
    notes = [f"{path}: line {number:,} is damaged and left out" for number in damaged[:3]]
    if further := len(damaged[3:]):
        verb = "lines are" if further > 1 else "line is"
        notes.append(f"{path}: {further:,} more {verb} damaged and left out")
    return notes


def _run_of(rows: Sequence[Row], name: str, best_epoch: int | None, score: Mapping[str, Any]) -> TrainingRun:
    """A run of rows in any order; of two about one epoch, the later one counts."""
    by_epoch = {row["epoch"] or 0: row for row in rows}
    numbers = {key: number for key, value in score.items() if key != "epoch" and (number := _number(value)) is not None}
    ordered = tuple(by_epoch[epoch] for epoch in sorted(by_epoch))
    return TrainingRun(name, ordered, best_epoch, numbers) if best_epoch in by_epoch else TrainingRun(name, ordered)


def _help_for_file(file: Path) -> str:
    """What to name instead of a file."""
    if file.suffix == ".cnn" and file.name != "network.cnn":
        return f"`cnnc train {quote(str(file))}` writes a run folder, runs/NAME"
    if (file.parent / "metrics.jsonl").is_file():
        return f"name the folder that contains it: `cnnc curves {quote(str(file.parent))}`"
    return "`cnnc train FILE` writes a run folder, runs/NAME"


def _row(line: str) -> Row | None:
    """A line as numbers by name; None if it is not one: cut, or without the number of its epoch."""
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return None
    epoch = _epoch(facts.get("epoch")) if isinstance(facts, dict) else None
    return None if epoch is None else {**{key: _number(value) for key, value in facts.items()}, "epoch": epoch}


def _epoch(value: Any) -> int | None:
    """The number of an epoch, from 1 on; None for anything else."""
    is_epoch = isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LAST_EPOCH
    return value if is_epoch else None


def _number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond all floats
        return None
