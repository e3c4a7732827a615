"""Statements that occur again: as a `repeat` where they follow each other, as a `block` where they do not.

In: the items of a text's top level. Out: the same, some of them gathered in `Rounds` and `Call`s, and the
`Block`s that are called. Only statements are gathered that lead from one to the next and that nothing outside
names, but for the last of a call, whose name is the call's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from cnnc.onnx.importer.recognize.values import Layer
from cnnc.onnx.importer.text.branches import Item
from cnnc.onnx.importer.text.calls import WIDE, Phrase
from cnnc.ops.dense import Bilinear, Input
from cnnc.ops.merge import Concat, Merge

MAX_ITEMS = 3000  # of a list that is searched; longer ones are written as they are
MAX_WINDOW = 24  # items of a block, or of a round
MAX_PARAMETERS = 8
MAX_BLOCKS = 8
LEAST = 4  # layers of a block
HOLE = "\0"  # the place of a width in a template

PhraseOf = Callable[[Layer], Phrase]


class Rounds:
    """A repeat: each round is a list of items, alike in text."""

    def __init__(self, rounds: list[list[Any]]) -> None:
        self.rounds = rounds

    @property
    def first(self) -> Layer | None:
        found: Layer | None = self.rounds[0][0].first
        return found

    @property
    def last(self) -> Layer:
        found: Layer = self.rounds[-1][-1].last
        return found

    def layers(self) -> Iterable[Layer]:
        for part in self.rounds:
            for item in part:
                yield from item.layers()

    def named(self) -> Iterable[Layer]:
        return ()


class Block:
    """A block: its name, parameters, and the body as items with the width of each layer."""

    def __init__(self, name: str, parameters: tuple[str, ...], body: list[Any], widths: dict[int, str]) -> None:
        self.name = name
        self.parameters = parameters
        self.body = body
        self.widths = widths


class Call:
    """A call of a block; `items` are the statements it stands for."""

    def __init__(self, block: Block, arguments: tuple[int, ...], items: list[Any]) -> None:
        self.block = block
        self.arguments = arguments
        self.items = items

    @property
    def first(self) -> Layer | None:
        found: Layer | None = self.items[0].first
        return found

    @property
    def last(self) -> Layer:
        found: Layer = self.items[-1].last
        return found

    def layers(self) -> Iterable[Layer]:
        for item in self.items:
            yield from item.layers()

    def named(self) -> Iterable[Layer]:
        return ()


Statement = Item | Rounds | Call


class _Ties(NamedTuple):
    """Layers that statements name, or go back to; and those that share parameters, which have to be named."""

    named: frozenset[int] = frozenset()
    tied: frozenset[int] = frozenset()


def gather(
    items: list[Item], phrase_of: PhraseOf, taken: set[str], sharing: Iterable[int] = ()
) -> tuple[list[Statement], list[Block]]:
    """Blocks first, then repeats, in the text and within blocks.

    `taken` are words that cannot name a block, `sharing` the layers that share parameters, by their id.
    """
    statements: list[Statement] = list(items)
    blocks: list[Block] = []
    if len(items) > MAX_ITEMS:
        return statements, blocks
    ties = _Ties(_named_outside(items), frozenset(sharing))
    while len(blocks) < MAX_BLOCKS:
        found = _best_block(statements, phrase_of, ties)
        if found is None:
            break
        length, starts = found
        block, statements = _extract(statements, length, starts, phrase_of, taken | {b.name for b in blocks})
        blocks.append(block)
    key = _Keys(phrase_of)
    for block in blocks:
        block.body = _repeats(block.body, lambda s, b=block: key.of(s, b.widths), _Ties())  # type: ignore[misc]
    return _repeats(statements, lambda s: key.of(s, {}), ties), blocks


def _named_outside(items: Sequence[Item]) -> frozenset[int]:
    """The layers that a statement names, or goes back to."""
    found: set[int] = set()
    current: Layer | None = None
    for item in items:
        if item.source is not None and item.source is not current:
            found.add(id(item.source))
        found |= {id(layer) for layer in item.named()}
        current = item.layer
    return frozenset(found)


# --- what statements look like -------------------------------------------------------------------------------


class _Keys:
    """The text of statements with holes for widths, and the widths."""

    def __init__(self, phrase_of: PhraseOf) -> None:
        self.phrase_of = phrase_of
        self.known: dict[int, tuple[str, tuple[int, ...], tuple[Layer, ...]]] = {}

    def template(self, item: Item) -> tuple[str, tuple[int, ...], tuple[Layer, ...]]:
        """The text with holes, the widths, and the layers that have them."""
        found = self.known.get(id(item))
        if found is not None:
            return found
        text, widths, layers = "", [], []
        for body in item.bodies:
            parts = [self.template(inner) for inner in body]
            text += "{" + ";".join(p[0] for p in parts) + "}"
            widths += [w for p in parts for w in p[1]]
            layers += [la for p in parts for la in p[2]]
        made = self.phrase_of(item.layer)
        if made.width is not None:
            widths.append(int(made.words[made.width]))
            layers.append(item.layer)
        text = made.text(HOLE) + text
        self.known[id(item)] = text, tuple(widths), tuple(layers)
        return self.known[id(item)]

    def of(self, statement: Statement, widths: dict[int, str]) -> str:
        """The text as it will be written."""
        if isinstance(statement, Call):
            return f"{statement.block.name} {statement.arguments}"
        if isinstance(statement, Rounds):
            return f"repeat {id(statement)}"
        text, numbers, layers = self.template(statement)
        return f"{text} {[widths.get(id(la), str(n)) for la, n in zip(layers, numbers, strict=True)]}"


class _Windows:
    """Which runs of statements may be gathered: each goes on from the one before, and nothing outside names what is within."""

    def __init__(self, statements: Sequence[Statement], ties: _Ties) -> None:
        stopped = [not self._goes_on(statements, place, ties) for place in range(len(statements))]
        seen = [any(id(la) in ties.named for la in s.layers()) for s in statements]
        self.seen_before_last = [any(id(la) in ties.named for la in s.layers() if la is not s.last) for s in statements]
        self.seen = [0, *accumulate(seen)]
        self.stopped = [0, *accumulate(stopped)]
        self.merges = [0, *accumulate(isinstance(s, Item) and bool(s.bodies) for s in statements)]

    def _goes_on(self, statements: Sequence[Statement], place: int, ties: _Ties) -> bool:
        statement = statements[place]
        if isinstance(statement, Item) and isinstance(statement.layer.op, Input | Bilinear):
            return False
        if next(iter(statement.named()), None) is not None or any(id(la) in ties.tied for la in statement.layers()):
            return False
        return place == 0 or statement.first is statements[place - 1].last

    def fits(self, start: int, length: int, last_may: bool) -> bool:
        """Whether so many statements from here may be gathered; `last_may`: the last of them may be named."""
        end = start + length
        if self.stopped[end] > self.stopped[start] or self.seen[end - 1] > self.seen[start]:
            return False
        return not self.seen_before_last[end - 1] and (last_may or self.seen[end] == self.seen[start])


def _size(statement: Statement) -> int:
    return 1 if isinstance(statement, Call) else sum(1 for _ in statement.layers())


def _begins_well(statement: Statement) -> bool:
    """Whether a reader would see a beginning in it: a call, a merge, or a layer with a width."""
    return not isinstance(statement, Item) or isinstance(statement.layer.op, WIDE | Merge)


# --- blocks --------------------------------------------------------------------------------------------------


def _best_block(statements: Sequence[Statement], phrase_of: PhraseOf, ties: _Ties) -> tuple[int, list[int]] | None:
    """Where the block begins, each time, that saves the most; and its length in statements."""
    keys = _Keys(phrase_of)
    windows = _Windows(statements, ties)
    texts = [keys.template(s)[0] if isinstance(s, Item) else None for s in statements]
    best: tuple[float, int, list[int]] | None = None
    for length in range(1, min(MAX_WINDOW, len(statements)) + 1):
        found: dict[tuple[str, ...], list[int]] = {}
        for start in range(1, len(statements) - length + 1):
            merges = windows.merges[start + length] - windows.merges[start]
            if merges > 1 or not windows.fits(start, length, True) or not _begins_well(statements[start]):
                continue
            window = texts[start : start + length]
            if None in window:
                continue
            starts = found.setdefault(tuple(t for t in window if t is not None), [])
            if not starts or start >= starts[-1] + length:
                starts.append(start)
        for starts in found.values():
            gain = _gain(statements, keys, length, starts)
            if gain is not None and (best is None or gain > best[0]):
                best = (gain, length, starts)
    return None if best is None else (best[1], best[2])


def _gain(statements: Sequence[Statement], keys: _Keys, length: int, starts: list[int]) -> float | None:
    """How many layers a block of these saves the text; None where it does not pay, or has too many parameters."""
    size = sum(_size(s) for s in statements[starts[0] : starts[0] + length])
    if len(starts) < 2 or size < LEAST:
        return None
    rows = [_widths(statements, keys, length, start) for start in starts]
    if not rows[0]:
        return None
    if len({tuple(row) for row in rows}) == 1 and all(b == a + length for a, b in pairwise(starts)):
        return None  # a repeat says it better
    parameters, _ = _parameters(rows)
    if len(parameters) > MAX_PARAMETERS:
        return None
    gain = len(starts) * (size - 1) - 2 * size - len(parameters)
    return gain if gain > -LEAST and len(starts) * (size - 1) > size + 2 + len(parameters) else None


def _widths(statements: Sequence[Statement], keys: _Keys, length: int, start: int) -> list[int]:
    return [n for s in statements[start : start + length] if isinstance(s, Item) for n in keys.template(s)[1]]


def _parameters(rows: Sequence[Sequence[int]]) -> tuple[list[tuple[int, ...]], list[tuple[int, int] | int]]:
    """The columns that must be given, and for each column its number, or (parameter, factor); factor -k divides by k."""
    given: list[tuple[int, ...]] = []
    said: list[tuple[int, int] | int] = []
    for column in zip(*rows, strict=True):
        if len(set(column)) == 1:
            said.append(column[0])
            continue
        for place, base in enumerate(given):
            factor = _factor(base, column)
            if factor:
                said.append((place, factor))
                break
        else:
            given.append(column)
            said.append((len(given) - 1, 1))
    return given, said


def _factor(base: tuple[int, ...], column: tuple[int, ...]) -> int:
    for k in (1, 2, 3, 4, 6, 8):
        if all(n == k * b for b, n in zip(base, column, strict=True)):
            return k
        if k > 1 and all(k * n == b for b, n in zip(base, column, strict=True)):
            return -k
    return 0


def _extract(
    statements: list[Statement], length: int, starts: list[int], phrase_of: PhraseOf, taken: set[str]
) -> tuple[Block, list[Statement]]:
    """A block of the statements at these places, and the text that calls it."""
    keys = _Keys(phrase_of)
    rows = [_widths(statements, keys, length, start) for start in starts]
    given, said = _parameters(rows)
    names = ("w",) if len(given) == 1 else tuple("abcdefgh"[: len(given)])
    body: list[Any] = statements[starts[0] : starts[0] + length]
    owners = [la for s in body for la in keys.template(s)[2]]
    widths = {id(layer): _expression(entry, names) for layer, entry in zip(owners, said, strict=True)}
    instances = [statements[start : start + length] for start in starts]
    block = Block(_block_name(instances, taken), names, body, widths)
    made: list[Statement] = []
    place = 0
    for number, start in enumerate(starts):
        made += statements[place:start]
        made.append(Call(block, tuple(column[number] for column in given), list(statements[start : start + length])))
        place = start + length
    return block, made + statements[place:]


def _expression(entry: tuple[int, int] | int, names: Sequence[str]) -> str:
    if isinstance(entry, int):
        return str(entry)
    name, factor = names[entry[0]], entry[1]
    if factor == 1:
        return name
    return f"{name}*{factor}" if factor > 0 else f"{name}//{-factor}"


def _block_name(instances: Sequence[Sequence[Statement]], taken: set[str]) -> str:
    """What the layers' own names have in common, where all instances agree; else what the block is made of."""
    found = {_stem([la.hint for s in part for la in s.layers() if la.hint]) for part in instances}
    name = found.pop() if len(found) == 1 else ""
    merges = [s.layer.op for s in instances[0] if isinstance(s, Item) and s.bodies]
    if not name or name in taken:
        name = "unit" if not merges else "inception" if isinstance(merges[0], Concat) else "residual"
    made, letter = name, "b"
    while made in taken:
        made, letter = f"{name}_{letter}", chr(ord(letter) + 1)
    return made


