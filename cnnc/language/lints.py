"""Warnings about networks that are legal but probably unintended.

In: a graph. Out: warnings, each with an edit that fixes it. Each rule is a function in `RULES`. Warnings about the
arguments of one layer come from its op (`Op.advice`), those about unused names from `finish`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from cnnc.diagnostics import Diagnostic, Edit, Note
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.language.edits import after as inserted_after
from cnnc.language.edits import before as inserted_before
from cnnc.language.edits import moved_before, without_statement
from cnnc.ops import Op
from cnnc.ops.activation import Abs, Activation, Clip, Dropout, Identity, LogSoftmax, Scale, Softmax
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc, Input
from cnnc.ops.local import Local
from cnnc.ops.norm import Affine, BatchNorm
from cnnc.ops.pool import GlobalPool, Pool
from cnnc.ops.reshape import Flatten, Pad

HEAVY_SHARE = 0.9
HEAVY_SIZE = 1_000_000  # networks with fewer parameters get no warning
MAX_WEIGHT = 2**33  # elements, 34 GB

Rule = Callable[[Graph], Iterator[Diagnostic]]


def lint(graph: Graph) -> list[Diagnostic]:
    """The warnings of all rules; one per rule and source statement, as layers of a repeat or block share a statement."""
    warnings: dict[tuple[str, int], Diagnostic] = {}
    for rule in RULES:
        for diagnostic in rule(graph):
            assert diagnostic.span is not None
            warnings.setdefault((diagnostic.code, diagnostic.span.start), diagnostic)
    return list(warnings.values())


def unread_layers(graph: Graph) -> Iterator[Diagnostic]:
    """W103: a layer that no output depends on; of a chain of them only the last is named."""
    needed = {node.name for node in needed_nodes(graph, graph.outputs)}
    for node in graph.nodes:
        if node.name in needed or graph.consumers[node.name]:
            continue
        if isinstance(node.op, Input):
            message = f"no layer reads the input {node.name}"
            yield _warn(
                "W103", node, message, "read it with `from`", *_removal(node, "remove it, or read it with `from`")
            )
        else:
            message = f"no layer reads {node.name}, so it has no effect on the outputs"
            yield _warn("W103", node, message, "make it an output", *_removal(node, "remove it, or make it an output"))


def activations_in_a_row(graph: Graph) -> Iterator[Diagnostic]:
    """W104: an activation function directly after another."""
    for node, before in _pairs(graph):
        if are_in_a_row(node, before):
            notes = (Note(before.span, "the first"),) if before.span is not None else ()
            message = f"{node.op.keyword} directly after {before.op.keyword}"
            same = type(node.op) is type(before.op)
            help = "remove one of them" if same else "put a conv or fc between them, or remove one"
            yield _warn("W104", node, message, help, *_removal(node, help))._replace(notes=notes)


def are_in_a_row(node: Node, before: Node) -> bool:
    """Whether a layer and the one that it reads are two activations; a final softmax may follow another one."""
    both = _is_nonlinear(node) and _is_nonlinear(before) and node.inputs == (before.name,)
    return both and (not isinstance(node.op, Softmax) or type(node.op) is type(before.op))


def _is_nonlinear(node: Node) -> bool:
    return isinstance(node.op, Activation) and not isinstance(node.op, _LINEAR_PARTS)


def bias_before_norm(graph: Graph) -> Iterator[Diagnostic]:
    """W105: a bias that the batch norm after it cancels, as it subtracts the mean."""
    for node, before in _pairs(graph):
        if isinstance(node.op, BatchNorm) and isinstance(before.op, Conv | Fc) and before.op.bias:
            message = f"the bias of {before.name} has no effect: the bn after it subtracts the mean"
            yield _warn("W105", before, message, "leave the bias out", *_without_bias(before))


def _without_bias(node: Node) -> tuple[Edit, ...]:
    """The statement of a layer as written, with `bias=false`."""
    if node.span is None:
        return ()
    words = re.sub(r"\s*\bbias(es)?\s*=\s*(\[[^]]*\]|\S+)", "", node.span.text)
    return (Edit(node.span, f"{' '.join(words.split())} bias=false"),)


def dropout_at_the_end(graph: Graph) -> Iterator[Diagnostic]:
    """W106: dropout after the last layer with trainable parameters, which zeroes outputs of the network at random."""
    numbers = reversed(range(len(graph.nodes)))
    number = next((i for i in numbers if any(p.trainable for p in graph.parameters(graph.nodes[i]))), None)
    if number is None:
        return
    last = graph.nodes[number]
    for node in graph.nodes[number + 1 :]:
        if isinstance(node.op, Dropout):
            message = f"dropout after {last.name}, the last trainable layer, zeroes outputs of the network at random"
            help = f"move it before {last.name}"
            edits = []
            if node.span is not None and last.span is not None and node.span.source is last.span.source:
                edits = [moved_before(node.span, last.span, help)] if node.span.start > last.span.end else []
            yield _warn("W106", node, message, help, *edits)


def heavy_layer(graph: Graph) -> Iterator[Diagnostic]:
    """W107: one fc that has more than nine tenths of the parameters."""
    total = graph.total_parameters
    if total <= HEAVY_SIZE:
        return
    for node in graph.nodes:
        if isinstance(node.op, Fc):
            count = sum(p.size for p in graph.parameters(node))
            if count > HEAVY_SHARE * total:
                before = graph.input_types(node)[0]
                help = "reduce its inputs or outputs, or use two smaller fc layers"
                pooled = f"`{{}}` before it reduces its inputs from {before.size:,} to {before.channels:,}"
                edits = (
                    [inserted_before(node.span, "global_pool avg", pooled)]
                    if before.rank and node.span is not None
                    else []
                )
                yield _warn("W107", node, f"{node.name} has {count / total:.1%} of all parameters", help, *edits)


def large_weight(graph: Graph) -> Iterator[Diagnostic]:
    """W113: a weight that no usual machine can hold: the network can be checked, but neither trained nor exported."""
    if all(parameter.size <= MAX_WEIGHT for parameter in graph.weights.values()):
        return
    for node in graph.nodes:
        size = max((p.size for p in graph.parameters(node)), default=0)
        if size > MAX_WEIGHT:
            message = (
                f"the weight of {node.name} has {size:,} elements, {4 * size / 1e9:,.1f} GB in float32; "
                "training and export need that memory"
            )
            shared = "write `{}`, which shares one window" if isinstance(node.op, Local) else ""
            edits = _other_keyword(node, "conv", shared) if shared else ()
            yield _warn("W113", node, message, "use fewer inputs or outputs", *edits)


def softmax_inside(graph: Graph) -> Iterator[Diagnostic]:
    """W110: a layer with weights that reads a softmax.

    Not where something else uses the softmax as well: an output, or a merge, which weighs other activations with it.
    """
    for node in graph.nodes:
        if not isinstance(node.op, _WEIGHTED):
            continue
        before = _before(graph, node, _BEFORE_SOFTMAX)
        if before is not None and isinstance(before.op, _SOFTMAX):
            message = f"{node.name} reads {before.op.keyword}, which is meant for the end of a network"
            above = graph.by_name[before.inputs[0]]
            edits = _removal(before, "remove it")
            if not _is_nonlinear(above):
                edits = _other_layer(before, "relu", "write `{}`, or another activation")
            notes = (Note(node.span, "reads it"),) if node.span is not None else ()
            yield _warn("W110", before, message, "move it to the end", *edits)._replace(notes=notes)


def softmax_of_one_channel(graph: Graph) -> Iterator[Diagnostic]:
    """W111: a softmax over one channel, whose output is constant."""
    for node in graph.nodes:
        if isinstance(node.op, _SOFTMAX) and node.type.channels == 1:
            constant = 1 if isinstance(node.op, Softmax) else 0
            message = f"{node.op.keyword} is over the channels; of one channel it is always {constant}"
            help = "give it two channels, for two classes"
            edits = _other_layer(node, "sigmoid", f"for one probability, write `{{}}`; or {help}")
            yield _warn("W111", node, message, help, *edits)


def linear_layers_in_a_row(graph: Graph) -> Iterator[Diagnostic]:
    """W112: two layers with weights and no activation between them, which together are one linear layer."""
    for node in graph.nodes:
        if not isinstance(node.op, _WEIGHTED) or node.op.frozen:
            continue
        before = _before(graph, node, _LINEAR_AND_NORMS)
        if before is not None and _are_one_layer(graph, before, node):
            is_repeated = before.span == node.span
            notes = (Note(before.span, "the first"),) if before.span is not None and not is_repeated else ()
            message = f"no activation between {before.name} and {node.name}, so together they are one linear layer"
            yield _warn("W112", node, message, "add an activation", *_relu_between(node, is_repeated))._replace(
                notes=notes
            )


def _relu_between(node: Node, is_repeated: bool) -> tuple[Edit, ...]:
    """The edit that adds an activation before a layer; after it if the layer above is the same statement in a repeat."""
    if node.span is None:
        return ()
    if is_repeated:
        return (inserted_after(node.span, "relu", "write `{}` after it, or another activation"),)
    return (inserted_before(node.span, "relu", "write `{}` between them, or another activation"),)


def _are_one_layer(graph: Graph, first: Node, second: Node) -> bool:
    """Whether two linear layers could be one of the second's kind without loss.

    Not where the source gives the weights of one, whose author wants that layer.

    Published networks leave out the activation where they cannot: between a depthwise or grouped convolution and the next
    one (MobileNet), around a bottleneck (MobileNetV2: fewer channels than before and after), between a 1xN and an Nx1
    kernel, and between a convolution and a transposed one (FCN).
    """
    a, b = first.op, second.op
    if isinstance(a, Conv | Local | Fc) and isinstance(b, Fc):
        sizes = graph.input_types(first)[0].size, first.type.size, second.type.size
    elif isinstance(a, Conv | ConvTranspose) and isinstance(b, Conv | ConvTranspose) and type(a) is type(b):
        if a.groups > 1 or b.groups > 1 or _are_crossed(a.k, b.k):
            return False
        sizes = graph.input_types(first)[0].channels, first.type.channels, second.type.channels
    elif isinstance(a, Conv | Local) and isinstance(b, Local):
        if (isinstance(a, Conv) and a.groups > 1) or _are_crossed(a.k, b.k):
            return False
        sizes = graph.input_types(first)[0].channels, first.type.channels, second.type.channels
    else:
        return False
    before, between, after = sizes
    fixed = a.frozen or a.weights is not None or b.weights is not None
    return not fixed and between >= min(before, after)


def _are_crossed(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether each of two kernels spans an axis that the other does not: 1x7 and 7x1."""
    return any(m == 1 < n for m, n in zip(a, b, strict=True)) and any(n == 1 < m for m, n in zip(a, b, strict=True))


