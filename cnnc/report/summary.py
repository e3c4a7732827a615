"""Numbers first: what `cnnc check` knows of a network, before it has a face.

In: a `Graph`. Out: `Summary`, one `Row` a layer. Table and JSON read it and compute nothing.
"""

from __future__ import annotations

from cnnc.analysis import Field, receptive_fields
from cnnc.graph import Graph
from cnnc.record import Record


class Row(Record):
    """One layer: sizes are counts of numbers, MACs those of one sample."""

    name: str
    op: str
    arguments: str
    shape: tuple[int, ...]
    parameters: int
    buffers: int
    macs: int
    field: tuple[Field, ...]
    line: int
    formulas: tuple[str, ...]


class Summary(Record):
    name: str
    rows: tuple[Row, ...]
    parameters: int
    buffers: int
    macs: int


def summarize(graph: Graph) -> Summary:
    """The rows and totals of a graph, in the order of the text."""
    fields = receptive_fields(graph)
    rows = []
    for node in graph.nodes:
        types = graph.input_types(node)
        owned = node.op.parameters(*types) if node.parameter_owner == node.name else ()
        rows.append(
            Row(
                node.name,
                node.op.keyword,
                node.op.brief(),
                node.type.shape,
                sum(p.size for p in owned if p.trainable),
                sum(p.size for p in owned if not p.trainable),
                node.op.macs(*types),
                fields[node.name],
                node.span.line if node.span else 0,
                tuple(node.op.explain(*types)),
            )
        )
    return Summary(graph.name, tuple(rows), graph.total_parameters, graph.total_buffers, graph.total_macs)
