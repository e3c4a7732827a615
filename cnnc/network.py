"""A text as a whole: parsed, lowered, its recipe read.

In: a file or a string, and settings (`name=value`). Out: `Network`, with every diagnostic of the text.
This is where the stages meet; it holds no rule of its own. No NumPy, no onnx.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cnnc.diagnostics import CnncError, Diagnostic, Source, in_order
from cnnc.files import read_bytes
from cnnc.graph import Graph
from cnnc.language import syntax
from cnnc.language.lower import lower
from cnnc.language.parse import MAX_TEXT, parse, parse_values
from cnnc.recipe import Recipe, read
from cnnc.record import Record


class Network(Record):
    """A network's text and what it means. `graph` is None where the text has errors."""

    source: Source
    name: str
    graph: Graph | None
    recipe: Recipe | None
    diagnostics: tuple[Diagnostic, ...]
    settings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.graph is not None

    @property
    def sha256(self) -> str:
        """The hash of the text, as checkpoints and models record it."""
        return hashlib.sha256(self.source.text.encode()).hexdigest()

    def require_graph(self) -> Graph:
        """The graph. Raises CnncError with every error of the text where it has any."""
        if self.graph is None:
            raise CnncError(*self.diagnostics)
        return self.graph


def load(path: Path | str, settings: Sequence[str] = ()) -> Network:
    """Reads and checks a `.cnn` file. Errors of the text are in `diagnostics`; raises CnncError where it cannot be read."""
    path = Path(path)
    return check(read_text(path), name=str(path), settings=settings)


def check(text: str, name: str = "<string>", settings: Sequence[str] = ()) -> Network:
    """Checks a network's text. `settings` are `NAME=VALUE` as for `--set`. Raises CnncError for a bad setting."""
    source = Source(name, text)
    given = _settings(settings)
    file, diagnostics = parse(source)
    lets = {k: v for k, v in given.items() if not k.startswith("train.")}
    stem = Path(name).stem.strip("<>") or "net"
    lowered = lower(file, stem, lets)
    if diagnostics:  # what follows from a statement that could not be read is no news
        lowered_diagnostics = [d for d in lowered.diagnostics if d.code not in _CONSEQUENCES]
        return Network(
            source, lowered.name, None, None, tuple(in_order([*diagnostics, *lowered_diagnostics])), tuple(settings)
        )
    recipe, graph = None, lowered.graph
    found = list(lowered.diagnostics)
    if lowered.train is not None:
        train = {k.removeprefix("train."): v for k, v in given.items() if k.startswith("train.")}
        recipe, more = read(lowered.train, graph, train)
        found += more
        if any(d.severity == "error" for d in more):
            graph = None
    return Network(source, lowered.name, graph, recipe, tuple(in_order(found)), tuple(settings))


# Found by looking at the whole text, which is not whole where a statement was left out.
_CONSEQUENCES = ("E112", "E114", "E115", "E116", "E401", "E402")


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, a byte-order mark skipped. Raises CnncError E901, E903, E008."""
    data = read_bytes(path, limit=4 * MAX_TEXT)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise CnncError.of("E008", f"{path}:{line}: the text is not UTF-8 (byte {error.start})") from error


def _settings(settings: Sequence[str]) -> dict[str, syntax.Expression]:
    found: dict[str, syntax.Expression] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise CnncError.of("E010", f"--set takes NAME=VALUE, not `{setting}`", help="`--set train.epochs=2`")
        source = Source(f"--set {name}", value)
        values = parse_values(source)
        if len(values) != 1:
            raise CnncError.of("E010", f"--set takes one value, not `{value}`")
        found[name.strip()] = values[0]
    return found
