"""Blocks and repeats before their bodies are lowered: definitions, variables, number of rounds, limits.

In: block definitions, and block calls and repeats with the frame that they are in. Out: the blocks of the file by name,
the scope of a call's body, the number of rounds; or a CnncError. It lowers no bodies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnc.core.arguments import WordValue
from cnnc.diagnostics import CnncError, Diagnostic, Edit, Note, Span, nearest
from cnnc.language import syntax
from cnnc.language.bind import positional_after_key
from cnnc.language.edits import (
    as_written,
    did_you_mean,
    first_that_works,
    renamed,
    rewritten,
    whole,
    without,
    without_statement,
)
from cnnc.language.expressions import RESERVED_VALUES, AlreadyReported, Scope, describe, evaluate
from cnnc.language.include import Includes
from cnnc.language.references import shared_call
from cnnc.language.resolve import defined_twice, require_not_reserved, tensors
from cnnc.language.scope import Frame, LayerReference, Tensor, with_c_in

MAX_LAYERS = 100_000
MAX_CALLS = 40  # nesting of block calls
MAX_INCLUDES = 40  # nesting of includes


# --- blocks of the file --------------------------------------------------------------------------------------


def collect(
    file: syntax.File,
    includes: Includes,
    trail: tuple[Path, ...],
    blocks: dict[str, syntax.Block],
    seen: set[Path] | None = None,
) -> list[Diagnostic]:
    """Adds the blocks of a file and of the files that it includes to `blocks`; returns the errors in their definitions.

    A block can be called above its definition, so this runs before lowering. `trail` are the paths of the files whose
    includes led here, `seen` all that were included so far: a file is read once, however many include it.
    """
    seen = set() if seen is None else seen
    errors: list[Diagnostic] = []
    for statement in file.statements:
        try:
            if isinstance(statement, syntax.Block):
                _add(statement, blocks)
            elif isinstance(statement, syntax.Call) and statement.op.text == "include":
                path, inner, diagnostics = includes.file_of(statement)
                errors += diagnostics
                if path in trail:
                    edits = (without_statement(statement.span, "remove one of the includes of the cycle"),)
                    raise CnncError.of("E120", "circular include", span=statement.span, edits=edits)
                if len(trail) > MAX_INCLUDES:
                    message = f"includes nested more than {MAX_INCLUDES} deep"
                    raise CnncError.of("E120", message, span=statement.span, help="join some of these files")
                if path not in seen:
                    seen.add(path)
                    errors += collect(inner, includes, (*trail, path), blocks, seen)
        except CnncError as error:
            errors += error.diagnostics
    return errors


def _add(block: syntax.Block, blocks: dict[str, syntax.Block]) -> None:
    """Adds a block. Raises CnncError E105 and E106 for its name and those of its parameters."""
    require_not_reserved(block.name)
    name = block.name.text
    known = blocks.get(name)
    if known is not None and known is not block:
        raise defined_twice(block.name, known.name.span)
    blocks[name] = block
    seen: dict[str, Span] = {}
    for parameter in block.parameters:
        word = parameter.name.text
        if word in seen:
            raise defined_twice(parameter.name, seen[word])
        if word in RESERVED_VALUES or "." in word:
            new = f"my_{word.replace('.', '_')}"
            edit = Edit(parameter.name.span, new, "choose another name, e.g. `{}`")
            if "." in word:
                edit = renamed(parameter.name, new, block.body.span, edit.help)
            raise CnncError.of("E105", f"`{word}` cannot be a parameter", span=parameter.name.span, edits=(edit,))
        seen[word] = parameter.name.span


# --- variables of a call -------------------------------------------------------------------------------------


def variables(
    call: syntax.Call, block: syntax.Block, frame: Frame, current: Tensor | None, root: Scope
) -> tuple[Scope, str]:
    """The variables of a block call, and the name prefix of the call whose parameters it uses ("" for its own).

    Defaults see the parameters before them, the `let`s at the top level (`root`), and `c_in`. Raises CnncError E201 to
    E206, what `evaluate` raises, and AlreadyReported.
    """
    parameters = {p.name.text: p for p in block.parameters}
    given, share = _arguments(call, block, list(parameters), frame)
    scope = Scope(root)
    for name, parameter in parameters.items():
        if name in given:
            value = _value(given[name].value, frame, current)
        elif parameter.default is not None:
            value = evaluate(parameter.default, with_c_in(scope, current))
        else:
            missing = [n for n, p in parameters.items() if n not in given and p.default is None]
            message = f"{block.name.text} needs the parameter `{name}`"
            help = f"its parameters are {', '.join(parameters)}"
            edits = first_that_works([_with_values(call, block, missing, v) for v in ("1", "16", "3", "max", "in")], 5)
            raise CnncError.of("E202", message, span=call.span, help=help, edits=edits)
        scope.define(name, value, parameter.span)
    return scope, share


def _with_values(call: syntax.Call, block: syntax.Block, missing: Sequence[str], value: str) -> Edit:
    """A block call with the same value for each missing parameter."""
    text = " ".join([block.name.text, *map(as_written, call.arguments), *(f"{name}={value}" for name in missing)])
    return rewritten(call, text, "write `{}`, or another value")


def _arguments(
    call: syntax.Call, block: syntax.Block, parameters: list[str], frame: Frame
) -> tuple[dict[str, syntax.Argument], str]:
    """The arguments of a block call by parameter; and the name prefix of the call that `share=` names ("" without it).

    `parameters` are their names in order, for positional arguments. Raises CnncError E201, E203 to E206.
    """
    given: dict[str, syntax.Argument] = {}
    share = ""
    for position, argument in enumerate(call.arguments):
        key = argument.key
        if key is None:
            if any(a.key is not None for a in call.arguments[:position]):
                raise CnncError(positional_after_key(call, argument))
            if position >= len(parameters):
                notes = (Note(block.span, "defined here"),)
                message = (
                    f"{block.name.text} takes {len(parameters) or 'no'} argument{'s' if len(parameters) != 1 else ''}"
                )
                edits = (without(argument.span),)
                raise CnncError(Diagnostic("E204", message, argument.span, notes=notes, edits=edits))
            given[parameters[position]] = argument
        elif key.text == "share" and "share" not in parameters:
            share = shared_call(argument, frame)
        elif key.text not in parameters:
            near = nearest(key.text, parameters)
            help = f"its parameters are {', '.join(parameters)}" if parameters else "it has none"
            message = f"{block.name.text} has no parameter `{key.text}`"
            raise CnncError.of("E201", message, span=key.span, help=help, edits=did_you_mean(key.span, near))
        elif key.text in given:
            notes = (Note(given[key.text].span, "first given here"),)
            message = f"{block.name.text} is given `{key.text}` twice"
            edits = (without(argument.span, "remove one of them"),)
            raise CnncError(Diagnostic("E205", message, argument.span, notes=notes, edits=edits))
        else:
            given[key.text] = argument
    return given, share


def _value(expression: syntax.Expression, frame: Frame, current: Tensor | None) -> Any:
    """The value of a block call's argument: that of an expression, a layer, or a word."""
    value = evaluate(expression, with_c_in(frame.scope, current))
    if not isinstance(expression, syntax.Word) or not isinstance(value, WordValue):
        return value
    if expression.name == "in" or frame.find(expression.name) is not None:
        return LayerReference(tensors(expression, frame)[0])
    return value


