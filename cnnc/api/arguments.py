"""The kinds of arguments of the public functions: a wrong one raises TypeError, which names the right call.

In: a function with type hints, and one call of it as an example. Out: the function, which checks what it is given first.

    @checked('cnnc.bench("lenet5.onnx", batch=8)')
    def bench(model: Path | str, *, batch: int = 1) -> Bench: ...

    bench(batch=8, model=3)   # TypeError: cnnc.bench: model is 3; expected a path or a string, as in cnnc.bench("lenet5.onnx", batch=8)
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from cnnc.api.python_words import called
from cnnc.diagnostics import CnncError, nearest

P = ParamSpec("P")
T = TypeVar("T")

_WORDS: Mapping[Any, str] = {
    Path: "a path",
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    type(None): "None",
}
_MOST = 60  # characters of a value that a message shows, and values that it looks into
_MOST_KINDS = 3  # classes of what a value holds


def checked(call: str, owner: str = "cnnc.") -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Checks the arguments of a public function by its type hints; `call` is an example of a right call."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        is_special = function.__name__ in ("__init__", "__call__")
        name = owner.rstrip(".") if is_special else f"{owner}{function.__name__}"

        @wraps(function)
        def checking(*args: P.args, **kwargs: P.kwargs) -> T:
            _require_kinds(function, name, call, args, kwargs)
            with called(function):
                return function(*args, **kwargs)

        return checking

    return decorate


@cache
def _hints(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    return inspect.signature(function), get_type_hints(function)


def _require_kinds(
    function: Callable[..., Any], name: str, call: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Raises TypeError for an argument that is missing, unknown or of a wrong kind, CnncError E010 for a wrong word."""
    signature, hints = _hints(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}: {error}; a right call is {call}") from None
    for parameter, value in bound.arguments.items():
        if parameter in ("self", "cls"):
            continue
        hint = hints[parameter]
        for each in _values(signature.parameters[parameter], value):
            if not fits(each, hint):
                help = _array_help(each, hint)
                raise TypeError(f"{name}: {parameter} is {shown(each)}; expected {described(hint)}, as in {call}{help}")
            _require_word(name, parameter, each, hint)


def _values(parameter: inspect.Parameter, value: Any) -> Iterable[Any]:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return tuple(value)
    return tuple(value.values()) if parameter.kind is parameter.VAR_KEYWORD else (value,)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the kind of a type hint; any string is of the kind of a Literal of strings."""
    if hint is Any:
        return True
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if parts[-1] is Ellipsis:
            return all(fits(each, parts[0]) for each in value)
        return len(value) == len(parts) and all(map(fits, value, parts))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(fits(k, parts[0]) and fits(v, parts[1]) for k, v in value.items())
    if origin is Sequence:
        return isinstance(value, list | tuple) and all(fits(each, parts[0]) for each in value)
    if isinstance(origin, type) and issubclass(origin, Iterable) and parts and not _is_array_kind(origin):
        return isinstance(value, origin) and not isinstance(value, str | bytes | Mapping)
    return _is_of(value, origin if isinstance(origin, type) else hint)


def _is_array_kind(origin: type) -> bool:
    return origin.__module__.partition(".")[0] == "numpy"


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a class; a number of NumPy is a number, a boolean is not."""
    if kind is Path:
        return isinstance(value, os.PathLike)
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind is Callable or not isinstance(kind, type):
        return callable(value)
    return value is None if kind is type(None) else isinstance(value, kind)


def _require_word(name: str, parameter: str, value: Any, hint: Any) -> None:
    """Raises CnncError E010 for a string that is not one of the words of a Literal."""
    hints = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    words = [word for each in hints if get_origin(each) is Literal for word in get_args(each)]
    if not words or not isinstance(value, str) or value in words or str in hints:
        return
    near = nearest(value, words)
    help = f"did you mean {near!r}?" if near else f"one of {', '.join(map(repr, words))}"
    raise CnncError.of("E010", f"{name}: {parameter} is {value!r}", help=help)


def shown(value: Any) -> str:
    """A value in an error: what it is if it is short, else its class, with those of what it holds: `a tuple (list, str)`."""
    if isinstance(value, str | int | float | bool | type(None) | os.PathLike):
        text = repr(value)
        return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."
    return _with_article(_class(value))


def _with_article(kind: str) -> str:
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _class(value: Any) -> str:
    """The name of the class of a value; of a tuple, list or dict also those of what it holds."""
    kind = type(value).__name__
    held = list(dict.fromkeys(map(_class, _held(value)[:_MOST])))
    more = [", ..."] if len(held) > _MOST_KINDS else []
    return f"{kind} ({', '.join(held[:_MOST_KINDS])}{''.join(more)})" if held else kind


def _held(value: Any) -> list[Any]:
    """What a tuple, a list or a dict holds."""
    return [*value.values()] if isinstance(value, Mapping) else [*value] if isinstance(value, list | tuple) else []


def _array_help(value: Any, hint: Any) -> str:
    """How to make an array of a value, or of one that it holds, where an array is expected: of a DataFrame of pandas, of a list."""
    if "array" not in described(hint):
        return ""
    values = [value, *_held(value), *(inner for each in _held(value) for inner in _held(each))]
    kinds = [type(each) for each in values]
    name = next((kind.__name__ for kind in kinds if hasattr(kind, "__array__") and not _is_array_kind(kind)), "")
    name = name or next((kind.__name__ for kind in kinds if kind is list), "")
    return f"; numpy.asarray(...) makes an array of {_with_article(name)}" if name else ""


def described(hint: Any) -> str:
    """A type hint in words: `a Network, a path, a string or None`."""
    words = list(dict.fromkeys(_words(hint)))
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _words(hint: Any) -> Iterable[str]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for part in sorted(parts, key=lambda part: part is type(None)):
            yield from _words(part)
    elif origin is Literal:
        yield from (repr(part) for part in parts)
    elif origin is tuple:
        yield f"a tuple of {_plural(parts[0])}"
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield f"a dict of {_plural(parts[1])} by name"
    elif origin is Sequence:
        yield f"a list of {_plural(parts[0])}"
    elif isinstance(origin, type) and _is_array_kind(origin):
        yield "an array"
    elif origin is Callable or hint is Callable:
        yield "a function"
    elif isinstance(origin, type) and issubclass(origin, Iterable):
        yield "a generator"
    else:
        yield _WORDS.get(hint) or f"a {getattr(hint, '__name__', hint)}"


def _plural(hint: Any) -> str:
    """A kind in the plural: `paths or strings`, `tuples of arrays`."""
    words = (word.removeprefix("a ").removeprefix("an ") for word in _words(hint))
    return " or ".join(f"{word.partition(' of ')[0]}s{''.join(word.partition(' of ')[1:])}" for word in words)
