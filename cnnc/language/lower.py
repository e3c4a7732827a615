"""Syntax tree to Graph.

In: a `File`, the settings of the command line, sizes for symbols. Out: `Lowered`, with the graph where the
text has no error, and every diagnostic. It expands blocks and repeats, binds arguments to ops, infers each
shape as it stands, and names nodes. It reads no data and computes no weights; the train section is handed
on as it was written.

A layer that fails leaves a poisoned tensor: the layers after it still have their arguments checked, but
their shapes raise nothing further, until a layer whose output is known whatever comes in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cnnc.arguments import LayerName, Word
from cnnc.diagnostics import CnncError, Diagnostic, Note, Span, in_order, nearest
from cnnc.graph import Graph, Node, verify
from cnnc.language import contracts, syntax
from cnnc.language.bind import after_a_key, bind
from cnnc.language.expressions import RESERVED_VALUES, Scope, Silent, Unknown, evaluate, kind
from cnnc.language.include import Includes
from cnnc.language.lints import lint
from cnnc.language.names import POISON, Frame, LayerReference, Space, Tensor, value_of
from cnnc.language.synonyms import known_elsewhere, of_the_train_section
from cnnc.ops import OPS, Op, ShapeError
from cnnc.ops.dense import Fc, Input
from cnnc.ops.merge import Merge
from cnnc.ops.pool import Pool, Unpool
from cnnc.record import Record
from cnnc.tensor import TensorType

STATEMENTS = ("net", "let", "from", "output", "block", "repeat", "include", "expect", "budget", "train")
MAX_LAYERS = 100_000
MAX_STEPS = 5 * MAX_LAYERS  # statements lowered, those of blocks and repeats each time
MAX_DIAGNOSTICS = 200
MAX_CALLS = 40  # block calls within each other
MAX_ELEMENTS = 2**33  # of one tensor or parameter


class _TooMuch(Exception):
    """The text makes more than there may be of layers or of steps; nothing after it is looked at."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


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
    def __init__(
        self,
        file: syntax.File,
        stem: str,
        settings: dict[str, syntax.Expression],
        sizes: Callable[[str], int],
        includes: Includes,
        fixed: bool,
    ) -> None:
        self.fixed = fixed
        self.file = file
        self.name = stem
        self.settings = settings
        self.sizes = sizes
        self.includes = includes
        self.root = Scope()
        self.symbols: dict[str, int] = {}
        self.blocks: dict[str, syntax.Block] = {}
        self.called: set[str] = set()
        self.including: list[Any] = []
        self.nodes: dict[str, Node] = {}
        self.outputs: list[tuple[Tensor, Span]] = []
        self.read: set[str] = set()
        self.contracts = contracts.Contracts()
        self.train: TrainSection | None = None
        self.seen: dict[str, Span] = {}
        self.diagnostics: list[Diagnostic] = []
        self.steps = 0

    def run(self) -> Lowered:
        top = Frame(Space("", ()), self.root, None, top=True)
        self.collect_blocks(self.file, self.main_path())
        try:
            self.body(self.file.statements, top)
        except _TooMuch as stop:
            self.diagnostics.append(stop.diagnostic)
        self.check_settings()
        graph = self.finish(top)
        if graph is not None:
            self.diagnostics += lint(graph)
            self.diagnostics += self.unused()
            self.diagnostics += self.contracts.check(graph, bool(self.symbols) and not self.fixed)
        sized = any(name in self.root.read for name in self.symbols)
        clean = graph is not None and all(d.severity == "warning" for d in self.diagnostics)
        return Lowered(
            self.name,
            graph.replace(sized=sized) if graph is not None and clean else None,
            self.train,
            tuple(in_order(self.diagnostics)),
            self.symbols,
            tuple(self.contracts.expectations),
            self.root,
            sized,
        )

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
            raise _TooMuch(Diagnostic("E113", message, span, calls=frame.space.calls))

    def report(self, diagnostics: tuple[Diagnostic, ...], frame: Frame) -> None:
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
            raise _no_body(word, call)
        if word in _TOP_ONLY and not frame.top:
            raise CnncError.of(
                "E122", f"`{word}` inside a body", span=call.span, help="it stands at the top of the file"
            )
        handler(self, call, frame)

    def let(self, let: syntax.Let, frame: Frame) -> None:
        self.check_name(let.name)
        name, scope = let.name.text, frame.scope
        if name in scope.values and name in scope.places:
            raise _twice(let.name, scope.places[name])
        expression = self.settings.get(name, let.value) if frame.top else let.value
        scope.define(name, Unknown(), let.name.span)
        scope.values[name] = evaluate(expression, self.with_c_in(frame))

    def net(self, call: syntax.Call, frame: Frame) -> None:
        self.only_once(call)
        value = _one(call, "a name")
        if isinstance(value, syntax.Word):
            self.name = value.name
        elif isinstance(value, syntax.Text):
            self.name = value.value
        else:
            raise CnncError.of("E203", "net takes a name or a string", span=value.span)

    def from_(self, call: syntax.Call, frame: Frame) -> None:
        frame.current = POISON
        value = _one(call, "a layer's name")
        if not isinstance(value, syntax.Word):
            raise CnncError.of("E203", "from takes a layer's name", span=value.span)
        found = self.tensors(value, frame)
        if len(found) != 1:
            raise CnncError.of("E203", "from goes on from one layer, not from several", span=value.span)
        frame.current = found[0]

    def output(self, call: syntax.Call, frame: Frame) -> None:
        self.only_once(call)
        if not call.arguments:
            raise CnncError.of("E202", "output needs the names of layers", span=call.span)
        for argument in call.arguments:
            if argument.key is not None or not isinstance(argument.value, syntax.Word):
                raise CnncError.of("E203", "output takes names of layers", span=argument.span)
            for tensor in self.tensors(argument.value, frame):
                if any(tensor.node == other.node for other, _ in self.outputs if tensor.node):
                    message = f"{argument.value.name} is an output already"
                    raise CnncError.of("E106", message, span=argument.span, help="leave it out")
                self.outputs.append((tensor, argument.span))

    def include(self, call: syntax.Call, frame: Frame) -> None:
        path, file, _ = self.included(call)
        if path in self.including or path in self.main_path():
            return  # said by collect_blocks
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

    def included(self, call: syntax.Call) -> tuple[Any, syntax.File, list[Diagnostic]]:
        value = _one(call, "a file's name in quotes")
        if not isinstance(value, syntax.Text):
            raise CnncError.of("E203", 'include takes a file\'s name in quotes: `include "parts.cnn"`', span=value.span)
        return self.includes.load(value.value, value.span)

    def main_path(self) -> tuple[Path, ...]:
        """The file itself, as the first of those that include each other."""
        return () if self.includes.root is None else (Path(self.file.source.name).resolve(),)

    def collect_blocks(self, file: syntax.File, trail: tuple[Path, ...] = ()) -> None:
        """Enters the blocks of a file and of those it includes, wherever they stand."""
        for statement in file.statements:
            try:
                if isinstance(statement, syntax.Block):
                    self.enter_block(statement)
                elif isinstance(statement, syntax.Call) and statement.op.text == "include":
                    path, inner, diagnostics = self.included(statement)
                    self.diagnostics += diagnostics
                    if path in trail:
                        help = "take one of the includes of the circle out"
                        raise CnncError.of("E120", "this include closes a circle", span=statement.span, help=help)
                    self.collect_blocks(inner, (*trail, path))
            except CnncError as error:
                self.diagnostics += error.diagnostics

    def enter_block(self, block: syntax.Block) -> None:
        self.check_name(block.name)
        name = block.name.text
        known = self.blocks.get(name)
        if known is not None and known is not block:
            raise _twice(block.name, known.name.span)
        self.blocks[name] = block
        seen: dict[str, Span] = {}
        for parameter in block.parameters:
            word = parameter.name.text
            if word in seen:
                raise _twice(parameter.name, seen[word])
            if word in RESERVED_VALUES or "." in word:
                help = f"say `my_{word.replace('.', '_')}`"
                raise CnncError.of("E105", f"`{word}` cannot be a parameter", span=parameter.name.span, help=help)
            seen[word] = parameter.name.span

    def train_section(self, call: syntax.Call, frame: Frame) -> None:
        self.only_once(call)
        self.train = TrainSection(call, frame.scope)
        self.root.read.update(word for body in call.bodies for word in syntax.words_in(body))

    # --- repeat and blocks -------------------------------------------------------------------------------

    def repeat(self, call: syntax.Call, frame: Frame) -> None:
        count, counter = self.repeat_head(call, frame)
        if len(call.bodies) != 1:
            raise CnncError.of("E108", "repeat takes one body", span=call.span, help="`repeat 3 { ... }`")
        body = call.bodies[0]
        if count * self.weight(body, frame.scope) > MAX_LAYERS:
            message = f"{count:,} rounds make more than {MAX_LAYERS:,} layers"
            raise CnncError.of("E113", message, span=call.span, help="fewer rounds, or fewer layers in each")
        for index in range(count):
            scope = Scope(frame.scope)
            if counter is not None:
                scope.define(counter, index)
                scope.read.add(counter)
            self.step(call.span, frame)
            inner = frame.inside(scope, round_=index)
            self.body(body.statements, inner)
            frame.current = inner.current

    def repeat_head(self, call: syntax.Call, frame: Frame) -> tuple[int, str | None]:
        values = [a.value for a in call.arguments if a.key is None]
        words = [v.name if isinstance(v, syntax.Word) else "" for v in values]
        counter = None
        if len(values) == 3 and words[1] == "as" and words[2]:
            counter = words[2]
            self.check_name(syntax.Name(counter, values[2].span))
        elif len(values) != 1 or len(values) != len(call.arguments):
            help = "`repeat 3 { ... }` or `repeat 3 as i { ... }`"
            raise CnncError.of("E202", "repeat takes a number of rounds", span=call.span, help=help)
        number = evaluate(values[0], self.with_c_in(frame))
        if isinstance(number, bool) or not isinstance(number, int | float) or number != number // 1 or number < 0:
            raise CnncError.of(
                "E203", f"repeat takes a whole number of rounds, not {kind(number)}", span=values[0].span
            )
        return int(number), counter

    def weight(self, body: syntax.Body, scope: Scope, trail: tuple[str, ...] = ()) -> int:
        """About how many layers a body makes (at least 1): enough to refuse a number of them before making any."""
        total = 1
        for statement in body.statements:
            if not isinstance(statement, syntax.Call):
                continue
            word = statement.op.text
            inner = sum(self.weight(b, scope, trail) for b in statement.bodies)
            if word == "repeat" and statement.arguments:
                value = statement.arguments[0].value
                rounds = value.value if isinstance(value, syntax.Number) else scope_number(value, scope)
                total += int(max(0, rounds)) * max(1, inner)
            elif word in self.blocks and word not in trail and len(trail) < MAX_CALLS:
                total += self.weight(self.blocks[word].body, scope, (*trail, word))
            else:
                total += 1 + inner
            if total > MAX_LAYERS:
                return total
        return total

    def block_call(self, call: syntax.Call, block: syntax.Block, frame: Frame) -> None:
        name = block.name.text
        self.called.add(name)
        if call.bodies:
            raise _no_body(name, call)
        trail = [note.text for note in frame.space.calls]
        if f"block {name}" in trail:
            frame.current = POISON
            help = "blocks cannot recur; `repeat N { ... }` does a thing several times"
            raise CnncError.of("E119", f"block {name} calls itself", span=call.span, help=help)
        if len(trail) >= MAX_CALLS:
            raise CnncError.of("E119", f"blocks call each other more than {MAX_CALLS} deep", span=call.span)
        if not trail and self.weight(block.body, self.root, (name,)) > MAX_LAYERS:
            raise CnncError.of("E113", f"block {name} makes more than {MAX_LAYERS:,} layers", span=call.span)
        if call.label is not None:
            self.check_name(call.label)
        scope, share = self.block_scope(call, block, frame)
        rel = frame.name_for(name, call.label)
        if not share and frame.space.share:  # what is called within a call that shares does so too
            share = f"{frame.space.share}{rel}."
        self.check_free(rel, call, frame)
        calls = (*frame.space.calls, Note(call.span, f"block {name}"))
        whole = f"{frame.space.prefix}{rel}"
        space = Space(f"{whole}.", calls, share, (*frame.space.path, whole))
        inner = Frame(space, scope, frame.current)
        self.body(block.body.statements, inner)
        frame.current = inner.current
        frame.declare(rel, call.label, inner.current or POISON, call.span)
        for key, entry in space.entries.items():
            if not entry.branch:
                frame.space.entries[f"{rel}.{key}"] = entry._replace(branch=frame.branch)

    def block_scope(self, call: syntax.Call, block: syntax.Block, frame: Frame) -> tuple[Scope, str]:
        """The variables of a block call, and the prefix of the call that it shares its parameters with."""
        parameters = {p.name.text: p for p in block.parameters}
        given: dict[str, syntax.Argument] = {}
        order = list(parameters)
        share = ""
        for position, argument in enumerate(call.arguments):
            key = argument.key
            if key is None:
                if any(a.key is not None for a in call.arguments[:position]):
                    raise CnncError(after_a_key(call, argument))
                if position >= len(order):
                    takes = f"takes {len(order) or 'no'} value{'s' if len(order) != 1 else ''}"
                    notes = (Note(block.span, "defined here"),)
                    help = "leave it out"
                    raise CnncError(
                        Diagnostic("E204", f"{block.name.text} {takes}", argument.span, notes=notes, help=help)
                    )
                given[order[position]] = argument
            elif key.text == "share" and "share" not in parameters:
                share = self.shared_call(argument, frame)
            elif key.text not in parameters:
                near = nearest(key.text, parameters)
                help = f"did you mean `{near}`?" if near else f"it has {', '.join(order) or 'none'}"
                raise CnncError.of("E201", f"{block.name.text} has no parameter `{key.text}`", span=key.span, help=help)
            elif key.text in given:
                notes = (Note(given[key.text].span, "first given here"),)
                message = f"{block.name.text} is given {key.text} twice"
                raise CnncError(Diagnostic("E205", message, argument.span, notes=notes, help="keep one of the two"))
            else:
                given[key.text] = argument
        scope = Scope(self.root)
        for name, parameter in parameters.items():
            if name in given:
                value = self.argument_value(given[name].value, frame)
            elif parameter.default is not None:
                value = evaluate(parameter.default, scope)
            else:
                written = " ".join([block.name.text, *(" ".join(a.span.text.split()) for a in call.arguments)])
                help = f"write `{written} {name}=1`, or another value"
                raise CnncError.of("E202", f"{block.name.text} needs `{name}`", span=call.span, help=help)
            scope.define(name, value, parameter.span)
        return scope, share

    def argument_value(self, expression: syntax.Expression, frame: Frame) -> Any:
        """The value of a block's argument: a variable, a layer, or a word."""
        if not isinstance(expression, syntax.Word):
            return evaluate(expression, self.with_c_in(frame))
        value = evaluate(expression, self.with_c_in(frame))
        if not isinstance(value, Word):
            return value
        if expression.name == "in" or frame.find(expression.name) is not None:
            return LayerReference(self.tensors(expression, frame)[0])
        return value

    def shared_call(self, argument: syntax.Argument, frame: Frame) -> str:
        word = argument.value
        if not isinstance(word, syntax.Word) or frame.find(word.name) is None:
            raise CnncError.of("E203", "share takes the label of an earlier call", span=argument.span)
        return f"{frame.space.prefix}{word.name}."

    # --- layers ------------------------------------------------------------------------------------------

    def layer(self, call: syntax.Call, frame: Frame) -> None:
        cls = self.op_class(call)
        if cls is None:
            frame.current = POISON
            return
        if issubclass(cls, Merge):
            self.merge(cls, call, frame)
            return
        if call.bodies:
            raise _no_body(call.op.text, call)
        before = POISON if cls.arity == 0 else self.need_current(call, frame)
        if before.type is None:  # poisoned, so that a failure below leaves it so
            frame.current = POISON
        self.with_c_in(frame)
        symbols = self.input_symbols(call) if cls is Input else ()
        bound = bind(cls, call, frame.scope, before.type.rank if before.type is not None else 0)
        if call.op.text in OPS:  # else the layer is a guess
            self.report(bound.diagnostics, frame)
        if cls is Input:
            self.root.read.difference_update(self.symbols)
        frame.current = POISON
        name = self.new_name(cls.keyword, call, frame)
        op = bound.value
        inputs: tuple[Tensor, ...] = () if cls.arity == 0 else (before,)
        owner = ""
        if isinstance(op, Input):
            op = op.replace(symbols=symbols)
        elif op is not None:
            op, inputs, owner = self.references(op, inputs, call, bound.places, frame)
        self.make(name, call, op, inputs, bound.places, frame, owner)

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
        full = frame.space.prefix + name
        made = None if op is None else self.infer(op, call, inputs, places, frame)
        if made is not None and op is not None and all(t.node for t in inputs):
            owner = owner or self.shared_owner(name, op, inputs, call, frame)
            node = Node(
                full, op, tuple(t.node for t in inputs), made, call.span, frame.space.calls, owner, frame.space.path
            )
            self.nodes[full] = node
            self.read.update(node.inputs)
            if len(self.nodes) > MAX_LAYERS:
                message = f"more than {MAX_LAYERS:,} layers"
                raise _TooMuch(Diagnostic("E113", message, call.span, calls=frame.space.calls))
            tensor = Tensor(full, made)
        else:
            tensor = Tensor("", made)
        frame.declare(name, call.label, tensor, call.span)
        frame.current = tensor

    def op_class(self, call: syntax.Call) -> type[Op] | None:
        """The op of a call; a misspelt one is reported, and taken for the nearest."""
        cls = OPS.get(call.op.text)
        if cls is not None:
            return cls
        meant = known_elsewhere(call.op.text)
        near = meant.partition(" ")[0] or nearest(call.op.text, [*OPS, *STATEMENTS, *self.blocks])
        help = f"did you mean `{meant or near}`?" if near else "`cnnc ops` lists the layers"
        if of_the_train_section(call.op.text):
            near, help = None, f"`{call.op.text}` stands inside `train {{ ... }}`"
        self.diagnostics.append(Diagnostic("E111", f"unknown layer `{call.op.text}`", call.op.span, help=help))
        return OPS.get(near or "")

    def references(
        self, op: Op, inputs: tuple[Tensor, ...], call: syntax.Call, places: Mapping[str, Span], frame: Frame
    ) -> tuple[Op | None, tuple[Tensor, ...], str]:
        """Resolves the layers that arguments name: operands, the pool of an unpool, the owner of shared parameters."""
        owner = ""
        operands: list[Tensor] = []
        for spec in op.arguments:
            value = getattr(op, spec.name)
            if not isinstance(spec.kind, LayerName) or value is None:
                continue
            tensor = self.one_tensor(value, places.get(spec.name, call.span), frame)
            if spec.name == "share":
                owner = self.owner_of(tensor, op, tuple(operands) or inputs, places[spec.name])
            else:
                operands.append(tensor)
        if isinstance(op, Unpool):
            pool = self.nodes.get(operands[0].node)
            if pool is None or not isinstance(pool.op, Pool):
                if operands[0].type is None:
                    raise Silent
                span = places.get("of", call.span)
                help = "label the max pool and name it: `p: pool max k=2`, then `unpool p`"
                raise CnncError.of("E123", "unpool takes the name of a max pool", span=span, help=help)
            source = self.nodes[pool.inputs[0]]
            return op.replace(pool=pool.op), (*inputs, Tensor(source.name, source.type)), owner
        return op, tuple(operands) if operands else inputs, owner

    def owner_of(self, tensor: Tensor, op: Op, inputs: tuple[Tensor, ...], span: Span) -> str:
        """The owner of the parameters that a layer shares, of the same kind and shapes."""
        other = self.nodes.get(tensor.node)
        types = tuple(t.type for t in inputs if t.type is not None)
        if other is None or len(types) != len(inputs):
            raise Silent
        mine = [(p.name, p.shape) for p in op.parameters(*types)]
        theirs = [(p.name, p.shape) for p in other.op.parameters(*(self.nodes[n].type for n in other.inputs))]
        if type(other.op) is not type(op) or mine != theirs:
            shapes = " and ".join("x".join(map(str, s)) for _, s in theirs) or "none"
            note = (Note(other.span, f"has parameters {shapes}"),) if other.span else ()
            message = f"cannot share the parameters of {other.name}: another kind or other shapes"
            here = f"here they would be {' and '.join('x'.join(map(str, s)) for _, s in mine) or 'none'}"
            help = "make both layers alike, channels that arrive included, or leave share out"
            raise CnncError(Diagnostic("E124", message, span, here, note, help))
        return other.parameter_owner

    def shared_owner(self, name: str, op: Op, inputs: tuple[Tensor, ...], call: syntax.Call, frame: Frame) -> str:
        """The owner of a layer's parameters inside a block call that shares another call's."""
        if not frame.space.share or not op.parameters(*(t.type for t in inputs if t.type is not None)):
            return ""
        twin = self.nodes.get(frame.space.share + name)
        if twin is None:
            message = f"the call that it shares with has no layer {name}"
            help = "call the same block in both places, or leave share out"
            raise CnncError.of("E124", message, span=call.span, help=help)
        return self.owner_of(Tensor(twin.name, twin.type), op, inputs, call.span)

    def input_symbols(self, call: syntax.Call) -> tuple[str, ...]:
        """The symbol of each size of an input ("" for a number); new ones get a size that stands for them."""
        value = next((a.value for a in call.arguments if a.key is None or a.key.text == "shape"), None)
        parts: tuple[Any, ...] = ()
        if isinstance(value, syntax.Extent):
            parts = value.parts
        elif isinstance(value, syntax.List):
            parts = tuple(i.name if isinstance(i, syntax.Word) else 0 for i in value.items)
        elif isinstance(value, syntax.Word):
            parts = (value.name,)
        names = []
        for part in parts:
            name = part if isinstance(part, str) and part[:1].isupper() and part.isupper() else ""
            if name and name not in self.symbols:
                if self.root.holder(name) is not None:  # a `let` in capitals
                    name = ""
                else:
                    self.symbols[name] = self.sizes(name)
                    self.root.values[name] = self.symbols[name]
            names.append(name)
        return tuple(names) if any(names) else ()

    # --- merges ------------------------------------------------------------------------------------------

    def merge(self, cls: type[Merge], call: syntax.Call, frame: Frame) -> None:
        current = self.need_current(call, frame)
        frame.current = POISON
        name = self.new_name(cls.keyword, call, frame)
        operands: list[Tensor] = []
        places: list[Span] = []
        for argument in call.arguments:
            if argument.key is not None or not isinstance(argument.value, syntax.Word):
                help = f"`{cls.keyword} in`, `{cls.keyword} a b`, `{cls.keyword} {{ ... }} {{ }}`"
                raise CnncError.of(
                    "E203", f"{cls.keyword} takes names of layers and branches", span=argument.span, help=help
                )
            found = self.tensors(argument.value, frame)
            operands += found
            places += [argument.span] * len(found)
        if not call.bodies:
            operands.insert(0, current)
            places.insert(0, call.op.span)
        for body in call.bodies:
            frame.current = current
            inner = frame.inside(Scope(frame.scope), branch=True)
            frame.current = POISON
            self.body(body.statements, inner)
            operands.append(inner.current or POISON)
            places.append(body.span)
        if len(operands) < 2:
            help = f"`{cls.keyword} {{ ... }} {{ }}`: `{{ }}` is the tensor itself"
            raise CnncError.of("E118", f"{cls.keyword} needs two tensors or more", span=call.span, help=help)
        self.make(name, call, cls(), tuple(operands), {}, frame)

    # --- types -------------------------------------------------------------------------------------------

    def infer(
        self, op: Op, call: syntax.Call, inputs: tuple[Tensor, ...], places: Mapping[str, Span], frame: Frame
    ) -> TensorType | None:
        """The type of a layer's output, or None after a diagnostic (or where an input is poisoned)."""
        types = tuple(t.type for t in inputs if t.type is not None)
        if len(types) < len(inputs):
            return TensorType((op.out,)) if isinstance(op, Fc) else None
        try:
            for type_ in types:
                if type_.dtype not in op.takes:
                    raise ShapeError(
                        "E308",
                        f"{op.keyword} takes {' or '.join(op.takes)}, not {type_.dtype}",
                        help="`dtype=int64` at the input makes it one of integers"
                        if "float32" not in op.takes
                        else "`embed` makes float32 of integers; `dtype=uint8` at the input is for images of bytes",
                        label=f"{type_.dtype} arrives here",
                    )
            made = op.output(*types)
            largest = max([made.size, *(p.size for p in op.parameters(*types))])
            if largest > MAX_ELEMENTS:
                help = "a smaller image, or fewer channels"
                raise ShapeError("E309", f"{largest:,} numbers in one tensor; at most {MAX_ELEMENTS:,}", help=help)
        except ShapeError as error:
            span = places.get(error.argument, call.span)
            culprits = tuple(inputs[i] for i in error.operands) or inputs
            notes = self.shrinking(culprits) if error.shrunk or error.operands else ()
            self.report((Diagnostic(error.code, error.message, span, error.label, notes, error.help),), frame)
            return None
        for advice in op.advice(*types) if self.fixed or not self.symbols else ():
            span = places.get(advice.argument, call.span)
            self.report((Diagnostic(advice.code, advice.message, span, help=advice.help),), frame)
        return made

    def shrinking(self, inputs: tuple[Tensor, ...]) -> tuple[Note, ...]:
        """The layer above that lost the most of the image (of the smallest input), and what it did.

        Of several inputs, what they have in common is not to blame.
        """
        smallest = min(inputs, key=lambda t: math.prod(t.type.spatial) if t.type else 0)
        node = self.nodes.get(smallest.node)
        common = self.above([t.node for t in inputs if t is not smallest])
        worst: tuple[float, Note] | None = None
        while node is not None and node.inputs and node.name not in common:
            before = self.nodes[node.inputs[0]].type
            if before.rank and before.spatial != node.type.spatial and node.span is not None:
                lost = before.size / max(1, node.type.size) if node.type.rank == before.rank else float("inf")
                if worst is None or lost > worst[0]:
                    worst = (lost, Note(node.span, f"took {before} to {node.type}"))
            node = self.nodes.get(node.inputs[0])
        return (worst[1],) if worst else ()

    def above(self, names: list[str]) -> set[str]:
        """These nodes and all that they are made from."""
        found: set[str] = set()
        waiting = [name for name in names if name]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.nodes[name].inputs
        return found

    # --- names -------------------------------------------------------------------------------------------

    def need_current(self, call: syntax.Call, frame: Frame) -> Tensor:
        if frame.current is None:
            frame.current = POISON
            help = "begin with an input line, e.g. `input 1x28x28`"
            raise CnncError.of("E112", f"{call.op.text} has no input", span=call.span, help=help)
        return frame.current

    def with_c_in(self, frame: Frame) -> Scope:
        """The frame's scope, knowing the channels of the current tensor."""
        type_ = frame.current.type if frame.current is not None else None
        frame.scope.values["c_in"] = type_.channels if type_ is not None else Unknown()
        return frame.scope

    def tensors(self, word: syntax.Word, frame: Frame) -> list[Tensor]:
        """The tensors behind a name: `in`, a parameter, a layer, or every round of one (`s.*`)."""
        if word.name == "in":
            if frame.entry is None or frame.top:
                help = "`in` is what entered a block, branch or round; here label a layer above, `x: ...`, and name `x`"
                raise CnncError.of("E117", "`in` outside a body", span=word.span, help=help)
            return [frame.entry]
        if word.name.endswith(".*"):
            found = frame.rounds_of(word.name[:-2])
            if not found:
                raise self.no_layer(word, frame)
            return [entry.tensor for entry in found]
        entry = frame.find(word.name)
        if entry is not None:
            return [entry.tensor]
        try:
            value = frame.scope.look_up(word.name)
        except KeyError:
            raise self.no_layer(word, frame) from None
        tensor = value_of(value)
        if tensor is None:
            raise CnncError.of("E203", f"`{word.name}` is {kind(value)}, not a layer", span=word.span)
        return [tensor]

    def one_tensor(self, name: str, span: Span, frame: Frame) -> Tensor:
        found = self.tensors(syntax.Word(name, span), frame)
        if len(found) != 1:
            raise CnncError.of("E203", "one layer is needed here, not several", span=span)
        return found[0]

    def no_layer(self, word: syntax.Word, frame: Frame) -> CnncError:
        entry = frame.space.entries.get(word.name)
        if entry is not None:
            note = Note(entry.place, "a branch keeps its labels to itself")
            help = "move that layer out, before the branches"
            message = f"`{word.name}` is inside another branch"
            return CnncError(Diagnostic("E114", message, word.span, notes=(note,), help=help))
        if frame.rounds_of(word.name):
            help = f"`{word.name}.0` is that of the first round, `{word.name}.*` those of all"
            return CnncError.of(
                "E114", f"`{word.name}` is in a repeat: there is one a round", span=word.span, help=help
            )
        below = _labelled(self.file, word.name)
        if below is not None and below.source is word.span.source and below.start > word.span.start:
            help = "a layer reads what stands above it; move one of the two"
            notes = (Note(below, "here"),)
            return CnncError(
                Diagnostic("E114", f"`{word.name}` stands further down", word.span, notes=notes, help=help)
            )
        visible = frame.visible()
        inside = next((v for v in visible if v.endswith(f".{word.name}")), None)
        near = inside or nearest(word.name, visible)
        help = f"did you mean `{near}`?" if near else f"label a layer above: `{word.name}: ...`"
        return CnncError.of("E114", f"no layer is named `{word.name}`", span=word.span, help=help)

    def new_name(self, word: str, call: syntax.Call, frame: Frame) -> str:
        if call.label is not None:
            self.check_name(call.label)
        name = frame.name_for(word, call.label)
        self.check_free(name, call, frame)
        return name

    def check_name(self, name: syntax.Name) -> None:
        if name.text in RESERVED_VALUES or name.text in STATEMENTS or name.text in OPS:
            raise CnncError.of(
                "E105", f"`{name.text}` is a word of the language", span=name.span, help=f"say `my_{name.text}`"
            )
        if "." in name.text:
            help = f"say `{name.text.replace('.', '_').replace('*', 'all')}`"
            raise CnncError.of("E105", f"`{name.text}`: a name of your own has no dot", span=name.span, help=help)

    def check_free(self, name: str, call: syntax.Call, frame: Frame) -> None:
        entry = frame.space.entries.get(name)
        if entry is None:
            return
        if call.label is not None:
            raise _twice(call.label, entry.place)
        notes = (Note(entry.place, "a label took its name"),)
        help = f"label one of them, e.g. `my_{name}:`"
        raise CnncError(Diagnostic("E106", f"two layers are named `{name}`", call.span, notes=notes, help=help))

    def only_once(self, call: syntax.Call) -> None:
        word = call.op.text
        if word in self.seen:
            note = Note(self.seen[word], "the first")
            help = "name all outputs on one line" if word == "output" else "keep one of the two"
            raise CnncError(Diagnostic("E106", f"a second `{word}`", call.span, notes=(note,), help=help))
        self.seen[word] = call.span

    # --- contracts and the end -----------------------------------------------------------------------------

    def expect(self, call: syntax.Call, frame: Frame) -> None:
        self.with_c_in(frame)
        read = {name for name in self.symbols if name in self.root.read}
        found = self.contracts.expect(call, frame.current, frame.scope, frame.top, self.nodes)
        self.report(found.diagnostics, frame)
        self.root.read.difference_update(set(self.symbols) - read)
        if found.type is not None and frame.current is not None:
            frame.current = Tensor(frame.current.node, found.type)

    def budget(self, call: syntax.Call, frame: Frame) -> None:
        self.contracts.add_budget(call, frame.scope)

    def unused(self) -> list[Diagnostic]:
        """W101 and W102: `let`s and blocks of this file that nothing reads (those of an include are a library)."""
        source = self.file.source
        lets = [
            Diagnostic("W101", f"`{name}` is never used", place, help="take the `let` out")
            for name, place in self.root.places.items()
            if place.source is source and name not in self.root.read
        ]
        blocks = [
            Diagnostic(
                "W102", f"block `{name}` is never called", block.span, help=f"call it: `{name} ...`, or take it out"
            )
            for name, block in self.blocks.items()
            if block.span.source is source and name not in self.called
        ]
        return lets + blocks

    def check_settings(self) -> None:
        for name, value in self.settings.items():
            if name not in self.root.places:
                lets = list(self.root.places)
                near = nearest(name, lets)
                help = f"did you mean `{near}`?" if near else f"the file's are {', '.join(lets) or 'none'}"
                self.diagnostics.append(Diagnostic("E115", f"no top-level `let {name}` to set", value.span, help=help))

    def finish(self, top: Frame) -> Graph | None:
        if top.current is None:
            if not any(d.severity == "error" for d in self.diagnostics):
                span = self.file.source.span(0, 0) if self.file.source.text.strip() else None
                help = "begin with `input 1x28x28`, then a layer a line"
                self.diagnostics.append(
                    Diagnostic("E116", f"{self.file.source.name} holds no network", span, help=help)
                )
            return None
        if any(d.severity == "error" for d in self.diagnostics):
            return None
        outputs = [tensor.node for tensor, _ in self.outputs] or [top.current.node]
        bare = [self.nodes[name] for name in outputs if isinstance(self.nodes[name].op, Input)]
        if bare:
            if self.outputs:
                message, help = f"the input {bare[0].name} is an output", "put a layer after it, or leave it out"
            else:
                message, help = f"no layer follows the input {bare[0].name}", "add one below it, e.g. `fc 10`"
            self.diagnostics.append(Diagnostic("E125", message, bare[0].span, help=help))
            return None
        return verify(Graph(self.name, tuple(self.nodes.values()), tuple(outputs)))


