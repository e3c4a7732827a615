"""A summary or diagnostics as HTML for notebooks: one table or preformatted text, without scripts.

In: a `Summary` or diagnostics. Out: HTML with all names escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from cnnc.diagnostics import Diagnostic, render
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
