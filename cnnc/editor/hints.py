"""The inlay hints: behind each line the shape of its output, and the number of its parameters.

In: an analysis, a range of lines, and the block call whose numbers the lines of a block show. Out: `Hint`s at the ends of
statements. A line with several statements shows the last shape and all parameters; a body that takes several lines has its
hint behind the closing brace. A layer whose shape is unknown, because it or a layer before it has an error, has no hint.

Example: `conv 6 k=5` below `input 1x28x28` shows `6x24x24, 156 parameters`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cnnc.editor.analysis import Analysis, Calls, value_text
from cnnc.language import syntax
from cnnc.language.trace import Visit


class Hint(NamedTuple):
    """Text that an editor shows behind an offset, and what it says when one points at it."""

    offset: int
    text: str
    tooltip: str = ""


class _Line(NamedTuple):
    """What the statements that end on one line have in common: the end of the last, and what lowering saw."""

    end: int
    visits: tuple[Visit, ...]


def hints(analysis: Analysis, calls: Calls = (), first: int = 0, end: int | None = None) -> list[Hint]:
    """The hints between two offsets, in source order."""
    end = len(analysis.text) if end is None else end
    shown: list[Hint] = []
    lines: dict[int, _Line] = {}
    for placed in analysis.placed:
        statement = placed.statement
        within = analysis.ranges[statement.span]
        if within.start > end:
            break
        if within.end < first:
            continue
        if isinstance(statement, syntax.Block):
            shown += _block_hint(analysis, statement, calls)
        elif isinstance(statement, syntax.Let):
            shown += _let_hint(analysis, statement)
        visit = analysis.visit(statement.span, calls)
        if visit is not None and isinstance(statement, syntax.Call):
            number = analysis.source.position(within.end)[0]
            line = lines.get(number, _Line(0, ()))
            lines[number] = _Line(max(line.end, within.end), (*line.visits, visit))
    shown += filter(None, (_hint(analysis, line) for line in lines.values()))
    return sorted((hint for hint in shown if first <= hint.offset <= end), key=lambda hint: hint.offset)


def _hint(analysis: Analysis, line: _Line) -> Hint | None:
    """The hint of the statements that end on one line."""
    changing = [v for v in line.visits if v.after is not None and (v.after != v.before or v.nodes)]
    if not changing:
        return None
    last = max(changing, key=lambda visit: (visit.nodes.stop, visit.nodes.start))
    numbers = {number for visit in changing for number in visit.nodes}
    if not numbers and last.after == last.before:
        return None
    assert last.after is not None
    shape = analysis.shape(last.after)
    if not shape or _is_written(analysis, line, shape):
        return None
    parameters = _parameters(analysis, numbers)
    count = f", {parameters:,} parameter{'s' if parameters != 1 else ''}" if parameters else ""
    return Hint(line.end, f"{shape}{count}", _tooltip(analysis, last))


def _is_written(analysis: Analysis, line: _Line, shape: str) -> bool:
    """Whether the line is an input, which says its shape itself."""
    start = analysis.text.rfind("\n", 0, line.end) + 1
    return "input" in (words := analysis.text[start : line.end].split()) and shape in words


def _parameters(analysis: Analysis, numbers: Iterable[int]) -> int:
    nodes = analysis.trace.nodes
    return sum(analysis.parameters(nodes[number]) for number in numbers if number < len(nodes))


def _tooltip(analysis: Analysis, visit: Visit) -> str:
    """The block call that the numbers are of."""
    return f"in {visit.path[-1]}" if visit.path else ""


def _block_hint(analysis: Analysis, block: syntax.Block, calls: Calls) -> list[Hint]:
    """Behind the head of a block that is called several times: the call whose shapes its lines show."""
    named = [call.name for call in analysis.trace.calls if call.block == block.name.text]
    if len(named) < 2 or not block.body.statements:
        return []
    visit = analysis.visit(block.body.statements[0].span, calls)
    if visit is None or not visit.path:
        return []
    text = f"shapes of {visit.path[-1]}, one of {len(named)} calls"
    return [Hint(block.body.span.start + 1, text, "\n".join(named[:20]))]


def _let_hint(analysis: Analysis, let: syntax.Let) -> list[Hint]:
    """Behind a `let` that computes: its value."""
    visit = analysis.visit(let.span)
    if visit is None or not isinstance(let.value, syntax.Binary | syntax.Apply | syntax.Word):
        return []
    value = value_text(visit.frame.scope.values.get(let.name.text))
    return [Hint(let.span.end, f"= {value}")] if value and value != let.value.span.text else []
