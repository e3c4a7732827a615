"""The last step of lowering: the graph, and definitions and settings that nothing uses.

In: the file, and the nodes, outputs and names that lowering collected. Out: the `Graph`, and diagnostics. Warnings about
the graph itself are in `lints`, assertions in `assertions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cnnc.diagnostics import CnncError, Diagnostic, nearest
from cnnc.graph.graph import Graph, Node, verify
from cnnc.language import syntax
from cnnc.language.expressions import Scope
from cnnc.language.scope import Tensor
from cnnc.language.synonyms import train_setting
from cnnc.ops.dense import Input


def build_graph(
    file: syntax.File, name: str, nodes: Mapping[str, Node], outputs: Iterable[str], last: Tensor | None
) -> Graph:
    """The graph of a file without errors. Without `outputs`, `last`, the last layer, is the output.

    Raises CnncError E116 if the file has no layers, E125 if an input is an output.
    """
    if last is None:
        span = file.source.span(0, 0) if file.source.text.strip() else None
        help = "begin with `input 1x28x28`, then write one layer per line"
        raise CnncError.of("E116", f"{file.source.name} defines no network", span=span, help=help)
    named = tuple(outputs)
    chosen = named or (last.node,)
    inputs = [nodes[output] for output in chosen if isinstance(nodes[output].op, Input)]
    if inputs:
        message = f"the input {inputs[0].name} is an output of the network"
        help = "name a layer below it in `output` instead"
        if not named:
            message, help = f"no layer follows the input {inputs[0].name}", "add one below it, e.g. `fc 10`"
        raise CnncError.of("E125", message, span=inputs[0].span, help=help)
    return verify(Graph(name, tuple(nodes.values()), chosen))


def unused_definitions(
    file: syntax.File, root: Scope, blocks: Mapping[str, syntax.Block], called: Collection[str]
) -> list[Diagnostic]:
    """W101 and W102: `let`s and blocks of this file that nothing uses. Those of included files may go unused."""
    source = file.source
    lets = [
        Diagnostic("W101", f"`{name}` is never used", span, help="remove the `let`")
        for name, span in root.spans.items()
        if span.source is source and name not in root.read
    ]
    uncalled = [
        Diagnostic("W102", f"block `{name}` is never called", block.span, help=f"call it: `{name} ...`, or remove it")
        for name, block in blocks.items()
        if block.span.source is source and name not in called
    ]
    return lets + uncalled


def unmatched_settings(
    settings: Mapping[str, syntax.Expression], root: Scope, has_train_section: bool
) -> list[Diagnostic]:
    """E115: settings of the command line that no `let` at the top level matches."""
    errors = []
    lets = list(root.spans)
    for name, value in settings.items():
        if name not in root.spans:
            near = (train_setting(name) if has_train_section else "") or nearest(name, lets)
            help = f"the file has {', '.join(f'`let {let}`' for let in lets)}" if lets else "the file has no `let`"
            help = f"did you mean `{near}`? Write `--set {near}={value.span.text}`" if near else help
            errors.append(Diagnostic("E115", f"no top-level `let {name}` to set", value.span, help=help))
    return errors
