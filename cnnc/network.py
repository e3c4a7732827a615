"""A text as a whole: parsed, lowered, its sizes surveyed, its recipe read.

In: a file or a string, settings (`name=value`), and sizes for symbols. Out: `Network`, with every
diagnostic of the text. This is where the stages meet; it holds no rule of its own. No NumPy, no onnx.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cnnc.core.arguments import BadValue
from cnnc.core.files import decode_utf8, read_bytes
from cnnc.core.record import Record
from cnnc.core.tensor import TensorType
from cnnc.data.catalog import KNOWN
from cnnc.diagnostics import CnncError, Diagnostic, Source, in_order, nearest
from cnnc.graph.graph import Graph, Node, subgraph
from cnnc.graph.sizes import (
    Failure,
    ShapeEvaluator,
    SizeSurvey,
    TypesAt,
    size_dependent_layer,
    survey_sizes,
    symbol_sizes,
    with_types,
)
from cnnc.language import syntax
from cnnc.language.expressions import Silent
from cnnc.language.include import Includes
from cnnc.language.lower import Lowered, lower
from cnnc.language.parse import MAX_TEXT, parse, parse_values
from cnnc.language.suppress import silence
from cnnc.recipe.reading import read
from cnnc.recipe.recipe import Recipe

if TYPE_CHECKING:
    from cnnc.report.summary import Row, Summary

# Sizes to try for symbols, until one is legal: usual ones, then any that a multiple of a power of two allows.
_CANDIDATES = (
    224,
    256,
    572,
    512,
    1024,
    128,
    64,
    32,
    28,
    96,
    299,
    227,
    100,
    48,
    16,
    8,
    *range(1, 200),
    *range(200, 800, 4),
)


class Network(Record):
    """A network's text and what it means. `graph` is None where the text has errors.

    For a net with symbols the graph is that of one legal size, and `survey` says the rest; `at` are the sizes
    that were asked for; `includes` are the texts that it includes, by their paths as errors cite them. `graph_at` has
    the graph of another size.
    """

    source: Source
    name: str
    graph: Graph | None
    recipe: Recipe | None
    diagnostics: tuple[Diagnostic, ...]
    settings: tuple[str, ...] = ()
    survey: SizeSurvey | None = None
    at: Mapping[str, int] = {}
    includes: Mapping[str, str] = {}
    quiet_fields: ClassVar[tuple[str, ...]] = ("resize",)
    resize: Callable[[Mapping[str, int]], Graph | Failure] | None = None

    @property
    def ok(self) -> bool:
        return self.graph is not None

    @property
    def sha256(self) -> str:
        """The hash of the text, as checkpoints and models record it."""
        import hashlib

        return hashlib.sha256(self.source.text.encode()).hexdigest()

    def graph_at(self, sizes: Mapping[str, int]) -> Graph:
        """The graph for these sizes of the symbols, the others as they are. Raises CnncError E602 where they are not legal."""
        graph = self.require_graph()
        if self.survey is None or self.resize is None:
            return graph
        made = self.resize({**self.survey.reference, **sizes})
        if isinstance(made, Failure):
            where = ", ".join(f"{name}={size}" for name, size in sizes.items())
            raise CnncError.of("E602", f"{self.name} does not fit {where}: {made.message}", help=self.survey.rules())
        return made

    @property
    def symbolic_sizes(self) -> SizeSurvey | None:
        """The survey of the sizes that stay symbols; None for a network without symbols and where `at` fixes them."""
        return None if self.at else self.survey

    @property
    def fixed_sizes(self) -> Mapping[str, int]:
        """The size of every symbol where `at` fixes some: those in `at`, the others at their reference. Else empty."""
        return self.survey.reference if self.at and self.survey is not None else self.at

    def summary(self, batch: int = 1) -> Summary:
        """The figures of every layer, and totals; `batch` is that of training memory.

        Raises CnncError for a text with errors.
        """
        from cnnc.report.summary import summarize

        slots = self.recipe.slots if self.recipe is not None else 2
        return summarize(self.require_graph(), self.survey, fixed=bool(self.at), batch=batch, slots=slots)

    @property
    def layers(self) -> tuple[Row, ...]:
        """The layers, in the order of the text. Raises CnncError for a text with errors."""
        return self.summary().rows

    def __str__(self) -> str:
        from cnnc.report.diagnostics import full
        from cnnc.report.table import table

        return table(self.summary()) if self.ok else full(self.diagnostics)

    def _repr_html_(self) -> str:
        """The table as a notebook shows it; the errors of a text that has them."""
        from cnnc.report.html import errors_html, table_html

        return table_html(self.summary()) if self.ok else errors_html(self.diagnostics)

    def part(self, outputs: Sequence[str]) -> Network:
        """The part of the network that these layers need, they being its outputs, at every size; without any, all of it.

        Raises CnncError E010 where one is no layer, or an input.
        """
        if not outputs:
            return self
        graph = self.require_graph()
        for name in outputs:
            if name not in graph.by_name:
                near = nearest(name, graph.by_name)
                help = f"did you mean `{near}`?" if near else "`cnnc check` lists the layers"
                raise CnncError.of("E010", f"--outputs: no layer is named `{name}`", help=help)
            if not graph.by_name[name].inputs:
                raise CnncError.of("E010", f"--outputs: {name} is an input", help="name the layers that read it")
        resize = self.resize

        def resized(sizes: Mapping[str, int]) -> Graph | Failure:
            assert resize is not None
            made = resize(sizes)
            return made if isinstance(made, Failure) else subgraph(made, outputs)

        return self.replace(graph=subgraph(graph, outputs), resize=resized if resize is not None else None)

    def require_graph(self) -> Graph:
        """The graph. Raises CnncError with every error of the text where it has any."""
        if self.graph is None:
            raise CnncError(*self.diagnostics)
        return self.graph


def load(path: Path | str, settings: Sequence[str] = (), at: Mapping[str, int] | None = None) -> Network:
    """Reads and checks a `.cnn` file. Errors of the text are in `diagnostics`; raises CnncError where it cannot be read."""
    path = Path(path)
    return check(read_text(path), name=str(path), settings=settings, at=at, root=path.parent)


def check(
    text: str,
    name: str = "<string>",
    settings: Sequence[str] = (),
    at: Mapping[str, int] | None = None,
    root: Path | None = None,
    kept: Mapping[str, str] | None = None,
    usual: Mapping[str, int] | None = None,
) -> Network:
    """Checks a network's text.

    `settings` are `NAME=VALUE` as for `--set`; `at` gives sizes of symbols, `usual` those at which symbols that stay
    open are looked at first; `root` is the folder that includes come from, `kept` the `includes` of the same network
    checked before, which then stand for its files. Raises CnncError for a bad setting.
    """
    source = Source(name, text)
    given = _settings(settings)
    at = dict(at or {})
    file, diagnostics = parse(source)
    lets = {k: v for k, v in given.items() if not k.startswith("train.")}
    includes = _includes(name, root, kept)
    stem = Path(name).stem.strip("<>") or "net"

    def lower_at(sizes: Callable[[str], int], fixed: bool) -> Lowered:
        return lower(file, stem, lets, sizes, includes, fixed)

    lowered, surveyed, more = _explore(lower_at, at, _divisors(text), usual or {})
    if surveyed is not None and not (at or usual) and (usual := _sizes_of_data(lowered)):
        lowered, surveyed, more = _explore(lower_at, at, _divisors(text), usual)
    found = [*lowered.diagnostics, *more]
    if diagnostics:
        found = [*diagnostics, *(d for d in found if not _follows(d, diagnostics))]
    graph = lowered.graph
    recipe = None
    if lowered.train is not None:
        train = {k.removeprefix("train."): v for k, v in given.items() if k.startswith("train.")}
        recipe, of_train = read(lowered.train, graph, train)
        found += of_train
    found = silence(file, in_order(found, includes.sources()))
    if any(d.severity == "error" for d in found):
        graph = recipe = None
    resize = _resizer(lowered, lower_at) if graph is not None and surveyed is not None else None
    kept = includes.texts
    return Network(source, lowered.name, graph, recipe, tuple(found), tuple(settings), surveyed, at, kept, resize)


def _includes(name: str, root: Path | None, kept: Mapping[str, str] | None) -> Includes:
    """Reads includes from the folder `root`, or from texts that were kept."""
    if not kept:
        return Includes(root, read_text if root is not None else None)

    def read(path: Path) -> str:
        if str(path) not in kept:
            raise CnncError.of("E901", f"{path} was not kept with the network")
        return kept[str(path)]

    return Includes(Path(name).parent, read)


# Found by looking at the whole text, which is not whole where a statement was left out.
_OF_THE_WHOLE = ("E112", "E115", "E116", "E125", "E402", "E403", "E404", "E507", "E508")
_DEFINES = re.compile(r"(?:^|[;{])\s*(?:(?:let|block)\s+(\w+)|(\w+)\s*:)")


def _follows(diagnostic: Diagnostic, unread: Sequence[Diagnostic]) -> bool:
    """Whether a diagnostic may follow from statements that could not be read: no news then.

    Those are warnings, what is said of the whole, names that such a statement defines, and shapes below it.
    """
    if diagnostic.severity == "warning" or diagnostic.code in _OF_THE_WHOLE or diagnostic.span is None:
        return True
    spans = [d.span for d in unread if d.span is not None]
    defined = {name for s in spans for names in _DEFINES.findall(s.source.line(s.line)) for name in names if name}
    if diagnostic.span.text.rpartition("=")[2].strip() in defined:
        return True
    shapes = diagnostic.code.startswith("E3") or diagnostic.code == "E401"
    return shapes and any(s.source is not diagnostic.span.source or s.start < diagnostic.span.start for s in spans)


# --- sizes as symbols ------------------------------------------------------------------------------------


class _OtherLayers(Exception):
    """Another size makes other layers."""


def _divisors(text: str) -> set[int]:
    """The numbers that a text divides by: with them a size used in arithmetic comes round again."""
    return {int(n) for n in re.findall(r"[/%]\s*(\d{1,3})\b", text)} - {0}


def _sizes_of_data(lowered: Lowered) -> dict[str, int]:
    """The sizes that symbols have in the images of the train section's data set, where those are known beforehand."""
    if lowered.graph is None or lowered.train is None:
        return {}
    for statement in (s for body in lowered.train.call.bodies for s in body.statements):
        if isinstance(statement, syntax.Call) and statement.op.text == "data" and statement.arguments:
            value = statement.arguments[0].value
            facts = KNOWN.get(value.name) if isinstance(value, syntax.Word) else None
            found = (
                symbol_sizes(lowered.graph, {lowered.graph.inputs[0].name: facts.shape}) if facts is not None else {}
            )
            return {} if isinstance(found, Failure) else found
    return {}