def scope_number(expression: syntax.Expression, scope: Scope) -> float:
    """The value of an expression if it is a number that can be known now, else 1."""
    try:
        value = evaluate(expression, scope)
    except (CnncError, Silent):
        return 1
    return value if isinstance(value, int | float) else 1


def _twice(name: syntax.Name, first: Span) -> CnncError:
    note = Note(first, "first defined here")
    help = f"call one of them something else, e.g. `{name.text}_2`"
    return CnncError(Diagnostic("E106", f"`{name.text}` is defined twice", name.span, notes=(note,), help=help))


def _no_body(word: str, call: syntax.Call) -> CnncError:
    help = "end its line (a newline or `;`) and go on with what stands in the braces"
    return CnncError.of("E108", f"{word} takes no body", span=call.bodies[0].span, help=help)


def _labelled(file: syntax.File, name: str) -> Span | None:
    """Where a file labels a layer with this name, outside bodies."""
    labels = (s.label for s in file.statements if isinstance(s, syntax.Call) and s.label is not None)
    return next((label.span for label in labels if label.text == name), None)


def _one(call: syntax.Call, what: str) -> syntax.Expression:
    if len(call.arguments) != 1 or call.arguments[0].key is not None:
        raise CnncError.of("E202", f"{call.op.text} takes {what}", span=call.span)
    return call.arguments[0].value


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
