"""The type of a layer's output.

In: an op, its inputs, and the graph above it. Out: an `Outcome`: the type, or None and the diagnostic that says why there
is none, with the argument to blame and the layer above that lost the most of the image. It reads the graph and adds
nothing to it.
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


class Outcome(NamedTuple):
    """The type of a tensor, None where it is not known, and what there is to say of it."""

    type: TensorType | None
    diagnostics: tuple[Diagnostic, ...] = ()


def infer(
    op: Op,
    call: syntax.Call,
    inputs: tuple[Tensor, ...],
    places: Mapping[str, Span],
    nodes: Mapping[str, Node],
    advise: bool,
) -> Outcome:
    """The type of a layer's output; where an input is poisoned, what is known whatever comes in.

    `places` are those of the arguments. With `advise` an op says as well what is legal and hardly meant.
    """
    types = tuple(t.type for t in inputs if t.type is not None)
    if len(types) < len(inputs):
        return Outcome(TensorType((op.out,)) if isinstance(op, Fc) else None)
    try:
        made = _output(op, types)
    except ShapeError as error:
        span = places.get(error.argument, call.span)
        culprits = tuple(inputs[i] for i in error.operands) or inputs
        notes = shrinking(culprits, nodes) if error.shrunk or error.operands else ()
        help = error.help
        if error.fix is not None:
            place, layers, others = error.fix
            edit = _with_layers(call, place, layers)
            help = ", or ".join(way for way in (edit, others) if way) if edit else help
        return Outcome(None, (Diagnostic(error.code, error.message, span, error.label, notes, help),))
    advice = op.advice(*types) if advise else ()
    told = [Diagnostic(a.code, a.message, places.get(a.argument, call.span), help=a.help) for a in advice]
    return Outcome(made, tuple(told))


def _output(op: Op, types: tuple[TensorType, ...]) -> TensorType:
    """What an op makes of these types. Raises ShapeError, E308 and E309 for all ops alike."""
    for type_ in types:
        if type_.dtype not in op.takes:
            raise ShapeError(
                "E308",
                f"{op.keyword} takes {' or '.join(op.takes)}, not {type_.dtype}",
                help="`dtype=int64` at the input makes it one of integers"
                if "float32" not in op.takes
                else "`embed` makes float32 of integers; `dtype=uint8` at the input is for images of bytes",
                label=f"{type_.dtype} arrives here",
            )
    made = op.output(*types)
    largest = max([made.size, *(p.size for p in op.parameters(*types))])
    if largest > MAX_ELEMENTS:
        help = "a smaller image, or fewer channels"
        raise ShapeError("E309", f"{largest:,} numbers in one tensor; at most {MAX_ELEMENTS:,}", help=help)
    return made


def _with_layers(call: syntax.Call, place: int, layers: str) -> str:
    """A merge with layers put on one of its operands, as a help line shows it; "" where it takes more than that line."""
    names = [a.span.text for a in call.arguments]
    head = f"{call.label.text}: {call.op.text}" if call.label is not None else call.op.text
    word = "project the shortcut:" if call.op.text == "add" and "conv" in layers else "write"
    if not call.bodies and place == 0:
        return f"write `{layers}; {' '.join([head, *names])}`"
    at = place if call.bodies else place - 1
    if any(name.endswith(".*") for name in names):  # several operands
        return ""
    bodies = [f"{{ {'... ' if body.statements else ''}}}" for body in call.bodies] or ["{ }"]
    others = [name for i, name in enumerate(names) if i != at]
    if at >= len(names):
        rest = "...; " if call.bodies[at - len(names)].statements else ""
        bodies[at - len(names)] = f"{{ {rest}{layers} }}"
        return f"{word} `{' '.join([head, *names, *bodies])}`"
    if names[at] == "in":  # a branch has an `in` of its own
        whole = " ".join([head, *others, "{ ... }", f"{{ {layers} }}"])
        return "" if call.bodies else f"{word} `{whole}`, with the layers since `in` in the first braces"
    if call.op.text == "concat" and others:  # the order of channels would change
        return ""
    return f"{word} `{' '.join([head, *others, *bodies, f'{{ from {names[at]}; {layers} }}'])}`"


def shrinking(inputs: tuple[Tensor, ...], nodes: Mapping[str, Node]) -> tuple[Note, ...]:
    """The layer above that lost the most of the image (of the smallest input), and what it did.

    Of several inputs, what they have in common is not to blame.
    """
    smallest = min(inputs, key=lambda t: math.prod(t.type.spatial) if t.type else 0)
    node = nodes.get(smallest.node)
    common = _above((t.node for t in inputs if t is not smallest), nodes)
    worst: tuple[float, Note] | None = None
    while node is not None and node.inputs and node.name not in common:
        before = nodes[node.inputs[0]].type
        if before.rank and before.spatial != node.type.spatial and node.span is not None:
            lost = before.size / max(1, node.type.size) if node.type.rank == before.rank else float("inf")
            if worst is None or lost > worst[0]:
                worst = (lost, Note(node.span, f"took {before} to {node.type}"))
        node = nodes.get(node.inputs[0])
    return (worst[1],) if worst else ()


def _above(names: Iterable[str], nodes: Mapping[str, Node]) -> set[str]:
    """These nodes and all that they are made from."""
    found: set[str] = set()
    waiting = [name for name in names if name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += nodes[name].inputs
    return found
