"""Finds statements that occur several times: consecutive ones become a `repeat`, others a `block`.

In: the statements of the top level. Out: the same, some of them replaced by `RepeatStatement`s and `BlockCall`s, and
the `BlockDefinition`s that are called. A sequence of statements qualifies if each continues from the one before it and
nothing outside names a layer inside; the last layer of a block call may be named, by the name of the call.

Example: `conv 8 k=3; relu; conv 16 k=3; relu; ...` becomes `block unit(w) { conv w k=3; relu }` and `unit 8`, `unit 16`.
Sequences match if they differ only in widths (numbers of outputs); a width that varies becomes a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from cnnc.onnx.importer.recognize.values import Layer
from cnnc.onnx.importer.text.branches import LayerStatement
from cnnc.onnx.importer.text.calls import LAYERS_WITH_WIDTH, CallText
from cnnc.ops.dense import Bilinear, Input
from cnnc.ops.merge import Concat, Merge

MAX_STATEMENTS = 3000  # statements of a list that is searched; longer lists are written as they are
MAX_WINDOW = 24  # statements of a block, or of a round of a repeat
MAX_PARAMETERS = 8
MAX_BLOCKS = 8
MIN_BLOCK_LAYERS = 4
WIDTH_SLOT = "\0"  # stands for a width in a template

CallTextOf = Callable[[Layer], CallText]


class _StatementGroup:
    """Statements that one statement stands for; it can be asked for its layers like a `LayerStatement`."""

    def __init__(self, statements: list[Any]) -> None:
        self.statements = statements

    @property
    def source(self) -> Layer | None:
        """The layer whose output the first statement continues from."""
        source: Layer | None = self.statements[0].source
        return source

    @property
    def last_layer(self) -> Layer:
        """The layer that the next statement continues from."""
        layer: Layer = self.statements[-1].last_layer
        return layer

    def layers(self) -> Iterable[Layer]:
        """The layers of all statements, in order."""
        for statement in self.statements:
            yield from statement.layers()

    def named_layers(self) -> Iterable[Layer]:
        """No layers: statements that name layers are not replaced."""
        return ()


class RepeatStatement(_StatementGroup):
    """A repeat: its rounds, lists of statements whose source is the same."""

    def __init__(self, rounds: list[list[Any]]) -> None:
        super().__init__([statement for one_round in rounds for statement in one_round])
        self.rounds = rounds


class BlockDefinition:
    """A block: its name, parameters and body; `widths` maps a layer's id to its width as an expression."""

    def __init__(self, name: str, parameters: tuple[str, ...], body: list[Any], widths: dict[int, str]) -> None:
        self.name = name
        self.parameters = parameters
        self.body = body
        self.widths = widths


class BlockCall(_StatementGroup):
    """A call of a block; `statements` are those that it replaces."""

    def __init__(self, block: BlockDefinition, arguments: tuple[int, ...], statements: list[Any]) -> None:
        super().__init__(statements)
        self.block = block
        self.arguments = arguments


Statement = LayerStatement | RepeatStatement | BlockCall


class _References(NamedTuple):
    """Ids of the layers that statements name or continue from, and of those that share parameters."""

    named: frozenset[int] = frozenset()
    sharing: frozenset[int] = frozenset()


def gather_repetition(
    layer_statements: list[LayerStatement], call_text_of: CallTextOf, used_names: set[str], sharing: Iterable[int] = ()
) -> tuple[list[Statement], list[BlockDefinition]]:
    """Replaces repetition by blocks, then by repeats, also within blocks.

    `used_names` cannot name a block, `sharing` the ids of layers that share parameters.
    """
    statements: list[Statement] = list(layer_statements)
    blocks: list[BlockDefinition] = []
    if len(layer_statements) > MAX_STATEMENTS:
        return statements, blocks
    references = _References(_named_outside(layer_statements), frozenset(sharing))
    while len(blocks) < MAX_BLOCKS:
        best = _best_block(statements, call_text_of, references)
        if best is None:
            break
        length, starts = best
        block, statements = _extract(statements, length, starts, call_text_of, used_names | {b.name for b in blocks})
        blocks.append(block)
    templates = _Templates(call_text_of)
    for block in blocks:
        block.body = _with_repeats(block.body, lambda s, b=block: templates.key(s, b.widths), _References())  # type: ignore[misc]
    return _with_repeats(statements, lambda s: templates.key(s, {}), references), blocks


