"""The type of a layer's output.

In: an op, its inputs, and the nodes above it. Out: `Inferred`, the type; or None and a diagnostic that points at the
argument to blame and at the layer above that shrank the feature map most. It adds nothing to the graph.

The rules of each op raise ShapeError without a span (cnnc/ops); here each error gets its span, notes and help.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from cnnc.core.arguments import Declared
from cnnc.core.tensor import TensorType
from cnnc.diagnostics import Diagnostic, Edit, Note, Span
from cnnc.graph.graph import Node
from cnnc.language import syntax
from cnnc.language.edits import (
    after,
    argument_named,
    before,
    first_that_works,
    head,
    replaced,
    rewritten,
    whole,
    with_argument,
)
from cnnc.language.scope import Tensor
from cnnc.ops import Op, ShapeError
from cnnc.ops.base import BEFORE, INSTEAD, Fix
from cnnc.ops.dense import Fc, Input
from cnnc.ops.pool import Unpool

MAX_ELEMENTS = 2**33  # of one layer's output


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
    body: Sequence[syntax.Statement] = (),
) -> Inferred:
    """The type of a layer's output; if an input is poisoned, the type that holds for any input, if there is one.

    `spans` are those of the arguments, `body` the statements of the body that the call is in. With `advise`, warnings about
    legal but probably unintended arguments are included.
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
        edits = _edits_at_other_layers(error, op, call, inputs, nodes) + _edits(error.fixes, op, call)
        if error.fix is not None:
            above = tuple(takewhile(lambda s: s is not call, body))
            edits += _merge_edits(error.fix, call, inputs, nodes, above)
        in_block = any(nodes[t.node].calls for t in inputs if t.node in nodes)
        words = "give both the same shape in every call of the block" if error.fix and in_block else error.words
        diagnostic = Diagnostic(error.code, error.message, span, error.label, notes, words, edits=edits)
        return Inferred(None, (diagnostic,))
    advice = op.advice(*types) if advise else ()
    warnings = [
        Diagnostic(a.code, a.message, spans.get(a.argument, call.span), help=a.words, edits=_edits(a.fixes, op, call))
        for a in advice
    ]
    return Inferred(output, tuple(warnings))


def _edits(fixes: Iterable[Fix], op: Op, call: syntax.Call) -> tuple[Edit, ...]:
    """The fixes of an op as edits of its call."""
    edits = []
    for fix in fixes:
        if fix.on == BEFORE:
            edits.append(before(call.span, fix.text, fix.help))
        elif fix.on == INSTEAD:
            edits.append(rewritten(call, fix.text, fix.help))
        else:
            keys, given = argument_of(op, fix.on, call)
            edits.append(with_argument(call, keys, given, fix.text, fix.help))
    return tuple(edits)


def argument_of(
    op: Declared | type[Declared], name: str, call: syntax.Call
) -> tuple[tuple[str, ...], syntax.Argument | None]:
    """The names of an argument of an op, and the argument as the call gives it (None if it does not)."""
    spec = next(spec for spec in op.arguments if spec.name == name)
    positional = [s.name for s in op.arguments if s.positional]
    position = positional.index(name) if spec.positional else None
    return spec.keys, argument_named(call, spec.keys, position)


def _edits_at_other_layers(
    error: ShapeError, op: Op, call: syntax.Call, inputs: tuple[Tensor, ...], nodes: Mapping[str, Node]
) -> tuple[Edit, ...]:
    """Edits of the network's input or of the pool that an unpool inverts, where these are to blame."""
    if isinstance(op, Unpool) and error.code == "E317":
        pool = next(n for n in nodes.values() if n.op is op.pool)
        return replaced(pool.span, r"\bpool\s+\w+", "pool max", "make it `{}`")
    if error.code == "E318" and not call.bodies and len(call.arguments) > 1:
        return (rewritten(call, "; ".join(f"{op.keyword} {a.span.text}" for a in call.arguments)),)
    if error.code == "E308":
        dtype = "int64" if "float32" not in op.takes else "float32" if len(inputs) > 1 else "uint8"
        named = [
            replaced(n.span, r"\s+dtype\s*=\s*\w+|$", f" dtype={dtype}", "give the input `{}`")
            for n in _ancestral_inputs(inputs, nodes)
        ]
        return first_that_works([edit for edits in named for edit in edits])
    if error.code in ("E302", "E303"):  # a sequence whose channel is missing
        source = nodes.get(inputs[0].node)
        if source is not None and isinstance(source.op, Input) and source.type.shape[1:] in ((), (1,)):
            return replaced(
                source.span, r"\b\d+(x1)?\b", f"1x{source.type.channels}", "write `input {}` for one channel"
            )
    return ()


def _ancestral_inputs(tensors: Iterable[Tensor], nodes: Mapping[str, Node]) -> list[Node]:
    """The inputs of the network that these tensors depend on."""
    return [nodes[name] for name in _ancestors((t.node for t in tensors), nodes) if isinstance(nodes[name].op, Input)]


