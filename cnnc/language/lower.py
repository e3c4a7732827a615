"""Syntax tree to Graph.

In: a `File`, settings of the command line, sizes for symbols. Out: `Lowered`: the graph if the source has no errors, and
all diagnostics. This module walks over the statements and hands the current tensor from each to the next; blocks and
repeats are expanded, arguments bound, names resolved and types inferred by the modules named after these steps. It reads
no data and computes no weights; the train section is passed on as written.

A layer that fails leaves a poisoned tensor. The arguments of the layers below it are still checked, but their shapes
raise no further errors, until a layer whose output type holds for any input, as that of `fc`.

Example: `input 1x8x8; conv 4 k=3; relu` becomes the nodes input1, conv1 (4x6x6) and relu1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import ClassVar

from cnnc.core.record import Record
from cnnc.diagnostics import CnncError, Diagnostic, Edit, Note, Span, in_source_order
from cnnc.graph.graph import ExpandedCall, Graph, Node
from cnnc.language import blocks, syntax
from cnnc.language.assertions import Assertions, ShapeAssertion
from cnnc.language.bind import bind, instance, no_body, only_value
from cnnc.language.blocks import MAX_LAYERS
from cnnc.language.edits import as_written, first_that_works, rewritten, whole, without_statement
from cnnc.language.expressions import AlreadyReported, Scope, Unknown, evaluate
from cnnc.language.finish import build_graph, unmatched_settings, unused_definitions
from cnnc.language.include import Includes
from cnnc.language.infer import infer
from cnnc.language.lints import lint
from cnnc.language.operands import named_twice, operands_of, require_one_subtrahend
from cnnc.language.references import layers_above, max_pools, outputs_of, owner_in_shared_call, resolve, source_of
from cnnc.language.resolve import (
    defined_twice,
    new_name,
    op_class,
    require_free,
    require_input,
    require_not_reserved,
    symbols_of,
    unreadable_block,
)
from cnnc.language.scope import POISON, Frame, LayerReference, Space, Tensor, with_c_in
from cnnc.language.trace import LoweringTrace
from cnnc.language.uses import axis_spans
from cnnc.ops import Op
from cnnc.ops.dense import Input
from cnnc.ops.merge import Merge, Sub

MAX_STEPS = 5 * MAX_LAYERS  # statements and rounds lowered, those of blocks and repeats each time
MAX_DIAGNOSTICS = 200


class _TooLarge(Exception):
    """The source expands to too many layers or steps (E113); lowering stops."""

    def __init__(self, message: str, span: Span, frame: Frame) -> None:
        super().__init__(message)
        help = "use fewer rounds or block calls"
        self.diagnostic = Diagnostic("E113", message, span, calls=frame.space.calls, help=help)


class TrainSection(Record):
    """The train section as written, the variables that it can use, and the frame whose layers it can name (None: no network)."""

    call: syntax.Call
    scope: Scope
    top: Frame | None = None


class Lowered(Record):
    """The result of lowering a file; `graph` is None if the source has errors.

    `symbols` are the sizes used for the symbols, `shape_assertions` the shapes that `expect` asserts, `root` the variables
    of the top level: with these, other sizes can be tried without lowering again. Not if `sized`: then the source computes
    with a size, so that the layers themselves may change with it (see size_survey.py). `steps` counts the statements after
    expanding blocks and repeats. `trace` is what lowering saw, if that was asked for.
    """

    name: str
    graph: Graph | None
    train: TrainSection | None
    diagnostics: tuple[Diagnostic, ...]
    symbols: Mapping[str, int]
    shape_assertions: tuple[ShapeAssertion, ...]
    root: Scope
    sized: bool
    steps: int
    quiet_fields: ClassVar[tuple[str, ...]] = ("trace",)
    trace: LoweringTrace | None = None


def lower(
    file: syntax.File,
    stem: str,
    settings: Mapping[str, syntax.Expression] | None = None,
    sizes: Callable[[str], int] | None = None,
    includes: Includes | None = None,
    fixed: bool = False,
    traced: bool = False,
    tried: bool = False,
) -> Lowered:
    """Lowers a file. Errors in the source are in `Lowered.diagnostics`.

    `stem` is the name of a network without a `net` line; `settings` override top-level `let`s; `sizes` gives the size of
    each symbol, and `fixed` says that the user chose them (`--at`), that they are not merely tried. `traced` asks for a trace.
    For sizes that are only `tried`, the first error ends the lowering.
    """
    chosen = sizes or (lambda name: 224)
    trace = LoweringTrace(file) if traced else None
    return _Lowerer(
        file, stem, dict(settings or {}), chosen, includes or Includes(None, None), fixed, trace, tried
    ).run()


class _Lowerer:
    """One walk over a file, and what it has collected so far.

    Methods that lower a statement or body take the current tensor (None before the first input) and return the new one.
    """

    def __init__(
        self,
        file: syntax.File,
        stem: str,
        settings: dict[str, syntax.Expression],
        sizes: Callable[[str], int],
        includes: Includes,
        fixed: bool,
        trace: LoweringTrace | None,
        tried: bool,
    ) -> None:
        self.file = file
        self.name = stem
        self.settings = settings
        self.sizes = sizes
        self.includes = includes
        self.including = [] if includes.root is None else [Path(file.source.name).resolve()]
        self.included: set[Path] = set()
        self.fixed = fixed
        self.max_diagnostics = 0 if tried else MAX_DIAGNOSTICS
        self.root = Scope()
        self.trace = trace
        self.root.uses = trace.names if trace is not None else None
        self.symbols: dict[str, int] = {}
        self.blocks: dict[str, syntax.Block] = {}
        self.called: set[str] = set()
        self.nodes: dict[str, Node] = {}
        self.block_calls: list[ExpandedCall] = []
        self.outputs: list[str] = []
        self.assertions = Assertions()
        self.train: TrainSection | None = None
        self.first_uses: dict[str, Span] = {}  # of statements that may occur only once
        self.diagnostics: list[Diagnostic] = []
        self.incomplete = False  # whether an include could not be read
        self.unreadable = {name for name in map(unreadable_block, file.statements) if name}
        self.complete = True  # whether all statements could be parsed
        self.steps = 0

    def run(self) -> Lowered:
        top = Frame(Space(self.file), self.root, None, top=True)
        self.diagnostics += blocks.collect(self.file, self.includes, tuple(self.including), self.blocks)
        last = None
        try:
            last = self.body(self.file.statements, top, None)
        except _TooLarge as error:
            self.diagnostics.append(error.diagnostic)
        if self.complete:
            self.diagnostics += unmatched_settings(self.settings, self.root, self.train is not None)
        graph = self.finish(last)
        sized = any(name in self.root.read for name in self.symbols)
        return Lowered(
            self.name,
            graph.replace(sized=sized) if graph is not None and not self.failed() else None,
            self.train,
            tuple(in_source_order(self.diagnostics, self.includes.sources())),
            self.symbols,
            tuple(self.assertions.shapes),
            self.root,
            sized,
            self.steps,
            self.finished_trace(top),
        )

    def finished_trace(self, top: Frame) -> LoweringTrace | None:
        """The trace, with what the whole file has."""
        if self.trace is not None:
            self.trace.top = top
            self.trace.nodes = tuple(self.nodes.values())
            self.trace.calls = tuple(self.block_calls)
            self.trace.blocks = self.blocks
            self.trace.symbols = self.symbols
            self.visit_uncalled_blocks()
        return self.trace

    def visit_uncalled_blocks(self) -> None:
        """Lowers the blocks of this file that nothing calls, so that the trace knows their names; nothing else is kept."""
        for name, block in list(self.blocks.items()):
            if name in self.called or block.span.source is not self.file.source:
                continue
            lowerer = copy(self)
            lowerer.nodes, lowerer.diagnostics, lowerer.block_calls, lowerer.called = {}, [], [], set()
            lowerer.assertions, lowerer.steps, lowerer.blocks = Assertions(), 0, dict(self.blocks)
            scope = Scope(self.root)
            for parameter in block.parameters:
                scope.define(parameter.name.text, Unknown(), parameter.span)
            space = Space(self.file, f"{name}.", path=(name,))
            with suppress(_TooLarge):
                lowerer.body(block.body.statements, Frame(space, scope, POISON), POISON)

    def finish(self, last: Tensor | None) -> Graph | None:
        """The graph, and the diagnostics that need all of it; None if there are errors so far."""
        if self.failed() or not self.complete:
            return None
        try:
            graph = build_graph(self.file, self.name, self.nodes, self.outputs, last)
            graph = graph.replace(calls=tuple(self.block_calls))
        except CnncError as error:
            self.diagnostics += error.diagnostics
            return None
        self.diagnostics += lint(graph)
        self.diagnostics += unused_definitions(self.file, self.root, self.blocks, self.called)
        self.diagnostics += self.assertions.check(graph, {} if self.fixed else self.symbols)
        return graph

    def failed(self) -> bool:
        return any(d.severity == "error" for d in self.diagnostics)

    # --- the walk over statements ------------------------------------------------------------------------

    def body(self, statements: tuple[syntax.Statement, ...], frame: Frame, current: Tensor | None) -> Tensor | None:
        """Lowers statements in order; a statement that fails is reported, and the ones after it are lowered all the same."""
        frame.statements = statements
        for statement in statements:
            if len(self.diagnostics) > self.max_diagnostics and (self.max_diagnostics or self.failed()):
                break  # nobody reads more, and finding them takes time
            self.count_step(statement.span, frame)
            before, first = current, len(self.nodes)
            try:
                current = self.statement(statement, frame, current)
            except (CnncError, AlreadyReported) as error:
                self.report_error(error, frame)
            if self.trace is not None:
                self.trace.visited(statement.span, frame, before, current, first, len(self.nodes))
        return current

    def count_step(self, span: Span, frame: Frame) -> None:
        """Counts one statement or round. Raises _TooLarge."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise _TooLarge(f"more than {MAX_STEPS:,} statements after expanding blocks and repeats", span, frame)

    def report(self, diagnostics: tuple[Diagnostic, ...], frame: Frame) -> None:
        """Adds diagnostics, with the block calls that led to this frame."""
        if not diagnostics:
            return
        calls = frame.space.calls
        self.diagnostics += [d._replace(calls=calls) if calls and not d.calls else d for d in diagnostics]

    def report_error(self, error: CnncError | AlreadyReported, frame: Frame) -> None:
        if isinstance(error, CnncError):
            self.report(error.diagnostics, frame)

    def statement(self, statement: syntax.Statement, frame: Frame, current: Tensor | None) -> Tensor | None:
        match statement:
            case syntax.Let():
                self.let(statement, frame, current)
            case syntax.Malformed():
                return self.malformed(statement, frame, current)
            case syntax.Block() if not frame.top:
                self.blocks.setdefault(statement.name.text, statement)  # so that its calls are not errors as well
                message, help = "a block cannot be defined inside a body", "move it to the top level of the file"
                raise CnncError.of("E121", message, span=statement.span, help=help)
            case syntax.Call():
                return self.call(statement, frame, current)
        return current

    def malformed(self, statement: syntax.Malformed, frame: Frame, current: Tensor | None) -> Tensor | None:
        """The current tensor after a statement with a syntax error: poison, unless the statement cannot be a layer.

        What it defines is entered as unknown, so that the uses of it cause no further errors.
        """
        self.complete = False
        op, name = statement.op, statement.name
        self.incomplete = self.incomplete or op == "include"
        if op in ("let", name):
            frame.scope.define(name, Unknown())
        if op in ("let", "block", "expect", *_DECLARATIONS):
            return current
        label = syntax.Name(name, statement.span) if name else None
        frame.declare(frame.next_name(op, label), label, POISON, statement.span)
        return POISON

    def call(self, call: syntax.Call, frame: Frame, current: Tensor | None) -> Tensor | None:
        word = call.op.text
        if word not in _DECLARATIONS and word not in _FLOW:
            if word in self.blocks:
                return self.block_call(call, self.blocks[word], frame, current)
            return self.layer(call, frame, current)
        if call.label is not None:
            span = call.label.span.source.span(call.label.span.start, call.op.span.start)
            edits = (Edit(span, "", f"remove `{call.label.text}:`"),)
            raise CnncError.of("E107", f"`{word}` cannot have a label", span=call.label.span, edits=edits)
        if call.bodies and word not in ("train", "repeat"):
            raise no_body(call)
        if word in _FLOW:
            return _FLOW[word](self, call, frame, current)
        if not frame.top:
            message, help = f"`{word}` is allowed only at the top level of the file", "move it out of the body"
            raise CnncError.of("E122", message, span=call.span, help=help)
        if word in _ONLY_ONCE:
            self.require_first_use(call)
            self.first_uses[word] = call.span
        _DECLARATIONS[word](self, call, frame, current)
        return current

    def require_first_use(self, call: syntax.Call) -> None:
        """Raises CnncError E106 if the statement occurred above."""
        word = call.op.text
        if word in self.first_uses:
            note = Note(self.first_uses[word], "the first")
            edit = without_statement(whole(call), "remove one of them")
            if word == "output":
                first = note.span.source.span(note.span.end, note.span.end)
                names = " ".join(map(as_written, call.arguments))
                between = call.span.source.text[first.start : edit.span.start]
                joined = Span(first.source, first.start, edit.span.end)
                edit = Edit(joined, f" {names}{between}", "name all outputs in one statement")
            raise CnncError(Diagnostic("E106", f"a second `{word}`", call.span, notes=(note,), edits=(edit,)))

    def let(self, let: syntax.Let, frame: Frame, current: Tensor | None) -> None:
        require_not_reserved(let.name)
        name, scope = let.name.text, frame.scope
        if name in scope.values and name in scope.spans:
            raise defined_twice(let.name, scope.spans[name])
        expression = self.settings.get(name, let.value) if frame.top else let.value
        scope.define(name, Unknown(), let.name.span)
        scope.values[name] = evaluate(expression, with_c_in(scope, current))

    # --- declarations: statements of the top level, which leave the current tensor as it is ----------------

    def net(self, call: syntax.Call, frame: Frame, current: Tensor | None) -> None:
        written = " ".join(map(as_written, call.arguments))
        edits = (rewritten(call, f'net "{written}"'),) if written and '"' not in written else ()
        if len(call.arguments) > 1 and edits:
            raise CnncError.of("E204", "net takes one name", span=call.span, edits=edits)
        value = only_value(call, "a name")
        if isinstance(value, syntax.Word):
            self.name = value.name
        elif isinstance(value, syntax.Text):
            self.name = value.value
        else:
            raise CnncError.of("E203", "net takes a name or a string", span=value.span, edits=edits)

    def output(self, call: syntax.Call, frame: Frame, current: Tensor | None) -> None:
        self.outputs += outputs_of(call, frame)

    def include(self, call: syntax.Call, frame: Frame, current: Tensor | None) -> None:
        incomplete = self.incomplete
        self.incomplete = True
        path, file, _ = self.includes.file_of(call)
        self.incomplete = incomplete
        if self.trace is not None:
            self.trace.included[call.arguments[0].value.span] = file
        if path in self.included or path in self.including or len(self.including) > blocks.MAX_INCLUDES:
            return  # it is there already; what is circular or nested too deeply is reported by `blocks.collect`
        self.included.add(path)
        self.including.append(path)
        for statement in file.statements:
            nested = isinstance(statement, syntax.Call) and statement.op.text == "include"
            if nested or isinstance(statement, syntax.Let):
                self.body((statement,), frame, current)
            elif isinstance(statement, syntax.Malformed):
                self.incomplete = True
                self.malformed(statement, frame, current)
            elif isinstance(statement, syntax.Call):
                message = "an included file may contain only `let`, `block` and `include`"
                help = "move the line into the including file, or into a block"
                self.diagnostics.append(Diagnostic("E120", message, statement.span, help=help))
        self.including.pop()

    def budget(self, call: syntax.Call, frame: Frame, current: Tensor | None) -> None:
        self.assertions.add_budget(call, with_c_in(frame.scope, current))

    def train_section(self, call: syntax.Call, frame: Frame, current: Tensor | None) -> None:
        self.train = TrainSection(call, with_c_in(frame.scope, current), frame)
        self.root.read.update(word for body in call.bodies for word in syntax.words_in(body))

    # --- flow: statements that choose or change the current tensor -----------------------------------------

    def from_(self, call: syntax.Call, frame: Frame, current: Tensor | None) -> Tensor:
        try:
            return source_of(call, frame)
        except (CnncError, AlreadyReported) as error:
            self.report_error(error, frame)
            return POISON

    def expect(self, call: syntax.Call, frame: Frame, current: Tensor | None) -> Tensor | None:
        symbols_read = self.symbols_read()
        inferred = self.assertions.expect(call, current, with_c_in(frame.scope, current), frame.top, self.nodes)
        self.report(inferred.diagnostics, frame)
        self.forget_reads_except(symbols_read)
        if inferred.type is None or current is None:
            return current
        return Tensor(current.node, inferred.type)

    def repeat(self, call: syntax.Call, frame: Frame, current: Tensor | None) -> Tensor | None:
        count, counter = blocks.rounds(call, frame, current, self.blocks)
        for index in range(count):
            scope = Scope(frame.scope)
            if counter is not None:
                scope.define(counter, index)
                scope.read.add(counter)
            self.count_step(call.span, frame)
            count_before = len(self.diagnostics)
            inner = frame.enter(scope, current, round_=index)
            current = self.body(call.bodies[0].statements, inner, current)
            if index:
                of_round = self.diagnostics[count_before:]
                self.diagnostics[count_before:] = [blocks.with_rounds_that_fit(d, call, index, count) for d in of_round]
        return current

    def block_call(self, call: syntax.Call, block: syntax.Block, frame: Frame, current: Tensor | None) -> Tensor | None:
        """The output of a block call; poison if the call itself fails."""
        try:
            return self.expand(call, block, frame, current)
        except (CnncError, AlreadyReported) as error:
            self.report_error(error, frame)
            return self.poisoned(call, frame)

    def poisoned(self, call: syntax.Call, frame: Frame) -> Tensor:
        """Poison, under the name of a call that failed, so that no other error follows from it."""
        name = frame.next_name(call.op.text, call.label)
        if name not in frame.space.declarations:
            frame.declare(name, call.label, POISON, call.span)
        return POISON

    def expand(self, call: syntax.Call, block: syntax.Block, frame: Frame, current: Tensor | None) -> Tensor | None:
        name = block.name.text
        self.called.add(name)
        if self.trace is not None:
            self.trace.names.call(call, block)
        if call.bodies:
            raise no_body(call)
        recursion = blocks.recursion(call, block, frame)
        if recursion is not None:
            raise CnncError(recursion)
        blocks.require_bounded(call, block, frame, self.root, self.blocks)
        if call.label is not None:
            require_not_reserved(call.label)
        scope, share = blocks.variables(call, block, frame, current, self.root)
        outer, local_name = frame.space, frame.next_name(name, call.label)
        if not share and outer.share:  # a call inside a call that shares parameters shares them too
            share = f"{outer.share}{local_name}."
        require_free(local_name, call, frame)
        full_name = f"{outer.prefix}{local_name}"
        calls = (*outer.calls, Note(call.span, f"block {name}"))
        space = Space(self.file, f"{full_name}.", calls, share, (*outer.path, full_name))
        arguments = [(p.name.text, scope.values[p.name.text]) for p in block.parameters]
        result = self.body(block.body.statements, Frame(space, scope, current), current)
        numbers = tuple((key, value) for key, value in arguments if not isinstance(value, LayerReference))
        layers = tuple((key, value.tensor.node) for key, value in arguments if isinstance(value, LayerReference))
        first, last = (tensor.node if tensor is not None else "" for tensor in (current, result))
        self.block_calls.append(ExpandedCall(full_name, name, numbers, layers, first, last, call.span))
        frame.declare_call(local_name, call, space, result)
        return result

    # --- layers ------------------------------------------------------------------------------------------

    def layer(self, call: syntax.Call, frame: Frame, current: Tensor | None) -> Tensor:
        """The output of a layer; poison if it fails."""
        if call.op.text in self.unreadable:
            return self.poisoned(call, frame)
        cls, unknown = op_class(call, self.blocks)
        if unknown and self.incomplete:  # it may be a block of the file that could not be read
            cls, unknown = None, ()
        self.report(unknown, frame)
        if cls is None:
            return self.poisoned(call, frame)
        if call.bodies and not issubclass(cls, Merge):
            raise no_body(call)
        try:
            if issubclass(cls, Merge) and unknown:
                return self.poisoned(call, frame)
            if issubclass(cls, Merge):
                return self.merge(cls, call, frame, current)
            return self.plain_layer(cls, call, frame, current, is_guess=bool(unknown))
        except (CnncError, AlreadyReported) as error:
            self.report_error(error, frame)
            return POISON

    def plain_layer(
        self, cls: type[Op], call: syntax.Call, frame: Frame, current: Tensor | None, is_guess: bool
    ) -> Tensor:
        """The output of a layer that is not a merge. If its op is a guess for an unknown word, what is wrong is not reported."""
        layer_input = POISON if cls.arity == 0 else require_input(call, current, self.file)
        rank = layer_input.type.rank if layer_input.type is not None else 0
        symbols_read = self.symbols_read() if cls is Input else set()
        symbols = self.input_symbols(call) if cls is Input else ()
        scope = with_c_in(frame.scope, layer_input) if call.arguments and cls.arity else frame.scope
        bound = bind(cls, call, scope, rank, lambda argument: self.layer_for(argument, call, frame))
        if not is_guess:
            self.report(bound.diagnostics, frame)
        if cls is Input:
            self.forget_reads_except(symbols_read)
        name = new_name(cls.keyword, call, frame)
        op = bound.value
        inputs: tuple[Tensor, ...] = () if cls.arity == 0 else (layer_input,)
        owner = ""
        if isinstance(op, Input):
            op = op.replace(symbols=symbols)
        elif op is not None:
            op, inputs, owner = resolve(op, inputs, call, bound.spans, frame, self.nodes)
        count_before = len(self.diagnostics)
        output = self.add_node(name, call, op, inputs, bound.spans, frame, owner)
        if is_guess:
            del self.diagnostics[count_before:]
        return output

    def layer_for(self, argument: str, call: syntax.Call, frame: Frame) -> str:
        """The name of a layer above for an argument that names one: `of` of an unpool, `a` and `b` of a bilinear."""
        names = max_pools(frame, self.nodes) if argument == "of" else layers_above(frame, None)
        given = {as_written(a) for a in call.arguments}
        others = [name for name in names if name not in given]
        return (others[1:] if argument == "b" and not given and others[1:] else others or names or [""])[0]

    def input_symbols(self, call: syntax.Call) -> tuple[str, ...]:
        """The symbols of an input's shape; each new one is given a size."""
        symbols = symbols_of(call, self.symbols, self.root)
        if self.trace is not None and symbols and isinstance(shape := call.arguments[0].value, syntax.Extent):
            for name, span in zip(symbols, axis_spans(shape), strict=False):
                if name:
                    self.trace.names.size(name, span)
        for name in symbols:
            if name and name not in self.symbols:
                self.symbols[name] = self.root.values[name] = self.sizes(name)
        return symbols

    def symbols_read(self) -> set[str]:
        """The symbols that the source has computed with so far."""
        return {name for name in self.symbols if name in self.root.read}

    def forget_reads_except(self, symbols_read: set[str]) -> None:
        """Takes back reads of symbols since `symbols_read`: shapes of inputs and assertions do not compute with a size."""
        self.root.read.difference_update(self.symbols.keys() - symbols_read)

    def merge(self, cls: type[Merge], call: syntax.Call, frame: Frame, current: Tensor | None) -> Tensor:
        layer_input = require_input(call, current, self.file)
        name = new_name(cls.keyword, call, frame)
        operands = operands_of(cls, call, frame, current)
        inputs = [operand.tensor for operand in operands]
        warning = None
        if not call.bodies:
            if issubclass(cls, Sub):
                require_one_subtrahend(call, operands, layer_input)
            warning = named_twice(cls, call, operands, layer_input)
            inputs.insert(0, layer_input)
        for body in call.bodies:
            branch = frame.enter(Scope(frame.scope), layer_input, branch=True)
            inputs.append(self.body(body.statements, branch, layer_input) or POISON)
        if len(inputs) < 2:
            help = "name a layer above, or write branches in braces, in which `{ }` is the current tensor itself"
            end = whole(call).end
            names = layers_above(frame, current)
            edits = [Edit(call.span.source.span(end, end), " { }", "add `{}`, the current tensor itself")]
            if not call.bodies:
                edits = [rewritten(call, f"{cls.keyword} {n}", "name a layer above, e.g. `{}`") for n in names]
            message = f"{cls.keyword} needs two or more tensors"
            raise CnncError.of("E118", message, span=call.span, help=help, edits=first_that_works(edits))
        output = self.add_node(name, call, instance(cls), tuple(inputs), {}, frame)
        if warning is not None and output.type is not None:
            self.report((warning,), frame)
        return output

    def add_node(
        self,
        name: str,
        call: syntax.Call,
        op: Op | None,
        inputs: tuple[Tensor, ...],
        spans: Mapping[str, Span],
        frame: Frame,
        owner: str = "",
    ) -> Tensor:
        """Adds the node of a layer and declares its name; the output is poison if its type is unknown.

        `spans` are those of the arguments, `owner` the layer whose parameters it uses. Raises _TooLarge, and CnncError E124.
        """
        space, full_name, output = frame.space, "", None
        if op is not None:
            output, diagnostics = infer(
                op, call, inputs, spans, self.nodes, self.fixed or not self.symbols, frame.statements
            )
            self.report(diagnostics, frame)
            sources = tuple([t.node for t in inputs])
            if output is not None and all(sources):
                owner = owner or owner_in_shared_call(name, op, inputs, call, frame, self.nodes)
                full_name = space.prefix + name
                self.nodes[full_name] = Node(full_name, op, sources, output, call.span, space.calls, owner, space.path)
                if len(self.nodes) > MAX_LAYERS:
                    raise _TooLarge(f"more than {MAX_LAYERS:,} layers", call.span, frame)
        tensor = Tensor(full_name, output)
        frame.declare(name, call.label, tensor, call.span)
        return tensor


_DECLARATIONS: dict[str, Callable[[_Lowerer, syntax.Call, Frame, Tensor | None], None]] = {
    "net": _Lowerer.net,
    "output": _Lowerer.output,
    "include": _Lowerer.include,
    "budget": _Lowerer.budget,
    "train": _Lowerer.train_section,
}
_FLOW: dict[str, Callable[[_Lowerer, syntax.Call, Frame, Tensor | None], Tensor | None]] = {
    "from": _Lowerer.from_,
    "expect": _Lowerer.expect,
    "repeat": _Lowerer.repeat,
}
_ONLY_ONCE = ("net", "output", "train")
