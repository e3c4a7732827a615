"""Completion in bash, zsh and fish: the values of arguments, by command and name.

In: the function of a command. Out: the same, whose arguments typer can ask for their values (`with_completion`). These come from
folders, network files and tables; no NumPy is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

from typer.models import ParameterInfo

from cnnc.diagnostics import CnncError

Values = Iterator[str | tuple[str, str]]
Completer = Callable[[Sequence[str], str], Values]
"""Gives the values of what is typed so far; the words are those of the line, after `cnnc`."""
MOST = 200
"""The most entries of a folder that are looked at."""


def with_completion(command: str, function: Callable[..., Any], words: Sequence[str]) -> Callable[..., Any]:
    """The function of a command, whose arguments know their values on a line of these words."""
    hints = get_type_hints(function, include_extras=True)
    for name, hint in hints.items():
        completer = COMPLETERS.get((command, name))
        for info in get_args(hint):
            if isinstance(info, ParameterInfo) and completer is not None:
                info.autocompletion = _asked_by_typer(completer, words)
    function.__annotations__ = hints
    return function


def _asked_by_typer(completer: Completer, words: Sequence[str]) -> Callable[..., Any]:
    """What typer calls, which reads the names of the parameters. A shell gets no error: it would end up in the line."""

    def complete(incomplete: str) -> list[str | tuple[str, str]]:
        try:
            values = list(completer(words, incomplete))
        except (CnncError, OSError, ValueError):
            return []
        return [value for value in values if (value if isinstance(value, str) else value[0]).startswith(incomplete)]

    complete.__annotations__ = {"incomplete": str}
    return complete


# ---- files


def _paths(incomplete: str, suffixes: tuple[str, ...], runs: bool = False) -> Values:
    """Files with one of the suffixes beside what is typed, run folders in it and in runs/, and in fish other folders.

    Where these find nothing, bash and zsh complete the names of all files, which fish does not.
    """
    head, slash, _ = incomplete.rpartition("/")
    is_fish = "fish" in os.environ.get("_CNNC_COMPLETE", "")
    for entry in _entries(Path(head or ("/" if slash else "."))):
        name = f"{head}{slash}{entry.name}"
        if entry.name.startswith(".") or any(character.isspace() for character in name):
            continue
        if entry.is_dir():
            if runs and _is_run(entry):
                yield name
            elif is_fish:
                yield f"{name}/"
        elif entry.suffix.lower() in suffixes:
            yield name
    if runs and not slash:
        yield from (f"runs/{run.name}" for run in _entries(Path("runs")) if _is_run(run))


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())[:MOST] if folder.is_dir() else []


def _is_run(folder: Path) -> bool:
    return (folder / "last.safetensors").is_file() or (folder / "best.safetensors").is_file()


def _networks(words: Sequence[str], incomplete: str) -> Values:
    return _paths(incomplete, (".cnn",))


def _models(words: Sequence[str], incomplete: str) -> Values:
    return _paths(incomplete, (".onnx",))


def _runs(words: Sequence[str], incomplete: str) -> Values:
    return _paths(incomplete, (".safetensors",), runs=True)


def _run_folders(words: Sequence[str], incomplete: str) -> Values:
    return _paths(incomplete, (), runs=True)


def _runs_and_models(words: Sequence[str], incomplete: str) -> Values:
    return _paths(incomplete, (".safetensors", ".onnx"), runs=True)


def _runs_and_networks(words: Sequence[str], incomplete: str) -> Values:
    return _paths(incomplete, (".safetensors", ".cnn"), runs=True)


def _any_source(words: Sequence[str], incomplete: str) -> Values:
    return _paths(incomplete, (".safetensors", ".cnn", ".onnx"), runs=True)


# ---- names


def _kinds_and_networks(words: Sequence[str], incomplete: str) -> Values:
    yield from _data_sets(words, incomplete)
    yield from _networks(words, incomplete)


def _data_sets(words: Sequence[str], incomplete: str) -> Values:
    from cnnc.data import READERS

    yield from READERS


def _known_data_sets(words: Sequence[str], incomplete: str) -> Values:
    from cnnc.data.catalog import KNOWN

    yield from KNOWN


def _layers_and_statements(words: Sequence[str], incomplete: str) -> Values:
    from cnnc.report import reference

    yield from reference.names()


def _codes(words: Sequence[str], incomplete: str) -> Values:
    from cnnc.report.explanations import pages

    yield from ((page.code, page.title) for _, page in sorted(pages().items()))


def _templates(words: Sequence[str], incomplete: str) -> Values:
    from cnnc.cli.templates import template_names

    yield from template_names()


def _layers(words: Sequence[str], incomplete: str) -> Values:
    """The layers of the network on the line; of a list such as `conv1,conv2`, the last entry is completed."""
    path = next(filter(None, map(_network_of, words[1:])), None)
    if path is None:
        return
    from cnnc.network import load

    graph, (head, comma, _) = load(path).graph, incomplete.rpartition(",")
    if graph is not None:
        yield from ((f"{head}{comma}{node.name}", str(node.type)) for node in graph.nodes if node.inputs)


def _network_of(word: str) -> Path | None:
    """The network file that a word names, by itself or as a run folder."""
    path = Path(word)
    path = path / "network.cnn" if path.is_dir() else path
    return path if path.suffix == ".cnn" and path.is_file() else None


COMPLETERS: Mapping[tuple[str, str], Completer] = {
    ("check", "files"): _networks,
    ("fmt", "files"): _networks,
    ("train", "file"): _networks,
    ("train", "resume"): _runs,
    ("export", "source"): _runs_and_networks,
    ("export", "outputs"): _layers,
    ("import", "model"): _models,
    ("predict", "model"): _models,
    ("eval", "model"): _runs_and_models,
    ("eval", "name"): _known_data_sets,
    ("info", "model"): _models,
    ("where", "model"): _models,
    ("bench", "model"): _models,
    ("unfold", "what"): _runs_and_networks,
    ("unfold", "layer"): _layers,
    ("new", "template"): _templates,
    ("draw", "source"): _any_source,
    ("draw", "at"): _layers,
    ("inspect", "source"): _any_source,
    ("inspect", "maximize"): _layers,
    ("inspect", "deconv"): _layers,
    ("curves", "runs"): _run_folders,
    ("data", "source"): _kinds_and_networks,
    ("demo", "source"): _any_source,
    ("ops", "name"): _layers_and_statements,
    ("explain", "code"): _codes,
}
"""What completes an argument or the value of an option, by command and parameter."""
