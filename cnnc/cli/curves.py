"""`cnnc curves`: loss and metrics of one or several runs over epochs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import print_json, print_result, print_status
from cnnc.cli.options import json_option
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.cli.picture_files import picture_kind, write_picture
from cnnc.core.files import real_path
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.view.training_curves import TrainingRun


def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; several are compared.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The chart: .svg, .png or .html. Default: curves.svg here."),
    ] = None,
    json: Annotated[
        bool, json_option("the numbers of the best and last epoch and of the test as a JSON object")
    ] = False,
    force: FORCE = False,
) -> None:
    """Draw loss, metrics and learning rate of runs over epochs, laid over one another."""
    _require_different(runs)
    usual = Path("curves.svg")
    out = out if out is not None else usual
    kind = picture_kind(out, ("svg", "png", "html"), usual, "a chart")
    require_outputs([run / "metrics.jsonl" for run in runs], [Output(out, "-o", kind)], force)
    from cnnc.training.run_curves import FALLING, read_training_run
    from cnnc.view.training_curves import training_curves

    read = [read_training_run(run, name) for run, name in zip(runs, _names(runs), strict=True)]
    for _, notes in read:
        for note in notes:
            print_status(f"note: {note}")
    trained = [run for run, _ in read]
    title = trained[0].name if len(runs) == 1 else f"Training of {len(runs)} runs"
    write_picture(out, training_curves(title, trained, FALLING))
    if json:
        print_json({"runs": [_numbers(folder, run) for folder, run in zip(runs, trained, strict=True)]})
    (print_status if json else print_result)(f"wrote {out}")


def _require_different(runs: Sequence[Path]) -> None:
    """Raises CnncError E010 for a run that is named twice, and for more runs than curves differ."""
    from cnnc.view.chart import LOOKS

    for number, run in enumerate(runs):
        if real_path(run) in [real_path(other) for other in runs[:number]]:
            raise CnncError.of("E010", f"{run} is named twice", help="name each run once")
    if len(runs) > LOOKS:
        message = f"{len(runs)} runs cannot be told apart in one chart"
        raise CnncError.of("E010", message, help=f"name at most {LOOKS} runs")


def _names(runs: Sequence[Path]) -> list[str]:
    """The names of the folders; where two are equal, the paths as typed."""
    names = [real_path(run).name or str(run) for run in runs]
    count = Counter(names)
    return [name if count[name] == 1 else str(run) for name, run in zip(names, runs, strict=True)]


def _numbers(folder: Path, run: TrainingRun) -> dict[str, Any]:
    best = next((row for row in run.rows if row["epoch"] == run.best_epoch), None)
    score = {key: value for key, value in run.test.items() if key != "epoch"}
    return {
        "run": str(folder),
        "epochs": run.last_epoch,
        "best_epoch": run.best_epoch,
        "best": dict(best) if best is not None else None,
        "last": dict(run.rows[-1]),
        "test": score or None,
    }
