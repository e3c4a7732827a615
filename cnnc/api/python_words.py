"""Errors in the words of Python: options become parameters, and commands become calls of functions.

In: a text in the words of the command line, and the function that a program called. Out: the text in the words of this function.

    in_python("leave --data out, or write `--at H=32`", cnnc.export)   # leave `data` out, or write `at={"H": 32}`
    in_python("`cnnc train --resume runs/a` continues the run", ...)   # `cnnc.resume("runs/a")` continues the run

A text names an option (`--data`), or a command or options with values between backticks. What no function has stays as it is.
"""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from cnnc.core.caller import is_command_line
from cnnc.diagnostics import CnncError, Diagnostic

Function = Callable[..., Any]

FUNCTIONS: Mapping[str, str] = {
    "bench": "bench",
    "check": "load",
    "data": "data",
    "draw": "draw",
    "eval": "evaluate",
    "export": "export",
    "import": "import_model",
    "inspect": "inspect",
    "predict": "predict",
    "resume": "resume",
    "train": "train",
    "unfold": "unfold",
}
"""The public function of each command that has one; `resume` is `cnnc train --resume`."""

RENAMED: Mapping[str, tuple[str, ...]] = {
    "set": ("settings",),
    "input": ("size", "inputs"),
    "image": ("image", "images"),
    "size": ("sizes", "k"),
    "stride": ("s",),
    "pad": ("p",),
    "dilation": ("d",),
    "o": ("out",),
}
"""The parameters for an option where their names differ; the first that the function has."""

FIXED: Mapping[str, tuple[str, str]] = {"fp16": ("precision", "float16"), "int8": ("precision", "int8")}
"""The value that an option without one stands for."""

_called: ContextVar[Function | None] = ContextVar("called", default=None)


class _Parameter(NamedTuple):
    name: str
    hint: Any
    value: str | None = None  # what an option stands for that takes no value


@contextmanager
def called(function: Function) -> Iterator[None]:
    """Within it, a program has called this function; the errors it raises are put into its words.

    Of functions that call one another, the texts are in the words of the first one, which the program knows. For a command,
    they stay as they are.
    """
    if is_command_line() or _called.get() is not None:
        yield
        return
    token = _called.set(function)
    try:
        yield
    except CnncError as error:
        error.diagnostics = tuple(_diagnostic(each, function) for each in error.diagnostics)
        error.args = ("; ".join(each.message for each in error.diagnostics),)
        raise
    finally:
        _called.reset(token)


def note_words() -> Callable[[str], str]:
    """What puts notes into the words of the function that a program has called; for a command, they stay as they are."""
    function = _called.get()
    return str if function is None else lambda text: in_python(text, function)


def _diagnostic(diagnostic: Diagnostic, function: Function) -> Diagnostic:
    message, help = (in_python(text, function) for text in (diagnostic.message, diagnostic.help))
    return diagnostic._replace(message=message, help=help)


def in_python(text: str, function: Function) -> str:
    """The text in the words of a function."""
    if "--" not in text and "`" not in text and " -" not in text:
        return text
    parts = text.split("`")
    if len(parts) % 2 == 0:  # backticks that are not pairs are a name's
        return text
    code = (f"`{_code(part, function)}`" for part in parts[1::2])
    prose = [_PROSE.sub(lambda match: _named(match, function), part) for part in parts[::2]]
    return "".join([prose[0], *(piece for pair in zip(code, prose[1:], strict=True) for piece in pair)])


_PAIR = r"[^\s,;=]+=[^\s,;=]*[^\s,;=.]"
_VALUE = rf"(?:{_PAIR}(?:,{_PAIR})*|[A-Z]+|[a-z]\w*|-?\d+(?:\.\d+)?(?:e-?\d+)?)"
_PROSE = re.compile(rf"(?<![\w-])--?([a-z][a-z0-9-]*)(?: ({_VALUE}))?(?![\w-])")
"""An option in a sentence, and what may be its value: a placeholder, `NAME=VALUE`, a number, or a word."""


def _named(match: re.Match[str], function: Function) -> str:
    """An option in a sentence as a parameter."""
    parameter = parameter_of(match[1], function)
    if parameter is None:
        return match[0]
    value, rest = match[2], ""
    if (
        value is not None and value.isidentifier() and value.islower() and value not in _words(parameter.hint)
    ):  # a word of the sentence
        value, rest = None, f" {value}"
    value = parameter.value or value
    is_plain = value is None or value == "True"  # `why` reads better than `why=True`
    return f"`{parameter.name if is_plain else _argument(parameter, [value])}`{rest}"


