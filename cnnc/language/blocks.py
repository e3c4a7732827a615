"""Blocks and repeats, before they are expanded: which blocks there are, their variables, how many rounds and layers.

In: calls of the syntax tree, and the frame they stand in. Out: scopes and numbers, or a CnncError. It lowers no body.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnc.core.arguments import Word
from cnnc.diagnostics import CnncError, Diagnostic, Note, Span, nearest
from cnnc.language import syntax
from cnnc.language.bind import after_a_key, no_body
from cnnc.language.expressions import RESERVED_VALUES, Scope, Silent, evaluate, kind
from cnnc.language.include import Includes
from cnnc.language.references import shared_call
from cnnc.language.resolve import require_own, tensors, twice
from cnnc.language.scope import POISON, Frame, LayerReference

MAX_LAYERS = 100_000
MAX_CALLS = 40  # block calls within each other


# --- blocks of the file --------------------------------------------------------------------------------------


def collect(
    file: syntax.File, includes: Includes, trail: tuple[Path, ...], blocks: dict[str, syntax.Block]
) -> list[Diagnostic]:
    """Enters the blocks of a file and of those it includes, wherever they stand; returns what is wrong with them.

    `trail` are the files that led here by their includes.
    """
    found: list[Diagnostic] = []
    for statement in file.statements:
        try:
            if isinstance(statement, syntax.Block):
                _enter(statement, blocks)
            elif isinstance(statement, syntax.Call) and statement.op.text == "include":
                path, inner, diagnostics = includes.called(statement)
                found += diagnostics
                if path in trail:
                    help = "take one of the includes of the circle out"
                    raise CnncError.of("E120", "this include closes a circle", span=statement.span, help=help)
                found += collect(inner, includes, (*trail, path), blocks)
        except CnncError as error:
            found += error.diagnostics
    return found


def _enter(block: syntax.Block, blocks: dict[str, syntax.Block]) -> None:
    require_own(block.name)
    name = block.name.text
    known = blocks.get(name)
    if known is not None and known is not block:
        raise twice(block.name, known.name.span)
    blocks[name] = block
    seen: dict[str, Span] = {}
    for parameter in block.parameters:
        word = parameter.name.text
        if word in seen:
            raise twice(parameter.name, seen[word])
        if word in RESERVED_VALUES or "." in word:
            help = f"say `my_{word.replace('.', '_')}`"
            raise CnncError.of("E105", f"`{word}` cannot be a parameter", span=parameter.name.span, help=help)
        seen[word] = parameter.name.span


# --- variables of a call -------------------------------------------------------------------------------------


def variables(call: syntax.Call, block: syntax.Block, frame: Frame, root: Scope) -> tuple[Scope, str]:
    """The variables of a block call, and the prefix of the call that it shares its parameters with. Raises CnncError."""
    parameters = {p.name.text: p for p in block.parameters}
    given, share = _given(call, block, list(parameters), frame)
    scope = Scope(root)
    for name, parameter in parameters.items():
        if name in given:
            value = _value(given[name].value, frame)
        elif parameter.default is not None:
            value = evaluate(parameter.default, scope)
        else:
            written = " ".join([block.name.text, *(" ".join(a.span.text.split()) for a in call.arguments)])
            help = f"write `{written} {name}=1`, or another value"
            raise CnncError.of("E202", f"{block.name.text} needs `{name}`", span=call.span, help=help)
        scope.define(name, value, parameter.span)
    return scope, share


def _given(
    call: syntax.Call, block: syntax.Block, order: list[str], frame: Frame
) -> tuple[dict[str, syntax.Argument], str]:
    """The argument of each parameter that is given one, by its place in `order` or by key; and what `share=` means."""
    given: dict[str, syntax.Argument] = {}
    share = ""
    for position, argument in enumerate(call.arguments):
        key = argument.key
        if key is None:
            if any(a.key is not None for a in call.arguments[:position]):
                raise CnncError(after_a_key(call, argument))
            if position >= len(order):
                takes = f"takes {len(order) or 'no'} value{'s' if len(order) != 1 else ''}"
                notes = (Note(block.span, "defined here"),)
                message = f"{block.name.text} {takes}"
                raise CnncError(Diagnostic("E204", message, argument.span, notes=notes, help="leave it out"))
            given[order[position]] = argument
        elif key.text == "share" and "share" not in order:
            share = shared_call(argument, frame)
        elif key.text not in order:
            near = nearest(key.text, order)
            help = f"did you mean `{near}`?" if near else f"it has {', '.join(order) or 'none'}"
            raise CnncError.of("E201", f"{block.name.text} has no parameter `{key.text}`", span=key.span, help=help)
        elif key.text in given:
            notes = (Note(given[key.text].span, "first given here"),)
            message = f"{block.name.text} is given {key.text} twice"
            raise CnncError(Diagnostic("E205", message, argument.span, notes=notes, help="keep one of the two"))
        else:
            given[key.text] = argument
    return given, share


def _value(expression: syntax.Expression, frame: Frame) -> Any:
    """The value of a block's argument: a variable, a layer, or a word."""
    value = evaluate(expression, frame.with_c_in())
    if not isinstance(expression, syntax.Word) or not isinstance(value, Word):
        return value
    if expression.name == "in" or frame.find(expression.name) is not None:
        return LayerReference(tensors(expression, frame)[0])
    return value


