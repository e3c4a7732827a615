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
    given, diagnostics = _match(specs, call)
    values: dict[str, Any] = {}
    for spec in specs:
        argument = given.get(spec.name)
        if argument is None:
            if spec.required:
                diagnostics.append(_missing(spec, call))
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


def _match(specs: tuple[ArgumentSpec, ...], call: syntax.Call) -> tuple[dict[str, syntax.Argument], list[Diagnostic]]:
    """Each argument with its field; those that match none are diagnosed."""
    by_key = {key: spec for spec in specs for key in spec.keys}
    places = [spec for spec in specs if spec.positional]
    given: dict[str, syntax.Argument] = {}
    diagnostics = []
    position = 0
    after_key = False
    for argument in call.arguments:
        if argument.key is not None:
            after_key = True
            spec = by_key.get(argument.key.text)
            if spec is None:
                diagnostics.append(unknown_key(argument.key, call.op.text, by_key))
                continue
        elif after_key:
            diagnostics.append(
                Diagnostic("E206", "a value after a key", argument.span, help="values come first, then key=value")
            )
            continue
        elif position < len(places):
            spec = places[position]
            position += 1
        else:
            diagnostics.append(_surplus(specs, places, call, argument))
            continue
        if spec.name in given:
            note = Note(given[spec.name].span, "first given here")
            message = f"{call.op.text} is given {spec.name} twice"
            diagnostics.append(Diagnostic("E205", message, argument.span, notes=(note,)))
        else:
            given[spec.name] = argument
    return given, diagnostics


def _value(spec: ArgumentSpec, argument: syntax.Argument, call: syntax.Call, scope: Scope, rank: int) -> Any:
    value = evaluate(argument.value, scope, spec.kind.words)
    try:
        return spec.kind.take(value, rank)
    except BadValue as bad:
        message = f"{call.op.text}: {spec.long or spec.name} takes {bad.expected}, not {kind(value)}"
        help = bad.help
        if isinstance(value, Word):
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
    return {"k": "3", "out": "16", "shape": "1x28x28", "mean": "0.5", "std": "0.5"}.get(spec.name, "1")


def _source(argument: syntax.Argument) -> str:
    return " ".join(argument.span.text.split())


def _surplus(
    specs: tuple[ArgumentSpec, ...], places: list[ArgumentSpec], call: syntax.Call, argument: syntax.Argument
) -> Diagnostic:
    count = {0: "no values", 1: "one value"}.get(len(places), f"{len(places)} values")
    free = [s for s in specs if not s.positional]
    help = f"did you mean `{free[0].name}={_source(argument)}`?" if free else "leave it out"
    return Diagnostic("E204", f"{call.op.text} takes {count} by place", argument.span, help=help)


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
