"""What can be said of a text once all of it is lowered: whether it is a network, and what it never uses.

In: the file, the names and layers that came of it. Out: the graph and diagnostics. It lowers nothing; what is hardly meant
in a graph is for `lints`, what a contract asserts for `contracts`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cnnc.diagnostics import CnncError, Diagnostic, nearest
from cnnc.graph.graph import Graph, Node, verify
from cnnc.language import syntax
from cnnc.language.expressions import Scope
from cnnc.language.scope import Tensor
from cnnc.ops.dense import Input


def graph_of(
    file: syntax.File, name: str, nodes: Mapping[str, Node], outputs: Iterable[str], last: Tensor | None
) -> Graph:
    """The graph of a text without errors; where it names no outputs, the last layer is the output.

    Raises CnncError E116 where the text has no layer, E125 where an input is an output.
    """
    if last is None:
        span = file.source.span(0, 0) if file.source.text.strip() else None
        help = "begin with `input 1x28x28`, then a layer a line"
        raise CnncError.of("E116", f"{file.source.name} holds no network", span=span, help=help)
    named = tuple(outputs)
    made = named or (last.node,)
    bare = [nodes[output] for output in made if isinstance(nodes[output].op, Input)]
    if bare:
        if named:
            message, help = f"the input {bare[0].name} is an output", "put a layer after it, or leave it out"
        else:
            message, help = f"no layer follows the input {bare[0].name}", "add one below it, e.g. `fc 10`"
        raise CnncError.of("E125", message, span=bare[0].span, help=help)
    return verify(Graph(name, tuple(nodes.values()), made))


def unused(
    file: syntax.File, root: Scope, blocks: Mapping[str, syntax.Block], called: Collection[str]
) -> list[Diagnostic]:
    """W101 and W102: `let`s and blocks of this file that nothing reads (those of an include are a library)."""
    source = file.source
    lets = [
        Diagnostic("W101", f"`{name}` is never used", place, help="take the `let` out")
        for name, place in root.places.items()
        if place.source is source and name not in root.read
    ]
    uncalled = [
        Diagnostic("W102", f"block `{name}` is never called", block.span, help=f"call it: `{name} ...`, or take it out")
        for name, block in blocks.items()
        if block.span.source is source and name not in called
    ]
    return lets + uncalled


def unmatched(settings: Mapping[str, syntax.Expression], root: Scope) -> list[Diagnostic]:
    """E115: settings of the command line for which there is no `let`."""
    found = []
    lets = list(root.places)
    for name, value in settings.items():
        if name not in root.places:
            near = nearest(name, lets)
            help = f"did you mean `{near}`?" if near else f"the file's are {', '.join(lets) or 'none'}"
            found.append(Diagnostic("E115", f"no top-level `let {name}` to set", value.span, help=help))
    return found
