"""The result of a training: its scores, the metrics of its epochs, its curves, and the trained model.

In: the end of a run. Out: `Result`.

    result = cnnc.train("lenet5.cnn")
    result.metrics                    # a table with a row for each epoch
    result.model(images)["softmax1"]
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from cnnc.api.model import Model
from cnnc.recipe.metrics import format_metric
from cnnc.training import checkpoint as checkpoints
from cnnc.training.objective import Score
from cnnc.training.run import Run, RunResult


class Metrics:
    """The metrics of all epochs, one row each, as metrics.jsonl has them; a table where pandas is not installed.

    `rows` are dicts by the name of the metric; `metrics["val_loss"]` is the list of its values.
    """

    def __init__(self, rows: tuple[dict[str, float | None], ...]) -> None:
        self.rows = rows

    @property
    def columns(self) -> list[str]:
        """The names of the metrics, in the order of the file."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __getitem__(self, name: str) -> list[float | None]:
        return [row.get(name) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float | None]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        names = self.columns
        cells = [names, *([_cell(row.get(name)) for name in names] for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
        return "\n".join("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)

    def _repr_html_(self) -> str:
        from cnnc.report.html import html_table

        names = self.columns
        rows = ([_cell(row.get(name)) for name in names] for row in self.rows)
        return html_table(names, rows, [True] * len(names))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


class Result:
    """The end of a training.

    `run` is the finished run, `test` the score of the best weights on the test set, `memory` the growth of the process in
    bytes (None where the system does not say).
    """

    def __init__(self, ended: RunResult) -> None:
        assert ended.test is not None  # only a run that was stopped has none
        self.run: Run = ended.run
        self.test: Score = ended.test
        self.memory: int | None = ended.memory

    @property
    def folder(self) -> Path:
        """The run folder, which `cnnc.resume`, `cnnc.export` and the commands take."""
        return self.run.folder

    @property
    def best_epoch(self) -> int:
        """The epoch of the best weights, from 1 on; 0 before the first has ended."""
        return self.run.progress.best_epoch + 1

    @cached_property
    def model(self) -> Model:
        """The model with the best weights; the same object each time. Raises CnncError E606 where the folder is gone."""
        return Model.of_checkpoint(checkpoints.load(checkpoints.find(self.folder, "best")))

    @property
    def rows(self) -> tuple[dict[str, float | None], ...]:
        """The metrics of all epochs, one dict each, by the names of metrics.jsonl. Raises CnncError E901."""
        return tuple(json.loads(line) for line in checkpoints.metric_lines(self.folder))

    @property
    def metrics(self) -> Any:
        """The metrics of all epochs as a table: a pandas.DataFrame where pandas is installed, else `Metrics`."""
        try:
            import pandas
        except ImportError:
            return Metrics(self.rows)
        return pandas.DataFrame(list(self.rows))

    @property
    def curves(self) -> str:
        """Loss, metrics and learning rate over the epochs as the text of an SVG file; "" before the first epoch has ended."""
        from cnnc.training.run_curves import FALLING, training_run
        from cnnc.view.svg import svg_text
        from cnnc.view.training_curves import training_curves

        score = {"epoch": self.best_epoch, **self.test.as_dict()}
        run = training_run(self.run.network.name, map(json.dumps, self.rows), self.best_epoch, score)
        return svg_text(training_curves(run.name, [run], FALLING)) if run.rows else ""

    def __repr__(self) -> str:
        name, p = self.run.network.name, self.run.progress
        others = "".join(f", {metric} {format_metric(metric, value)}" for metric, value in self.test.others)
        return f"<Result {name}: test {self.test}{others}, weights of epoch {self.best_epoch} of {p.epoch}, in {self.folder}>"

    def _repr_html_(self) -> str:
        """The curves and the scores, as a notebook shows them."""
        from cnnc.report.html import figure

        return f"<p>{escape(repr(self)[1:-1])}</p>{figure(self.curves)}"