# --- rounds and layers ---------------------------------------------------------------------------------------


def require_bounded(
    call: syntax.Call, block: syntax.Block, frame: Frame, root: Scope, blocks: Mapping[str, syntax.Block]
) -> None:
    """Raises CnncError where a call has a body (E108), closes a circle (E119) or makes too many layers (E113).

    A circle leaves a poisoned tensor, so that it is told once.
    """
    name = block.name.text
    if call.bodies:
        raise no_body(call)
    trail = [note.text for note in frame.space.calls]
    if f"block {name}" in trail:
        frame.current = POISON
        help = "blocks cannot recur; `repeat N { ... }` does a thing several times"
        raise CnncError.of("E119", f"block {name} calls itself", span=call.span, help=help)
    if len(trail) >= MAX_CALLS:
        raise CnncError.of("E119", f"blocks call each other more than {MAX_CALLS} deep", span=call.span)
    if not trail and weight(block.body, root, blocks, (name,)) > MAX_LAYERS:
        raise CnncError.of("E113", f"block {name} makes more than {MAX_LAYERS:,} layers", span=call.span)


def rounds(call: syntax.Call, frame: Frame, blocks: Mapping[str, syntax.Block]) -> tuple[int, str | None]:
    """How many rounds a `repeat` takes, and the variable that counts them, where it has one. Raises CnncError."""
    count, counter = _head(call, frame)
    if len(call.bodies) != 1:
        raise CnncError.of("E108", "repeat takes one body", span=call.span, help="`repeat 3 { ... }`")
    if count * weight(call.bodies[0], frame.scope, blocks) > MAX_LAYERS:
        message = f"{count:,} rounds make more than {MAX_LAYERS:,} layers"
        raise CnncError.of("E113", message, span=call.span, help="fewer rounds, or fewer layers in each")
    return count, counter


def rounds_fit(diagnostic: Diagnostic, call: syntax.Call, index: int, count: int) -> Diagnostic:
    """A diagnostic of round `index` of `count`; where a kernel did not fit any more, saying how many rounds do."""
    if diagnostic.code != "E302":
        return diagnostic
    less = "" if not isinstance(call.arguments[0].value, syntax.Number) else f": write `{_fewer(call, index)}`"
    fit = "1 round fits" if index == 1 else f"{index} rounds fit"
    help = f"{fit} of {count}{less}, or `p=same` here, or lose less of the image in each round"
    return diagnostic._replace(help=help)


def _fewer(call: syntax.Call, number: int) -> str:
    """The head of a `repeat` with another number of rounds."""
    return " ".join([call.op.text, str(number), *(a.span.text for a in call.arguments[1:])])


def _head(call: syntax.Call, frame: Frame) -> tuple[int, str | None]:
    """The number and the counter of `repeat 3 as i`."""
    values = [a.value for a in call.arguments if a.key is None]
    words = [v.name if isinstance(v, syntax.Word) else "" for v in values]
    counter = None
    if len(values) == 3 and words[1] == "as" and words[2]:
        counter = words[2]
        require_own(syntax.Name(counter, values[2].span))
    elif len(values) != 1 or len(values) != len(call.arguments):
        help = "`repeat 3 { ... }` or `repeat 3 as i { ... }`"
        raise CnncError.of("E202", "repeat takes a number of rounds", span=call.span, help=help)
    number = evaluate(values[0], frame.with_c_in())
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number // 1 or number < 0:
        raise CnncError.of("E203", f"repeat takes a whole number of rounds, not {kind(number)}", span=values[0].span)
    return int(number), counter


def weight(body: syntax.Body, scope: Scope, blocks: Mapping[str, syntax.Block], trail: tuple[str, ...] = ()) -> int:
    """About how many layers a body makes (at least 1): enough to refuse a number of them before making any.

    `trail` are the blocks that are being called.
    """
    total = 1
    for statement in body.statements:
        if not isinstance(statement, syntax.Call):
            continue
        word = statement.op.text
        inner = sum(weight(b, scope, blocks, trail) for b in statement.bodies)
        if word == "repeat" and statement.arguments:
            total += int(max(0, _number(statement.arguments[0].value, scope))) * max(1, inner)
        elif word in blocks and word not in trail and len(trail) < MAX_CALLS:
            total += weight(blocks[word].body, scope, blocks, (*trail, word))
        else:
            total += 1 + inner
        if total > MAX_LAYERS:
            return total
    return total


def _number(expression: syntax.Expression, scope: Scope) -> float:
    """The value of an expression if it is a number that can be known now, else 1."""
    try:
        value = evaluate(expression, scope)
    except (CnncError, Silent):
        return 1
    return value if isinstance(value, int | float) else 1
