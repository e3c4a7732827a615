"""A checked network as `cnnc check --json` prints it; docs/json.md describes every key.

In: graph, summary, size survey and diagnostics. Out: plain data for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnc.diagnostics import Diagnostic
from cnnc.graph.graph import Graph
from cnnc.graph.sizes import SizeSurvey
from cnnc.ops.dense import Input
from cnnc.report.summary import Row, Summary


def as_dict(
    file: str,
    name: str,
    graph: Graph | None,
    summary: Summary | None,
    survey: SizeSurvey | None,
    diagnostics: Sequence[Diagnostic],
    versus_dense: bool = False,
) -> dict[str, Any]:
    """One object per file; numbers are None if the source has errors. Keys may be added, but none is removed.

    With `versus_dense`, each layer has the keys of `Row.comparison` as well.
    """
    head: dict[str, Any] = {"file": file, "name": name, "ok": graph is not None}
    listed = [d.as_dict() for d in diagnostics]
    if graph is None or summary is None:
        empty: dict[str, Any] = {
            "params": None,
            "buffers": None,
            "macs": None,
            "memory": None,
            "sizes": [],
            "inputs": [],
            "outputs": [],
            "layers": [],
        }
        return {**head, **empty, "diagnostics": listed}
    shapes = {row.name: list(row.shape) for row in summary.rows}
    inputs = []
    for node in graph.inputs:
        assert isinstance(node.op, Input)
        inputs.append({"name": node.name, "shape": shapes[node.name], "dtype": node.op.fed().dtype})
    return {
        **head,
        "params": summary.parameters,
        "buffers": summary.buffers,
        "macs": summary.macs,
        "memory": {
            "weights": summary.weight_bytes,
            "peak": summary.peak.bytes if summary.peak is not None else None,
            "peak_at": summary.peak.at if summary.peak is not None else None,
            "training": summary.training,
            "batch": summary.batch,
        },
        "sizes": [rule.as_dict() for rule in survey.legal.values()] if survey is not None else [],
        "inputs": inputs,
        "outputs": [{"name": name, "shape": shapes[name]} for name in graph.outputs],
        "layers": [{**_layer(row), **(row.comparison if versus_dense else {})} for row in summary.rows],
        "diagnostics": listed,
    }


def _layer(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "op": row.op,
        "arguments": row.arguments,
        "shape": list(row.shape),
        "params": row.parameters,
        "buffers": row.buffers,
        "macs": row.macs,
        "bytes": row.memory,
        "field": [f.elements for f in row.field],
        "field_step": [float(f.step) for f in row.field],
        "field_first": [float(f.first) for f in row.field],
        "line": row.line,
    }
