"""Writes a network as .cnn source: statements, names, lines.

In: a `LayerGraph`. Out: a `GeneratedSource`: the source in canonical layout, and its layers in the order in which the
language adds them. Names that the model gives become labels where they differ from the automatic names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from cnnc.diagnostics import Source
from cnnc.language.expressions import RESERVED_VALUES
from cnnc.language.format import format_text
from cnnc.language.resolve import LANGUAGE_STATEMENTS
from cnnc.onnx.importer.recognize.layers import LayerGraph
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.onnx.importer.text.branches import LayerStatement, statements_of
from cnnc.onnx.importer.text.calls import LAYERS_WITH_WIDTH, CallText, call_text
from cnnc.onnx.importer.text.labels import to_label
from cnnc.onnx.importer.text.repetition import BlockCall, BlockDefinition, RepeatStatement, Statement, gather_repetition
from cnnc.ops import OPS
from cnnc.ops.activation import Activation, Dropout, DropPath
from cnnc.ops.dense import Input
from cnnc.ops.norm import Affine, BatchNorm, GroupNorm, InstanceNorm, LayerNorm

MAX_LINE = 88  # characters of a line with several layers
_FOLLOWERS = Activation | Dropout | DropPath | BatchNorm | GroupNorm | InstanceNorm | LayerNorm | Affine
_COUNTED = re.compile(rf"\.({'|'.join(OPS)})\d+$")  # a name that cnnc counted within a block
RESERVED_WORDS = frozenset((*RESERVED_VALUES, *LANGUAGE_STATEMENTS, *OPS, "in", "as", "c_in", "true", "false"))


class GeneratedSource(NamedTuple):
    """The source of a network; `layers` are in the order of its graph, `names` maps a layer's id to its name.

    `repeats` and `blocks` count those in the source.
    """

    text: str
    layers: tuple[Layer, ...]
    names: dict[int, str]
    repeats: int
    blocks: int


def write_source(layer_graph: LayerGraph, header: str, flat: bool = False) -> GeneratedSource:
    """The source of a network; `header` is its first comment. `flat` writes no repeats and blocks."""
    layer_statements = statements_of(layer_graph)
    names: dict[int, str] = {}

    def call_text_of(layer: Layer) -> CallText:
        return call_text(layer, lambda other: names.get(id(other), "?"), layer_graph.parameter_owner(layer))

    used_names = set(RESERVED_WORDS) | set("abcdefghw")
    statements: list[Statement] = list(layer_statements)
    blocks: list[BlockDefinition] = []
    if not flat:
        statements, blocks = gather_repetition(layer_statements, call_text_of, used_names, layer_graph.sharing_ids)
    naming = _Naming(layer_graph, {b.name for b in blocks})
    naming.name_statements(statements)
    names.update(naming.names)
    lines = _Lines(layer_graph, naming, call_text_of)
    parts = [header.rstrip(), f"net {_net_name(layer_graph.name)}", ""]
    for block in blocks:
        parts += [_definition(block, lines), ""]
    parts += lines.sequence(statements, None, {})
    if layer_graph.outputs != (statements[-1].last_layer,):
        parts += ["", f"output {' '.join(names[id(layer)] for layer in layer_graph.outputs)}"]
    text = "\n".join(parts).strip() + "\n"
    order = tuple(layer for s in statements for layer in s.layers())
    repeats = sum(isinstance(s, RepeatStatement) for s in [*statements, *(s for b in blocks for s in b.body)])
    return GeneratedSource(format_text(Source("<imported>", text)), order, naming.names, repeats, len(blocks))


def _net_name(name: str) -> str:
    """A name for the `net` statement, quoted where it must be."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None and name not in RESERVED_VALUES
    if plain:
        return name
    shown = "".join(c if c.isprintable() and c not in '"\\' else "_" for c in name)[:100]
    return f'"{shown}"' if shown.strip() else "Net"


# --- names ---------------------------------------------------------------------------------------------------