# --- rounds and layers ---------------------------------------------------------------------------------------


def recursion(call: syntax.Call, block: syntax.Block, frame: Frame) -> Diagnostic | None:
    """E119 at a block call inside a call of the same block; None elsewhere."""
    description = f"block {block.name.text}"
    if all(note.text != description for note in frame.space.calls):
        return None
    help = "blocks cannot be recursive: remove it, and apply layers several times with `repeat`"
    edits = (without_statement(whole(call), help),)
    return Diagnostic("E119", f"{description} calls itself", call.span, help=help, edits=edits)


def require_bounded(
    call: syntax.Call, block: syntax.Block, frame: Frame, root: Scope, blocks: Mapping[str, syntax.Block]
) -> None:
    """Raises CnncError if block calls are nested too deeply (E119) or the call expands to too many layers (E113)."""
    name = block.name.text
    depth = len(frame.space.calls)
    if depth >= MAX_CALLS:
        message = f"block calls nested more than {MAX_CALLS} deep"
        help = "merge some of these blocks into one"
        raise CnncError.of("E119", message, span=call.span, help=help)
    if not depth and estimated_layers(block.body, root, blocks, (name,)) > MAX_LAYERS:
        message = f"block {name} expands to more than {MAX_LAYERS:,} layers"
        help = "use fewer rounds or block calls in it"
        raise CnncError.of("E113", message, span=call.span, help=help)


def rounds(
    call: syntax.Call, frame: Frame, current: Tensor | None, blocks: Mapping[str, syntax.Block]
) -> tuple[int, str | None]:
    """The number of rounds of a `repeat`, and the name of its counter (None without one).

    Raises CnncError E105, E108, E113, E202, E203, what `evaluate` raises, and AlreadyReported.
    """
    scope = with_c_in(frame.scope, current)
    count, counter = _head(call, scope)
    if len(call.bodies) != 1:
        help = "put the layers to repeat in braces"
        edits = _with_one_body(call, frame)
        raise CnncError.of("E108", "repeat takes exactly one body", span=call.span, help=help, edits=edits)
    if count * estimated_layers(call.bodies[0], scope, blocks) > MAX_LAYERS:
        message = f"{count:,} rounds expand to more than {MAX_LAYERS:,} layers"
        raise CnncError.of("E113", message, span=call.span, help="use fewer rounds, or fewer layers in each")
    return count, counter