def _named_outside(statements: Sequence[LayerStatement]) -> frozenset[int]:
    """The ids of the layers that statements name, or continue from after another layer."""
    named: set[int] = set()
    current: Layer | None = None
    for statement in statements:
        if statement.source is not None and statement.source is not current:
            named.add(id(statement.source))
        named |= {id(layer) for layer in statement.named_layers()}
        current = statement.layer
    return frozenset(named)


# --- templates --------------------------------------------------------------------------------------------


class _Templates:
    """Source of statements with slots for widths, by which statements are compared."""

    def __init__(self, call_text_of: CallTextOf) -> None:
        self.call_text_of = call_text_of
        self.known: dict[int, tuple[str, tuple[int, ...], tuple[Layer, ...]]] = {}

    def template(self, statement: LayerStatement) -> tuple[str, tuple[int, ...], tuple[Layer, ...]]:
        """The source with slots, the widths that fill them, and the layers of these widths."""
        known = self.known.get(id(statement))
        if known is not None:
            return known
        text, widths, layers = "", [], []
        for body in statement.branches:
            inner_templates = [self.template(inner) for inner in body]
            text += "{" + ";".join(p[0] for p in inner_templates) + "}"
            widths += [w for p in inner_templates for w in p[1]]
            layers += [la for p in inner_templates for la in p[2]]
        call = self.call_text_of(statement.layer)
        if call.width_index is not None:
            widths.append(int(call.arguments[call.width_index]))
            layers.append(statement.layer)
        text = call.text(WIDTH_SLOT) + text
        self.known[id(statement)] = text, tuple(widths), tuple(layers)
        return self.known[id(statement)]

    def key(self, statement: Statement, widths: dict[int, str]) -> str:
        """A key that is equal for statements that will be written alike."""
        if isinstance(statement, BlockCall):
            return f"{statement.block.name} {statement.arguments}"
        if isinstance(statement, RepeatStatement):
            return f"repeat {id(statement)}"
        text, numbers, layers = self.template(statement)
        return f"{text} {[widths.get(id(la), str(n)) for la, n in zip(layers, numbers, strict=True)]}"


class _Spans:
    """Answers whether a span of statements may become a block or repeat; cumulative counts make it O(1)."""

    def __init__(self, statements: Sequence[Statement], references: _References) -> None:
        stopped = [not self._continues(statements, position, references) for position in range(len(statements))]
        named = [any(id(la) in references.named for la in s.layers()) for s in statements]
        self.inner_named = [
            any(id(la) in references.named for la in s.layers() if la is not s.last_layer) for s in statements
        ]
        self.named_counts = [0, *accumulate(named)]
        self.stop_counts = [0, *accumulate(stopped)]
        self.merge_counts = [0, *accumulate(isinstance(s, LayerStatement) and bool(s.branches) for s in statements)]

    def _continues(self, statements: Sequence[Statement], position: int, references: _References) -> bool:
        """Whether a statement continues from the one before it and names no layer."""
        statement = statements[position]
        if isinstance(statement, LayerStatement) and isinstance(statement.layer.op, Input | Bilinear):
            return False
        if next(iter(statement.named_layers()), None) is not None or any(
            id(la) in references.sharing for la in statement.layers()
        ):
            return False
        return position == 0 or statement.source is statements[position - 1].last_layer

    def allows(self, start: int, length: int, last_may_be_named: bool) -> bool:
        """Whether the span qualifies; `last_may_be_named` lets statements outside name its last layer."""
        end = start + length
        if self.stop_counts[end] > self.stop_counts[start] or self.named_counts[end - 1] > self.named_counts[start]:
            return False
        return not self.inner_named[end - 1] and (
            last_may_be_named or self.named_counts[end] == self.named_counts[start]
        )


def _layer_count(statement: Statement) -> int:
    return 1 if isinstance(statement, BlockCall) else sum(1 for _ in statement.layers())