RULES: tuple[Rule, ...] = (
    unread_layers,
    activations_in_a_row,
    bias_before_norm,
    dropout_at_the_end,
    heavy_layer,
    large_weight,
    softmax_inside,
    softmax_of_one_channel,
    linear_layers_in_a_row,
)

_WEIGHTED = (Conv, ConvTranspose, Local, Fc)
_SOFTMAX = (Softmax, LogSoftmax)
_LINEAR = (Dropout, Flatten, Identity, Pad, Scale)
_LINEAR_AND_NORMS = (*_LINEAR, BatchNorm, Affine)
_BEFORE_SOFTMAX = (*_LINEAR_AND_NORMS, Pool, GlobalPool)
_LINEAR_PARTS = (Abs, Clip, Scale)  # activations that are linear on a part of their input


def _before(graph: Graph, node: Node, between: tuple[type[Op], ...]) -> Node | None:
    """The layer above a layer, not counting layers of the kinds `between`; None if other layers or an output use it."""
    while node.inputs:
        before = graph.by_name[node.inputs[0]]
        if len(graph.consumers[before.name]) > 1 or before.name in graph.outputs or node.span is None:
            return None
        if not isinstance(before.op, between):
            return before
        node = before
    return None


def _pairs(graph: Graph) -> Iterator[tuple[Node, Node]]:
    """Each layer with one input, and the layer that it reads, if no other layer reads that."""
    for node in graph.nodes:
        if len(node.inputs) == 1 and len(graph.consumers[node.inputs[0]]) == 1 and node.span is not None:
            yield node, graph.by_name[node.inputs[0]]


def _other_layer(node: Node, statement: str, help: str) -> tuple[Edit, ...]:
    """The edit that replaces a layer, and keeps its label."""
    if node.span is None:
        return ()
    start = node.span.start + node.span.text.rindex(node.op.keyword)
    return (Edit(node.span.source.span(start, node.span.end), statement, help),)


def _other_keyword(node: Node, keyword: str, help: str) -> tuple[Edit, ...]:
    """The edit that makes a layer one of another kind with the same arguments."""
    if node.span is None:
        return ()
    start = node.span.text.rindex(node.op.keyword)
    return _other_layer(node, keyword + node.span.text[start + len(node.op.keyword) :], help)


def _removal(node: Node, help: str) -> tuple[Edit, ...]:
    return (without_statement(node.span, help),) if node.span is not None else ()


def _warn(code: str, node: Node, message: str, help: str, *edits: Edit) -> Diagnostic:
    return Diagnostic(code, message, node.span, help=help, calls=node.calls, edits=edits)