def _output(op: Op, types: tuple[TensorType, ...]) -> TensorType:
    """The output type of an op for these input types. Raises ShapeError: the op's own, and E308 and E309 for every op."""
    for type_ in types:
        if type_.dtype not in op.takes:
            raise ShapeError(
                "E308",
                f"{op.keyword} takes {' or '.join(op.takes)}, not {type_.dtype}",
                help="`embed` turns integers into float32"
                if "float32" in op.takes
                else "it takes an input of whole numbers, dtype=int64",
                label=f"the input is {type_.dtype}",
            )
    output = op.output(*types)
    if output.size > MAX_ELEMENTS:
        message = f"a tensor has {output.size:,} elements; the limit is {MAX_ELEMENTS:,}"
        raise ShapeError("E309", message, help="use a smaller input or fewer channels")
    return output


# --- merges of operands that do not fit together ------------------------------------------------------------


def _merge_edits(
    fix: tuple[int, str, str],
    call: syntax.Call,
    inputs: tuple[Tensor, ...],
    nodes: Mapping[str, Node],
    above: Sequence[syntax.Statement],
) -> tuple[Edit, ...]:
    """Edits that apply layers to one operand of a merge; () if more than this statement must change.

    In a block, whose calls may have different arguments, layers with the block's own names are tried first.
    """
    position, layers, others = fix
    named = _in_names_of_block(layers, inputs[1 - position], nodes) if len(inputs) == 2 else layers
    found = (_with_layers(call, position, text, others, above) for text in dict.fromkeys((named, layers)))
    edits = [edit for edit in found if edit is not None]
    if layers.startswith("crop"):
        edits += [
            Edit(
                Span(n.span.source, n.span.end, n.span.end),
                " p=same",
                f"pad the layer that shrinks the map: `{n.span.text} p=same`",
            )
            for n in shrinking(inputs, nodes)
            if not re.search(r"\b(p|pad)\s*=", n.span.text)
        ]
    return (edits[0]._replace(otherwise=tuple(edits[1:])),) if edits else ()


def _in_names_of_block(layers: str, narrow: Tensor, nodes: Mapping[str, Node]) -> str:
    """`conv 32 k=1 s=2` as `conv w k=1 s=s`, with the expressions of the layers above that gave the other operand its shape."""
    match = re.search(r"(conv|fc) (\d+)( k=1)?(?: s=(\S+))?$", layers)
    if match is None:
        return layers
    outputs, strides = [], []
    node = nodes.get(narrow.node)
    first = node
    while (
        first is not None and node is not None and node.inputs and node.calls == first.calls and node.span is not None
    ):
        written = re.match(r"(?:[\w.]+\s*:\s*)?(?:conv|fc)\s+(.+?)(?=\s+\w+\s*=|$)", node.span.text)
        stride = re.search(r"\b(?:s|stride)\s*=\s*(\S+)", node.span.text)
        outputs += [written[1]] if written is not None else []
        strides += [stride[1]] if stride is not None else []
        node = nodes.get(node.inputs[0])
    out = outputs[0] if outputs else match[2]
    step = strides[0] if len(strides) == 1 else match[4]
    return f"{layers[: match.start()]}{match[1]} {out}{match[3] or ''}{f' s={step}' if step else ''}"


def _with_layers(
    call: syntax.Call, position: int, layers: str, others: str, above: Sequence[syntax.Statement]
) -> Edit | None:
    """The merge with `layers` after its operand number `position`, or else `others`, in words.

    For `add a` of 8 and 16 channels: `add { } { from a; conv 16 k=1 }`. `above` are the statements before it in its body.
    """
    names = [a.span.text for a in call.arguments]
    word = "project the shortcut:" if call.op.text == "add" and "conv" in layers else "write"

    def edit(span: Span, text: str, shown: str) -> Edit:
        return Edit(span, text, ", or ".join(way for way in (f"{word} `{shown}`", others) if way))

    if not call.bodies and position == 0:
        insertion = before(call.span, layers)
        return insertion._replace(help=edit(call.span, "", f"{layers}; {' '.join([call.op.text, *names])}").help)
    at = position if call.bodies else position - 1
    if any(name.endswith(".*") for name in names):  # several operands
        return None
    shown = [f"{{ {'... ' if body.statements else ''}}}" for body in call.bodies] or ["{ }"]
    others_named = [name for i, name in enumerate(names) if i != at]
    if at >= len(names):
        body = call.bodies[at - len(names)]
        shown[at - len(names)] = f"{{ {'...; ' if body.statements else ''}{layers} }}"
        insertion = after(whole(body.statements[-1]), layers) if body.statements else Edit(body.span, f"{{ {layers} }}")
        return edit(*insertion[:2], " ".join([call.op.text, *names, *shown]))
    if call.op.text == "concat" and others_named:  # the order of channels would change
        return None
    if names[at] == "in":  # a branch has an `in` of its own
        if call.bodies or not above:
            return None
        span = whole(above[0]).to(call.span)
        moved = span.source.text[span.start : call.op.span.start].rstrip(" ;\t\r\n")
        text = " ".join([call.op.text, *others_named, f"{{ {moved} }} {{ {layers} }}"])
        line = " ".join([call.op.text, *others_named, "{ ... }", f"{{ {layers} }}"])
        found = edit(span, text, line)
        return found._replace(help=f"{found.help}, and move the layers since `in` into the first braces")
    branch = f"{{ from {names[at]}; {layers} }}"
    bodies = [body.span.text for body in call.bodies] or ["{ }"]
    span = head(call).to(call.bodies[-1].span) if call.bodies else head(call)
    return edit(
        span,
        " ".join([call.op.text, *others_named, *bodies, branch]),
        " ".join([call.op.text, *others_named, *shown, branch]),
    )


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
