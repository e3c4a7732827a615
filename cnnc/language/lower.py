"""Syntax tree to Graph.

In: a `File` and the settings of the command line. Out: `Lowered`, with the graph where the text has no
error, and every diagnostic. It binds arguments to ops, infers each shape as it stands, and names nodes.
It reads no data and computes no weights; the train section is handed on as it was written.

A layer that fails leaves a poisoned tensor: the layers after it still have their arguments checked, but
their shapes raise nothing further, until a layer whose output is known whatever comes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from cnnc.analysis import receptive_fields
from cnnc.arguments import BadValue, PerAxis, Shape, Whole
from cnnc.diagnostics import CnncError, Diagnostic, Note, Span, in_order, nearest
from cnnc.graph import Graph, Node, verify
from cnnc.language import syntax
from cnnc.language.bind import bind, unknown_key
from cnnc.language.expressions import RESERVED_VALUES, Scope, Silent, Unknown, evaluate, kind
from cnnc.ops import OPS, Op, ShapeError
from cnnc.ops.dense import Fc
from cnnc.record import Record
from cnnc.tensor import TensorType, format_shape

STATEMENTS = ("net", "let", "from", "output", "block", "repeat", "include", "expect", "budget", "train")
MAX_LAYERS = 100_000
MAX_ELEMENTS = 2**40  # of one tensor or parameter
_LATER = ("repeat", "include", "budget")
_MERGES = ("add", "sub", "mul", "maximum", "concat")


class TrainSection(Record):
    """The train section as it was written, and the names it may use."""

    call: syntax.Call
    scope: Scope


class Lowered(Record):
    """What came of a file; `graph` is None where the text has errors."""

    name: str
    graph: Graph | None
    train: TrainSection | None
    diagnostics: tuple[Diagnostic, ...]


def lower(file: syntax.File, stem: str, settings: Mapping[str, syntax.Expression] | None = None) -> Lowered:
    """Lowers a file. `stem` names the net without a `net` line; `settings` override top-level `let`s."""
    return _Lowerer(file, stem, dict(settings or {})).run()


class _Tensor(NamedTuple):
    """The current tensor: the node that makes it, and its type (None: poisoned)."""

    node: str | None
    type: TensorType | None


class _Lowerer:
    def __init__(self, file: syntax.File, stem: str, settings: dict[str, syntax.Expression]) -> None:
        self.file = file
        self.name = stem
        self.settings = settings
        self.scope = Scope()
        self.nodes: list[Node] = []
        self.types: dict[str, TensorType | None] = {}
        self.places: dict[str, Span] = {}
        self.counts: Counter[str] = Counter()
        self.current: _Tensor | None = None
        self.outputs: list[tuple[str, Span]] = []
        self.totals: list[tuple[syntax.Argument, Any]] = []
        self.train: TrainSection | None = None
        self.seen: dict[str, Span] = {}
        self.diagnostics: list[Diagnostic] = []

    def run(self) -> Lowered:
        for statement in self.file.statements:
            try:
                self.statement(statement)
            except CnncError as error:
                self.diagnostics += error.diagnostics
            except Silent:
                pass
        self.check_settings()
        graph = self.finish()
        if graph is not None:
            self.check_totals(graph)
        clean = graph is not None and all(d.severity == "warning" for d in self.diagnostics)
        return Lowered(self.name, graph if clean else None, self.train, tuple(in_order(self.diagnostics)))

    # --- statements ------------------------------------------------------------------------------------

    def statement(self, statement: syntax.Statement) -> None:
        match statement:
            case syntax.Let():
                self.let(statement)
            case syntax.Block(name=name, span=span):
                raise CnncError.of("E110", f"`block` is not supported yet (block {name.text})", span=span)
            case syntax.Call():
                self.call(statement)

    def call(self, call: syntax.Call) -> None:
        word = call.op.text
        if word in _LATER or word in _MERGES:
            self.current = _Tensor(None, None)
            raise CnncError.of("E110", f"`{word}` is not supported yet", span=call.span)
        if word in STATEMENTS and call.label is not None:
            raise CnncError.of("E107", f"a label on `{word}`, which makes no tensor", span=call.label.span)
        if call.bodies and word != "train":
            raise CnncError.of("E108", f"{word} takes no body", span=call.bodies[0].span)
        match word:
            case "net":
                self.net(call)
            case "from":
                self.current = self.layer_named(self.one_word(call, "a layer's name"))
            case "output":
                self.output(call)
            case "expect":
                self.expect(call)
            case "train":
                self.only_once(call)
                self.train = TrainSection(call, self.scope)
            case _:
                self.layer(call)

    def let(self, let: syntax.Let) -> None:
        name = let.name.text
        if name in RESERVED_VALUES or name in STATEMENTS or name in OPS:
            raise CnncError.of("E105", f"`{name}` is a word of the language", span=let.name.span)
        if "." in name:
            raise CnncError.of("E105", f"`{name}`: a name has no dot", span=let.name.span)
        if name in self.scope.values:
            raise self.twice(let.name, self.scope.places[name])
        expression = self.settings.get(name, let.value)
        self.scope.define(name, Unknown(), let.name.span)
        self.scope.values[name] = evaluate(expression, self.scope)

    def net(self, call: syntax.Call) -> None:
        self.only_once(call)
        value = self.one(call, "a name")
        if isinstance(value, syntax.Word):
            self.name = value.name
        elif isinstance(value, syntax.Text):
            self.name = value.value
        else:
            raise CnncError.of("E203", "net takes a name or a string", span=value.span)

    def output(self, call: syntax.Call) -> None:
        self.only_once(call)
        if not call.arguments:
            raise CnncError.of("E202", "output needs the names of layers", span=call.span)
        for argument in call.arguments:
            if argument.key is not None or not isinstance(argument.value, syntax.Word):
                raise CnncError.of("E203", "output takes names of layers", span=argument.span)
            self.outputs.append((argument.value.name, argument.span))

    def layer(self, call: syntax.Call) -> None:
        cls = OPS.get(call.op.text)
        if cls is None:
            near = nearest(call.op.text, [*OPS, *STATEMENTS])
            help = f"did you mean `{near}`?" if near else f"the layers are {', '.join(sorted(OPS))}"
            self.diagnostics.append(Diagnostic("E111", f"unknown layer `{call.op.text}`", call.op.span, help=help))
            cls = OPS.get(near or "")
            if cls is None:
                self.current = _Tensor(None, None)
                return
        before = self.current
        if cls.arity == 0:
            before = _Tensor(None, None)
        elif before is None:
            self.current = _Tensor(None, None)
            raise CnncError.of(
                "E112",
                f"{call.op.text} has no input",
                span=call.span,
                help="begin with an input line, e.g. `input 1x28x28`",
            )
        assert before is not None
        self.scope.values["c_in"] = before.type.channels if before.type is not None else Unknown()
        bound = bind(cls, call, self.scope, before.type.rank if before.type is not None else 0)
        self.diagnostics += bound.diagnostics
        name = self.new_name(cls, call)
        made = self.infer(bound.value, call, before, bound.places) if bound.value is not None else None
        self.types[name] = made
        self.places[name] = call.span
        if made is not None and bound.value is not None:
            inputs = () if cls.arity == 0 else (before.node or "",)
            self.nodes.append(Node(name, bound.value, inputs, made, call.span))
            if len(self.nodes) > MAX_LAYERS:
                raise CnncError.of("E113", f"more than {MAX_LAYERS:,} layers", span=call.span)
        self.current = _Tensor(name, made)

    # --- types -----------------------------------------------------------------------------------------

    def infer(self, op: Op, call: syntax.Call, before: _Tensor, places: dict[str, Span]) -> TensorType | None:
        """The type of a layer's output, or None after a diagnostic (or where the input is poisoned)."""
        if op.arity and before.type is None:
            return TensorType((op.out,)) if isinstance(op, Fc) else None
        inputs = () if before.type is None else (before.type,)
        try:
            for type_ in inputs:
                if type_.dtype not in op.takes:
                    raise ShapeError("E308", f"{op.keyword} takes {' or '.join(op.takes)}, not {type_.dtype}")
            made = op.output(*inputs)
            largest = max([made.size, *(p.size for p in op.parameters(*inputs))])
            if largest > MAX_ELEMENTS:
                raise ShapeError("E309", f"{largest:,} numbers in one tensor; at most {MAX_ELEMENTS:,}")
        except ShapeError as error:
            self.diagnostics.append(self.shape_diagnostic(error, call, before, places))
            return None
        for advice in op.advice(*inputs):
            span = places.get(advice.argument, call.span)
            self.diagnostics.append(Diagnostic(advice.code, advice.message, span, help=advice.help))
        return made

    def shape_diagnostic(
        self, error: ShapeError, call: syntax.Call, before: _Tensor, places: dict[str, Span]
    ) -> Diagnostic:
        span = places.get(error.argument, call.span)
        notes = self.shrinking(before) if error.shrunk else ()
        return Diagnostic(error.code, error.message, span, error.label, notes, error.help)

    def shrinking(self, tensor: _Tensor) -> tuple[Note, ...]:
        """The layer above that lost the most of the image, and what it did."""
        by_name = {node.name: node for node in self.nodes}
        node = by_name.get(tensor.node or "")
        worst: tuple[float, Note] | None = None
        while node is not None and node.inputs:
            before = self.types.get(node.inputs[0])
            if before is None:
                break
            if before.rank and before.spatial != node.type.spatial and node.span is not None:
                lost = before.size / max(1, node.type.size) if node.type.rank == before.rank else float("inf")
                if worst is None or lost > worst[0]:
                    what = f"took {before} to {node.type}"
                    worst = (lost, Note(node.span, what))
            node = by_name.get(node.inputs[0])
        return (worst[1],) if worst else ()

    # --- names -----------------------------------------------------------------------------------------

    def new_name(self, cls: type[Op], call: syntax.Call) -> str:
        self.counts[cls.keyword] += 1
        name = f"{cls.keyword}{self.counts[cls.keyword]}"
        if call.label is not None:
            label = call.label
            if label.text in RESERVED_VALUES or label.text in STATEMENTS or "." in label.text:
                raise CnncError.of("E105", f"`{label.text}` cannot be a label", span=label.span)
            if label.text in self.types:
                raise self.twice(label, self.places[label.text])
            return label.text
        if name in self.types:
            note = Note(self.places[name], "a label took its name")
            raise CnncError(
                Diagnostic(
                    "E106",
                    f"two layers are named `{name}`",
                    call.span,
                    notes=(note,),
                    help=f"label one, e.g. `x{name}:`",
                )
            )
        return name

    def twice(self, name: syntax.Name, first: Span) -> CnncError:
        note = Note(first, "first defined here")
        return CnncError(Diagnostic("E106", f"`{name.text}` is defined twice", name.span, notes=(note,)))

    def layer_named(self, word: syntax.Word) -> _Tensor:
        if word.name not in self.types:
            self.current = _Tensor(None, None)
            raise self.no_layer(word.name, word.span)
        return _Tensor(word.name, self.types[word.name])

    def no_layer(self, name: str, span: Span) -> CnncError:
        near = nearest(name, self.types)
        help = f"did you mean `{near}`?" if near else "name a layer above: `name: conv ...`"
        return CnncError.of("E114", f"no layer is named `{name}`", span=span, help=help)

    def only_once(self, call: syntax.Call) -> None:
        word = call.op.text
        if word in self.seen:
            note = Note(self.seen[word], "the first")
            raise CnncError(Diagnostic("E106", f"a second `{word}`", call.span, notes=(note,)))
        self.seen[word] = call.span

    def one(self, call: syntax.Call, what: str) -> syntax.Expression:
        if len(call.arguments) != 1 or call.arguments[0].key is not None:
            raise CnncError.of("E202", f"{call.op.text} takes {what}", span=call.span)
        return call.arguments[0].value

    def one_word(self, call: syntax.Call, what: str) -> syntax.Word:
        value = self.one(call, what)
        if not isinstance(value, syntax.Word):
            raise CnncError.of("E203", f"{call.op.text} takes {what}", span=value.span)
        return value

    # --- contracts -------------------------------------------------------------------------------------

    def expect(self, call: syntax.Call) -> None:
        if not call.arguments:
            raise CnncError.of("E202", "expect needs a shape or a total", span=call.span, help="`expect 16x5x5`")
        for argument in call.arguments:
            if argument.key is None:
                self.expect_shape(argument)
            elif argument.key.text in _TOTALS:
                kind_: Shape | Whole | PerAxis = _TOTALS[argument.key.text]
                value = evaluate(argument.value, self.scope)
                try:
                    self.totals.append((argument, kind_.take(value, 0)))
                except BadValue as bad:
                    raise CnncError.of(
                        "E203",
                        f"expect: {argument.key.text} takes {bad.expected}, not {kind(value)}",
                        span=argument.span,
                    ) from None
            else:
                raise CnncError(unknown_key(argument.key, "expect", _TOTALS))

    def expect_shape(self, argument: syntax.Argument) -> None:
        value = evaluate(argument.value, self.scope)
        try:
            shape = Shape().take(value, 0)
        except BadValue as bad:
            raise CnncError.of("E203", f"expect takes {bad.expected}, not {kind(value)}", span=argument.span) from None
        if self.current is None:
            raise CnncError.of("E112", "expect has no tensor to look at", span=argument.span)
        found = self.current.type
        if found is not None and found.shape != shape:
            notes: tuple[Note, ...] = ()
            if self.current.node in self.places:
                notes = (Note(self.places[self.current.node], f"makes {found}"),)
            self.diagnostics.append(
                Diagnostic(
                    "E401",
                    f"expected {format_shape(shape)}, found {found}",
                    argument.span,
                    f"here it is {found}",
                    notes,
                    help=f"mend the layers above, or write `expect {found}`",
                )
            )
        self.current = _Tensor(self.current.node, TensorType(shape))

    def check_totals(self, graph: Graph) -> None:
        for argument, expected in self.totals:
            assert argument.key is not None
            key = argument.key.text
            found: Any
            if key == "params":
                found = graph.total_parameters
            elif key == "macs":
                found = graph.total_macs
            elif key == "out":
                found = graph.by_name[graph.outputs[0]].type.shape
            else:
                sizes = tuple(f.size for f in receptive_fields(graph)[graph.outputs[0]])
                found = sizes if isinstance(expected, tuple) and len(expected) == len(sizes) else sizes[:1]
                if len(set(sizes)) == 1:
                    found = sizes[:1] if len(expected) == 1 else sizes
            if found != expected:
                shown, wanted = (
                    (format_shape(found), format_shape(expected))
                    if isinstance(found, tuple)
                    else (f"{found:,}", f"{expected:,}")
                )
                written = shown.replace(",", "")
                self.diagnostics.append(
                    Diagnostic(
                        "E402",
                        f"expected {key}={wanted}, found {shown}",
                        argument.span,
                        f"it is {shown}",
                        help=f"mend the layers, or write `{key}={written}`",
                    )
                )

    # --- the end ---------------------------------------------------------------------------------------

    def check_settings(self) -> None:
        for name, value in self.settings.items():
            if name not in self.scope.values:
                lets = [n for n in self.scope.values if n not in RESERVED_VALUES]
                near = nearest(name, lets)
                help = f"did you mean `{near}`?" if near else f"the file's are {', '.join(lets) or 'none'}"
                self.diagnostics.append(Diagnostic("E115", f"no top-level `let {name}` to set", value.span, help=help))

    def finish(self) -> Graph | None:
        outputs = []
        for name, span in self.outputs:
            if name in self.types:
                outputs.append(name)
            else:
                self.diagnostics += self.no_layer(name, span).diagnostics
        if self.current is None:
            if not any(d.severity == "error" for d in self.diagnostics):
                place = self.file.source.span(0, 0) if self.file.source.text.strip() else None
                self.diagnostics.append(
                    Diagnostic(
                        "E116",
                        f"{self.file.source.name} holds no network",
                        place,
                        help="begin with `input 1x28x28`, then a layer a line",
                    )
                )
            return None
        if any(d.severity == "error" for d in self.diagnostics):
            return None
        assert self.current.node is not None
        return verify(Graph(self.name, tuple(self.nodes), tuple(outputs or [self.current.node])))


_TOTALS: dict[str, Shape | Whole | PerAxis] = {
    "params": Whole(0, 2**62),
    "macs": Whole(0, 2**62),
    "out": Shape(),
    "field": Shape(),
}
