"""What follows from a graph alone: receptive fields.

In: a `Graph`. Out: numbers for each node. No NumPy; the report, the language's `expect` and the export read it.
"""

from __future__ import annotations

from cnnc.graph import Graph
from cnnc.record import Record


class Field(Record):
    """The receptive field on one axis: an output element at i reads inputs first + step·i ... + size - 1.

    (Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".)
    """

    size: int
    step: int
    first: int


def receptive_fields(graph: Graph) -> dict[str, tuple[Field, ...]]:
    """For each node, the part of the input that one of its elements depends on, axis by axis of the input.

    Without padding beyond the input: a field may be larger than the input itself. Vectors keep the field
    of what they were made from.
    """
    fields: dict[str, tuple[Field, ...]] = {}
    for node in graph.nodes:
        if not node.inputs:
            fields[node.name] = tuple(Field(1, 1, 0) for _ in node.type.spatial)
            continue
        source = graph.by_name[node.inputs[0]]
        before = fields[source.name]
        windows = node.op.windows(*graph.input_types(node))
        if len(windows) != len(before):  # a vector made from an image: its field stands
            fields[node.name] = before
            continue
        fields[node.name] = tuple(
            Field(f.size + (w.size - 1) * f.step, f.step * w.step, f.first + w.first * f.step)
            for f, w in zip(before, windows, strict=True)
        )
    return fields
