"""The text of a network: statements, names, lines.

In: a `Net`. Out: `Written`, a text in the canonical layout, and its layers in the order in which the
language makes them. Names that the model gives are kept as labels where they are not the automatic ones.
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
from cnnc.onnx.importer.recognize.layers import Net
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.onnx.importer.text.branches import Item, arrange
from cnnc.onnx.importer.text.calls import WIDE, Phrase, phrase
from cnnc.onnx.importer.text.labels import label
from cnnc.onnx.importer.text.repetition import Block, Call, Rounds, Statement, gather
from cnnc.ops import OPS
from cnnc.ops.activation import Activation, Dropout, DropPath
from cnnc.ops.dense import Input
from cnnc.ops.norm import Affine, BatchNorm, GroupNorm, InstanceNorm, LayerNorm

WIDTH = 88  # of a line of several layers
_FOLLOWERS = Activation | Dropout | DropPath | BatchNorm | GroupNorm | InstanceNorm | LayerNorm | Affine
_COUNTED = re.compile(rf"\.({'|'.join(OPS)})\d+$")  # a name that the language gave within a block
WORDS = frozenset((*RESERVED_VALUES, *LANGUAGE_STATEMENTS, *OPS, "in", "as", "c_in", "true", "false"))


class Written(NamedTuple):
    text: str
    layers: tuple[Layer, ...]
    names: dict[int, str]
    repeats: int
    blocks: int


def write(net: Net, head: str, flat: bool = False) -> Written:
    """The text of a network; `head` are its comments. `flat` looks for no repeats and blocks."""
    items = arrange(net)
    names: dict[int, str] = {}

    def phrase_of(layer: Layer) -> Phrase:
        return phrase(layer, lambda other: names.get(id(other), "?"), net.owner(layer))

    taken = set(WORDS) | set("abcdefghw")
    statements: list[Statement] = list(items)
    blocks: list[Block] = []
    if not flat:
        statements, blocks = gather(items, phrase_of, taken, net.sharing)
    naming = _Naming(net, {b.name for b in blocks})
    naming.name(statements)
    names.update(naming.names)
    lines = _Lines(net, naming, phrase_of)
    parts = [head.rstrip(), f"net {_net_name(net.name)}", ""]
    for block in blocks:
        parts += [_definition(block, lines), ""]
    parts += lines.sequence(statements, None, {})
    if net.outputs != (net_last(statements),):
        parts += ["", f"output {' '.join(names[id(layer)] for layer in net.outputs)}"]
    text = "\n".join(parts).strip() + "\n"
    order = tuple(layer for s in statements for layer in s.layers())
    rounds = sum(isinstance(s, Rounds) for s in [*statements, *(s for b in blocks for s in b.body)])
    return Written(format_text(Source("<imported>", text)), order, naming.names, rounds, len(blocks))


def net_last(statements: Sequence[Statement]) -> Layer:
    return statements[-1].last


def _net_name(name: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None and name not in RESERVED_VALUES
    if plain:
        return name
    shown = "".join(c if c.isprintable() and c not in '"\\' else "_" for c in name)[:100]
    return f'"{shown}"' if shown.strip() else "Net"


# --- names ---------------------------------------------------------------------------------------------------


class _Naming:
    """Gives each layer of the top level the name it will have, as the language counts; and labels."""

    def __init__(self, net: Net, blocks: set[str]) -> None:
        self.net = net
        self.blocks = blocks
        self.counts: Counter[str] = Counter()
        self.names: dict[int, str] = {}
        self.labels: dict[int, str] = {}  # by layer: the label of its statement
        self.used: set[str] = set()
        self.automatic = re.compile(rf"({'|'.join([*OPS, *blocks])})\d+")
        self.counted = net.counted

    def name(self, statements: Iterable[Statement]) -> None:
        for statement in statements:
            if isinstance(statement, Rounds):
                for part in statement.rounds:
                    self.count(part)
            elif isinstance(statement, Call):
                self.counts[statement.block.name] += 1
                self.names[id(statement.last)] = f"{statement.block.name}{self.counts[statement.block.name]}"
            else:
                self.item(statement)

    def count(self, part: Iterable[Statement]) -> None:
        """Counts what has no label: within repeats."""
        for statement in part:
            if isinstance(statement, Call):
                self.counts[statement.block.name] += 1
                continue
            for layer in statement.layers():
                self.counts[layer.op.keyword] += 1
                self.names[id(layer)] = f"{layer.op.keyword}{self.counts[layer.op.keyword]}"

    def item(self, item: Item) -> None:
        self.give(item.layer)
        for body in item.bodies:
            for inner in body:
                self.item(inner)

    def give(self, layer: Layer) -> None:
        keyword = layer.op.keyword
        self.counts[keyword] += 1
        automatic = f"{keyword}{self.counts[keyword]}"
        wanted = "" if self.counted and _COUNTED.search(layer.hint) else label(layer.hint)
        fits = wanted and wanted not in WORDS and wanted not in self.used and wanted not in self.blocks
        if fits and wanted != automatic and not self.automatic.fullmatch(wanted):
            self.labels[id(layer)] = wanted
            self.used.add(wanted)
            self.names[id(layer)] = wanted
        else:
            self.names[id(layer)] = automatic


# --- lines ---------------------------------------------------------------------------------------------------


class _Lines:
    """Writes statements as lines: what follows a layer of its own width stands on the same line."""

    def __init__(self, net: Net, naming: _Naming, phrase_of: Any) -> None:
        self.net = net
        self.naming = naming
        self.phrase_of = phrase_of

    def sequence(self, statements: Sequence[Statement], current: Layer | None, widths: dict[int, str]) -> list[str]:
        """The lines of statements; `current` is the layer before them, `widths` are those of a block's body."""
        lines: list[str] = []
        open_line = False  # whether the last line takes followers
        for statement in statements:
            source = statement.first
            if source is not None and source is not current:
                lines.append(f"from {self.naming.names[id(source)]}")
                open_line = False
            text = self.statement(statement, widths)
            follows = isinstance(statement, Item) and self.follows(statement)
            if follows and open_line and len(lines[-1]) + len(text) < WIDTH:
                lines[-1] += f"; {text}"
            else:
                lines += [text, ""] if self.apart(statement) else [text]
                wide = isinstance(statement, Item) and isinstance(statement.layer.op, WIDE)
                open_line = (wide or follows) and "\n" not in text
            current = statement.last
        return lines

    def apart(self, statement: Statement) -> bool:
        """Whether a blank line follows: after the last of the inputs."""
        if not isinstance(statement, Item) or not isinstance(statement.layer.op, Input):
            return False
        return statement.layer is [la for la in self.net.layers if isinstance(la.op, Input)][-1]

    def follows(self, item: Item) -> bool:
        return isinstance(item.layer.op, _FOLLOWERS) and id(item.layer) not in self.naming.labels

    def statement(self, statement: Statement, widths: dict[int, str]) -> str:
        if isinstance(statement, Rounds):
            inside = self.sequence(statement.rounds[0], statement.first, widths)
            return f"repeat {len(statement.rounds)} {_braces(inside)}"
        if isinstance(statement, Call):
            return " ".join([statement.block.name, *map(str, statement.arguments)])
        layer = statement.layer
        text: str = self.phrase_of(layer).text(widths.get(id(layer)))
        text += "".join(f" {self.naming.names[id(operand)]}" for operand in statement.operands)
        for body in statement.bodies:
            text += f" {_braces(self.sequence(body, statement.source, widths))}"
        given = self.naming.labels.get(id(layer))
        return f"{given}: {text}" if given else text


def _braces(lines: Sequence[str]) -> str:
    """A body: on one line where it is one and short."""
    kept = [line for line in lines if line]
    if not kept:
        return "{ }"
    if len(kept) == 1 and len(kept[0]) < WIDTH - 30 and "\n" not in kept[0]:
        return f"{{ {kept[0]} }}"
    return "\n".join(["{", *kept, "}"])


def _definition(block: Block, lines: _Lines) -> str:
    inside = f"({', '.join(block.parameters)})" if block.parameters else ""
    body = "\n".join(lines.sequence(block.body, block.body[0].first, block.widths))
    return f"block {block.name}{inside} {{\n{body}\n}}"