def _explore(
    lower_at: Callable[[Callable[[str], int], bool], Lowered],
    at: Mapping[str, int],
    divisors: Iterable[int],
    usual: Mapping[str, int] = {},
) -> tuple[Lowered, SizeSurvey | None, list[Diagnostic]]:
    """Lowers the text; where it has symbols, finds a legal size for them (the `usual` one first) and surveys all others."""
    asked = lower_at(lambda name: at.get(name, usual.get(name, 224)), bool(at))
    unknown = [name for name in at if name not in asked.symbols]
    if unknown:
        names = ", ".join(asked.symbols) or "none"
        raise CnncError.of("E010", f"--at: no input has a size `{unknown[0]}`", help=f"the file's symbols are {names}")
    if not asked.symbols or not (asked.graph is not None or _only_sizes(asked)):
        return asked, None, []
    based = asked if asked.graph is not None else _first_legal(lower_at, at)
    if based is None or based.graph is None:
        return (asked if at else _never(asked)), None, []
    shapes = _shapes_at(based, lower_at)
    try:
        found = survey_sizes(based.graph, shapes, based.symbols, divisors if based.sized else ())
        moved = _moved(based, lower_at, found) if based.sized else size_dependent_layer(based.graph, shapes, found)
    except _OtherLayers:
        entry = based.graph.inputs[0]
        message = f"which layers there are depends on {' and '.join(based.symbols)}: one net has one set of weights"
        help = "count by a `let`, not by a size, or give the input a fixed size"
        return based, None, [Diagnostic("E314", message, entry.span, help=help)]
    if moved is not None:
        node, symbol = moved
        message = f"the parameters of {node.name} depend on {symbol}: one net has one set of weights"
        help = "put `global_pool avg` before it, or give the input a fixed size"
        based = based.replace(diagnostics=tuple(d for d in based.diagnostics if d.code != "W107"))  # of one size only
        return based, found, [Diagnostic("E314", message, node.span, calls=node.calls, help=help)]
    if asked.graph is None and at:
        return _explained(asked, found, at), found, []
    return (asked if at else based), found, []


