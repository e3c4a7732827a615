"""A summary as a text table, which fits the terminal, or as comma-separated values (CSV)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cnnc.core.caller import is_command_line
from cnnc.core.limits import human_bytes
from cnnc.graph.analysis import ReceptiveField
from cnnc.report.layout import ColumnLayout, Layout, fitted
from cnnc.report.summary import Row, Size, Summary

_NO_LIMIT = Layout()


class TableColumn(NamedTuple):
    """One column: how it is laid out, and its text for a row."""

    column: ColumnLayout
    text: Callable[[Row, Summary], str]


def _count(number: int | None, dependent: str = "") -> str:
    return dependent if number is None else f"{number:,}" if number else ""


def _share(row: Row, summary: Summary) -> str:
    return f"{row.parameters / summary.parameters:.1%}" if row.parameters and summary.parameters else ""


COLUMNS = (
    TableColumn(ColumnLayout("name", least=8, is_path=True), lambda row, summary: row.name),
    TableColumn(ColumnLayout("layer", least=14, drop=1), lambda row, summary: f"{row.op} {row.arguments}".rstrip()),
    TableColumn(ColumnLayout("output", right=True, least=10), lambda row, summary: format_size(row.shape)),
    TableColumn(ColumnLayout("params", right=True), lambda row, summary: _count(row.parameters)),
    TableColumn(ColumnLayout("share", right=True, drop=4), _share),
    TableColumn(ColumnLayout("MACs", right=True, drop=2), lambda row, summary: _count(row.macs, "?")),
    TableColumn(ColumnLayout("field", right=True, drop=3), lambda row, summary: format_field(row.field)),
)
VERSUS_DENSE = (
    COLUMNS[0],
    TableColumn(ColumnLayout("layer", least=14, drop=5), COLUMNS[1].text),
    *COLUMNS[2:4],
    TableColumn(ColumnLayout("fc weights", right=True, drop=2), lambda row, summary: _count(row.dense_weights)),
    TableColumn(ColumnLayout("local", right=True, drop=1), lambda row, summary: _count(row.local_weights)),
    TableColumn(ColumnLayout("shared", right=True, drop=3), lambda row, summary: _count(row.shared_weights)),
    TableColumn(ColumnLayout("operations", right=True, drop=7), lambda row, summary: _count(row.operations)),
    TableColumn(ColumnLayout("fc operations", right=True, drop=6), lambda row, summary: _count(row.dense_operations)),
    TableColumn(ColumnLayout("saved", right=True, drop=4), lambda row, summary: _saved(row)),
)
"""The columns of both tables; name, output and params stay at every width."""
VERSUS_DENSE_LEGEND = (
    "weights between the same input and output, without biases: of a fully connected layer (fc weights), with a window of "
    "its own at each position (local), with one window for all positions (shared)"
)


def _saved(row: Row) -> str:
    if not row.dense_operations or not row.operations:
        return ""
    return f"{row.dense_operations / row.operations:,.0f}x"


def table(
    summary: Summary, columns: Sequence[TableColumn] = COLUMNS, explain: bool = False, layout: Layout = _NO_LIMIT
) -> str:
    """The table, followed by the totals and for `VERSUS_DENSE` a legend; with `explain`, each layer's formulas follow its row."""
    texts = [[column.text(row, summary) for column in columns] for row in summary.rows]
    head, rule, *rows = fitted([c.column for c in columns], texts, layout, rule=True)
    lines = [head, rule]
    for row, line in zip(summary.rows, rows, strict=True):
        lines.append(line)
        if explain:
            lines += [f"    {formula}" for formula in row.formulas]
    legend = [VERSUS_DENSE_LEGEND] if columns is VERSUS_DENSE else []
    return "\n".join([*lines, "", *legend, totals(summary)])


def totals(summary: Summary) -> str:
    """The totals, one sentence per line."""
    buffers = f" and {summary.buffers:,} buffers" if summary.buffers else ""
    head = (
        f"{summary.name}: {summary.parameters:,} parameters{buffers} ({human_bytes(summary.weight_bytes)} in float32)"
    )
    if summary.macs is None:
        at = "--at" if is_command_line() else "`at`"
        lines = [f"{head}; MACs and memory depend on the size, set it with {at}"]
    else:
        lines = [f"{head}, {summary.macs:,} MACs"]
    if summary.peak is not None and summary.training is not None:
        lines.append(
            f"peak activation memory: {human_bytes(summary.peak.bytes)} (at {summary.peak.at}); "
            f"training: about {human_bytes(summary.training)} at batch size {summary.batch}"
        )
    if summary.legal:
        lines.append(f"legal sizes: {summary.legal}")
    return "\n".join(lines)


def as_csv(summary: Summary, versus_dense: bool = False) -> str:
    """The rows as CSV with a header; numbers have no thousands separators, `bytes` is the output in float32.

    With `versus_dense`, the columns of `Row.comparison` follow.
    """
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["name", "layer", "arguments", "output", "params", "buffers", "macs", "bytes", "field", "line"]
    compared = summary.rows[0].comparison if versus_dense and summary.rows else {}
    writer.writerow([*head, *compared])
    for row in summary.rows:
        macs, memory = ("" if n is None else n for n in (row.macs, row.memory))
        size, field = format_size(row.shape), format_field(row.field)
        cells = [row.name, row.op, row.arguments, size, row.parameters, row.buffers, macs, memory, field, row.line]
        writer.writerow([*cells, *("" if row.comparison[key] is None else row.comparison[key] for key in compared)])
    return out.getvalue()


def format_size(shape: Sequence[Size]) -> str:
    """`64x14x14`, or with formulas `64 x H/2 x W/2`."""
    simple = all(isinstance(s, int) or s.isalnum() for s in shape)
    return ("x" if simple else " x ").join(map(str, shape))


def format_field(field: Sequence[ReceptiveField]) -> str:
    """The receptive field: `32x32`, or one number for one axis."""
    return "x".join(str(f.elements) for f in field)
