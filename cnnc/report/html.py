"""A summary or diagnostics as HTML for notebooks: one table or preformatted text, without scripts.

In: a `Summary` or diagnostics. Out: HTML with all names escaped.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape, unescape

from cnnc.diagnostics import Diagnostic, Role, render
from cnnc.report.confusion import class_scores
from cnnc.report.summary import Summary
from cnnc.report.table import COLUMNS, totals


def html_table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool] = ()) -> str:
    """A table, with its own distances, as not every notebook gives tables some; `right` are the columns aligned so."""
    sides = [*right, *[False] * (len(heads) - len(right))]
    body = "".join(f"<tr>{_cells('td', row, sides)}</tr>" for row in rows)
    return f"<table><thead><tr>{_cells('th', heads, sides)}</tr></thead><tbody>{body}</tbody></table>"


def _cells(tag: str, texts: Sequence[str], sides: Sequence[bool]) -> str:
    pairs = zip(texts, sides, strict=True)
    return "".join(f'<{tag} style="{_style(right)}">{escape(text)}</{tag}>' for text, right in pairs)


def _style(right: bool) -> str:
    return f"padding:2px 8px;text-align:{'right' if right else 'left'}"


def table_html(summary: Summary) -> str:
    """The table and totals of `cnnc check` as HTML."""
    rows = ([c.text(row, summary) for c in COLUMNS] for row in summary.rows)
    table = html_table([c.column.head for c in COLUMNS], rows, [c.column.right for c in COLUMNS])
    return f"{table}<p>{'<br>'.join(escape(line) for line in totals(summary).splitlines())}</p>"


def figure(svg: str) -> str:
    """An SVG as an image of a page, which shrinks where the page is narrower; it is dark where the page is, not the system."""
    title = re.search(r"<title[^>]*>(.*?)</title>", svg, re.DOTALL)
    alt = escape(unescape(title[1])) if title else ""
    data = b64encode(svg.encode()).decode()
    image = f'<img alt="{alt}" style="max-width:100%;height:auto" src="data:image/svg+xml;base64,{data}"/>'
    return f'<figure style="margin:0">{image}</figure>'


def diagnostics_html(diagnostics: Sequence[Diagnostic]) -> str:
    """Diagnostics as the terminal shows them, in colours that can be read on light and on dark ground."""
    body = escape("\n\n".join(render(each, _marked) for each in diagnostics))
    for role, colour in _COLOURS.items():
        body = body.replace(f"\x00{role}\x01", f'<span style="font-weight:bold;color:{colour}">')
    return f"<pre>{body.replace(_END, '</span>')}</pre>"


_COLOURS: Mapping[Role, str] = {
    "error": "#d9534f",
    "warning": "#a3770a",
    "note": "#3d85c6",
    "position": "#3d85c6",
    "help": "#258b7f",
}
_END = "\x02"


def _marked(text: str, role: Role) -> str:
    """Text between control characters, which `render` lets through from nowhere else."""
    return f"\x00{role}\x01{text}{_END}"


def confusion_html(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """A confusion matrix as a table, rows by true class, each cell as dark as its share of the row; and the scores of each class."""
    heads = "".join(f'<th style="{_style(True)}">{escape(name)}</th>' for name in (*names, "precision", "recall", "F1"))
    rows = []
    for name, counts, score in zip(names, matrix, class_scores(matrix, names), strict=True):
        cells = "".join(_count(count, sum(counts)) for count in counts)
        values = (f"{value:.1%}" for value in (score.precision, score.recall, score.f1))
        scores = "".join(f'<td style="{_style(True)}">{value}</td>' for value in values)
        rows.append(f'<tr><th style="{_style(False)}">{escape(name)}</th>{cells}{scores}</tr>')
    first = f'<th style="{_style(False)}">true \\ predicted</th>'
    return f"<table><thead><tr>{first}{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _count(count: int, total: int) -> str:
    """A cell of a confusion matrix: blue with its share of the row, readable on light and on dark ground."""
    share = count / total if total else 0.0
    colour = f";background:rgba(66,133,244,{0.1 + 0.46 * share:.2f})" if count else ""
    return f'<td style="{_style(True)}{colour}">{count or "·"}</td>'
