"""Binds the arguments of a call to the fields of an op or of a statement of the train section.

In: a call of the syntax tree, the class whose fields `arg` declares, the scope, the input's rank. Out: an instance, or
None and a diagnostic for each wrong argument. It computes no shapes.

Example: `conv 64 k=3` binds to `Conv(out=64, k=(3, 3), ...)` if the input has two spatial axes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar, cast

from cnnc.core.arguments import (
    ArgumentSpec,
    BadValue,
    Choice,
    Declared,
    Flag,
    Kind,
    LayerName,
    NumberLists,
    PerAxis,
    Real,
    String,
    Whole,
    WordValue,
)
from cnnc.diagnostics import CnncError, Diagnostic, Edit, Note, Span, nearest
from cnnc.language import syntax
from cnnc.language.column_names import quoted_column
from cnnc.language.edits import as_written, defined_above, on_a_new_line, rewritten, without
from cnnc.language.expressions import AlreadyReported, Scope, describe, evaluate
from cnnc.language.meant import key_meant
from cnnc.language.synonyms import value_synonym
from cnnc.ops import OPS

T = TypeVar("T", bound=Declared)


class Bound(NamedTuple, Generic[T]):
    """The instance (None if an argument is wrong), and the span of each argument."""

    value: T | None
    spans: dict[str, Span]
    diagnostics: tuple[Diagnostic, ...]


Layers = Callable[[str], str]
"""The name of a layer above that an argument of this name could name; "" if there is none."""


def bind(cls: type[T], call: syntax.Call, scope: Scope, rank: int, layers: Layers = lambda argument: "") -> Bound[T]:
    """Binds a call to a class. `rank` is the number of spatial axes of the input (0: unknown or none).

    `layers` gives the names that help suggests for arguments that name layers.

    Raises nothing: errors E101 to E104, E109 and E201 to E206 are in the result.
    """
    constants = _constants(call)
    known = _BOUND.get((cls, rank, constants)) if constants is not None else None
    if known is not None:
        value, names = known
        return Bound(value, {n: a.span for n, a in zip(names, call.arguments, strict=True)}, ())
    specs = cls.arguments
    given, diagnostics, misplaced = _match(specs, call)
    values: dict[str, Any] = {}
    missing = []
    for spec in specs:
        argument = given.get(spec.name)
        if argument is None:
            if spec.required and spec.name not in misplaced:
                missing.append(spec)
            elif spec.required:
                continue
            else:
                values[spec.name] = None if spec.default is None else spec.kind.take(spec.default, rank)
            continue
        try:
            values[spec.name] = _value(specs, spec, argument, call, scope, rank)
        except CnncError as error:
            diagnostics += error.diagnostics
        except AlreadyReported:
            pass
    proposed = [edit.text for d in diagnostics for edit in d.edits]
    missing = [spec for spec in missing if not any(f" {spec.name}=" in text for text in proposed)]
    complete_call = _with_missing(specs, given, call, rank, layers) if missing else None
    for spec in missing:
        needs = spec.help if spec.positional else f"`{spec.name}`, the {spec.help}"
        edits = (rewritten(call, complete_call),) if complete_call else ()
        help = "name a layer above that fits" if isinstance(spec.kind, LayerName) else ""
        if call.span.source.name.startswith("--"):
            edits, help = (), f"also give `{call.span.source.name}.{spec.name}={_example(spec, rank)}`"
        diagnostics.append(Diagnostic("E202", f"{call.op.text} needs {needs}", call.span, help=help, edits=edits))
    complete = len(values) == len(specs) and not diagnostics
    spans = {name: argument.span for name, argument in given.items()}
    value = instance(cls, tuple(values.items())) if complete else None
    if value is not None and constants is not None and not any(_is_variable(s, given.get(s.name)) for s in specs):
        if len(_BOUND) >= MAX_BOUND:
            _BOUND.clear()
        _BOUND[cls, rank, constants] = value, tuple(given)
    return Bound(value, spans, tuple(diagnostics))


# --- calls whose arguments are constants: the same call, checked again, is bound to the same instance ----------

MAX_BOUND = 4096

_BOUND: dict[tuple[type, int, tuple[Any, ...]], tuple[Any, tuple[str, ...]]] = {}
"""The instance of a class and the names of the arguments in order, by the class, the rank and the arguments."""


def _constants(call: syntax.Call) -> tuple[Any, ...] | None:
    """The arguments of a call without their spans, if each is a number, a word or an extent; or else None."""
    constants: list[Any] = []
    for key, value, _ in call.arguments:
        kind = type(value)
        if kind is not syntax.Number and kind is not syntax.Word and kind is not syntax.Extent:
            return None
        written = value[0]
        constants += (key.text if key is not None else None, kind, type(written), written)
    return tuple(constants)


def _is_variable(spec: ArgumentSpec, argument: syntax.Argument | None) -> bool:
    """Whether the value of an argument depends on the scope."""
    value = argument.value if argument is not None else None
    if isinstance(value, syntax.Word):
        return value.name not in (*spec.kind.words, "true", "false")
    return isinstance(value, syntax.Extent) and any(isinstance(part, str) for part in value.parts)


def instance(cls: type[T], values: tuple[tuple[str, Any], ...] = ()) -> T:
    """The instance with these arguments.

    Equal layers are one object: layers remember what they computed (`Op`), and an editor checks the same layers again and again.
    """
    made: T = _made(cast(Any, cls), values)
    return made


@lru_cache(maxsize=4096)
def _made(cls: Any, values: tuple[tuple[str, Any], ...]) -> Any:
    return cls(**dict(values))


def _match(
    specs: tuple[ArgumentSpec, ...], call: syntax.Call
) -> tuple[dict[str, syntax.Argument], list[Diagnostic], set[str]]:
    """The arguments by field; errors for those that match no field; and the fields that these were probably meant for."""
    by_key = {key: spec for spec in specs for key in spec.keys}
    positional = [spec for spec in specs if spec.positional]
    given: dict[str, syntax.Argument] = {}
    diagnostics = []
    misplaced: set[str] = set()
    position = 0
    keys_began = False
    skip = False
    for index, argument in enumerate(call.arguments):
        if skip:
            skip = False
            continue
        spec = _key_without_equals(call, index, by_key, positional[position:])
        if spec is not None:
            diagnostics.append(_equals_missing(call, index))
            misplaced.add(spec.name)
            skip = True
            continue
        if argument.key is not None:
            keys_began = True
            spec = by_key.get(argument.key.text)
            if spec is None:
                diagnostics.append(unknown_key(argument, call, by_key))
                near = key_meant(argument, call, list(by_key))[0]
                misplaced.update({by_key[near].name} if near else ())
                continue
        elif keys_began and position >= len(positional):
            diagnostics.append(_surplus(specs, positional, call, argument))
            break
        elif keys_began:
            diagnostics.append(positional_after_key(call, argument))
            misplaced.update(spec.name for spec in positional)
            continue
        elif position < len(positional):
            spec = positional[position]
            position += 1
        else:
            diagnostics.append(_surplus(specs, positional, call, argument))
            misplaced.update(spec.name for spec in [s for s in specs if not s.positional][:1])
            break  # the arguments after it are in the wrong position too
        if spec.name in given:
            note = Note(given[spec.name].span, "first given here")
            message = f"{call.op.text} is given `{spec.name}` twice"
            edits = (without(argument.span, "remove one of them"),)
            if argument.key is not None and spec.name == "k" and _is_nested(argument.value):
                edits = (Edit(argument.key.span, "weights", "did you mean `{}`?", edits),)
            diagnostics.append(Diagnostic("E205", message, argument.span, notes=(note,), edits=edits))
        else:
            given[spec.name] = argument
    return given, diagnostics, misplaced


def _is_nested(value: syntax.Expression) -> bool:
    return isinstance(value, syntax.List) and any(isinstance(item, syntax.List) for item in value.items)


def _key_without_equals(
    call: syntax.Call, index: int, by_key: dict[str, ArgumentSpec], positional: list[ArgumentSpec]
) -> ArgumentSpec | None:
    """The argument that `k 3` in `conv 8 k 3` gives without `=`; None elsewhere."""
    argument, following = call.arguments[index], call.arguments[index + 1 : index + 2]
    if argument.key is not None or not isinstance(argument.value, syntax.Word) or not following or following[0].key:
        return None
    spec = by_key.get(argument.value.name)
    if spec is None or (spec.positional and spec in positional[:1]):
        return None
    takes_word = bool(positional) and (not positional[0].kind.words or argument.value.name in positional[0].kind.words)
    return None if takes_word else spec


def _equals_missing(call: syntax.Call, index: int) -> Diagnostic:
    """E204 at `k 3`."""
    key, value = call.arguments[index], call.arguments[index + 1]
    span = key.span.to(value.span)
    message = f"{call.op.text}: `{as_written(key)}` is written with `=`"
    return Diagnostic("E204", message, span, edits=(Edit(span, f"{as_written(key)}={as_written(value)}"),))


def _value(
    specs: tuple[ArgumentSpec, ...],
    spec: ArgumentSpec,
    argument: syntax.Argument,
    call: syntax.Call,
    scope: Scope,
    rank: int,
) -> Any:
    """The value of an argument. Raises CnncError E203, and what `evaluate` raises."""
    value = evaluate(argument.value, scope, spec.kind.words)
    try:
        return spec.kind.take(value, rank)
    except BadValue as bad:
        key = argument.key.text if argument.key is not None else spec.name.upper()
        message = f"{call.op.text}: {key} takes {bad.expected}"
        known_word = isinstance(value, WordValue) and value in spec.kind.words
        help = "" if bad.value else bad.help
        if bad.path:
            raise CnncError(_wrong_item(argument.value, value, bad, message, scope)) from None
        if not known_word:  # a known word is wrong for this input only
            message += f", not {describe(value)}"
        edits = _edits_of_value(specs, spec, argument, value, bad, call, scope)
        raise CnncError(Diagnostic("E203", message, argument.span, help=help, edits=edits)) from None


def _wrong_item(expression: syntax.Expression, value: Any, bad: BadValue, message: str, scope: Scope) -> Diagnostic:
    """E203 at the item of nested lists that is wrong, or at the name of the lists."""
    span = expression.span
    for index in bad.path:
        value = value[index]
        if isinstance(expression, syntax.List):
            expression = expression.items[index]
            span = expression.span
    edits: tuple[Edit, ...] = ()
    if isinstance(value, WordValue) and isinstance(expression, syntax.Word):
        near = nearest(value, scope.names())
        edits = (Edit(span, near, "did you mean `{}`?") if near else defined_above(span, value),)
    message += f", not {describe(value)} at {''.join(f'[{i}]' for i in bad.path)}"
    return Diagnostic("E203", message, span, help=bad.help, edits=edits)


def _edits_of_value(
    specs: tuple[ArgumentSpec, ...],
    spec: ArgumentSpec,
    argument: syntax.Argument,
    value: Any,
    bad: BadValue,
    call: syntax.Call,
    scope: Scope,
) -> tuple[Edit, ...]:
    """Edits of a value that an argument does not take."""
    kind, span = spec.kind, argument.value.span
    quotient = argument.value if isinstance(argument.value, syntax.Binary) else None
    if bad.value:
        return (Edit(span, bad.value, bad.help),)
    names = {s.name for s in specs}
    if {"weights", "biases"} <= names and (isinstance(value, tuple) or spec.name == "bias"):
        return _given_numbers_meant(spec, argument, value)
    if isinstance(value, tuple) and {"k", "numbers"} <= names and spec.name == "k":
        others = [as_written(a) for a in call.arguments if a is not argument]
        return (rewritten(call, " ".join([call.op.text, as_written(argument.value), *others]), "write `{}`"),)
    if isinstance(value, WordValue) and value not in kind.words:
        near = value_synonym(value, kind.words) or nearest(value, [*kind.words, *([] if kind.words else scope.names())])
        if near:
            return (Edit(span, near, "did you mean `{}`?"),)
        if isinstance(kind, PerAxis | Whole | Real) and not span.source.name.startswith("--"):
            return (defined_above(span, value),)
        if isinstance(kind, String):
            return (Edit(span, f'"{span.text}"', "write it in quotes: `{}`"),)
    elif isinstance(kind, Choice) and not isinstance(value, str) and spec.positional:
        others = [as_written(a) for a in call.arguments if a is not argument]
        key = next((s for s in specs if s.required and not s.positional), None)
        if key is not None and not any(a.key is not None and a.key.text in key.keys for a in call.arguments):
            others = [f"{key.name}={as_written(argument)}", *others]
        return (rewritten(call, " ".join([call.op.text, kind.example, *others]), "begin with a word: `{}`"),)
    elif isinstance(kind, Real) and kind.maximum == 1 and isinstance(value, int) and 1 < value <= 100:
        return (Edit(span, f"{value / 100:g}", "write a fraction, not a percentage: `{}`"),)
    elif isinstance(value, str) and not isinstance(value, WordValue) and value in kind.words:
        return (Edit(span, value, "write `{}`, without quotes"),)
    elif isinstance(value, float) and quotient is not None and quotient.operator == "/":
        text = f"{as_written(quotient.left)}//{as_written(quotient.right)}"
        return (Edit(span, text, "`//` divides and rounds down: `{}`"),)
    elif isinstance(value, float) and isinstance(kind, Whole) and isinstance(argument.value, syntax.Number):
        return (Edit(span, str(round(value)), f"{bad.help}; write `{{}}`"),)
    return ()


def _given_numbers_meant(spec: ArgumentSpec, argument: syntax.Argument, value: Any) -> tuple[Edit, ...]:
    """`kernel=[[1, 0], [0, -1]]`, `bias=[1, 2]` and `bias=0.5` as the arguments that give numbers."""
    try:
        sizes = NumberLists().take(value, 0).shape
    except BadValue:
        return ()
    text = as_written(argument.value)
    if spec.name == "bias":
        return (Edit(argument.span, f"biases={text}"),)
    if spec.name == "k" and len(sizes) > 1:
        return (Edit(argument.span, f"k={'x'.join(map(str, sizes[-2:]))} weights={text}"),)
    return ()


def _with_missing(
    specs: tuple[ArgumentSpec, ...],
    given: Mapping[str, syntax.Argument],
    call: syntax.Call,
    rank: int,
    layers: Layers,
) -> str:
    """The call with an example for each missing argument; "" if an argument names a layer and none fits."""
    examples = {
        spec.name: layers(spec.name) if isinstance(spec.kind, LayerName) else _example(spec, rank)
        for spec in specs
        if spec.required and spec.name not in given
    }
    if not all(examples.values()):
        return ""
    values = [a for a in call.arguments if a.key is None]
    positional = [examples.get(s.name, "") for s in specs if s.positional]
    filled = [value or as_written(values.pop(0)) for value in positional if value or values]
    keyed = [as_written(a) for a in call.arguments if a.key is not None]
    missing = [f"{s.name}={examples[s.name]}" for s in specs if not s.positional and s.name in examples]
    return " ".join([call.op.text, *filled, *map(as_written, values), *keyed, *missing])


# Values of arguments in a help line, where that of the kind (`Kind.example`) is rarely meant.
_EXAMPLES = {
    "k": "3",
    "lr": "0.01",
    "mean": "0.5",
    "name": "digits",
    "out": "16",
    "shape": "1x28x28",
    "std": "0.5",
    "vocab": "1000",
}


def _example(spec: ArgumentSpec, rank: int) -> str:
    return _EXAMPLES.get(spec.name, spec.kind.example_for(rank))


def _surplus(
    specs: tuple[ArgumentSpec, ...], positional: list[ArgumentSpec], call: syntax.Call, argument: syntax.Argument
) -> Diagnostic:
    """E204, at the first positional argument too many."""
    count = {0: "no positional arguments", 1: "one positional argument"}
    takes = count.get(len(positional), f"{len(positional)} positional arguments")
    edits = (*quoted_column(argument.span), *_edits_of_surplus(specs, call, argument))
    return Diagnostic("E204", f"{call.op.text} takes {takes}", argument.span, edits=edits)


def _edits_of_surplus(
    specs: tuple[ArgumentSpec, ...], call: syntax.Call, argument: syntax.Argument
) -> tuple[Edit, ...]:
    """What was probably meant by a positional argument too many."""
    value, written = argument.value, as_written(argument)
    values = [as_written(a) for a in call.arguments if a.key is None]
    keys = [as_written(a) for a in call.arguments if a.key is not None]
    sizes = [v for v in values if v != "x"]
    given = {a.key.text for a in call.arguments if a.key is not None}
    free = [s for s in specs if not s.positional and given.isdisjoint(s.keys)]
    word = value.name if isinstance(value, syntax.Word) else ""
    flag = next((s for s in free if word in s.keys and isinstance(s.kind, Flag)), None)
    choice = next((s for s in free if word in s.kind.words), None)
    likely = next((s for s in free if isinstance(value, _LIKELY.get(type(s.kind), ())) and not _is_detail(s)), None)

    def call_with(*arguments: str) -> str:
        return " ".join([call.op.text, *arguments, *keys])

    removed = without(argument.span)
    if word in OPS:
        return (on_a_new_line(argument.span.to(call.span), "begin a new line for the next layer: `{}`"),)
    if call.op.text in ("input", "reshape", "crop") and all(v.isdigit() for v in sizes):
        return (rewritten(call, call_with("x".join(sizes))),)
    if call.op.text == "fc" and len(values) == 2:
        return (rewritten(call, call_with(values[1]), "the input size is inferred: write `{}`"),)
    if call.op.text == "embed" and len(values) == 2 and all(v.isdigit() for v in values):
        vocab, dim = sorted(map(int, values), reverse=True)
        return (rewritten(call, call_with(str(dim), f"vocab={vocab}")),)
    if call.op.text == "conv" and len(values) == 3 and all(v.isdigit() for v in values):
        return (rewritten(call, call_with(values[1], f"k={values[2]}"), "the input channels are inferred: write `{}`"),)
    if flag is not None:
        return (Edit(argument.span, f"{word}=true"),)
    spec = choice or likely
    named = rf"\b(let|as)\s+{word}\b|\bblock\b[^{{\n]*\b{word}\b"
    if word and choice is None and not re.search(named, argument.span.source.text):
        return (removed,)  # no name of the file
    if spec is not None and call.op.text != "fc":
        return (Edit(argument.span, f"{spec.name}={written}", "did you mean `{}`?", (removed,)),)
    return (removed,)


def _is_detail(spec: ArgumentSpec) -> bool:
    """Whether the argument is rarely given, as the eps of bn."""
    return isinstance(spec.kind, Real) and not spec.required


# Which expressions are likely for the first keyed argument, by its kind: `conv 4 3` for k=3, but not `fc 3072 10` for bias=10.
_LIKELY: dict[type[Kind], tuple[type, ...]] = {
    PerAxis: (syntax.Number, syntax.Extent, syntax.List, syntax.Binary, syntax.Word),
    Whole: (syntax.Number, syntax.Binary, syntax.Word),
    Real: (syntax.Number, syntax.Binary, syntax.Word),
    Choice: (syntax.Word,),
}


def only_value(call: syntax.Call, description: str) -> syntax.Expression:
    """The one argument of a statement that takes only `description`, e.g. "a name". Raises CnncError E202."""
    if len(call.arguments) != 1 or call.arguments[0].key is not None:
        raise CnncError.of("E202", f"{call.op.text} takes {description}", span=call.span)
    return call.arguments[0].value


def no_body(call: syntax.Call) -> CnncError:
    """E108, at the body of a layer or statement that takes none."""
    help = "end the statement (with a newline or `;`) and write the layers after it without braces"
    body = call.bodies[0].span
    start = call.span.end
    inner = body.text[1:-1].strip(" \t;")
    text = inner if inner.startswith(("\n", "\r")) else f"; {inner}" if inner else ""
    edits = (Edit(Span(body.source, start, body.end), text, help),) if len(call.bodies) == 1 else ()
    return CnncError.of("E108", f"{call.op.text} takes no body", span=body, help=help, edits=edits)


def positional_after_key(call: syntax.Call, argument: syntax.Argument) -> Diagnostic:
    """E206, whose help has the arguments in the right order."""
    ordered = sorted(call.arguments, key=lambda a: a.key is not None)
    text = " ".join([call.op.text, *map(as_written, ordered)])
    edits = (rewritten(call, text, "positional arguments come first: `{}`"),)
    return Diagnostic("E206", "a positional argument after `key=value`", argument.span, edits=edits)


def unknown_key(argument: syntax.Argument, call: syntax.Call, known: Iterable[str]) -> Diagnostic:
    """E201, with the key that was meant."""
    assert argument.key is not None
    keys = list(known)
    near, edits, help = key_meant(argument, call, keys)
    if near is None and keys:
        help = f"its arguments are {', '.join(keys)}" if len(keys) > 1 else f"its only argument is {keys[0]}"
    elif near is None:
        edits = (without(argument.span, f"{call.op.text} takes no arguments: remove it"),)
    message = f"{call.op.text} has no argument `{argument.key.text}`"
    return Diagnostic("E201", message, argument.key.span, help=help, edits=edits)
