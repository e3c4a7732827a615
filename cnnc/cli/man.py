"""`cnnc man`: the manual page of all commands, for `man`.

In: the declarations of the commands. Out: roff, on stdout; nothing is written elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cnnc.cli.console import print_document
from cnnc.cli.first_steps import FIRST_STEPS

EXIT_STATUSES = (
    (0, "success"),
    (1, "errors in the source of a network"),
    (2, "wrong use of the command line"),
    (3, "bad data, model or checkpoint"),
    (4, "training diverged"),
    (5, "a model that cannot be exported, or that failed its verification"),
    (6, "files, memory, network"),
    (70, "internal error (please report it)"),
    (130, "stopped by Ctrl-C"),
    (143, "stopped by SIGTERM or SIGHUP"),
)
ENVIRONMENT = (
    ("CNNC_DATA", "folder that holds the data sets"),
    ("CNNC_OFFLINE", "1: download nothing, as with --offline"),
    ("CNNC_THREADS", "number of threads; a run repeats exactly with the same number"),
    ("CNNC_WORKERS", "processes that decode images"),
    ("CNNC_MAX_MEMORY", "most memory that a network, model or data may need, unless --max-memory is given"),
    ("CNNC_MAX_PARAMS", "most parameters of a network or model, unless --max-params is given"),
    ("CNNC_CACHE_GB", "most gigabytes of decoded images in the cache"),
    ("ORT_DISABLE_TELEMETRY", "cnnc sets it to 1, so that onnxruntime sends no usage data; your own value stays"),
    ("CNNC_TRACEBACK", "set to 1, an internal error prints its traceback"),
    ("NO_COLOR, FORCE_COLOR", "turn colours off or on"),
)


def man() -> None:
    """Print the manual page of all commands: `cnnc man > cnnc.1`."""
    from importlib.metadata import version

    from typer.main import get_command

    from cnnc.cli.app import app

    commands: dict[str, Any] = getattr(get_command(app([])), "commands")  # noqa: B009  of a group, which is typer's own class
    print_document("\n".join(_page(commands, version("cnnc"))), raw=True)


def _page(commands: dict[str, Any], version: str) -> Iterator[str]:
    yield f'.TH CNNC 1 "" "cnnc {version}" "User Commands"'
    yield from (
        ".SH NAME",
        r"cnnc \- a compiler for convolutional networks: checks, trains and exports one source file",
    )
    yield from (".SH SYNOPSIS", ".B cnnc", r"\fICOMMAND\fR [\fIARGUMENTS\fR] [\fIOPTIONS\fR]")
    yield from (".SH FIRST STEPS", ".nf", *map(_escaped, FIRST_STEPS.splitlines()), ".fi")
    yield ".SH COMMANDS"
    for name, command in commands.items():
        yield from _command(name, command)
    yield ".SH EXIT STATUS"
    for status, meaning in EXIT_STATUSES:
        yield from (".TP", f".B {status}", _escaped(meaning))
    yield ".SH ENVIRONMENT"
    for variable, meaning in ENVIRONMENT:
        yield from (".TP", f".B {variable}", _escaped(meaning))
    yield from (
        ".SH SEE ALSO",
        r"The documentation in docs/: language.md, cli.md, python.md. `cnnc ops` shows all layers, `cnnc",
    )
    yield "explain CODE` explains an error."


def _command(name: str, command: Any) -> Iterator[str]:
    """The description of a command, its arguments and its options."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    words = " ".join(rf"\fI{_escaped(p.metavar or p.name.upper())}\fR" for p in arguments)
    yield from (
        f".SS cnnc {name}",
        ".PP",
        rf"\fBcnnc {name}\fR {words} [\fIOPTIONS\fR]",
        ".PP",
        _text(command.help or ""),
    )
    for parameter in arguments:
        yield from (
            ".TP",
            rf"\fI{_escaped(parameter.metavar or parameter.name.upper())}\fR",
            _text(parameter.help or ""),
        )
    for parameter in options:
        names = ", ".join(rf"\fB{_escaped(option)}\fR" for option in (*parameter.opts, *parameter.secondary_opts))
        value = "" if parameter.is_flag else rf" \fI{_escaped(_metavar(parameter))}\fR"
        yield from (".TP", names + value, _text(parameter.help or ""))


def _metavar(parameter: Any) -> str:
    choices = getattr(parameter.type, "choices", None)
    found = parameter.metavar or ("|".join(map(str, choices)) if choices else parameter.type.name.upper())
    return str(found)


def _text(text: str) -> str:
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    """Text that roff shows as it stands."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text)
