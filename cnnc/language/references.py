"""The layers that arguments name: operands, outputs, the max pool of an unpool, the owner of shared parameters.

In: a call, its op, the frame that it is in, and the nodes above it. Out: the tensors or nodes that it names, and the name
of the layer whose parameters it uses ("" for its own); or a CnncError. It adds no nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast

from cnnc.core.arguments import ArgumentSpec, LayerName
from cnnc.diagnostics import CnncError, Diagnostic, Edit, Note, Span
from cnnc.graph.graph import Node
from cnnc.language import syntax
from cnnc.language.bind import only_value
from cnnc.language.edits import first_that_works, rewritten, without
from cnnc.language.expressions import AlreadyReported
from cnnc.language.resolve import one_tensor, tensors
from cnnc.language.scope import Frame, Tensor
from cnnc.ops import OPS, Op
from cnnc.ops.pool import Pool, Unpool


def resolve(
    op: Op,
    inputs: tuple[Tensor, ...],
    call: syntax.Call,
    spans: Mapping[str, Span],
    frame: Frame,
    nodes: Mapping[str, Node],
) -> tuple[Op, tuple[Tensor, ...], str]:
    """Resolves the layer names among an op's arguments (`share=a`, `bilinear a b`, `unpool p`).

    `inputs` are its inputs if the arguments name none; `spans` are those of its arguments. Returns the op, its inputs, and
    the owner of its parameters ("" for its own). Raises CnncError E114, E123, E124, E203, and AlreadyReported.
    """
    owner = ""
    operands: list[Tensor] = []
    for spec in _layer_names(cast(Any, type(op))):
        value = getattr(op, spec.name)
        if value is None:
            continue
        tensor = one_tensor(value, spans.get(spec.name, call.span), frame)
        if spec.name == "share":
            owner = _owner_of(tensor, op, tuple(operands) or inputs, spans[spec.name], nodes)
        else:
            operands.append(tensor)
    if isinstance(op, Unpool):
        pool = nodes.get(operands[0].node)
        if pool is None or not isinstance(pool.op, Pool):
            if operands[0].type is None:
                raise AlreadyReported
            argument = call.arguments[0]
            edits = tuple(Edit(argument.value.span, name) for name in max_pools(frame, nodes))
            help = "name a max pool above"
            raise CnncError.of(
                "E123",
                "unpool takes the name of a max pool",
                span=spans.get("of", call.span),
                help=help,
                edits=first_that_works(edits),
            )
        source = nodes[pool.inputs[0]]
        return op.replace(pool=pool.op), (*inputs, Tensor(source.name, source.type)), owner
    return op, tuple(operands) if operands else inputs, owner


@cache
def _layer_names(cls: type[Op]) -> tuple[ArgumentSpec, ...]:
    """The arguments of a layer that name layers."""
    return tuple(spec for spec in cls.arguments if isinstance(spec.kind, LayerName))


def max_pools(frame: Frame, nodes: Mapping[str, Node]) -> list[str]:
    """The names of the max pools that a statement can see, the nearest first."""

    def is_max_pool(name: str) -> bool:
        declaration = frame.find(name)
        node = nodes.get(declaration.tensor.node) if declaration is not None else None
        return node is not None and isinstance(node.op, Pool) and node.op.kind == "max"

    return [name for name in reversed(frame.visible_names()) if is_max_pool(name)]


def layers_above(frame: Frame, current: Tensor | None) -> list[str]:
    """The names of the layers that a statement can see, except the current tensor; those of its shape first, then the nearest."""
    names = [name for name in reversed(frame.visible_names()) if (d := frame.find(name)) is not None and d.tensor.node]
    found = {name: frame.find(name) for name in names}
    others = [n for n, d in found.items() if d is not None and (current is None or d.tensor.node != current.node)]
    shape = current.type if current is not None else None
    return sorted(others, key=lambda name: (d := found[name]) is not None and d.tensor.type != shape)


def outputs_of(call: syntax.Call, frame: Frame) -> list[str]:
    """The nodes that an `output` names; "" for a poisoned tensor. Raises CnncError E106, E114, E117, E202, E203."""
    if not call.arguments:
        names = [rewritten(call, f"output {name}", "name them: `{}`") for name in layers_above(frame, None)]
        message, help = "output needs the names of layers", "name the layers whose outputs the network has"
        raise CnncError.of("E202", message, span=call.span, help=help, edits=first_that_works(names))
    nodes: list[str] = []
    for argument in call.arguments:
        if argument.key is not None or not isinstance(argument.value, syntax.Word):
            raise CnncError.of("E203", "output takes names of layers", span=argument.span)
        name = argument.value.name
        if name in OPS and len(call.arguments) == 1 and frame.find(name) is None and frame.find(f"{name}1") is None:
            edit = rewritten(call, f"{name}; output {name}1", "a layer is an output by its name: `{}`")
            message, help = f"no layer is named `{name}`", "name the layer whose output is meant"
            raise CnncError.of("E114", message, span=argument.span, help=help, edits=(edit,))
        for tensor in tensors(argument.value, frame):
            if tensor.node and tensor.node in nodes:
                message = f"{argument.value.name} is already an output"
                raise CnncError.of("E106", message, span=argument.span, edits=(without(argument.span),))
            nodes.append(tensor.node)
    return nodes


def source_of(call: syntax.Call, frame: Frame) -> Tensor:
    """The tensor that a `from` names. Raises CnncError E114, E117, E202, E203."""
    value = only_value(call, "the name of a layer")
    if not isinstance(value, syntax.Word):
        raise CnncError.of("E203", "from takes the name of a layer", span=value.span)
    named = tensors(value, frame)
    if len(named) != 1:
        raise CnncError.of("E203", f"from takes one layer, found {len(named)}", span=value.span)
    return named[0]


def shared_call(argument: syntax.Argument, frame: Frame) -> str:
    """The name prefix of the block call that `share=` names. Raises CnncError E203."""
    word = argument.value
    if not isinstance(word, syntax.Word) or frame.find(word.name) is None:
        raise CnncError.of("E203", "share takes the label of an earlier block call", span=argument.span)
    frame.record_names(word)
    return f"{frame.space.prefix}{word.name}."


def owner_in_shared_call(
    name: str, op: Op, inputs: tuple[Tensor, ...], call: syntax.Call, frame: Frame, nodes: Mapping[str, Node]
) -> str:
    """The owner of the parameters of layer `name` in a block call that uses another call's (`share=`); "" in other calls.

    Raises CnncError E124 and AlreadyReported.
    """
    if not frame.space.share or not op.parameters(*(t.type for t in inputs if t.type is not None)):
        return ""
    counterpart = nodes.get(frame.space.share + name)
    if counterpart is None:
        message = f"{frame.space.share.rstrip('.')} has no layer `{name}` to share parameters with"
        help = "call the same block both times, or remove `share`"
        outer = frame.space.calls[-1].span
        share = re.search(r"\s+share\s*=\s*\S+", outer.text)
        edits: tuple[Edit, ...] = ()
        if share is not None:
            edits = (Edit(Span(outer.source, outer.start + share.start(), outer.start + share.end()), "", help),)
        raise CnncError.of("E124", message, span=call.span, help=help, edits=edits)
    return _owner_of(Tensor(counterpart.name, counterpart.type), op, inputs, call.span, nodes)


def _owner_of(tensor: Tensor, op: Op, inputs: tuple[Tensor, ...], span: Span, nodes: Mapping[str, Node]) -> str:
    """The owner of the parameters of layer `tensor`. Raises CnncError E124 unless `op` has the same kind and shapes."""
    other = nodes.get(tensor.node)
    types = tuple(t.type for t in inputs if t.type is not None)
    if other is None or len(types) != len(inputs):
        raise AlreadyReported
    shapes = [(p.name, p.shape) for p in op.parameters(*types)]
    shared = [(p.name, p.shape) for p in other.op.parameters(*(nodes[n].type for n in other.inputs))]
    if type(other.op) is not type(op) or shapes != shared:
        notes = (Note(other.span, f"has parameters {_shapes_text(shared)}"),) if other.span else ()
        message = f"cannot share the parameters of {other.name}: the layers differ in kind or in parameter shapes"
        label = f"needs parameters {_shapes_text(shapes)}"
        help = "give both layers the same kind, arguments and input channels, or remove `share`"
        edits = (without(span, help),) if "=" in span.text else ()
        raise CnncError(Diagnostic("E124", message, span, label, notes, help, edits=edits))
    return other.parameter_owner


def _shapes_text(parameters: Iterable[tuple[str, tuple[int, ...]]]) -> str:
    return " and ".join("x".join(map(str, shape)) for _, shape in parameters) or "none"
