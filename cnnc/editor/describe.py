"""What an editor shows when one points at a word: the layer with its numbers, an argument, a name.

In: an analysis and an offset. Out: `Description`: Markdown, and the range that it is about. The text of a layer is its page in
`cnnc ops`, the formulas are those of `cnnc check --explain`.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.core.arguments import ArgumentSpec
from cnnc.diagnostics import Span
from cnnc.editor.analysis import Analysis, Calls, value_text
from cnnc.graph.analysis import receptive_fields
from cnnc.graph.graph import Node, needed_nodes
from cnnc.language import syntax
from cnnc.language.trace import Visit
from cnnc.ops import OPS
from cnnc.recipe.declaration import TRAIN_STATEMENTS
from cnnc.report import reference
from cnnc.report.layout import reflowed
from cnnc.report.summary import field_text


class Description(NamedTuple):
    """Markdown about a range of the source."""

    span: Span
    markdown: str


def describe(analysis: Analysis, offset: int, calls: Calls = ()) -> Description | None:
    """What is known about the word at an offset."""
    placed = analysis.statement_at(offset)
    if placed is None:
        return None
    statement = placed.statement
    in_train = any(isinstance(p, syntax.Call) and p.op.text == "train" for p in placed.parents)
    if isinstance(statement, syntax.Call):
        for argument in statement.arguments:
            if argument.key is not None and _is_in(argument.key.span, offset):
                spec = _spec_of(statement, argument.key.text, in_train)
                return Description(argument.key.span, argument_text(spec)) if spec is not None else None
        named = [name.span for name in (statement.op, statement.label) if name is not None]
        head = next((span for span in named if _is_in(span, offset)), None)
        text = _statement(analysis, statement, calls, in_train) if head is not None else ""
        if head is not None and text:
            return Description(head, text)
    used = next((span for span in analysis.trace.uses if span.source is analysis.source and _is_in(span, offset)), None)
    if used is not None:
        return _name(analysis, used, calls)
    return None


def _is_in(span: Span, offset: int) -> bool:
    return span.start <= offset <= span.end


def _statement(analysis: Analysis, call: syntax.Call, calls: Calls, in_train: bool) -> str:
    """A layer, a block call, or a statement of the train section; "" if the word is none of them."""
    word = call.op.text
    if in_train:
        kinds = TRAIN_STATEMENTS.get(word, {})
        first = call.arguments[0].value if call.arguments else None
        kind = first.name if isinstance(first, syntax.Word) else ""
        cls = kinds.get("") or kinds.get(kind)
        return class_text(cls) if cls is not None else ""
    visit = analysis.visit(call.span, calls)
    parts = [_numbers(analysis, visit)] if visit is not None else []
    if word in analysis.trace.blocks:
        parts.append(block_text(analysis.trace.blocks[word]))
    elif word in OPS:
        parts.append(class_text(OPS[word]))
    elif word in STATEMENTS:
        parts.append(STATEMENTS[word])
    return "\n\n---\n\n".join(part for part in parts if part)


def _numbers(analysis: Analysis, visit: Visit) -> str:
    """The layers that a statement added: shapes, parameters, formulas, receptive field."""
    nodes = [analysis.trace.nodes[n] for n in visit.nodes if n < len(analysis.trace.nodes)]
    if not nodes:
        return ""
    if len(nodes) == 1:
        return node_text(analysis, nodes[0])
    before = analysis.shape(visit.before) if visit.before is not None else ""
    after = analysis.shape(visit.after) if visit.after is not None else ""
    parameters = sum(map(analysis.parameters, nodes))
    arrow = f"`{before}` → `{after}`, " if before and after else ""
    return f"{arrow}{len(nodes)} layers, {parameters:,} parameters"


def node_text(analysis: Analysis, node: Node) -> str:
    """A layer: its name, shapes and parameters, then its formulas with its numbers."""
    types = analysis.input_types(node)
    inputs = [analysis.node_shape(name, analysis.nodes[name].type) for name in node.inputs]
    shape = analysis.node_shape(node.name, node.type)
    arrow = f"`{' , '.join(inputs)}` → `{shape}`" if inputs and all(inputs) and shape else f"`{shape}`" if shape else ""
    parameters = analysis.parameters(node)
    count = f", {parameters:,} parameters" if parameters else ""
    lines = [f"**{node.name}** {arrow}{count}"]
    if analysis.formulas is None and node.name in analysis.graph.by_name:
        graph = analysis.graph.replace(nodes=tuple(needed_nodes(analysis.graph, [node.name])), outputs=(node.name,))
        formulas = [*node.op.explain(*types), *field_text(receptive_fields(graph)[node.name])]
        if formulas:
            lines.append("```text\n" + "\n".join(formulas) + "\n```")
    return "\n\n".join(lines)


def class_text(cls: reference.Documented) -> str:
    """The reference of a layer or train statement as Markdown."""
    head, _, rest = reference.page(cls).partition("\n\n")
    text, _, arguments = rest.partition("\n\nArguments:\n")
    lines = [f"```cnn\n{head}\n```", reflowed(text.partition("\n\nExample:")[0])]
    if arguments:
        lines.append("\n".join(f"- {argument_text(spec)}" for spec in cls.arguments))
    return "\n\n".join([*lines, f"Example: `{cls.example}`"])


def argument_text(spec: ArgumentSpec) -> str:
    """One argument: its names, help, kind, unit and default."""
    return f"`{'/'.join(spec.keys)}`: {spec.help}; {reference.kind_text(spec)}"


def block_text(block: syntax.Block) -> str:
    """The head of a block."""
    return f"```cnn\nblock {block_signature(block)}\n```"


def block_signature(block: syntax.Block) -> str:
    """`stage(w, s=1)`."""
    return f"{block.name.text}({', '.join(' '.join(p.span.text.split()) for p in block.parameters)})"


def _spec_of(call: syntax.Call, key: str, in_train: bool) -> ArgumentSpec | None:
    """The argument of this name of a layer or train statement."""
    specs = specs_of(call.op.text, [a.span.text for a in call.arguments if a.key is None], in_train)
    return next((spec for spec in specs if key in spec.keys), None)


def specs_of(word: str, values: list[str], in_train: bool) -> tuple[ArgumentSpec, ...]:
    """The arguments of a layer or train statement; `values` are those given without a key, of which the first may be its kind."""
    if not in_train:
        return OPS[word].arguments if word in OPS else ()
    kinds = TRAIN_STATEMENTS.get(word, {})
    cls = kinds.get("") or (kinds.get(values[0]) if values else None)
    return cls.arguments if cls is not None else ()


def _name(analysis: Analysis, used: Span, calls: Calls) -> Description | None:
    """What a name refers to: a layer, a variable with its value, a block, a symbolic size."""
    use = analysis.trace.uses[used]
    if use.kind == "block":
        block = analysis.trace.blocks.get(used.text)
        return Description(used, block_text(block)) if block is not None else None
    if use.kind == "size":
        survey = analysis.network.survey
        rule = survey.legal.get(used.text) if survey is not None else None
        return Description(used, f"symbolic size{f': {rule}' if rule is not None else ''}")
    here = analysis.here(used.start, calls)
    if here.frame is None:
        return None
    if use.kind == "layer":
        declaration = here.frame.find(used.text)
        node = analysis.nodes.get(declaration.tensor.node) if declaration is not None else None
        return Description(used, node_text(analysis, node)) if node is not None else None
    holder = here.frame.scope.holder(used.text)
    value = holder.values[used.text] if holder is not None else None
    value = str(value) if isinstance(value, tuple) and not hasattr(value, "tensor") else value_text(value)
    shown = f" = {value}" if value else ""
    return Description(used, f"`{used.text}`{shown}")


STATEMENTS = {
    "net": "`net NAME`: names the network.",
    "let": "`let NAME = VALUE`: names a value. `--set NAME=VALUE` replaces it.",
    "from": "`from LAYER`: continues from a layer above.",
    "output": "`output LAYER...`: names the outputs of the network; without it, the last layer is the output.",
    "block": "`block NAME(PARAMETERS) { ... }`: defines layers that can be called by their name.",
    "repeat": "`repeat N { ... }` or `repeat N as i { ... }`: the layers in braces, N times.",
    "include": '`include "FILE"`: makes the blocks and `let`s of another file known.',
    "expect": "`expect SHAPE`: an assertion about the shape or the totals so far.",
    "budget": "`budget params=64k macs=2M`: limits for the whole network.",
    "train": "`train { ... }`: how `cnnc train` trains the network.",
}
"""The statements of the language that are neither layers nor part of the train section, each in a sentence."""
