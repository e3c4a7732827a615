"""Binds the arguments of a call to the fields of an op or of a statement of the train section.

In: a call of the syntax tree, the class whose fields `arg` declares, the scope, the input's rank. Out: an instance, or
None and a diagnostic for each wrong argument. It computes no shapes.

Example: `conv 64 k=3` binds to `Conv(out=64, k=(3, 3), ...)` if the input has two spatial axes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from cnnc.core.arguments import ArgumentSpec, BadValue, Choice, Declared, Kind, PerAxis, Real, Whole, WordValue
from cnnc.core.record import Record
from cnnc.diagnostics import CnncError, Diagnostic, Edit, Note, Span, nearest
from cnnc.language import syntax
from cnnc.language.expressions import AlreadyReported, Scope, describe, evaluate
from cnnc.language.meant import key_meant
from cnnc.language.synonyms import value_synonym
from cnnc.ops import OPS

T = TypeVar("T", bound=Declared)


class Bound(Record, Generic[T]):
    """The instance (None if an argument is wrong), and the span of each argument."""

    value: T | None
    spans: dict[str, Span]
    diagnostics: tuple[Diagnostic, ...]


def bind(cls: type[T], call: syntax.Call, scope: Scope, rank: int) -> Bound[T]:
    """Binds a call to a class. `rank` is the number of spatial axes of the input (0: unknown or none).

    Raises nothing: errors E101 to E104, E109 and E201 to E206 are in the result.
    """
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
            values[spec.name] = _value(spec, argument, call, scope, rank)
        except CnncError as error:
            diagnostics += error.diagnostics
        except AlreadyReported:
            pass
    diagnostics += [_missing(spec, call, bool(diagnostics)) for spec in missing]
    complete = len(values) == len(specs) and not diagnostics
    spans = {name: argument.span for name, argument in given.items()}
    return Bound(cls(**values) if complete else None, spans, tuple(diagnostics))


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
            diagnostics.append(Diagnostic("E205", message, argument.span, notes=(note,), help="remove one of them"))
        else:
            given[spec.name] = argument
    return given, diagnostics, misplaced


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
    message = f"{call.op.text}: `{_source(key)}` is written with `=`"
    return Diagnostic("E204", message, span, edits=(Edit(span, f"{_source(key)}={_source(value)}"),))


def _value(spec: ArgumentSpec, argument: syntax.Argument, call: syntax.Call, scope: Scope, rank: int) -> Any:
    """The value of an argument. Raises CnncError E203, and what `evaluate` raises."""
    value = evaluate(argument.value, scope, spec.kind.words)
    try:
        return spec.kind.take(value, rank)
    except BadValue as bad:
        key = argument.key.text if argument.key is not None else spec.name.upper()
        message = f"{call.op.text}: {key} takes {bad.expected}"
        help = bad.help
        edits: tuple[Edit, ...] = ()
        known_word = isinstance(value, WordValue) and value in spec.kind.words
        if not known_word:  # a known word is wrong for this input only
            message += f", not {describe(value)}"
        if isinstance(value, WordValue) and not known_word and not help:
            candidates = [*spec.kind.words, *([] if spec.kind.words else scope.names())]
            near = value_synonym(value, spec.kind.words) or nearest(value, candidates)
            edits = (Edit(argument.value.span, near, "did you mean `{}`?"),) if near else ()
            on_command_line = argument.span.source.name.startswith("--")
            if not near and not on_command_line and isinstance(spec.kind, PerAxis | Whole | Real):
                help = f"define it above: `let {value} = 16`"
        elif isinstance(spec.kind, Choice) and not isinstance(value, str) and not help:
            help = f"begin with a word: `{call.op.text} {spec.kind.example} ...`" if spec.positional else ""
        elif isinstance(spec.kind, Real) and spec.kind.maximum == 1 and isinstance(value, int) and 1 < value <= 100:
            help = f"write a fraction, not a percentage: `{value / 100:g}`"
        elif isinstance(value, str) and not isinstance(value, WordValue) and value in spec.kind.words:
            help = f"write `{value}`, without quotes"
        raise CnncError(Diagnostic("E203", message, argument.span, help=help, edits=edits)) from None


def _missing(spec: ArgumentSpec, call: syntax.Call, others_wrong: bool) -> Diagnostic:
    """E202, with the corrected call, or with only the missing argument if others are wrong too."""
    written = " ".join([call.op.text, *(_source(a) for a in call.arguments)])
    if spec.positional:
        values = [a for a in call.arguments if a.key is None]
        keyed = [_source(a) for a in call.arguments if a.key is not None]
        example = " ".join([call.op.text, *(_source(a) for a in values), _example(spec), *keyed])
    else:
        example = f"{written} {spec.name}={_example(spec)}"
    needs = spec.help if spec.positional else f"`{spec.name}`, the {spec.help}"
    help = f"add `{spec.name}={_example(spec)}`" if others_wrong and not spec.positional else f"write `{example}`"
    return Diagnostic("E202", f"{call.op.text} needs {needs}", call.span, help=help)


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


def _example(spec: ArgumentSpec) -> str:
    return _EXAMPLES.get(spec.name, spec.kind.example)


def _source(argument: syntax.Argument) -> str:
    return " ".join(argument.span.text.split())


def _surplus(
    specs: tuple[ArgumentSpec, ...], positional: list[ArgumentSpec], call: syntax.Call, argument: syntax.Argument
) -> Diagnostic:
    """E204, at the first positional argument too many."""
    count = {0: "no positional arguments", 1: "one positional argument"}
    takes = count.get(len(positional), f"{len(positional)} positional arguments")
    keyed = next((s for s in specs if not s.positional), None)
    values = [_source(a) for a in call.arguments if a.key is None]
    if isinstance(argument.value, syntax.Word) and argument.value.name in OPS:
        help = f"begin a new line for the next layer: `{argument.value.name} ...`"
    elif call.op.text in ("input", "reshape", "crop") and all(value.isdigit() for value in values):
        help = f"write `{call.op.text} {'x'.join(values)}`"
    elif call.op.text == "fc" and len(values) == 2:
        help = f"the input size is inferred: write `fc {values[1]}`"
    elif call.op.text == "conv" and len(values) == 3 and all(value.isdigit() for value in values):
        help = f"the input channels are inferred: write `conv {values[1]} k={values[2]}`"
    elif keyed is not None and isinstance(argument.value, _LIKELY.get(type(keyed.kind), ())) and not _is_detail(keyed):
        help = f"did you mean `{keyed.name}={_source(argument)}`?"
    else:
        help = "remove it"
    return Diagnostic("E204", f"{call.op.text} takes {takes}", argument.span, help=help)


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
    return CnncError.of("E108", f"{call.op.text} takes no body", span=call.bodies[0].span, help=help)


def positional_after_key(call: syntax.Call, argument: syntax.Argument) -> Diagnostic:
    """E206, whose help has the arguments in the right order."""
    ordered = sorted(call.arguments, key=lambda a: a.key is not None)
    help = f"positional arguments come first: `{' '.join([call.op.text, *map(_source, ordered)])}`"
    return Diagnostic("E206", "a positional argument after `key=value`", argument.span, help=help)


def unknown_key(argument: syntax.Argument, call: syntax.Call, known: Iterable[str]) -> Diagnostic:
    """E201, with the key that was meant."""
    assert argument.key is not None
    keys = list(known)
    near, edits, help = key_meant(argument, call, keys)
    if near is None:
        help = f"its arguments are {', '.join(keys)}" if keys else f"{call.op.text} takes no arguments"
        help += "" if keys else ": remove it"
    return Diagnostic(
        "E201", f"{call.op.text} has no argument `{argument.key.text}`", argument.key.span, help=help, edits=edits
    )
