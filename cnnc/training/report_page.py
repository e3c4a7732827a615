"""The closing report of a run: confusion.json, confusion.svg and report.html in its folder.

In: a run at its end, the score of its best weights on the test share, and the confusion matrix. Out: the files. Draws with
cnnc/view, so the training loop imports it at the end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from shlex import quote

from cnnc.core.intervals import interval_text
from cnnc.recipe.metrics import decimals, finite, format_metric, metric_text
from cnnc.report.closing import Closing, NextStep, classes_text, confusion_facts, next_steps, score_text
from cnnc.report.confusion import Matrix
from cnnc.training.checkpoint import metric_lines
from cnnc.training.closing import closing_of_score
from cnnc.training.objective import Score
from cnnc.training.run import Run, RunResult
from cnnc.training.run_curves import FALLING, training_run
from cnnc.training.run_lock import write_file
from cnnc.view.arrange import arranged
from cnnc.view.document import Document, Item, Section
from cnnc.view.document_html import document_html
from cnnc.view.inspect.confusions import LEGEND, confusion_items
from cnnc.view.page import Page
from cnnc.view.svg import svg_text
from cnnc.view.training_curves import TrainingRun, training_curves


def closing_of_result(result: RunResult) -> Closing:
    """What a run that has ended tells; its curves are read from its folder, and missing where they are."""
    assert result.test is not None
    return closing_of_run(result.run, metric_lines(result.run.folder), result.test, result.confusion)


def closing_of_run(run: Run, lines: Sequence[str], score: Score, confusion: Matrix) -> Closing:
    """What the end of a run tells; `lines` are those of metrics.jsonl."""
    shown = _curves(run, lines, score)
    closing = closing_of_score(run.objective, run.data, run.train, score, confusion, quote(str(run.folder)))
    return closing._replace(
        validated=len(run.validation), rows=shown.rows, best_epoch=run.progress.best_epoch + 1, epochs=run.recipe.epochs
    )


def save_closing(run: Run, lines: Sequence[str], score: Score, confusion: Matrix) -> None:
    """Writes report.html and, for a classifier, confusion.json and confusion.svg."""
    closing = closing_of_run(run, lines, score, confusion)
    items = confusion_items(confusion, closing.classes, closing.interval is not None) if confusion else []
    if confusion:
        facts = {"epoch": closing.best_epoch, **confusion_facts(closing)}
        write_file(run.folder, "confusion.json", f"{json.dumps(facts)}\n".encode())
        for matrix in (item for item in items if isinstance(item, Page)):  # none for many classes
            write_file(run.folder, "confusion.svg", svg_text(arranged(matrix)).encode())
    write_file(run.folder, "report.html", document_html(_document(run, closing, score, items, lines)).encode())


# --- report.html -------------------------------------------------------------------------------------------------


def _document(run: Run, closing: Closing, score: Score, items: Sequence[Item], lines: Sequence[str]) -> Document:
    sections = [Section("next", "What to do next", _next_lines(next_steps(closing)), ())]
    curves = _curves(run, lines, score)
    if curves.rows:
        sections.append(Section("training", "Training", (), (training_curves(curves.name, [curves], FALLING),)))
    if items:
        text = (classes_text(closing.classes, closing.confusion),)
        sections.append(Section("classes", "Classes", tuple(filter(None, text)), tuple(items), (LEGEND,)))
    name = run.network.name
    return Document(
        f"{name}: the end of its training", f"{score_text(closing)}.", _facts(run, closing, score), tuple(sections)
    )


def _facts(run: Run, closing: Closing, score: Score) -> tuple[tuple[str, str], ...]:
    recipe = run.recipe
    facts = [
        (f"test {metric_text(closing.metric)}", format_metric(closing.metric, closing.score)),
        *([("accuracy", f"{score.accuracy:.2%}")] if closing.total and closing.metric != "accuracy" else []),
        *([("95% interval", interval_text(closing.interval))] if closing.interval is not None else []),
        ("test loss", decimals(score.loss)),
        ("best epoch", f"{closing.best_epoch} of {run.progress.epoch}"),
        ("data", " ".join(filter(None, [recipe.data.name, recipe.data.path]))),
        (
            "examples",
            f"{len(run.train):,} to train, {len(run.validation):,} to validate, {len(run.data.test):,} to test",
        ),
        ("parameters", f"{run.graph.total_parameters:,}"),
    ]
    return tuple(facts)


def _next_lines(found: Sequence[NextStep]) -> tuple[str, ...]:
    if not found:
        return ("Nothing stands out by the rules of docs/data.md.",)
    return tuple(f"{each.seen[:1].upper()}{each.seen[1:]}. {each.help[:1].upper()}{each.help[1:]}." for each in found)


def _curves(run: Run, lines: Sequence[str], score: Score) -> TrainingRun:
    return training_run(run.network.name, lines, run.progress.best_epoch + 1, finite(score.as_dict()))
