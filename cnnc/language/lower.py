"""Syntax tree to Graph.

In: a `File`, the settings of the command line, sizes for symbols. Out: `Lowered`, with the graph where the
text has no error, and every diagnostic. This is the walk over the statements: it expands blocks and repeats, binds
arguments to ops, infers each shape as it stands, and names nodes, each by the module of that name. It reads no data and
computes no weights; the train section is handed on as it was written.

A layer that fails leaves a poisoned tensor: the layers after it still have their arguments checked, but
their shapes raise nothing further, until a layer whose output is known whatever comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cnnc.core.record import Record
from cnnc.diagnostics import CnncError, Diagnostic, Note, Span, in_order
from cnnc.graph.graph import Graph, Node
from cnnc.language import contracts, syntax
from cnnc.language.bind import bind, no_body, only_value
from cnnc.language.blocks import MAX_LAYERS, collect, require_bounded, rounds, rounds_fit, variables
from cnnc.language.expressions import Scope, Silent, Unknown, evaluate
from cnnc.language.finish import graph_of, unmatched, unused
from cnnc.language.include import Includes
from cnnc.language.infer import infer
from cnnc.language.lints import lint
from cnnc.language.references import operands_of, resolve, twin_owner
from cnnc.language.resolve import STATEMENTS as STATEMENTS
from cnnc.language.resolve import (
    current_tensor,
    new_name,
    op_class,
    require_free,
    require_own,
    symbols_of,
    tensors,
    twice,
)
from cnnc.language.scope import POISON, Frame, Space, Tensor
from cnnc.ops import Op
from cnnc.ops.dense import Input
from cnnc.ops.merge import Merge

MAX_STEPS = 5 * MAX_LAYERS  # statements lowered, those of blocks and repeats each time
MAX_DIAGNOSTICS = 200


class _TooMuch(Exception):
    """The text makes more than there may be of layers or of steps; nothing after it is looked at."""

    def __init__(self, message: str, span: Span, frame: Frame) -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic("E113", message, span, calls=frame.space.calls)


class TrainSection(Record):
    """The train section as it was written, and the names it may use."""

    call: syntax.Call
    scope: Scope


class Lowered(Record):
    """What came of a file; `graph` is None where the text has errors.

    `symbols` are the sizes that stood for a symbol, `expectations` the shapes that were asserted; with them
    another size can be tried without lowering again, unless `sized`, where a size was used as a number (see sizes.py).
    """

    name: str
    graph: Graph | None
    train: TrainSection | None
    diagnostics: tuple[Diagnostic, ...]
    symbols: Mapping[str, int]
    expectations: tuple[contracts.Expectation, ...]
    root: Scope
    sized: bool


def lower(
    file: syntax.File,
    stem: str,
    settings: Mapping[str, syntax.Expression] | None = None,
    sizes: Callable[[str], int] | None = None,
    includes: Includes | None = None,
    fixed: bool = False,
) -> Lowered:
    """Lowers a file.

    `stem` names the net without a `net` line; `settings` override top-level `let`s; `sizes` gives the size
    that stands for a symbol, and `fixed` says that it was asked for (`--at`) and not just tried.
    """
    chosen = sizes or (lambda name: 224)
    return _Lowerer(file, stem, dict(settings or {}), chosen, includes or Includes(None, None), fixed).run()


class _Lowerer:
    """One walk over a file, and what it has gathered so far."""

    def __init__(
        self,
        file: syntax.File,
        stem: str,
        settings: dict[str, syntax.Expression],
        sizes: Callable[[str], int],
        includes: Includes,
        fixed: bool,
    ) -> None:
        self.file = file
        self.name = stem
        self.settings = settings
        self.sizes = sizes
        self.includes = includes
        self.including = [] if includes.root is None else [Path(file.source.name).resolve()]
        self.fixed = fixed
        self.root = Scope()
        self.symbols: dict[str, int] = {}
        self.blocks: dict[str, syntax.Block] = {}
        self.called: set[str] = set()
        self.nodes: dict[str, Node] = {}
        self.outputs: list[str] = []
        self.contracts = contracts.Contracts()
        self.train: TrainSection | None = None
        self.seen: dict[str, Span] = {}
        self.diagnostics: list[Diagnostic] = []
        self.incomplete = False  # whether an include could not be read
        self.steps = 0

    def run(self) -> Lowered:
        top = Frame(Space(self.file), self.root, None, top=True)
        self.diagnostics += collect(self.file, self.includes, tuple(self.including), self.blocks)
        try:
            self.body(self.file.statements, top)
        except _TooMuch as stop:
            self.diagnostics.append(stop.diagnostic)
        self.diagnostics += unmatched(self.settings, self.root)
        graph = self.finish(top)
        sized = any(name in self.root.read for name in self.symbols)
        return Lowered(
            self.name,
            graph.replace(sized=sized) if graph is not None and not self.failed() else None,
            self.train,
            tuple(in_order(self.diagnostics, self.includes.sources())),
            self.symbols,
            tuple(self.contracts.expectations),
            self.root,
            sized,
        )

    def finish(self, top: Frame) -> Graph | None:
        """The graph, and what there is to say of the whole, where nothing was wrong up to here."""
        if self.failed():
            return None
        try:
            graph = graph_of(self.file, self.name, self.nodes, self.outputs, top.current)
        except CnncError as error:
            self.diagnostics += error.diagnostics
            return None
        self.diagnostics += lint(graph)
        self.diagnostics += unused(self.file, self.root, self.blocks, self.called)
        self.diagnostics += self.contracts.check(graph, bool(self.symbols) and not self.fixed)
        return graph

    def failed(self) -> bool:
        return any(d.severity == "error" for d in self.diagnostics)

    def body(self, statements: tuple[syntax.Statement, ...], frame: Frame) -> None:
        """Lowers statements; each error is noted, and the others go on."""
        for statement in statements:
            if len(self.diagnostics) > MAX_DIAGNOSTICS:
                return  # nobody reads so far, and each of them takes time
            self.step(statement.span, frame)
            try:
                self.statement(statement, frame)
            except CnncError as error:
                self.report(error.diagnostics, frame)
            except Silent:
                pass

    def step(self, span: Span, frame: Frame) -> None:
        """Counts one statement, or one round. Raises _TooMuch."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            message = f"more than {MAX_STEPS:,} statements, those of blocks and repeats counted each time"
            raise _TooMuch(message, span, frame)

    def report(self, diagnostics: tuple[Diagnostic, ...], frame: Frame) -> None:
        """Notes diagnostics, with the block calls that led there."""
        calls = frame.space.calls
        self.diagnostics += [d._replace(calls=calls) if calls and not d.calls else d for d in diagnostics]

    # --- statements ------------------------------------------------------------------------------------

    def statement(self, statement: syntax.Statement, frame: Frame) -> None:
        match statement:
            case syntax.Let():
                self.let(statement, frame)
            case syntax.Block():
                if not frame.top:
                    self.blocks.setdefault(statement.name.text, statement)  # so that its calls are no second error
                    help = "move it to the top of the file"
                    raise CnncError.of("E121", "a block inside a body", span=statement.span, help=help)
            case syntax.Call():
                self.call(statement, frame)

    def call(self, call: syntax.Call, frame: Frame) -> None:
        word = call.op.text
        handler = _HANDLERS.get(word)
        if handler is None:
            if word in self.blocks:
                self.block_call(call, self.blocks[word], frame)
            else:
                self.layer(call, frame)
            return
        if call.label is not None:
            help = f"leave `{call.label.text}:` out"
            raise CnncError.of("E107", f"a label on `{word}`, which makes no tensor", span=call.label.span, help=help)
        if call.bodies and word not in ("train", "repeat"):
            raise no_body(call)
        if word in _TOP_ONLY and not frame.top:
            help = "it stands at the top of the file"
            raise CnncError.of("E122", f"`{word}` inside a body", span=call.span, help=help)
        if word in _ONLY_ONCE:
            self.only_once(call)
        handler(self, call, frame)

    def only_once(self, call: syntax.Call) -> None:
        word = call.op.text
        if word in self.seen:
            note = Note(self.seen[word], "the first")
            help = "name all outputs on one line" if word == "output" else "keep one of the two"
            raise CnncError(Diagnostic("E106", f"a second `{word}`", call.span, notes=(note,), help=help))
        self.seen[word] = call.span

    def let(self, let: syntax.Let, frame: Frame) -> None:
        require_own(let.name)
        name, scope = let.name.text, frame.scope
        if name in scope.values and name in scope.places:
            raise twice(let.name, scope.places[name])
        expression = self.settings.get(name, let.value) if frame.top else let.value
        scope.define(name, Unknown(), let.name.span)
        scope.values[name] = evaluate(expression, frame.with_c_in())

    def net(self, call: syntax.Call, frame: Frame) -> None:
        value = only_value(call, "a name")
        if isinstance(value, syntax.Word):
            self.name = value.name
        elif isinstance(value, syntax.Text):
            self.name = value.value
        else:
            raise CnncError.of("E203", "net takes a name or a string", span=value.span)

    def from_(self, call: syntax.Call, frame: Frame) -> None:
        frame.current = POISON
        value = only_value(call, "a layer's name")
        if not isinstance(value, syntax.Word):
            raise CnncError.of("E203", "from takes a layer's name", span=value.span)
        found = tensors(value, frame)
        if len(found) != 1:
            raise CnncError.of("E203", "from goes on from one layer, not from several", span=value.span)
        frame.current = found[0]

    def output(self, call: syntax.Call, frame: Frame) -> None:
        if not call.arguments:
            raise CnncError.of("E202", "output needs the names of layers", span=call.span)
        for argument in call.arguments:
            if argument.key is not None or not isinstance(argument.value, syntax.Word):
                raise CnncError.of("E203", "output takes names of layers", span=argument.span)
            for tensor in tensors(argument.value, frame):
                if tensor.node and tensor.node in self.outputs:
                    message = f"{argument.value.name} is an output already"
                    raise CnncError.of("E106", message, span=argument.span, help="leave it out")
                self.outputs.append(tensor.node)

    def include(self, call: syntax.Call, frame: Frame) -> None:
        incomplete = self.incomplete
        self.incomplete = True
        path, file, _ = self.includes.called(call)
        self.incomplete = incomplete
        if path in self.including:
            return  # said by `collect`
        self.including.append(path)
        for statement in file.statements:
            nested = isinstance(statement, syntax.Call) and statement.op.text == "include"
            if nested or isinstance(statement, syntax.Let):
                self.body((statement,), frame)
            elif isinstance(statement, syntax.Call):
                message = "an included file holds `let`s and `block`s only"
                help = "move the line into the file that includes this one, or into a block"
                self.diagnostics.append(Diagnostic("E120", message, statement.span, help=help))
        self.including.pop()

    def expect(self, call: syntax.Call, frame: Frame) -> None:
        frame.with_c_in()
        read = {name for name in self.symbols if name in self.root.read}
        found = self.contracts.expect(call, frame.current, frame.scope, frame.top, self.nodes)
        self.report(found.diagnostics, frame)
        self.root.read.difference_update(set(self.symbols) - read)
        if found.type is not None and frame.current is not None:
            frame.current = Tensor(frame.current.node, found.type)

    def budget(self, call: syntax.Call, frame: Frame) -> None:
        self.contracts.add_budget(call, frame.scope)

    def train_section(self, call: syntax.Call, frame: Frame) -> None:
        self.train = TrainSection(call, frame.scope)
        self.root.read.update(word for body in call.bodies for word in syntax.words_in(body))

    # --- repeat and blocks -------------------------------------------------------------------------------

    def repeat(self, call: syntax.Call, frame: Frame) -> None:
        count, counter = rounds(call, frame, self.blocks)
        for index in range(count):
            scope = Scope(frame.scope)
            if counter is not None:
                scope.define(counter, index)
                scope.read.add(counter)
            self.step(call.span, frame)
            told = len(self.diagnostics)
            inner = frame.inside(scope, round_=index)
            self.body(call.bodies[0].statements, inner)
            frame.current = inner.current
            if index:
                self.diagnostics[told:] = [rounds_fit(d, call, index, count) for d in self.diagnostics[told:]]

    def block_call(self, call: syntax.Call, block: syntax.Block, frame: Frame) -> None:
        name = block.name.text
        self.called.add(name)
        require_bounded(call, block, frame, self.root, self.blocks)
        if call.label is not None:
            require_own(call.label)
        scope, share = variables(call, block, frame, self.root)
        outer, rel = frame.space, frame.name_for(name, call.label)
        if not share and outer.share:  # what is called within a call that shares does so too
            share = f"{outer.share}{rel}."
        require_free(rel, call, frame)
        whole = f"{outer.prefix}{rel}"
        calls = (*outer.calls, Note(call.span, f"block {name}"))
        space = Space(self.file, f"{whole}.", calls, share, (*outer.path, whole))
        inner = Frame(space, scope, frame.current)
        self.body(block.body.statements, inner)
        frame.current = inner.current
        frame.adopt(rel, call, inner)

    # --- layers ------------------------------------------------------------------------------------------

    def layer(self, call: syntax.Call, frame: Frame) -> None:
        cls, unknown = op_class(call, self.blocks)
        if unknown and self.incomplete:  # perhaps a block of the file that could not be read
            cls, unknown = None, ()
        self.diagnostics += unknown
        if cls is None:
            frame.current = POISON
            return
        if issubclass(cls, Merge):
            self.merge(cls, call, frame)
            return
        if call.bodies:
            raise no_body(call)
        before = POISON if cls.arity == 0 else current_tensor(call, frame)
        if before.type is None:  # poisoned, so that a failure below leaves it so
            frame.current = POISON
        scope = frame.with_c_in()
        symbols = self.input_symbols(call) if cls is Input else ()
        bound = bind(cls, call, scope, before.type.rank if before.type is not None else 0)
        if not unknown:  # else the layer is a guess
            self.report(bound.diagnostics, frame)
        if cls is Input:
            self.root.read.difference_update(self.symbols)
        frame.current = POISON
        name = new_name(cls.keyword, call, frame)
        op = bound.value
        inputs: tuple[Tensor, ...] = () if cls.arity == 0 else (before,)
        owner = ""
        if isinstance(op, Input):
            op = op.replace(symbols=symbols)
        elif op is not None:
            op, inputs, owner = resolve(op, inputs, call, bound.places, frame, self.nodes)
        told = len(self.diagnostics)
        self.make(name, call, op, inputs, bound.places, frame, owner)
        if unknown:
            del self.diagnostics[told:]

    def input_symbols(self, call: syntax.Call) -> tuple[str, ...]:
        """The symbols of an input; new ones get a size that stands for them."""
        found = symbols_of(call, self.symbols, self.root)
        for name in found:
            if name and name not in self.symbols:
                self.symbols[name] = self.root.values[name] = self.sizes(name)
        return found

    def merge(self, cls: type[Merge], call: syntax.Call, frame: Frame) -> None:
        before = current_tensor(call, frame)
        frame.current = POISON
        name = new_name(cls.keyword, call, frame)
        inputs = operands_of(cls, call, frame)
        if not call.bodies:
            inputs.insert(0, before)
        for body in call.bodies:
            frame.current = before
            inner = frame.inside(Scope(frame.scope), branch=True)
            frame.current = POISON
            self.body(body.statements, inner)
            inputs.append(inner.current or POISON)
        if len(inputs) < 2:
            help = f"`{cls.keyword} {{ ... }} {{ }}`: `{{ }}` is the tensor itself"
            raise CnncError.of("E118", f"{cls.keyword} needs two tensors or more", span=call.span, help=help)
        self.make(name, call, cls(), tuple(inputs), {}, frame)

    def make(
        self,
        name: str,
        call: syntax.Call,
        op: Op | None,
        inputs: tuple[Tensor, ...],
        places: Mapping[str, Span],
        frame: Frame,
        owner: str = "",
    ) -> None:
        """Adds the node of a layer, or poison where it has no type, and makes it the current tensor."""
        space, full, made = frame.space, "", None
        if op is not None:
            made, diagnostics = infer(op, call, inputs, places, self.nodes, self.fixed or not self.symbols)
            self.report(diagnostics, frame)
            sources = tuple([t.node for t in inputs])
            if made is not None and all(sources):
                owner = owner or twin_owner(name, op, inputs, call, frame, self.nodes)
                full = space.prefix + name
                self.nodes[full] = Node(full, op, sources, made, call.span, space.calls, owner, space.path)
                if len(self.nodes) > MAX_LAYERS:
                    raise _TooMuch(f"more than {MAX_LAYERS:,} layers", call.span, frame)
        tensor = Tensor(full, made)
        frame.declare(name, call.label, tensor, call.span)
        frame.current = tensor


_HANDLERS: dict[str, Callable[[_Lowerer, syntax.Call, Frame], None]] = {
    "net": _Lowerer.net,
    "from": _Lowerer.from_,
    "output": _Lowerer.output,
    "repeat": _Lowerer.repeat,
    "include": _Lowerer.include,
    "expect": _Lowerer.expect,
    "budget": _Lowerer.budget,
    "train": _Lowerer.train_section,
}
_TOP_ONLY = ("net", "output", "include", "budget", "train")
_ONLY_ONCE = ("net", "output", "train")
