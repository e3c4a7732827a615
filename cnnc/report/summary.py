"""The numbers that `cnnc check` reports, before any formatting.

In: the graph of a checked network, and the survey of its symbolic sizes. Out: `Summary` with one `Row` per layer. Table,
CSV, JSON and HTML read it and compute nothing themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnnc.core.record import Record
from cnnc.core.tensor import TensorType
from cnnc.graph.analysis import PeakMemory, ReceptiveField, peak_memory, receptive_fields, training_memory
from cnnc.graph.graph import Graph, Node
from cnnc.graph.sizes import SizeSurvey
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.local import Local

if TYPE_CHECKING:
    from fractions import Fraction

Size = int | str
"""A size, or the formula of a size that depends on a symbol."""


class Row(Record):
    """One layer, or one block folded into a line.

    `parameters` and `buffers` are numbers of elements, `macs` multiply-adds for one sample, `memory` the bytes of the output
    in float32, `layers` the number of layers that the row stands for. `operations` counts multiplications and additions
    separately. `dense_*` are the costs of a fully connected layer between the same input and output. For a layer that
    slides a learned window, `local_weights` is the number of weights if each position has its own, `shared_weights` if all
    positions share one window; biases excluded. Numbers that depend on a symbol are None.
    """

    name: str
    op: str
    arguments: str
    shape: tuple[Size, ...]
    parameters: int
    buffers: int
    macs: int | None
    memory: int | None
    field: tuple[ReceptiveField, ...]
    line: int
    formulas: tuple[str, ...]
    layers: int
    path: tuple[str, ...]
    operations: int | None
    dense_weights: int | None
    dense_operations: int | None
    local_weights: int | None
    shared_weights: int | None

    @property
    def comparison(self) -> dict[str, int | None]:
        """What `--versus-dense` compares, by the names of JSON and CSV."""
        names = ("dense_weights", "local_weights", "shared_weights", "operations", "dense_operations")
        return {name: getattr(self, name) for name in names}


class Summary(Record):
    """The rows of a network and its totals; numbers that depend on a symbol are None.

    `training` is the estimated memory of a training step in bytes at batch size `batch`, `legal` the rules for legal sizes.
    """

    name: str
    rows: tuple[Row, ...]
    parameters: int
    buffers: int
    macs: int | None
    peak: PeakMemory | None
    training: int | None
    batch: int
    legal: str

    @property
    def weight_bytes(self) -> int:
        """The bytes of parameters and buffers in float32."""
        return 4 * (self.parameters + self.buffers)


def summarize(
    graph: Graph, survey: SizeSurvey | None = None, *, fixed: bool = False, batch: int = 1, slots: int = 2
) -> Summary:
    """The rows and totals of a graph, in source order.

    With a `survey` sizes are formulas, unless `--at` has `fixed` them. `batch` and `slots` are for the training memory: the
    batch size, and the number of arrays that the optimizer keeps per weight.
    """
    is_open = survey is not None and not fixed
    fields = receptive_fields(graph)
    rows = tuple(_row(graph, node, fields[node.name], survey if is_open else None) for node in graph.nodes)
    return Summary(
        graph.name,
        rows,
        graph.total_parameters,
        graph.total_buffers,
        None if is_open else graph.total_macs,
        None if is_open else peak_memory(graph),
        None if is_open else training_memory(graph, batch, slots),
        batch,
        survey.rules() if survey is not None else "",
    )


def _row(graph: Graph, node: Node, field: tuple[ReceptiveField, ...], survey: SizeSurvey | None) -> Row:
    types = graph.input_types(node)
    owned = node.op.parameters(*types) if node.parameter_owner == node.name else ()
    macs = node.op.macs(*types)
    weights = sum(p.size for p in owned if p.trainable)
    shape: tuple[Size, ...] = node.type.shape
    if survey is not None:
        shape = tuple(int(s) if s.isdigit() else s for s in survey.formulas[node.name])
    symbolic = survey is not None and any(isinstance(s, str) for s in shape)
    dense = types[0].size * node.type.size if types and macs else None
    return Row(
        node.name,
        node.op.keyword,
        node.op.brief(),
        shape,
        weights,
        sum(p.size for p in owned if not p.trainable),
        None if symbolic and macs else macs,
        None if symbolic else node.type.bytes,
        field,
        node.span.line if node.span else 0,
        () if symbolic else (*node.op.explain(*types), *field_text(field)),
        1,
        node.path,
        None if symbolic or not macs else 2 * macs - node.type.size,  # n products, n - 1 sums
        None if symbolic else dense,
        None if symbolic or dense is None else 2 * dense - node.type.size,
        None if symbolic or not isinstance(node.op, _SLIDING) else macs,  # each of its weights multiplies once
        _shared_weights(node.op, types),
    )


_SLIDING = Conv | ConvTranspose | Local


def _shared_weights(op: Op, types: tuple[TensorType, ...]) -> int | None:
    """The weights of one learned window, which a `local` has at each position; None for layers without one."""
    if not isinstance(op, _SLIDING):
        return None
    weight = op.parameters(*types)[0].size
    return weight // math.prod(op.output(*types).spatial) if isinstance(op, Local) else weight


def field_text(field: tuple[ReceptiveField, ...]) -> tuple[str, ...]:
    """The receptive field in words: `receptive field 14x14, stride 2, from -2`."""
    if not field or all(f.elements == 1 for f in field):
        return ()

    def each(numbers: list[int | Fraction]) -> str:
        return str(numbers[0]) if len(set(numbers)) == 1 else "x".join(map(str, numbers))

    size = "x".join(str(f.elements) for f in field)
    if not any(f.step for f in field):
        return (f"receptive field {size} from {each([f.first for f in field])}, the same for all positions",)
    return (f"receptive field {size}, stride {each([f.step for f in field])}, from {each([f.first for f in field])}",)


def fold(summary: Summary, depth: int) -> Summary:
    """The summary with every block call at nesting level `depth` folded into one row."""
    rows: list[Row] = []
    for row in summary.rows:
        call = row.path[depth - 1] if len(row.path) >= depth > 0 else ""
        if not call:
            rows.append(row)
        elif rows and rows[-1].name == call:
            rows[-1] = _fold_into(rows[-1], row)
        else:
            rows.append(row.replace(name=call, op="block", arguments="", formulas=()))
    return summary.replace(rows=tuple(rows))


def _fold_into(block: Row, row: Row) -> Row:
    """The row of a block with one more of its layers: sums of the costs, the shape and field of the last layer."""
    return row.replace(
        name=block.name,
        op="block",
        arguments=f"of {block.layers + 1} layers",
        parameters=block.parameters + row.parameters,
        buffers=block.buffers + row.buffers,
        macs=_add(block.macs, row.macs),
        memory=_add(block.memory, row.memory),
        operations=_add(block.operations or 0, row.operations or 0) or None,
        dense_weights=_add(block.dense_weights or 0, row.dense_weights or 0) or None,
        dense_operations=_add(block.dense_operations or 0, row.dense_operations or 0) or None,
        local_weights=_add(block.local_weights or 0, row.local_weights or 0) or None,
        shared_weights=_add(block.shared_weights or 0, row.shared_weights or 0) or None,
        line=block.line,
        formulas=(),
        layers=block.layers + 1,
    )


def _add(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


SORTS: dict[str, Callable[[Row], float]] = {
    "macs": lambda row: -(row.macs or 0),
    "params": lambda row: -row.parameters,
    "memory": lambda row: -(row.memory or 0),
    "field": lambda row: -math.prod(f.elements for f in row.field),
}


def sort(summary: Summary, by: str) -> Summary:
    """The summary with the rows in descending order of a key of `SORTS`."""
    return summary.replace(rows=tuple(sorted(summary.rows, key=SORTS[by])))
