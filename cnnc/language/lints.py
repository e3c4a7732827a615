"""Warnings about networks that are legal but probably unintended.

In: a graph. Out: warnings, each with an edit that fixes it. Each rule is a function in `RULES`. Warnings about the
arguments of one layer come from its op (`Op.advice`), those about unused names from `finish`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from cnnc.diagnostics import Diagnostic, Edit, Note
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.language.edits import before as inserted_before
from cnnc.language.edits import moved_before, without_statement
from cnnc.ops.activation import Abs, Activation, Clip, Dropout, Scale, Softmax
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Fc, Input
from cnnc.ops.norm import BatchNorm

HEAVY_SHARE = 0.9
HEAVY_SIZE = 1_000_000  # networks with fewer parameters get no warning

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
        if _is_nonlinear(node) and _is_nonlinear(before):
            notes = (Note(before.span, "the first"),) if before.span is not None else ()
            message = f"{node.op.keyword} directly after {before.op.keyword}"
            same = type(node.op) is type(before.op)
            help = "remove one of them" if same else "put a conv or fc between them, or remove one"
            if not isinstance(node.op, Softmax) or same:
                yield _warn("W104", node, message, help, *_removal(node, help))._replace(notes=notes)


def _is_nonlinear(node: Node) -> bool:
    return isinstance(node.op, Activation) and not isinstance(node.op, Abs | Clip | Scale)


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
    given = re.search(r"\bbias\s*=\s*\S+", node.span.text)
    words = re.sub(r"\s*\bbias\s*=\s*\S+", "", node.span.text) if given is not None else node.span.text
    return (Edit(node.span, f"{' '.join(words.split())} bias=false"),)


def dropout_at_the_end(graph: Graph) -> Iterator[Diagnostic]:
    """W106: dropout after the last layer with trainable parameters, which zeroes outputs of the network at random."""
    trainable = [i for i, n in enumerate(graph.nodes) if any(p.trainable for p in graph.parameters(n))]
    if not trainable:
        return
    for node in graph.nodes[trainable[-1] + 1 :]:
        if isinstance(node.op, Dropout):
            last = graph.nodes[trainable[-1]]
            message = f"dropout after {last.name}, the last trainable layer, zeroes outputs of the network at random"
            help = f"move it before {last.name}"
            edits = []
            if node.span is not None and last.span is not None and node.span.source is last.span.source:
                edits = [moved_before(node.span, last.span, help)] if node.span.start > last.span.end else []
            yield _warn("W106", node, message, help, *edits)


def heavy_layer(graph: Graph) -> Iterator[Diagnostic]:
    """W107: one fc that has more than nine tenths of the parameters."""
    total = graph.total_parameters
    for node in graph.nodes:
        if isinstance(node.op, Fc) and total > HEAVY_SIZE:
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


RULES: tuple[Rule, ...] = (unread_layers, activations_in_a_row, bias_before_norm, dropout_at_the_end, heavy_layer)


def _pairs(graph: Graph) -> Iterator[tuple[Node, Node]]:
    """Each layer with one input, and the layer that it reads, if no other layer reads that."""
    for node in graph.nodes:
        if len(node.inputs) == 1 and len(graph.consumers[node.inputs[0]]) == 1 and node.span is not None:
            yield node, graph.by_name[node.inputs[0]]


def _removal(node: Node, help: str) -> tuple[Edit, ...]:
    return (without_statement(node.span, help),) if node.span is not None else ()


def _warn(code: str, node: Node, message: str, help: str, *edits: Edit) -> Diagnostic:
    return Diagnostic(code, message, node.span, help=help, calls=node.calls, edits=edits)