def _stem(hints: Sequence[str]) -> str:
    """`layer` of `layer1.0.conv1` and `layer1.0.bn1`."""
    if len(hints) < 2 or len({h.partition(".")[0] for h in hints}) != 1 or not all("." in h for h in hints):
        return ""
    return re.sub(r"[\W\d]*$", "", hints[0].partition(".")[0], flags=re.ASCII)


# --- repeats -------------------------------------------------------------------------------------------------


def _repeats(statements: list[Any], key: Callable[[Any], str], ties: _Ties) -> list[Any]:
    """The statements with what follows itself as a repeat."""
    keys = [key(s) for s in statements]
    windows = _Windows(statements, ties)
    made: list[Any] = []
    place = 0
    while place < len(statements):
        best = (0, 0, 0)
        for length in range(1, min(MAX_WINDOW, (len(statements) - place) // 2) + 1):
            if not _begins_well(statements[place]):
                break
            rounds = _count(windows, keys, place, length)
            if rounds > 1:
                size = sum(_size(s) for s in statements[place : place + length])
                gain = (rounds - 1) * size - 1
                if gain > best[0]:
                    best = (gain, length, rounds)
        _, length, rounds = best
        if rounds:
            parts = [statements[place + r * length : place + (r + 1) * length] for r in range(rounds)]
            made.append(Rounds(parts))
            place += rounds * length
        else:
            made.append(statements[place])
            place += 1
    return made


def _count(windows: _Windows, keys: Sequence[str], place: int, length: int) -> int:
    """How often a window of this length follows itself from here."""
    first = keys[place : place + length]
    rounds = 1
    while keys[place + rounds * length : place + (rounds + 1) * length] == first:
        rounds += 1
    while rounds > 1 and not windows.fits(place, rounds * length, False):
        rounds -= 1
    return rounds
