"""A summary or diagnostics as HTML for notebooks: one table or preformatted text, without scripts.

In: a `Summary` or diagnostics. Out: HTML with all names escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from cnnc.diagnostics import Diagnostic, Role, render
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


def figure(svg: str) -> str:
    """An SVG as an element of a page, which shrinks where the page is narrower."""
    shrinking = svg.replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)
    return f'<figure style="margin:0">{shrinking}</figure>'


def diagnostics_html(diagnostics: Sequence[Diagnostic]) -> str:
    """Diagnostics as the terminal shows them, in colours that can be read on light and on dark ground."""
    body = escape("\n\n".join(render(each, _marked) for each in diagnostics))
    for role, colour in _COLOURS.items():
        body = body.replace(f"\x00{role}\x01", f'<span style="font-weight:bold;color:{colour}">')
    return f"<pre>{body.replace(_END, '</span>')}</pre>"


_COLOURS: Mapping[Role, str] = {
    "error": "#d9534f",
    "warning": "#b8860b",
    "note": "#3d85c6",
    "position": "#3d85c6",
    "help": "#2a9d8f",
}
_END = "\x02"


def _marked(text: str, role: Role) -> str:
    """Text between control characters, which `render` lets through from nowhere else."""
    return f"\x00{role}\x01{text}{_END}"


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
