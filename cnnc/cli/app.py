"""The table of commands, and the typer application that parses them.

In: the words after `cnnc`. Out: a `typer.Typer` with the command that the first word names, or with all commands.
Each command is one module, imported only when that command is used; the module imports what it needs when it runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

from cnnc.cli.console import print_result
from cnnc.diagnostics import CnncError

COMMANDS = {
    "check": "check.check",
    "train": "train.train",
    "export": "export.export",
    "import": "import_.import_",
    "predict": "predict.predict",
    "eval": "evaluate.evaluate",
    "info": "info.info",
    "where": "where.where",
    "bench": "bench.bench",
    "unfold": "unfold.unfold",
    "fmt": "format.fmt",
    "new": "new.new",
    "draw": "draw.draw",
    "inspect": "inspect.inspect",
    "curves": "curves.curves",
    "data": "data.data",
    "demo": "demo.demo",
    "filter": "filter.filter_",
    "ops": "ops.ops",
    "lsp": "lsp.lsp",
    "explain": "explain.explain",
    "doctor": "doctor.doctor",
    "man": "man.man",
}
"""MODULE.FUNCTION of each command, within cnnc.cli, in the order of the help page."""


class _Command(TyperCommand):
    """A command that refuses options with an empty value: an empty path would be the current folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises CnncError E010 for an empty value."""
        if "" in args or any(word.endswith("=") for word in args):
            given, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for parameter in order:
                values = given.get(parameter.name or "")
                is_empty = "" in (values if isinstance(values, list) else [values])
                if is_empty and parameter.param_type_name == "option" and parameter.name not in _SAYS_MORE:
                    typed = [word.partition("=")[0] for word in args]
                    option = next((name for name in parameter.opts if name in typed), max(parameter.opts, key=len))
                    raise CnncError.of(
                        "E010", f"{option} has an empty value", help=f"give it a value, or leave {option} out"
                    )
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Raises CnncError E904 where the limits of the process leave too little for the libraries, which would end it."""
        if ctx.info_name not in _WITHOUT_LIBRARIES:
            _require_room_for_libraries()
        return super().invoke(ctx)


_SAYS_MORE = ("slide", "at", "template")
"""Options whose own error for an empty value tells what to write."""
_WITHOUT_LIBRARIES = ("check", "fmt", "new", "ops", "explain", "man")
_LIBRARIES, _PER_CORE = 160 * 10**6, 30 * 10**6  # NumPy, onnx and onnxruntime; the buffers of OpenBLAS


def _require_room_for_libraries() -> None:
    """Raises CnncError E904 where NumPy and its neighbours cannot be loaded: OpenBLAS then ends the process with status 1."""
    from cnnc.core.process_memory import limit_left

    left = limit_left()
    if left is None:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    need = _LIBRARIES + _PER_CORE * cores
    if left < need:
        message = f"NumPy and onnxruntime need about {need / 1e6:.0f} MB; the limits of this process leave {left / 1e6:.0f} MB"
        raise CnncError.of("E904", message, help="raise the limit, which `ulimit -v` and `ulimit -d` show in KiB")


def app(words: Sequence[str]) -> typer.Typer:
    """The application with the command that the first word names, or with all commands if it names none.

    Declaring the options of all commands takes as long as a check.
    """
    application = typer.Typer(
        rich_markup_mode=None,
        name="cnnc",
        help="A compiler for convolutional networks: checks, trains and exports one source file.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    completed = _completed_words()
    if completed is not None:
        words = completed[:-1] or completed
    for name in [word for word in words[:1] if word in COMMANDS] or COMMANDS:
        module, function = COMMANDS[name].split(".")
        command = getattr(import_module(f"cnnc.cli.{module}"), function)
        if completed is not None:
            from cnnc.cli.completion import with_completion

            command = with_completion(name, command, completed)
        application.command(name, cls=_Command)(command)
    application.callback()(options)
    return application


def _completed_words() -> list[str] | None:
    """The words after `cnnc` on the line that a shell completes; None where no shell asks."""
    if not os.environ.get("_CNNC_COMPLETE", "").startswith("complete"):
        return None
    line = os.environ.get("_TYPER_COMPLETE_ARGS", os.environ.get("COMP_WORDS", ""))
    return line.split()[1:]


def literals_as_arguments(words: Sequence[str]) -> list[str]:
    """The words, in which a matrix that begins with a minus, such as `-1 0; 2 1`, is not taken for an option."""
    if not words or words[0] not in ("unfold", "filter"):
        return list(words)
    return [f" {word}" if re.match(r"-(?:[\d.]|[^-]*[\s;,|])", word) else word for word in words]


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print_result(f"cnnc {version('cnnc')}")
        raise typer.Exit


def options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """A compiler for convolutional networks: checks, trains and exports one source file."""