def _only_sizes(lowered: Lowered) -> bool:
    """Whether all errors may be due to the size that was tried."""
    codes = [d.code for d in lowered.diagnostics if d.severity == "error"]
    return all(c.startswith("E3") or c == "E401" or (lowered.sized and c in ("E103", "E203")) for c in codes)


def _first_legal(lower_at: Callable[[Callable[[str], int], bool], Lowered], at: Mapping[str, int]) -> Lowered | None:
    for size in _CANDIDATES:
        tried = lower_at(lambda name, size=size: size, False)  # type: ignore[misc]
        if tried.graph is not None:
            return tried
    return None


def _shapes_at(based: Lowered, lower_at: Callable[[Callable[[str], int], bool], Lowered]) -> TypesAt:
    """How shapes are found for other sizes: by the graph's rules, or by lowering again where a size is used as a number."""
    graph = based.graph
    assert graph is not None
    if not based.sized:
        return ShapeEvaluator(graph, lambda sizes: _expected(based, sizes)).at

    def relower(sizes: Mapping[str, int]) -> dict[str, TensorType] | Failure:
        tried = lower_at(lambda name: sizes[name], False)
        if tried.graph is None:
            return Failure("", tried.diagnostics[0].message if tried.diagnostics else "")
        if tried.graph.by_name.keys() != graph.by_name.keys():
            raise _OtherLayers
        return {node.name: node.type for node in tried.graph.nodes}

    return relower


