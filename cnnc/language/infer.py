"""The type of a layer's output.

In: an op, its inputs, and the nodes above it. Out: `Inferred`, the type; or None and a diagnostic that points at the
argument to blame and at the layer above that shrank the feature map most. It adds nothing to the graph.

The rules of each op raise ShapeError without a span (cnnc/ops); here each error gets its span, notes and help.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cnnc.core.tensor import TensorType
from cnnc.diagnostics import Diagnostic, Note, Span
from cnnc.graph.graph import Node
from cnnc.language import syntax
from cnnc.language.scope import Tensor
from cnnc.ops import Op, ShapeError
from cnnc.ops.dense import Fc

MAX_ELEMENTS = 2**33  # of one tensor or parameter


class Inferred(NamedTuple):
    """The type of a tensor, None if it is unknown, and diagnostics about it."""

    type: TensorType | None
    diagnostics: tuple[Diagnostic, ...] = ()


def infer(
    op: Op,
    call: syntax.Call,
    inputs: tuple[Tensor, ...],
    spans: Mapping[str, Span],
    nodes: Mapping[str, Node],
    advise: bool,
) -> Inferred:
    """The type of a layer's output; if an input is poisoned, the type that holds for any input, if there is one.

    `spans` are those of the arguments. With `advise`, warnings about legal but probably unintended arguments are included.
    """
    types = tuple(t.type for t in inputs if t.type is not None)
    if len(types) < len(inputs):
        return Inferred(TensorType((op.out,)) if isinstance(op, Fc) else None)
    try:
        output = _output(op, types)
    except ShapeError as error:
        span = spans.get(error.argument, call.span)
        culprits = tuple(inputs[i] for i in error.operands) or inputs
        notes = shrinking(culprits, nodes) if error.shrunk or error.operands else ()
        help = error.help
        if error.fix is not None:
            position, layers, others = error.fix
            edit = _with_layers(call, position, layers)
            help = ", or ".join(way for way in (edit, others) if way) if edit else help
        return Inferred(None, (Diagnostic(error.code, error.message, span, error.label, notes, help),))
    advice = op.advice(*types) if advise else ()
    warnings = [Diagnostic(a.code, a.message, spans.get(a.argument, call.span), help=a.help) for a in advice]
    return Inferred(output, tuple(warnings))


def _output(op: Op, types: tuple[TensorType, ...]) -> TensorType:
    """The output type of an op for these input types. Raises ShapeError: the op's own, and E308 and E309 for every op."""
    for type_ in types:
        if type_.dtype not in op.takes:
            raise ShapeError(
                "E308",
                f"{op.keyword} takes {' or '.join(op.takes)}, not {type_.dtype}",
                help="give the input `dtype=int64`"
                if "float32" not in op.takes
                else "`embed` turns integers into float32; for images of bytes give the input `dtype=uint8`",
                label=f"the input is {type_.dtype}",
            )
    output = op.output(*types)
    largest = max([output.size, *(p.size for p in op.parameters(*types))])
    if largest > MAX_ELEMENTS:
        message = f"a tensor has {largest:,} elements; the limit is {MAX_ELEMENTS:,}"
        raise ShapeError("E309", message, help="use a smaller input or fewer channels")
    return output


def _with_layers(call: syntax.Call, position: int, layers: str) -> str:
    """Help that shows a merge with `layers` applied to one of its operands; "" if more than this line must change.

    `position` is that of the operand. For `add a` of 8 and 16 channels: "write `add { } { from a; conv 16 k=1 }`".
    """
    names = [a.span.text for a in call.arguments]
    head = f"{call.label.text}: {call.op.text}" if call.label is not None else call.op.text
    word = "project the shortcut:" if call.op.text == "add" and "conv" in layers else "write"
    if not call.bodies and position == 0:
        return f"write `{layers}; {' '.join([head, *names])}`"
    at = position if call.bodies else position - 1
    if any(name.endswith(".*") for name in names):  # several operands
        return ""
    bodies = [f"{{ {'... ' if body.statements else ''}}}" for body in call.bodies] or ["{ }"]
    others = [name for i, name in enumerate(names) if i != at]
    if at >= len(names):
        rest = "...; " if call.bodies[at - len(names)].statements else ""
        bodies[at - len(names)] = f"{{ {rest}{layers} }}"
        return f"{word} `{' '.join([head, *names, *bodies])}`"
    if names[at] == "in":  # a branch has an `in` of its own
        edit = " ".join([head, *others, "{ ... }", f"{{ {layers} }}"])
        return "" if call.bodies else f"{word} `{edit}`, and move the layers since `in` into the first braces"
    if call.op.text == "concat" and others:  # the order of channels would change
        return ""
    return f"{word} `{' '.join([head, *others, *bodies, f'{{ from {names[at]}; {layers} }}'])}`"


def shrinking(inputs: tuple[Tensor, ...], nodes: Mapping[str, Node]) -> tuple[Note, ...]:
    """A note at the layer above the smallest input that shrank the feature map most; () if none did.

    Layers that the other inputs depend on too are not to blame.
    """
    smallest = min(inputs, key=lambda t: math.prod(t.type.spatial) if t.type else 0)
    node = nodes.get(smallest.node)
    common = _ancestors((t.node for t in inputs if t is not smallest), nodes)
    worst: tuple[float, Note] | None = None
    while node is not None and node.inputs and node.name not in common:
        before = nodes[node.inputs[0]].type
        if before.rank and before.spatial != node.type.spatial and node.span is not None:
            factor = before.size / max(1, node.type.size) if node.type.rank == before.rank else float("inf")
            if worst is None or factor > worst[0]:
                worst = (factor, Note(node.span, f"turns {before} into {node.type}"))
        node = nodes.get(node.inputs[0])
    return (worst[1],) if worst else ()


def _ancestors(names: Iterable[str], nodes: Mapping[str, Node]) -> set[str]:
    """These nodes and all nodes that they depend on."""
    visited: set[str] = set()
    pending = [name for name in names if name]
    while pending:
        name = pending.pop()
        if name not in visited:
            visited.add(name)
            pending += nodes[name].inputs
    return visited
