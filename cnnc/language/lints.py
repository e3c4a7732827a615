"""What is legal but hardly meant: warnings about the network as a whole.

In: a graph. Out: warnings, each with an edit that mends it. Each rule is a function in `RULES`; warnings
about one layer's own arguments come from its op (`Op.advice`), those about names from the lowering.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cnnc.diagnostics import Diagnostic, Note
from cnnc.graph.graph import Graph, Node
from cnnc.ops.activation import Abs, Activation, Clip, Dropout, Scale, Softmax
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Fc, Input
from cnnc.ops.norm import BatchNorm

HEAVY_SHARE = 0.9
HEAVY_SIZE = 1_000_000  # parameters below which no one minds where they are

Rule = Callable[[Graph], Iterator[Diagnostic]]


def lint(graph: Graph) -> list[Diagnostic]:
    """All warnings of all rules; of the layers of one line, one speaks."""
    found: dict[tuple[str, int], Diagnostic] = {}
    for rule in RULES:
        for diagnostic in rule(graph):
            assert diagnostic.span is not None
            found.setdefault((diagnostic.code, diagnostic.span.start), diagnostic)
    return list(found.values())


def unread_layers(graph: Graph) -> Iterator[Diagnostic]:
    """W103: a layer whose value no output needs; of a chain of them the last is named."""
    wanted = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
    for node in graph.nodes:
        if node.name in wanted or graph.consumers[node.name]:
            continue
        if isinstance(node.op, Input):
            yield _warn(
                "W103", node, f"no layer reads the input {node.name}", f"take it out, or read it: `from {node.name}`"
            )
        else:
            help = f"take it out, or name it an output: `output {' '.join((*graph.outputs, node.name))}`"
            yield _warn("W103", node, f"nothing reads {node.name}: it and what leads to it alone do nothing", help)


def activations_in_a_row(graph: Graph) -> Iterator[Diagnostic]:
    """W104: an activation right after another."""
    for node, before in _pairs(graph):
        if _bends(node) and _bends(before):
            notes = (Note(before.span, "the first"),) if before.span is not None else ()
            message = f"{node.op.keyword} right after {before.op.keyword}"
            same = type(node.op) is type(before.op)
            help = "take one of them out" if same else "put a conv or fc between them, or take one out"
            if not isinstance(node.op, Softmax) or same:
                yield _warn("W104", node, message, help)._replace(notes=notes)


def _bends(node: Node) -> bool:
    return isinstance(node.op, Activation) and not isinstance(node.op, Abs | Clip | Scale)


def bias_before_norm(graph: Graph) -> Iterator[Diagnostic]:
    """W105: a bias that the batch norm after it takes away again."""
    for node, before in _pairs(graph):
        if isinstance(node.op, BatchNorm) and isinstance(before.op, Conv | Fc) and before.op.bias:
            message = f"the bias of {before.name} does nothing: the bn after it subtracts the mean"
            yield _warn("W105", before, message, f"write `{_without_bias(before)}`")


def _without_bias(node: Node) -> str:
    """The line of a layer as it was written, and no bias."""
    assert node.span is not None
    words = [word for word in node.span.text.split() if word != "bias=true"]
    return " ".join([*words, "bias=false"])


def dropout_at_the_end(graph: Graph) -> Iterator[Diagnostic]:
    """W106: dropout after the last layer that learns: it blanks answers at random."""
    learning = [i for i, n in enumerate(graph.nodes) if any(p.trainable for p in graph.parameters(n))]
    if not learning:
        return
    for node in graph.nodes[learning[-1] + 1 :]:
        if isinstance(node.op, Dropout):
            last = graph.nodes[learning[-1]]
            message = f"dropout after {last.name}, the last layer that learns, blanks answers at random"
            yield _warn("W106", node, message, f"put it before {last.name}")


def heavy_layer(graph: Graph) -> Iterator[Diagnostic]:
    """W107: one fc that holds more than nine tenths of the parameters."""
    total = graph.total_parameters
    for node in graph.nodes:
        if isinstance(node.op, Fc) and total > HEAVY_SIZE:
            own = sum(p.size for p in graph.parameters(node))
            if own > HEAVY_SHARE * total:
                before = graph.input_types(node)[0]
                help = "`global_pool avg` before it leaves " + f"{before.channels:,} inputs of {before.size:,}"
                if not before.rank:
                    help = "fewer inputs or outputs, or two smaller fc"
                yield _warn("W107", node, f"{node.name} holds {own / total:.1%} of all parameters", help)


RULES: tuple[Rule, ...] = (unread_layers, activations_in_a_row, bias_before_norm, dropout_at_the_end, heavy_layer)


def _pairs(graph: Graph) -> Iterator[tuple[Node, Node]]:
    """Each layer of one input, with the layer it reads, where that is read by it alone."""
    for node in graph.nodes:
        if len(node.inputs) == 1 and len(graph.consumers[node.inputs[0]]) == 1 and node.span is not None:
            yield node, graph.by_name[node.inputs[0]]


def _warn(code: str, node: Node, message: str, help: str) -> Diagnostic:
    return Diagnostic(code, message, node.span, help=help, calls=node.calls)
