"""The layers that a layer's arguments name: operands, the pool of an unpool, the owner of shared parameters.

In: a call and its op, the frame it stands in, and the graph above it. Out: the tensors that are its inputs, and the name
of the layer whose parameters it takes ("" for its own); or a CnncError. It makes no layer.
"""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.core.arguments import LayerName
from cnnc.diagnostics import CnncError, Diagnostic, Note, Span
from cnnc.graph.graph import Node
from cnnc.language import syntax
from cnnc.language.expressions import Silent
from cnnc.language.resolve import one_tensor, tensors
from cnnc.language.scope import Frame, Tensor
from cnnc.ops import Op
from cnnc.ops.merge import Merge
from cnnc.ops.pool import Pool, Unpool


def resolve(
    op: Op,
    inputs: tuple[Tensor, ...],
    call: syntax.Call,
    places: Mapping[str, Span],
    frame: Frame,
    nodes: Mapping[str, Node],
) -> tuple[Op, tuple[Tensor, ...], str]:
    """An op that knows what it refers to, its inputs (those given, where it names none), and the owner of its parameters.

    Raises CnncError, Silent.
    """
    owner = ""
    operands: list[Tensor] = []
    for spec in op.arguments:
        value = getattr(op, spec.name)
        if not isinstance(spec.kind, LayerName) or value is None:
            continue
        tensor = one_tensor(value, places.get(spec.name, call.span), frame)
        if spec.name == "share":
            owner = _owner_of(tensor, op, tuple(operands) or inputs, places[spec.name], nodes)
        else:
            operands.append(tensor)
    if isinstance(op, Unpool):
        pool = nodes.get(operands[0].node)
        if pool is None or not isinstance(pool.op, Pool):
            if operands[0].type is None:
                raise Silent
            span = places.get("of", call.span)
            help = "label the max pool and name it: `p: pool max k=2`, then `unpool p`"
            raise CnncError.of("E123", "unpool takes the name of a max pool", span=span, help=help)
        source = nodes[pool.inputs[0]]
        return op.replace(pool=pool.op), (*inputs, Tensor(source.name, source.type)), owner
    return op, tuple(operands) if operands else inputs, owner


def operands_of(cls: type[Merge], call: syntax.Call, frame: Frame) -> list[Tensor]:
    """The tensors that a merge names. Raises CnncError."""
    found = []
    for argument in call.arguments:
        if argument.key is not None or not isinstance(argument.value, syntax.Word):
            help = f"`{cls.keyword} in`, `{cls.keyword} a b`, `{cls.keyword} {{ ... }} {{ }}`"
            message = f"{cls.keyword} takes names of layers and branches"
            raise CnncError.of("E203", message, span=argument.span, help=help)
        found += tensors(argument.value, frame)
    return found


def shared_call(argument: syntax.Argument, frame: Frame) -> str:
    """The prefix of the call whose parameters a block call shares. Raises CnncError E203."""
    word = argument.value
    if not isinstance(word, syntax.Word) or frame.find(word.name) is None:
        raise CnncError.of("E203", "share takes the label of an earlier call", span=argument.span)
    return f"{frame.space.prefix}{word.name}."


def twin_owner(
    name: str, op: Op, inputs: tuple[Tensor, ...], call: syntax.Call, frame: Frame, nodes: Mapping[str, Node]
) -> str:
    """The owner of a layer's parameters inside a block call that shares another call's. Raises CnncError E124, Silent."""
    if not frame.space.share or not op.parameters(*(t.type for t in inputs if t.type is not None)):
        return ""
    twin = nodes.get(frame.space.share + name)
    if twin is None:
        message = f"the call that it shares with has no layer {name}"
        help = "call the same block in both places, or leave share out"
        raise CnncError.of("E124", message, span=call.span, help=help)
    return _owner_of(Tensor(twin.name, twin.type), op, inputs, call.span, nodes)


def _owner_of(tensor: Tensor, op: Op, inputs: tuple[Tensor, ...], span: Span, nodes: Mapping[str, Node]) -> str:
    """The owner of the parameters that a layer shares, of the same kind and shapes."""
    other = nodes.get(tensor.node)
    types = tuple(t.type for t in inputs if t.type is not None)
    if other is None or len(types) != len(inputs):
        raise Silent
    mine = [(p.name, p.shape) for p in op.parameters(*types)]
    theirs = [(p.name, p.shape) for p in other.op.parameters(*(nodes[n].type for n in other.inputs))]
    if type(other.op) is not type(op) or mine != theirs:
        shapes = " and ".join("x".join(map(str, s)) for _, s in theirs) or "none"
        note = (Note(other.span, f"has parameters {shapes}"),) if other.span else ()
        message = f"cannot share the parameters of {other.name}: another kind or other shapes"
        here = f"here they would be {' and '.join('x'.join(map(str, s)) for _, s in mine) or 'none'}"
        help = "make both layers alike, channels that arrive included, or leave share out"
        raise CnncError(Diagnostic("E124", message, span, here, note, help))
    return other.parameter_owner