def _may_start(statement: Statement) -> bool:
    """Whether a block or round may begin with it: a call, a repeat, a merge, or a layer with a width."""
    return not isinstance(statement, LayerStatement) or isinstance(statement.layer.op, LAYERS_WITH_WIDTH | Merge)


# --- blocks --------------------------------------------------------------------------------------------------


def _best_block(
    statements: Sequence[Statement], call_text_of: CallTextOf, references: _References
) -> tuple[int, list[int]] | None:
    """The block that saves the most layers: its length in statements, and the positions where it begins."""
    templates = _Templates(call_text_of)
    spans = _Spans(statements, references)
    texts = [templates.template(s)[0] if isinstance(s, LayerStatement) else None for s in statements]
    best: tuple[float, int, list[int]] | None = None
    for length in range(1, min(MAX_WINDOW, len(statements)) + 1):
        starts_by_window: dict[tuple[str, ...], list[int]] = {}
        for start in range(1, len(statements) - length + 1):
            merges = spans.merge_counts[start + length] - spans.merge_counts[start]
            if merges > 1 or not spans.allows(start, length, True) or not _may_start(statements[start]):
                continue
            window = texts[start : start + length]
            if None in window:
                continue
            starts = starts_by_window.setdefault(tuple(t for t in window if t is not None), [])
            if not starts or start >= starts[-1] + length:
                starts.append(start)
        for starts in starts_by_window.values():
            gain = _gain(statements, templates, length, starts)
            if gain is not None and (best is None or gain > best[0]):
                best = (gain, length, starts)
    return None if best is None else (best[1], best[2])


def _gain(statements: Sequence[Statement], templates: _Templates, length: int, starts: list[int]) -> float | None:
    """How many layers of source a block saves; None where it saves too little or has too many parameters."""
    size = sum(_layer_count(s) for s in statements[starts[0] : starts[0] + length])
    if len(starts) < 2 or size < MIN_BLOCK_LAYERS:
        return None
    rows = [_widths(statements, templates, length, start) for start in starts]
    if not rows[0]:
        return None
    if len({tuple(row) for row in rows}) == 1 and all(b == a + length for a, b in pairwise(starts)):
        return None  # a repeat is shorter
    parameters, _ = _parameters(rows)
    if len(parameters) > MAX_PARAMETERS:
        return None
    gain = len(starts) * (size - 1) - 2 * size - len(parameters)
    return gain if gain > -MIN_BLOCK_LAYERS and len(starts) * (size - 1) > size + 2 + len(parameters) else None


def _widths(statements: Sequence[Statement], templates: _Templates, length: int, start: int) -> list[int]:
    return [
        n for s in statements[start : start + length] if isinstance(s, LayerStatement) for n in templates.template(s)[1]
    ]


def _parameters(rows: Sequence[Sequence[int]]) -> tuple[list[tuple[int, ...]], list[tuple[int, int] | int]]:
    """The parameters of a block, from the widths of each call as rows.

    Returns the columns that become parameters, and for each column its constant width, or (parameter, factor); a
    factor -k divides by k.
    """
    parameters: list[tuple[int, ...]] = []
    rules: list[tuple[int, int] | int] = []
    for column in zip(*rows, strict=True):
        if len(set(column)) == 1:
            rules.append(column[0])
            continue
        for position, base in enumerate(parameters):
            factor = _factor(base, column)
            if factor:
                rules.append((position, factor))
                break
        else:
            parameters.append(column)
            rules.append((len(parameters) - 1, 1))
    return parameters, rules


def _factor(base: tuple[int, ...], column: tuple[int, ...]) -> int:
    """The k for which column = k * base, -k for column = base / k, or 0."""
    for k in (1, 2, 3, 4, 6, 8):
        if all(n == k * b for b, n in zip(base, column, strict=True)):
            return k
        if k > 1 and all(k * n == b for b, n in zip(base, column, strict=True)):
            return -k
    return 0