class _Naming:
    """Gives each layer of the top level its name: a label from the model, or the automatic name as the language counts."""

    def __init__(self, layer_graph: LayerGraph, blocks: set[str]) -> None:
        self.blocks = blocks
        self.counts: Counter[str] = Counter()
        self.names: dict[int, str] = {}
        self.labels: dict[int, str] = {}  # by the id of the layer
        self.used: set[str] = set()
        self.automatic = re.compile(rf"({'|'.join([*OPS, *blocks])})\d+")
        self.from_cnnc = layer_graph.from_cnnc

    def name_statements(self, statements: Iterable[Statement]) -> None:
        for statement in statements:
            if isinstance(statement, RepeatStatement):
                for one_round in statement.rounds:
                    self.count_unlabelled(one_round)
            elif isinstance(statement, BlockCall):
                self.counts[statement.block.name] += 1
                self.names[id(statement.last_layer)] = f"{statement.block.name}{self.counts[statement.block.name]}"
            else:
                self.name_layer_statement(statement)

    def count_unlabelled(self, one_round: Iterable[Statement]) -> None:
        """Counts the layers of a repeat, which cannot have labels."""
        for statement in one_round:
            if isinstance(statement, BlockCall):
                self.counts[statement.block.name] += 1
                continue
            for layer in statement.layers():
                self.counts[layer.op.keyword] += 1
                self.names[id(layer)] = f"{layer.op.keyword}{self.counts[layer.op.keyword]}"

    def name_layer_statement(self, statement: LayerStatement) -> None:
        self.name_layer(statement.layer)
        for branch in statement.branches:
            for inner in branch:
                self.name_layer_statement(inner)

    def name_layer(self, layer: Layer) -> None:
        keyword = layer.op.keyword
        self.counts[keyword] += 1
        automatic = f"{keyword}{self.counts[keyword]}"
        label = "" if self.from_cnnc and _COUNTED.search(layer.suggested_name) else to_label(layer.suggested_name)
        fits = label and label not in RESERVED_WORDS and label not in self.used and label not in self.blocks
        if fits and label != automatic and not self.automatic.fullmatch(label):
            self.labels[id(layer)] = label
            self.used.add(label)
            self.names[id(layer)] = label
        else:
            self.names[id(layer)] = automatic


# --- lines ---------------------------------------------------------------------------------------------------


class _Lines:
    """Writes statements as lines; activations and normalizations follow a layer on the same line, separated by `;`."""

    def __init__(self, layer_graph: LayerGraph, naming: _Naming, call_text_of: Any) -> None:
        self.layer_graph = layer_graph
        self.naming = naming
        self.call_text_of = call_text_of

    def sequence(self, statements: Sequence[Statement], current: Layer | None, widths: dict[int, str]) -> list[str]:
        """The lines of statements; `current` is the layer before them, `widths` the expressions of a block's body."""
        lines: list[str] = []
        open_line = False  # whether more layers may follow on the last line
        for statement in statements:
            source = statement.source
            if source is not None and source is not current:
                lines.append(f"from {self.naming.names[id(source)]}")
                open_line = False
            text = self.statement(statement, widths)
            follows = isinstance(statement, LayerStatement) and self.follows(statement)
            if follows and open_line and len(lines[-1]) + len(text) < MAX_LINE:
                lines[-1] += f"; {text}"
            else:
                lines += [text, ""] if self.ends_inputs(statement) else [text]
                has_width = isinstance(statement, LayerStatement) and isinstance(statement.layer.op, LAYERS_WITH_WIDTH)
                open_line = (has_width or follows) and "\n" not in text
            current = statement.last_layer
        return lines

    def ends_inputs(self, statement: Statement) -> bool:
        """Whether it is the last input, after which a blank line follows."""
        if not isinstance(statement, LayerStatement) or not isinstance(statement.layer.op, Input):
            return False
        return statement.layer is [la for la in self.layer_graph.layers if isinstance(la.op, Input)][-1]

    def follows(self, statement: LayerStatement) -> bool:
        """Whether the statement may follow another on its line."""
        layer = statement.layer
        return isinstance(layer.op, _FOLLOWERS) and id(layer) not in self.naming.labels

    def statement(self, statement: Statement, widths: dict[int, str]) -> str:
        """The source of one statement, its braces included."""
        if isinstance(statement, RepeatStatement):
            inside = self.sequence(statement.rounds[0], statement.source, widths)
            return f"repeat {len(statement.rounds)} {_braces(inside)}"
        if isinstance(statement, BlockCall):
            return " ".join([statement.block.name, *map(str, statement.arguments)])
        layer = statement.layer
        text: str = self.call_text_of(layer).text(widths.get(id(layer)))
        text += "".join(f" {self.naming.names[id(operand)]}" for operand in statement.operands)
        for branch in statement.branches:
            text += f" {_braces(self.sequence(branch, statement.source, widths))}"
        label = self.naming.labels.get(id(layer))
        return f"{label}: {text}" if label else text


def _braces(lines: Sequence[str]) -> str:
    """A body in braces, on one line where it is one short line."""
    kept = [line for line in lines if line]
    if not kept:
        return "{ }"
    if len(kept) == 1 and len(kept[0]) < MAX_LINE - 30 and "\n" not in kept[0]:
        return f"{{ {kept[0]} }}"
    return "\n".join(["{", *kept, "}"])


def _definition(block: BlockDefinition, lines: _Lines) -> str:
    """The source of a block's definition."""
    parameters = f"({', '.join(block.parameters)})" if block.parameters else ""
    body = "\n".join(lines.sequence(block.body, block.body[0].source, block.widths))
    return f"block {block.name}{parameters} {{\n{body}\n}}"