def with_rounds_that_fit(diagnostic: Diagnostic, call: syntax.Call, index: int, count: int) -> Diagnostic:
    """A diagnostic of round `index` of `count` (from 0).

    If the kernel no longer fits there (E302), the help says how many rounds do.
    """
    if diagnostic.code != "E302":
        return diagnostic
    fits = f"only {index} of {count} rounds fit{'s' if index == 1 else ''}"
    rounds = rewritten(call, _head_with(call, index), f"{fits}: write `{{}}`")
    written = isinstance(call.arguments[0].value, syntax.Number)
    padded = [e._replace(text=re.sub("p=.*", "p=same", e.text)) for e in diagnostic.edits if re.match(" ?p=", e.text)]
    help = "pad with `{}` here" if written else f"{fits}: pad with `{{}}` here"
    edits = (*([rounds] if written else []), *(edit._replace(help=help) for edit in padded))
    words = f"{fits}: shrink the feature map less in each round"
    return diagnostic._replace(words=words).with_edits(edits)


def _head_with(call: syntax.Call, count: int) -> str:
    """The head of a `repeat` with another number of rounds."""
    return " ".join([call.op.text, str(count), *(a.span.text for a in call.arguments[1:])])


def _with_one_body(call: syntax.Call, frame: Frame) -> tuple[Edit, ...]:
    """A `repeat` without a body takes the statement after it, one with several bodies joins them."""
    if call.bodies:
        inner = "; ".join(body.span.text[1:-1].strip(" ;\n") for body in call.bodies)
        return (Edit(call.bodies[0].span.to(call.bodies[-1].span), f"{{ {inner} }}", "join its bodies: `{}`"),)
    following = [s for s in frame.statements if s.span.start > call.span.start]
    if not following:
        return ()
    body = whole(following[0])
    edit = Edit(
        Span(body.source, call.span.end, body.end), f" {{ {body.text} }}", "put the layers to repeat in braces: `{}`"
    )
    return (edit,)


def _head(call: syntax.Call, scope: Scope) -> tuple[int, str | None]:
    """The number and the counter of `repeat 3 as i`."""
    values = [a.value for a in call.arguments if a.key is None]
    words = [v.name if isinstance(v, syntax.Word) else "" for v in values]
    counter = None
    if len(values) == 3 and words[1] == "as" and words[2]:
        counter = words[2]
        require_not_reserved(syntax.Name(counter, values[2].span))
    elif len(values) != 1 or len(values) != len(call.arguments):
        written = [v for v in values if isinstance(v, syntax.Number)]
        names = [word for word in words if word not in ("", "as", "in", "times")]
        text = " ".join(["repeat", written[0].span.text if written else "3", *(["as", names[0]] if names else [])])
        raise CnncError.of("E202", "repeat needs the number of rounds", span=call.span, edits=(rewritten(call, text),))
    number = evaluate(values[0], scope)
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number // 1 or number < 0:
        message = f"repeat takes a whole number of rounds, not {describe(number)}"
        value = values[0]
        edits: tuple[Edit, ...] = ()
        if isinstance(value, syntax.Binary) and value.operator == "/":
            text = f"{as_written(value.left)}//{as_written(value.right)}"
            edits = (Edit(value.span, text, "`//` divides and rounds down: `{}`"),)
        raise CnncError.of("E203", message, span=value.span, edits=edits)
    return int(number), counter


def estimated_layers(
    body: syntax.Body,
    scope: Scope,
    blocks: Mapping[str, syntax.Block],
    trail: tuple[str, ...] = (),
    known: dict[tuple[str, int], int] | None = None,
) -> int:
    """Roughly how many layers a body expands to (at least 1), to refuse too many before lowering any.

    `trail` are the blocks whose calls led here; `known` are the layers of blocks, by name and depth of the call, so that
    each is estimated once.
    """
    known = {} if known is None else known
    total = 1
    for statement in body.statements:
        if not isinstance(statement, syntax.Call):
            continue
        word = statement.op.text
        inner = sum(estimated_layers(b, scope, blocks, trail, known) for b in statement.bodies)
        if word == "repeat" and statement.arguments:
            total += int(max(0, _number(statement.arguments[0].value, scope))) * max(1, inner)
        elif word in blocks and word not in trail and len(trail) < MAX_CALLS:
            key = word, len(trail)
            if key not in known:
                known[key] = estimated_layers(blocks[word].body, scope, blocks, (*trail, word), known)
            total += known[key]
        else:
            total += 1 + inner
        if total > MAX_LAYERS:
            return total
    return total


def _number(expression: syntax.Expression, scope: Scope) -> float:
    """The value of an expression if it is a number that `scope` determines, else 1."""
    try:
        value = evaluate(expression, scope)
    except (CnncError, AlreadyReported):
        return 1
    return value if isinstance(value, int | float) else 1