def _extract(
    statements: list[Statement], length: int, starts: list[int], call_text_of: CallTextOf, used_names: set[str]
) -> tuple[BlockDefinition, list[Statement]]:
    """The block of the statements that begin at `starts`, and all statements with these replaced by calls."""
    templates = _Templates(call_text_of)
    rows = [_widths(statements, templates, length, start) for start in starts]
    parameters, column_rules = _parameters(rows)
    names = ("w",) if len(parameters) == 1 else tuple("abcdefgh"[: len(parameters)])
    body: list[Any] = statements[starts[0] : starts[0] + length]
    layers_with_width = [la for s in body for la in templates.template(s)[2]]
    widths = {id(layer): _expression(rule, names) for layer, rule in zip(layers_with_width, column_rules, strict=True)}
    instances = [statements[start : start + length] for start in starts]
    block = BlockDefinition(_block_name(instances, used_names), names, body, widths)
    rewritten: list[Statement] = []
    position = 0
    for number, start in enumerate(starts):
        rewritten += statements[position:start]
        rewritten.append(
            BlockCall(block, tuple(column[number] for column in parameters), list(statements[start : start + length]))
        )
        position = start + length
    return block, rewritten + statements[position:]


def _expression(rule: tuple[int, int] | int, names: Sequence[str]) -> str:
    """A width in a block's body: a number, `w`, `w*2` or `w//2`."""
    if isinstance(rule, int):
        return str(rule)
    name, factor = names[rule[0]], rule[1]
    if factor == 1:
        return name
    return f"{name}*{factor}" if factor > 0 else f"{name}//{-factor}"


def _block_name(instances: Sequence[Sequence[Statement]], used_names: set[str]) -> str:
    """The common prefix of the layers' names where all instances agree on it; else a name by the kind of merge."""
    prefixes = {
        _common_prefix([la.suggested_name for s in i for la in s.layers() if la.suggested_name]) for i in instances
    }
    name = prefixes.pop() if len(prefixes) == 1 else ""
    merges = [s.layer.op for s in instances[0] if isinstance(s, LayerStatement) and s.branches]
    if not name or name in used_names:
        name = "unit" if not merges else "inception" if isinstance(merges[0], Concat) else "residual"
    unique, letter = name, "b"
    while unique in used_names:
        unique, letter = f"{name}_{letter}", chr(ord(letter) + 1)
    return unique


def _common_prefix(names: Sequence[str]) -> str:
    """`layer` of `layer1.0.conv1` and `layer1.0.bn1`; "" where the first parts differ."""
    first_parts = {name.partition(".")[0] for name in names}
    if len(names) < 2 or len(first_parts) != 1 or not all("." in name for name in names):
        return ""
    return re.sub(r"[\W\d]*$", "", first_parts.pop(), flags=re.ASCII)


# --- repeats -------------------------------------------------------------------------------------------------


def _with_repeats(statements: list[Any], key: Callable[[Any], str], references: _References) -> list[Any]:
    """The statements with consecutive equal sequences replaced by repeats; `key` is equal for equal statements."""
    keys = [key(s) for s in statements]
    spans = _Spans(statements, references)
    rewritten: list[Any] = []
    position = 0
    while position < len(statements):
        best = (0, 0, 0)
        for length in range(1, min(MAX_WINDOW, (len(statements) - position) // 2) + 1):
            if not _may_start(statements[position]):
                break
            rounds = _count_rounds(spans, keys, position, length)
            if rounds > 1:
                size = sum(_layer_count(s) for s in statements[position : position + length])
                gain = (rounds - 1) * size - 1
                if gain > best[0]:
                    best = (gain, length, rounds)
        _, length, rounds = best
        if rounds:
            bodies = [statements[position + r * length : position + (r + 1) * length] for r in range(rounds)]
            rewritten.append(RepeatStatement(bodies))
            position += rounds * length
        else:
            rewritten.append(statements[position])
            position += 1
    return rewritten


def _count_rounds(spans: _Spans, keys: Sequence[str], position: int, length: int) -> int:
    """How often a sequence of this length repeats itself from this position on."""
    first_round = keys[position : position + length]
    rounds = 1
    while keys[position + rounds * length : position + (rounds + 1) * length] == first_round:
        rounds += 1
    while rounds > 1 and not spans.allows(position, rounds * length, False):
        rounds -= 1
    return rounds
