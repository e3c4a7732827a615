"""A checked network: source parsed, lowered, its legal sizes surveyed, its train section read.

In: a file or a string, settings (`name=value`), and sizes for symbols. Out: `Network`, with all diagnostics. The stages
meet here, and each rule is in the module of its stage. It loads neither NumPy nor onnx.

Example: `load("lenet5.cnn").require_graph().total_parameters`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cnnc.core.record import Record
from cnnc.data.catalog import KNOWN
from cnnc.diagnostics import CnncError, Diagnostic, Source, in_source_order, nearest
from cnnc.graph.graph import Graph, subgraph
from cnnc.graph.sizes import Failure, LegalSizes, SizeSurvey
from cnnc.language import syntax
from cnnc.language.include import Includes, Reader, read_source
from cnnc.language.lower import Lowered, lower
from cnnc.language.parse import parse, parse_settings, setting_name
from cnnc.language.size_survey import Resize, explore, resizer
from cnnc.language.suppress import may_follow_from, without_allowed
from cnnc.language.trace import LoweringTrace
from cnnc.recipe.reading import read
from cnnc.recipe.recipe import Recipe, without_train_section

if TYPE_CHECKING:
    from cnnc.report.summary import Row, Size, Summary

CheckAgain = Callable[[Mapping[Source, str]], Sequence[Diagnostic]]
"""Checks a network again with other text in some of its sources."""

MOST_CHECKS = 40  # to try the edits that diagnostics propose


class Network(Record):
    """The source of a network and what checking found. `graph` and `recipe` are None if the source has errors.

    With symbols, the graph is that of one legal size, `survey` describes the others, and `graph_at` gives their graphs.
    `at` are the sizes that the user fixed; `includes` are the sources of included files, by the paths that errors cite.
    `trace` is what lowering saw at each place of the source, if that was asked for.
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
    quiet_fields: ClassVar[tuple[str, ...]] = ("resize", "trace", "check_again", "steps")
    resize: Resize | None = None
    trace: LoweringTrace | None = None
    check_again: CheckAgain | None = None
    steps: int = 0

    @property
    def ok(self) -> bool:
        """Whether the source has no errors."""
        return self.graph is not None

    @property
    def sha256(self) -> str:
        """The hash of the source, as checkpoints and models record it."""
        import hashlib

        return hashlib.sha256(self.source.text.encode()).hexdigest()

    def graph_at(self, sizes: Mapping[str, int]) -> Graph:
        """The graph for these sizes of the symbols; the other symbols keep their sizes.

        Raises CnncError E602 if the sizes are not legal, and as `require_graph` does.
        """
        graph = self.require_graph()
        if self.survey is None or self.resize is None:
            return graph
        resized = self.resize({**self.survey.reference, **sizes})
        if isinstance(resized, Failure):
            shown = ", ".join(f"{name}={size}" for name, size in sizes.items())
            message = f"{self.name} does not accept {shown}: {resized.message}"
            raise CnncError.of("E602", message, help=f"legal sizes: {self.survey.rules()}")
        return resized

    @property
    def symbolic_sizes(self) -> SizeSurvey | None:
        """The survey of the sizes that stay symbols; None for a network without symbols and where `at` fixes them."""
        return None if self.at else self.survey

    @property
    def fixed_sizes(self) -> Mapping[str, int]:
        """The size of every symbol where `at` fixes some: those in `at`, the others at their reference. Else empty."""
        return self.survey.reference if self.at and self.survey is not None else self.at

    def summary(self, batch: int = 1) -> Summary:
        """The figures of every layer, and totals. `batch` is the batch size for the training-memory estimate.

        Raises CnncError as `require_graph` does.
        """
        from cnnc.report.summary import summarize

        slots = self.recipe.slots if self.recipe is not None else 2
        return summarize(self.require_graph(), self.survey, fixed=bool(self.at), batch=batch, slots=slots)

    @property
    def layers(self) -> tuple[Row, ...]:
        """The figures of every layer, in source order; `network["conv1"]` are those of one. Raises as `require_graph` does."""
        return self.summary().rows

    def __getitem__(self, name: str) -> Row:
        """The figures of the layer of this name. Raises CnncError E010 if there is none, TypeError if it is not a string."""
        if not isinstance(name, str):
            raise TypeError(
                f'a layer is found by its name, as in network["conv1"], not by {name!r}; see network.layers'
            )
        found = next((row for row in self.layers if row.name == name), None)
        if found is None:
            near = nearest(name, self.require_graph().by_name)
            help = f"did you mean `{near}`?" if near else f"layers: {', '.join(row.name for row in self.layers[:12])}"
            raise CnncError.of("E010", f"no layer is named `{name}`", help=help)
        return found

    @property
    def inputs(self) -> dict[str, tuple[Size, ...]]:
        """The shapes of the inputs by name, channels first, without the batch; symbols stay symbols."""
        return {node.name: self[node.name].shape for node in self.require_graph().inputs}

    @property
    def outputs(self) -> dict[str, tuple[Size, ...]]:
        """The shapes of the outputs by name, channels first, without the batch."""
        return {name: self[name].shape for name in self.require_graph().outputs}

    @property
    def parameters(self) -> int:
        """The number of learned numbers, without buffers."""
        return self.require_graph().total_parameters

    @property
    def weights(self) -> dict[str, tuple[int, ...]]:
        """The shapes of parameters and buffers by `layer.parameter`, as in ONNX."""
        return {name: parameter.shape for name, parameter in self.require_graph().weights.items()}

    @property
    def legal_sizes(self) -> Mapping[str, LegalSizes]:
        """The legal sizes of each symbol, such as H in `input 3xHxW`; {} for a network without symbols."""
        return self.symbolic_sizes.legal if self.symbolic_sizes is not None else {}

    def save(self, path: Path | str) -> Path:
        """Writes the source as a network file, which reads back as the same network; returns its path.

        Raises CnncError E902 if it cannot be written, E010 for another suffix than .cnn and for a source that includes files.

        >>> import cnnc
        >>> path = cnnc.check("input 1x8x8; fc 10").save("small.cnn")
        >>> cnnc.load(path).parameters
        650
        """
        from cnnc.core.files import with_suffix, write_atomic

        if not isinstance(path, str | Path):
            raise TypeError(
                f'network.save: path is {path!r}; expected a path or a string, as in network.save("lenet5.cnn")'
            )
        path = Path(path)
        if path.suffix != ".cnn":
            raise CnncError.of(
                "E010", f"a network file ends in .cnn, not {path}", help=f"write {with_suffix(path, '.cnn')}"
            )
        if self.includes:
            message = f"{self.name} includes {', '.join(self.includes)}"
            raise CnncError.of("E010", message, help="copy these files with the network file")
        write_atomic(path, self.source.text.encode())
        return path

    def __repr__(self) -> str:
        if self.graph is None:
            errors = sum(each.severity == "error" for each in self.diagnostics)
            return f"<Network {self.name}: {errors} error{'s' * (errors != 1)}>"
        inputs, outputs = (
            ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
            for shapes in (self.inputs, self.outputs)
        )
        return f"<Network {self.name}: {len(self.graph.nodes)} layers, {self.parameters:,} parameters, {inputs} -> {outputs}>"

    def __str__(self) -> str:
        from cnnc.report.diagnostics import full
        from cnnc.report.table import table

        return table(self.summary()) if self.ok else full(self.diagnostics)

    def _repr_html_(self) -> str:
        """The table and the drawing that a notebook shows; the errors if there are any."""
        from cnnc.report.html import diagnostics_html, figure, table_html

        if self.graph is None:
            return diagnostics_html(self.diagnostics)
        from cnnc.view.diagram.diagram import diagram_of, usual_depth
        from cnnc.view.diagram.drawn import diagram_drawing
        from cnnc.view.svg import svg_text

        drawing = svg_text(diagram_drawing(diagram_of(self.graph, usual_depth(self.graph))))
        return f"{table_html(self.summary())}{figure(drawing)}"

    def with_working_edits(self, check_again: CheckAgain | None = None) -> Network:
        """The network with those edits of its diagnostics that work; `check_again` replaces the function that tries them."""
        check_again = check_again or self.check_again
        if check_again is None or not any(d.edits for d in self.diagnostics):
            return self  # a file without errors need not wait for the import
        from cnnc.language.working_edits import with_working_edits

        most_checks = _most_checks(self.steps, self.source.text)
        return self.replace(diagnostics=tuple(with_working_edits(self.diagnostics, check_again, most_checks)))

    def part(self, outputs: Sequence[str]) -> Network:
        """The network cut down to these outputs and the layers that they depend on; without outputs, the same network.

        Raises CnncError E010 if one is not a layer, or is an input.
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
                raise CnncError.of("E010", f"--outputs: {name} is an input", help="name a layer that reads it")
        resize = self.resize

        def resize_part(sizes: Mapping[str, int]) -> Graph | Failure:
            assert resize is not None
            resized = resize(sizes)
            return resized if isinstance(resized, Failure) else subgraph(resized, outputs)

        return self.replace(graph=subgraph(graph, outputs), resize=resize_part if resize is not None else None)

    def require_graph(self) -> Graph:
        """The graph. Raises CnncError with all diagnostics if the source has errors."""
        if self.graph is None:
            raise CnncError(*self.diagnostics)
        return self.graph


def load(path: Path | str, settings: Sequence[str] = (), at: Mapping[str, int] | None = None) -> Network:
    """Reads and checks a `.cnn` file. Errors in the source are in `diagnostics`.

    `settings` are `NAME=VALUE` as for `--set`; `at` fixes sizes of symbols. Raises CnncError E901, E903 or E008 if the file
    cannot be read, and as `check` does; TypeError for another kind of argument.

    >>> import cnnc
    >>> path = cnnc.check("let width = 4; input 1x8x8; conv width k=3").save("small.cnn")
    >>> cnnc.load(path, ["width=8"])["conv1"].shape
    (8, 6, 6)
    """
    call = 'cnnc.load("lenet5.cnn", ["train.epochs=2"])'
    if not isinstance(path, str | Path):
        raise TypeError(f"cnnc.load: path is {_kind(path)}; expected a path or a string, as in {call}")
    _require_kinds("cnnc.load", call, settings, at=at)
    if isinstance(path, str) and "\n" in path:
        first = path.strip().splitlines()[0] if path.strip() else ""
        help = "cnnc.check(text) reads the source of a network"
        raise CnncError.of(
            "E901", f"cannot read {first!r}...: expected the path of a file, found several lines", help=help
        )
    path = Path(path)
    return check(read_source(path), name=str(path), settings=settings, at=at, root=path.parent)


def check(
    text: str,
    name: str = "<string>",
    settings: Sequence[str] = (),
    at: Mapping[str, int] | None = None,
    root: Path | None = None,
    includes: Mapping[str, str] | None = None,
    preferred_sizes: Mapping[str, int] | None = None,
    read: Reader = read_source,
    traced: bool = False,
    try_edits: bool = True,
) -> Network:
    """Checks the source of a network. Errors in it are in `diagnostics`.

    `name` is the file name that errors cite; `settings` are `NAME=VALUE` as for `--set`; `at` fixes sizes of symbols, and
    `preferred_sizes` are tried first for symbols that stay open. `root` is the folder that includes are read from;
    `includes`, those of the same network checked before, replace the files, and `read` reads them. `traced` asks for a
    trace. Without `try_edits` the diagnostics have the edits that the rules propose, whether they work or not.

    Raises CnncError E010 and E001 to E007 for a bad setting, E010 for a size of `at` that is not a symbol; TypeError for
    another kind of argument.

    >>> import cnnc
    >>> network = cnnc.check("input 1x8x8; conv 4 k=9")
    >>> network.ok, network.diagnostics[0].code, network.diagnostics[0].help
    (False, 'E302', 'k=8 is the largest kernel that fits, or pad with p=1')
    """
    _require_strings(text, name)
    _require_kinds("cnnc.check", _CALL, settings, at=at, includes=includes, preferred_sizes=preferred_sizes)
    for parameter, given, words, is_right in (
        ("root", root, "a Path or None", root is None or isinstance(root, Path)),
        ("read", read, "a function", callable(read)),
        ("traced", traced, "True or False", isinstance(traced, bool)),
        ("try_edits", try_edits, "True or False", isinstance(try_edits, bool)),
    ):
        if not is_right:
            raise TypeError(f"cnnc.check: {parameter} is {_kind(given)}; expected {words}, as in {_CALL}")
    source = Source(name, text)
    expressions = _settings(settings)
    at = dict(at or {})
    file, syntax_errors = parse(source)
    included = Includes.from_texts(name, includes) if includes else Includes(root, read if root else None)
    stem = Path(name).stem.strip("<>") or "net"
    lets = _lets(expressions)

    def lower_at(sizes: Callable[[str], int], fixed: bool, tried: bool = False) -> Lowered:
        return lower(file, stem, lets, sizes, included, fixed, traced, tried)

    data_shapes = {name: facts.shape for name, facts in KNOWN.items()}
    lowered, survey, size_diagnostics = explore(
        lower_at, at, preferred_sizes or {}, data_shapes, text, whole=not syntax_errors
    )
    checked = _Checked(file, stem, expressions, included)
    recipe, diagnostics = checked.diagnostics(lowered, size_diagnostics, syntax_errors)

    def check_again(texts: Mapping[Source, str]) -> list[Diagnostic]:
        """The diagnostics of the same file, included files and settings with other text, at the same sizes."""
        by_name = {source.name: text for source, text in texts.items()}
        try:
            expressions = parse_settings([by_name.get(setting_name(setting), setting) for setting in settings])
        except CnncError as error:
            return list(error.diagnostics)
        file, syntax_errors = parse(Source(name, by_name.get(name, text)))
        again = included.with_texts(by_name)
        lowered_again = lower(file, stem, _lets(expressions), lambda n: lowered.symbols.get(n, 224), again, bool(at))
        return _Checked(file, stem, expressions, again).diagnostics(lowered_again, (), syntax_errors)[1]

    graph = lowered.graph
    if any(d.severity == "error" for d in diagnostics):
        graph = recipe = None
    resize = resizer(lowered, lower_at) if graph is not None and survey is not None else None
    network = Network(
        source,
        lowered.name,
        graph,
        recipe,
        tuple(diagnostics),
        tuple(settings),
        survey,
        at,
        included.texts,
        resize,
        lowered.trace,
        check_again,
        lowered.steps,
    )
    return network.with_working_edits() if try_edits else network


class _Checked(Record):
    """A parsed file with its settings and includes, whose train section is read once it is lowered."""

    file: syntax.File
    stem: str
    settings: Mapping[str, syntax.Expression]
    included: Includes

    def diagnostics(
        self, lowered: Lowered, about_sizes: Sequence[Diagnostic], syntax_errors: Sequence[Diagnostic]
    ) -> tuple[Recipe | None, list[Diagnostic]]:
        """The recipe, and all diagnostics of the file in source order."""
        diagnostics = [*lowered.diagnostics, *about_sizes]
        if syntax_errors:
            diagnostics = [*syntax_errors, *(d for d in diagnostics if not may_follow_from(d, syntax_errors))]
        recipe = None
        if lowered.train is not None:
            train = {p.removeprefix("train."): v for p, v in self.settings.items() if p.startswith("train.")}
            # with syntax errors the graph is not that of the whole file
            recipe, recipe_diagnostics = read(lowered.train, lowered.graph, train)
            diagnostics += recipe_diagnostics
        elif not syntax_errors:
            diagnostics += without_train_section(self.settings, self.stem)
        return recipe, without_allowed(self.file, in_source_order(diagnostics, self.included.sources()))


_CALL = 'cnnc.check("input 1x8x8; conv 4 k=3")'


def _require_strings(text: object, name: object) -> None:
    """Raises TypeError for a text or name of `check` that is not a string."""
    for what, value in (("text", text), ("name", name)):
        if not isinstance(value, str):
            reads = "; cnnc.load(path) reads a file" if isinstance(value, Path) and what == "text" else ""
            raise TypeError(f"cnnc.check: {what} is {_kind(value)}; expected a string, as in {_CALL}{reads}")


def _kind(value: object) -> str:
    """A value of a wrong kind in an error."""
    return repr(value) if isinstance(value, str | int | float | Path | None) else f"a {type(value).__name__}"


def _require_kinds(name: str, call: str, settings: object, **mappings: object) -> None:
    """Raises TypeError for settings that are not a list of strings, and for what is neither None nor a dict."""
    if not isinstance(settings, list | tuple) or not all(isinstance(each, str) for each in settings):
        raise TypeError(f"{name}: settings is {_kind(settings)}; expected a list of strings, as in {call}")
    for parameter, value in mappings.items():
        element, words = (str, "a dict of texts") if parameter == "includes" else (int, "a dict of sizes, {'H': 224},")
        is_mapping = isinstance(value, Mapping) and all(
            isinstance(key, str) and isinstance(each, element) for key, each in value.items()
        )
        if value is not None and not is_mapping:
            raise TypeError(f"{name}: {parameter} is {_kind(value)}; expected {words} or None, as in {call}")


def _lets(settings: Mapping[str, syntax.Expression]) -> dict[str, syntax.Expression]:
    return {path: value for path, value in settings.items() if not path.startswith("train.")}


def _settings(settings: Sequence[str]) -> dict[str, syntax.Expression]:
    """The expressions of settings. Raises CnncError as `parse_settings` does."""
    try:
        return parse_settings(settings)
    except CnncError as error:
        from cnnc.language.working_edits import with_working_edits

        def check_again(texts: Mapping[Source, str]) -> Sequence[Diagnostic]:
            by_name = {source.name: text for source, text in texts.items()}
            try:
                parse_settings([by_name.get(setting_name(setting), setting) for setting in settings])
            except CnncError as again:
                return again.diagnostics
            return ()

        raise CnncError(*with_working_edits(error.diagnostics, check_again, MOST_CHECKS)) from None


def _most_checks(steps: int, text: str) -> int:
    """How often a file is checked again to try edits; `steps` are its statements after expanding blocks and repeats.

    The statements of the train section are no steps, but take time to parse: the length of the source counts as well.
    """
    return min(MOST_CHECKS, max(1, 20_000 // max(1, steps, len(text) // 10)))
