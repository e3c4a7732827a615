"""A checked network as `cnnc check --json` gives it."""

from __future__ import annotations

from typing import Any

from cnnc.network import Network
from cnnc.ops.dense import Input
from cnnc.report.summary import summarize


def as_dict(network: Network) -> dict[str, Any]:
    """One object a file; figures are null where the text has errors. Keys may be added, none is removed."""
    head: dict[str, Any] = {"file": network.source.name, "name": network.name, "ok": network.ok}
    diagnostics = [d.as_dict() for d in network.diagnostics]
    graph = network.graph
    if graph is None:
        empty: dict[str, Any] = {"params": None, "macs": None, "inputs": [], "outputs": [], "layers": []}
        return {**head, **empty, "diagnostics": diagnostics}
    summary = summarize(graph)
    inputs = []
    for node in graph.inputs:
        assert isinstance(node.op, Input)
        fed = node.op.fed()
        inputs.append({"name": node.name, "shape": list(fed.shape), "dtype": fed.dtype})
    return {
        **head,
        "params": summary.parameters,
        "buffers": summary.buffers,
        "macs": summary.macs,
        "inputs": inputs,
        "outputs": [{"name": name, "shape": list(graph.by_name[name].type.shape)} for name in graph.outputs],
        "layers": [
            {
                "name": row.name,
                "op": row.op,
                "arguments": row.arguments,
                "shape": list(row.shape),
                "params": row.parameters,
                "buffers": row.buffers,
                "macs": row.macs,
                "field": [f.size for f in row.field],
                "line": row.line,
            }
            for row in summary.rows
        ],
        "diagnostics": diagnostics,
    }
