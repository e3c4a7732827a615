"""A summary as a table of plain text: as wide as it needs to be, aligned, never cut."""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.analysis import Field
from cnnc.report.summary import Row, Summary
from cnnc.tensor import format_shape

_HEAD = ("name", "layer", "output", "params", "share", "MACs", "field")
_RIGHT = (False, False, True, True, True, True, True)


def table(summary: Summary, explain: bool = False) -> str:
    """The table, totals below; with `explain`, each layer's formulas under its line."""
    cells = [_cells(row, summary) for row in summary.rows]
    widths = [max(len(c) for c in column) for column in zip(_HEAD, *cells, strict=True)]
    lines = [_line(_HEAD, widths), "  ".join("─" * w for w in widths)]
    for row, texts in zip(summary.rows, cells, strict=True):
        lines.append(_line(texts, widths))
        if explain:
            lines += [f"    {formula}" for formula in row.formulas]
    return "\n".join([*lines, "", totals(summary)])


def totals(summary: Summary) -> str:
    buffers = f" and {summary.buffers:,} buffers" if summary.buffers else ""
    size = 4 * (summary.parameters + summary.buffers)
    return (
        f"{summary.name}: {summary.parameters:,} parameters{buffers} ({human_bytes(size)} in float32), "
        f"{summary.macs:,} MACs"
    )


def _cells(row: Row, summary: Summary) -> tuple[str, ...]:
    share = f"{row.parameters / summary.parameters:.1%}" if row.parameters and summary.parameters else ""
    return (
        row.name,
        f"{row.op} {row.arguments}".rstrip(),
        format_shape(row.shape),
        f"{row.parameters:,}" if row.parameters else "",
        share,
        f"{row.macs:,}" if row.macs else "",
        format_field(row.field),
    )


def format_field(field: Sequence[Field]) -> str:
    """`32x32`; one number where there is one axis."""
    return "x".join(str(f.size) for f in field)


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    parts = [t.rjust(w) if right else t.ljust(w) for t, w, right in zip(texts, widths, _RIGHT, strict=True)]
    return "  ".join(parts).rstrip()


def human_bytes(count: int) -> str:
    """`246.8 KB`; thousands, as file managers count."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return ""
