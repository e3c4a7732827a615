"""Binds the arguments of a call to the fields of a layer or statement.

In: a call of the syntax tree, the class whose fields `arg` made, the scope, the input's rank. Out: an
instance, or None and a diagnostic for each argument that is wrong. It computes no shapes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from cnnc.arguments import ArgumentSpec, BadValue, Declared, Word
from cnnc.diagnostics import CnncError, Diagnostic, Note, Span, nearest
from cnnc.language import syntax
from cnnc.language.expressions import Scope, Silent, evaluate, kind
from cnnc.record import Record

T = TypeVar("T", bound=Declared)


class Bound(Record, Generic[T]):
    """The instance (None where an argument was wrong), and where each argument stands."""

    value: T | None
    places: dict[str, Span]
    diagnostics: tuple[Diagnostic, ...]


def bind(cls: type[T], call: syntax.Call, scope: Scope, rank: int) -> Bound[T]:
    """Binds a call to a class. `rank` is the number of spatial axes of the input (0: unknown or none)."""
    specs = cls.arguments
    given, diagnostics, meant = _match(specs, call)
    values: dict[str, Any] = {}
    for spec in specs:
        argument = given.get(spec.name)
        if argument is None:
            if spec.required and spec.name not in meant:
                diagnostics.append(_missing(spec, call))
            elif spec.required:
                continue
            else:
                values[spec.name] = None if spec.default is None else spec.kind.take(spec.default, rank)
            continue
        try:
            values[spec.name] = _value(spec, argument, call, scope, rank)
        except CnncError as error:
            diagnostics += error.diagnostics
        except Silent:
            pass
    whole = len(values) == len(specs) and not diagnostics
    places = {name: argument.span for name, argument in given.items()}
    return Bound(cls(**values) if whole else None, places, tuple(diagnostics))


def _match(
    specs: tuple[ArgumentSpec, ...], call: syntax.Call
) -> tuple[dict[str, syntax.Argument], list[Diagnostic], set[str]]:
    """Each argument with its field; those that match none are diagnosed. Third, the fields that these were meant for."""
    by_key = {key: spec for spec in specs for key in spec.keys}
    places = [spec for spec in specs if spec.positional]
    given: dict[str, syntax.Argument] = {}
    diagnostics = []
    meant: set[str] = set()
    position = 0
    after_key = False
    for argument in call.arguments:
        if argument.key is not None:
            after_key = True
            spec = by_key.get(argument.key.text)
            if spec is None:
                diagnostics.append(unknown_key(argument.key, call.op.text, by_key))
                near = nearest(argument.key.text, by_key)
                meant.update({by_key[near].name} if near else ())
                continue
        elif after_key:
            diagnostics.append(after_a_key(call, argument))
            meant.update(spec.name for spec in places)
            continue
        elif position < len(places):
            spec = places[position]
            position += 1
        else:
            diagnostics.append(_surplus(specs, places, call, argument))
            meant.update(spec.name for spec in [s for s in specs if not s.positional][:1])
            continue
        if spec.name in given:
            note = Note(given[spec.name].span, "first given here")
            message = f"{call.op.text} is given {spec.name} twice"
            diagnostics.append(Diagnostic("E205", message, argument.span, notes=(note,), help="keep one of the two"))
        else:
            given[spec.name] = argument
    return given, diagnostics, meant


def _value(spec: ArgumentSpec, argument: syntax.Argument, call: syntax.Call, scope: Scope, rank: int) -> Any:
    value = evaluate(argument.value, scope, spec.kind.words)
    try:
        return spec.kind.take(value, rank)
    except BadValue as bad:
        key = argument.key.text if argument.key is not None else spec.name.upper()
        message = f"{call.op.text}: {key} takes {bad.expected}"
        help = bad.help
        if not isinstance(value, Word) or value not in spec.kind.words:  # else the word is right, but not here
            message += f", not {kind(value)}"
        if isinstance(value, Word) and value not in spec.kind.words and not help:
            candidates = [*spec.kind.words, *([] if spec.kind.words else scope.names())]
            near = nearest(value, candidates)
            help = f"did you mean `{near}`?" if near else help
        raise CnncError(Diagnostic("E203", message, argument.span, help=help)) from None


def _missing(spec: ArgumentSpec, call: syntax.Call) -> Diagnostic:
    written = " ".join([call.op.text, *(_source(a) for a in call.arguments)])
    if spec.positional:
        values = [a for a in call.arguments if a.key is None]
        keyed = [_source(a) for a in call.arguments if a.key is not None]
        example = " ".join([call.op.text, *(_source(a) for a in values), _example(spec), *keyed])
    else:
        example = f"{written} {spec.name}={_example(spec)}"
    needs = spec.help if spec.positional else f"`{spec.name}`, the {spec.help}"
    return Diagnostic("E202", f"{call.op.text} needs {needs}", call.span, help=f"write `{example}`")


def _example(spec: ArgumentSpec) -> str:
    if spec.kind.words and type(spec.kind).__name__ == "Choice":
        return spec.kind.words[0]
    known = {"k": "3", "out": "16", "shape": "1x28x28", "mean": "0.5", "std": "0.5", "lr": "0.01", "vocab": "1000"}
    return known.get(spec.name, "1")


def _source(argument: syntax.Argument) -> str:
    return " ".join(argument.span.text.split())


def _surplus(
    specs: tuple[ArgumentSpec, ...], places: list[ArgumentSpec], call: syntax.Call, argument: syntax.Argument
) -> Diagnostic:
    count = {0: "no values", 1: "one value"}.get(len(places), f"{len(places)} values")
    free = [s for s in specs if not s.positional]
    help = f"did you mean `{free[0].name}={_source(argument)}`?" if free else "leave it out"
    return Diagnostic("E204", f"{call.op.text} takes {count} by place", argument.span, help=help)


def only_value(call: syntax.Call, what: str) -> syntax.Expression:
    """The one value of a statement that takes no more, `what` it is in words. Raises CnncError E202."""
    if len(call.arguments) != 1 or call.arguments[0].key is not None:
        raise CnncError.of("E202", f"{call.op.text} takes {what}", span=call.span)
    return call.arguments[0].value


def no_body(call: syntax.Call) -> CnncError:
    """E108, at a body where there is none to be."""
    help = "end its line (a newline or `;`) and go on with what stands in the braces"
    return CnncError.of("E108", f"{call.op.text} takes no body", span=call.bodies[0].span, help=help)


def after_a_key(call: syntax.Call, argument: syntax.Argument) -> Diagnostic:
    """E206, with the arguments in the right order."""
    ordered = sorted(call.arguments, key=lambda a: a.key is not None)
    help = f"values come first: `{' '.join([call.op.text, *map(_source, ordered)])}`"
    return Diagnostic("E206", "a value after a key", argument.span, help=help)


def unknown_key(key: syntax.Name, op: str, known: Iterable[str]) -> Diagnostic:
    """E201, with the nearest key."""
    keys = list(known)
    near = nearest(key.text, keys)
    if near:
        help = f"did you mean `{near}`?"
    elif keys:
        help = f"{op} has {', '.join(keys)}"
    else:
        help = f"{op} takes no keys"
    return Diagnostic("E201", f"{op} has no key `{key.text}`", key.span, help=help)
