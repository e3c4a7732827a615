"""A summary or diagnostics as HTML for notebooks: one table or preformatted text, without scripts.

In: a `Summary` or diagnostics. Out: HTML with all names escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from cnnc.diagnostics import Diagnostic, render
from cnnc.report.confusion import class_scores
from cnnc.report.summary import Summary
from cnnc.report.table import COLUMNS, totals


def table_html(summary: Summary) -> str:
    """The table and totals of `cnnc check` as HTML."""
    head = "".join(f'<th style="text-align:{_side(c.column.right)}">{escape(c.column.head)}</th>' for c in COLUMNS)
    rows = []
    for row in summary.rows:
        cells = (f'<td style="text-align:{_side(c.column.right)}">{escape(c.text(row, summary))}</td>' for c in COLUMNS)
        rows.append(f"<tr>{''.join(cells)}</tr>")
    caption = "<br>".join(escape(line) for line in totals(summary).splitlines())
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table><p>{caption}</p>"


def errors_html(diagnostics: Sequence[Diagnostic]) -> str:
    """Diagnostics as the terminal shows them, without colours."""
    text = "\n".join(render(d) for d in diagnostics)
    return f"<pre>{escape(text)}</pre>"


def _side(right: bool) -> str:
    return "right" if right else "left"


def confusion_html(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """A confusion matrix as a table, rows by true class, each cell as dark as its share of the row; and the scores of each class."""
    head = "".join(f"<th>{escape(name)}</th>" for name in (*names, "precision", "recall", "F1"))
    rows = []
    for name, counts, score in zip(names, matrix, class_scores(matrix, names), strict=True):
        cells = "".join(_count(count, sum(counts)) for count in counts)
        scores = "".join(f"<td>{value:.1%}</td>" for value in (score.precision, score.recall, score.f1))
        rows.append(f'<tr><th style="text-align:left">{escape(name)}</th>{cells}{scores}</tr>')
    return f"<table><thead><tr><th>true \\ predicted</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _count(count: int, total: int) -> str:
    """A cell of a confusion matrix: blue with its share of the row, readable on light and on dark ground."""
    share = count / total if total else 0.0
    style = f' style="background:rgba(66,133,244,{0.12 + 0.5 * share:.2f})"' if count else ""
    return f"<td{style}>{count or '·'}</td>"