def _words(hint: Any) -> tuple[Any, ...]:
    return tuple(word for part in _parts(hint) if get_origin(part) is Literal for word in get_args(part))


def _code(code: str, function: Function) -> str:
    """A command as a call, or options as arguments; anything else stays."""
    try:
        words = shlex.split(code)
    except ValueError:
        return code
    if words[:1] == ["cnnc"]:
        return _call(words[1:]) or code
    if re.fullmatch(r"--?[a-z].*", code):
        arguments = _arguments(words, function)
        return code if arguments is None or arguments[0] else ", ".join(arguments[1])
    return code


def _call(words: list[str]) -> str | None:
    """The call for the words of a command; None for one that has no function, or options that the function lacks."""
    if not words or words[0] not in FUNCTIONS or not words[1:]:
        return None
    command, rest, saved = words[0], words[1:], ""
    if command == "train" and "--resume" in rest:
        command = "resume"
        rest.remove("--resume")
    if command in ("draw", "inspect", "unfold") and "-o" in rest[:-1]:
        at = rest.index("-o")
        saved = f".save({json.dumps(rest[at + 1])})"
        del rest[at : at + 2]
    split = _arguments(rest, function_of(command))
    return (
        None
        if split is None
        else f"cnnc.{FUNCTIONS[command]}({', '.join([*map(json.dumps, split[0]), *split[1]])}){saved}"
    )


def _arguments(words: Sequence[str], function: Function) -> tuple[list[str], list[str]] | None:
    """The plain words, and the options as keyword arguments; None where the function lacks one of them."""
    plain: list[str] = []
    given: dict[_Parameter, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not re.match(r"--?[a-z]", word):
            plain.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        parameter = parameter_of(name, function)
        if parameter is None:
            return None
        values = given.setdefault(parameter._replace(value=None), [])
        if parameter.value is not None:
            values.append(parameter.value)
        elif equals or rest:
            values.append(value if equals else rest.pop(0))
    return plain, [_argument(parameter, values) for parameter, values in given.items()]


def _argument(parameter: _Parameter, values: Sequence[str]) -> str:
    """`at={"H": 32}`, `settings=["a=1"]`, `batch=8`; the name alone without a value."""
    if not values:
        return parameter.name
    kinds = [get_origin(part) or part for part in _parts(parameter.hint)]
    if parameter.hint is bool:
        written = values[-1]
    elif (Mapping in kinds and all("=" in value for value in values)) or kinds == [Mapping]:
        pairs = (pair.partition("=") for value in values for pair in value.split(","))
        written = f"{{{', '.join(f'{json.dumps(name)}: {_number_or_text(size)}' for name, _, size in pairs)}}}"
    elif Sequence in kinds and str not in kinds:
        written = f"[{', '.join(map(json.dumps, values))}]"
    elif {int, float} & {*kinds}:
        written = _number_or_text(values[-1])
    else:
        written = json.dumps(values[-1], ensure_ascii=False)
    return f"{parameter.name}={written}"


def _number_or_text(value: str) -> str:
    is_number = re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?|[A-Z]", value)
    return value if is_number else json.dumps(value, ensure_ascii=False)


def _parts(hint: Any) -> tuple[Any, ...]:
    return tuple(part for each in get_args(hint) for part in _parts(each)) if _is_union(hint) else (hint,)


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def parameter_of(option: str, function: Function) -> Any:
    """The parameter of a function for an option, given without its dashes; None where it has none."""
    hints = _hints(function)
    if option in FIXED and FIXED[option][0] in hints:
        name, value = FIXED[option]
        return _Parameter(name, str, value)
    if hints.get(option.removeprefix("no-")) is bool:
        return _Parameter(option.removeprefix("no-"), bool, "False" if option.startswith("no-") else "True")
    own = option.replace("-", "_")
    name = next((name for name in (own, *RENAMED.get(option, ())) if name in hints), "")
    return _Parameter(name, hints[name]) if name else None


@cache
def _hints(function: Function) -> dict[str, Any]:
    hints = get_type_hints(inspect.unwrap(function))
    return {name: hints.get(name, Any) for name in inspect.signature(function).parameters}


def function_of(command: str) -> Function:
    """The function for a command."""
    function: Function = inspect.unwrap(getattr(import_module("cnnc"), FUNCTIONS[command]))
    return function
