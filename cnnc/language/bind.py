"""Binds the arguments of a call to the fields of a layer or statement.

In: a call of the syntax tree, the class whose fields `arg` made, the scope, the input's rank. Out: an
instance, or None and a diagnostic for each argument that is wrong. It computes no shapes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from cnnc.core.arguments import ArgumentSpec, BadValue, Choice, Declared, Kind, PerAxis, Real, Whole, Word
from cnnc.core.record import Record
from cnnc.diagnostics import CnncError, Diagnostic, Note, Span, nearest
from cnnc.language import syntax
from cnnc.language.expressions import Scope, Silent, evaluate, kind
from cnnc.language.synonyms import key_elsewhere, needless
from cnnc.ops import OPS

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
    missing = []
    for spec in specs:
        argument = given.get(spec.name)
        if argument is None:
            if spec.required and spec.name not in meant:
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
        except Silent:
            pass
    diagnostics += [_missing(spec, call, bool(diagnostics)) for spec in missing]
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
                near = _near_key(argument.key.text, by_key)
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
            break  # what follows it stands in the wrong place too
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
            if not near and isinstance(spec.kind, PerAxis | Whole | Real):
                help = f"give it a value above: `let {value} = 16`"
        elif isinstance(spec.kind, Choice) and not isinstance(value, str) and not help:
            help = f"a word comes first: `{call.op.text} {spec.kind.example} ...`" if spec.positional else ""
        elif isinstance(spec.kind, Real) and spec.kind.maximum == 1 and isinstance(value, int) and 1 < value <= 100:
            help = f"a share, not a percentage: `{value / 100:g}`"
        elif isinstance(value, str) and not isinstance(value, Word) and value in spec.kind.words:
            help = f"write `{value}`, without quotes"
        raise CnncError(Diagnostic("E203", message, argument.span, help=help)) from None


def _missing(spec: ArgumentSpec, call: syntax.Call, wrong: bool) -> Diagnostic:
    """E202, with the call as it would be right; with the argument alone where others are `wrong`."""
    written = " ".join([call.op.text, *(_source(a) for a in call.arguments)])
    if spec.positional:
        values = [a for a in call.arguments if a.key is None]
        keyed = [_source(a) for a in call.arguments if a.key is not None]
        example = " ".join([call.op.text, *(_source(a) for a in values), _example(spec), *keyed])
    else:
        example = f"{written} {spec.name}={_example(spec)}"
    needs = spec.help if spec.positional else f"`{spec.name}`, the {spec.help}"
    help = f"add `{spec.name}={_example(spec)}`" if wrong and not spec.positional else f"write `{example}`"
    return Diagnostic("E202", f"{call.op.text} needs {needs}", call.span, help=help)


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
    free = next((s for s in specs if not s.positional), None)
    values = [_source(a) for a in call.arguments if a.key is None]
    if isinstance(argument.value, syntax.Word) and argument.value.name in OPS:
        help = f"a layer begins a line of its own: `{argument.value.name} ...` on the next"
    elif call.op.text in ("input", "reshape", "crop") and all(value.isdigit() for value in values):
        help = f"write `{call.op.text} {'x'.join(values)}`"
    elif call.op.text == "fc" and len(values) == 2:
        help = f"the number of inputs is known: write `fc {values[1]}`"
    elif call.op.text == "conv" and len(values) == 3 and all(value.isdigit() for value in values):
        help = f"the channels that arrive are known: write `conv {values[1]} k={values[2]}`"
    elif free is not None and isinstance(argument.value, _KINDS.get(type(free.kind), ())) and not _is_detail(free):
        help = f"did you mean `{free.name}={_source(argument)}`?"
    else:
        help = "leave it out"
    return Diagnostic("E204", f"{call.op.text} takes {count} by place", argument.span, help=help)


def _is_detail(spec: ArgumentSpec) -> bool:
    """Whether hardly anyone gives the argument, as the eps of bn."""
    return isinstance(spec.kind, Real) and not spec.required


# What is probably a value of the first key: `conv 4 3` for k=3, but not `fc 3072 10` for bias=10.
_KINDS: dict[type[Kind], tuple[type, ...]] = {
    PerAxis: (syntax.Number, syntax.Extent, syntax.List, syntax.Binary, syntax.Word),
    Whole: (syntax.Number, syntax.Binary, syntax.Word),
    Real: (syntax.Number, syntax.Binary, syntax.Word),
    Choice: (syntax.Word,),
}


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


def _near_key(key: str, known: Iterable[str]) -> str | None:
    """The key that one was meant to be; "" for one that no layer needs, None where none is near."""
    keys = list(known)
    found = key_elsewhere(key, keys)
    return nearest(key, keys) if found is None else found


def unknown_key(key: syntax.Name, op: str, known: Iterable[str]) -> Diagnostic:
    """E201, with the nearest key."""
    keys = list(known)
    near = _near_key(key.text, keys)
    if near == "":
        help = needless(key.text)
    elif near:
        help = f"did you mean `{near}`?"
    elif keys:
        help = f"{op} has {', '.join(keys)}"
    else:
        help = f"{op} takes no keys"
    return Diagnostic("E201", f"{op} has no key `{key.text}`", key.span, help=help)
