"""The last step of lowering: the graph, and definitions and settings that nothing uses.

In: the file, and the nodes, outputs and names that lowering collected. Out: the `Graph`, and diagnostics. Warnings about
the graph itself are in `lints`, assertions in `assertions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cnnc.diagnostics import CnncError, Diagnostic, Edit, nearest
from cnnc.graph.graph import Graph, Node, verify
from cnnc.language import syntax
from cnnc.language.edits import after, setting_meant, whole, without_statement
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
        start, text = file.source.span(0, 0), file.source.text
        end = file.source.span(len(text), len(text))
        separator = "" if not text or text.endswith("\n") else "\n"
        help = "begin with `input 1x28x28`, then write one layer per line"
        edits = (Edit(end, f"{separator}input 1x28x28\nfc 10\n", help),)
        message = f"{file.source.name} defines no network"
        raise CnncError.of("E116", message, span=start if text.strip() else None, help=help, edits=edits)
    named = tuple(outputs)
    chosen = named or (last.node,)
    inputs = [nodes[output] for output in chosen if isinstance(nodes[output].op, Input)]
    if inputs:
        message = f"the input {inputs[0].name} is an output of the network"
        help = "name a layer below it as the output instead"
        added: tuple[Edit, ...] = ()
        if not named and inputs[0].span is not None:
            message = f"no layer follows the input {inputs[0].name}"
            added = (after(inputs[0].span, "fc 10", "add one below it, e.g. `{}`"),)
        raise CnncError.of("E125", message, span=inputs[0].span, help=help, edits=added)
    return verify(Graph(name, tuple(nodes.values()), chosen))


def unused_definitions(
    file: syntax.File, root: Scope, blocks: Mapping[str, syntax.Block], called: Collection[str]
) -> list[Diagnostic]:
    """W101 and W102: `let`s and blocks of this file that nothing uses. Those of included files may go unused."""
    source = file.source
    statements = {s.name.span: s.span for s in file.statements if isinstance(s, syntax.Let)}
    lets = [
        Diagnostic(
            "W101",
            f"`{name}` is never used",
            span,
            help="remove it",
            edits=(without_statement(statements[span], "remove the `let`"),) if span in statements else (),
        )
        for name, span in root.spans.items()
        if span.source is source and name not in root.read
    ]
    uncalled = [
        Diagnostic(
            "W102",
            f"block `{name}` is never called",
            block.span,
            edits=(without_statement(whole(block), "call it, or remove it"),),
        )
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
            span = value.span.source.span(0, len(name))
            edits = (setting_meant(value, near),) if near else ()
            errors.append(Diagnostic("E115", f"no top-level `let {name}` to set", span, help=help, edits=edits))
    return errors