def _resizer(
    based: Lowered, lower_at: Callable[[Callable[[str], int], bool], Lowered]
) -> Callable[[Mapping[str, int]], Graph | Failure]:
    """How the graph for other sizes is made, as `_shapes_at` finds its shapes."""
    graph, shapes = based.graph, _shapes_at(based, lower_at)
    assert graph is not None

    def resize(sizes: Mapping[str, int]) -> Graph | Failure:
        if based.sized:
            tried = lower_at(lambda name: sizes[name], False)
            return tried.graph or Failure("", tried.diagnostics[0].message if tried.diagnostics else "")
        types = shapes(sizes)
        return types if isinstance(types, Failure) else with_types(graph, types)

    return resize


def _moved(
    based: Lowered, lower_at: Callable[[Callable[[str], int], bool], Lowered], found: SizeSurvey
) -> tuple[Node, str] | None:
    """As `size_dependent_layer`, where a size is used as a number, so that layers themselves change with it."""
    assert based.graph is not None
    for symbol, rule in found.legal.items():
        other = rule.other_size(found.reference[symbol])
        if other is None:
            continue
        sizes = {**found.reference, symbol: other}
        made = lower_at(lambda name, sizes=sizes: sizes[name], False).graph  # type: ignore[misc]
        for node in made.nodes if made is not None else ():
            known = based.graph.by_name[node.name]
            assert made is not None
            if [p.shape for p in made.parameters(node)] != [p.shape for p in based.graph.parameters(known)]:
                return known, symbol
    return None


def _expected(based: Lowered, sizes: Mapping[str, int]) -> Iterable[tuple[str, tuple[int, ...] | None]]:
    """The shapes that the text expects at these sizes; None where the expression has no value there."""
    kept = {name: based.root.values[name] for name in sizes}
    based.root.values.update(sizes)
    try:
        for expectation in based.expectations:
            try:
                yield expectation.node, expectation.shape()
            except (BadValue, CnncError, Silent):
                yield expectation.node, None
    finally:
        based.root.values.update(kept)


def _never(asked: Lowered) -> Lowered:
    """The errors of a text for which no size that was tried is legal."""
    names = " and ".join(asked.symbols)
    where = ", ".join(f"{name}={size}" for name, size in asked.symbols.items())
    told = tuple(
        d._replace(message=f"no size up to {max(_CANDIDATES)} fits {names}; at {where}: {d.message}")
        if d.severity == "error"
        else d
        for d in asked.diagnostics
    )
    return asked.replace(diagnostics=told)


def _explained(asked: Lowered, found: SizeSurvey, at: Mapping[str, int]) -> Lowered:
    """The first error at the sizes that were asked for, with the nearest legal sizes; what follows is all due to them."""
    where = ", ".join(f"{name}={size}" for name, size in at.items())
    ways = []
    for symbol, size in at.items():
        rule = found.legal[symbol]
        if not rule.allows(size):
            near = [f"{symbol}={n}" for n in rule.neighbours(size) if n is not None]
            ways.append(f"{' and '.join(near)} {'are the nearest that fit' if len(near) > 1 else 'fits'} ({rule})")
    first = next(d for d in asked.diagnostics if d.severity == "error")
    told = first._replace(message=f"at {where}: {first.message}", help="; ".join(ways) or first.help)
    return asked.replace(diagnostics=(told,))


# --- reading ---------------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, a byte-order mark skipped. Raises CnncError E901, E903, E008."""
    return decode_utf8(read_bytes(path, limit=4 * MAX_TEXT), str(path))


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
