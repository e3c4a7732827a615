"""What can stand at the cursor: layers, arguments, words, labels, variables, blocks, data sets, files, warnings to allow.

In: an analysis, an offset, and the file names beside the source. Out: `Item`s, best first. What fits here is first: layers
that accept the current tensor, arguments that are needed, the nearest layers above.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from cnnc.core.arguments import ArgumentSpec, BadValue, Flag, LayerName, Shape
from cnnc.core.tensor import TensorType
from cnnc.data.catalog import KNOWN, READ_FROM_FILES
from cnnc.diagnostics import Span
from cnnc.editor.analysis import Analysis, Calls, Here, value_text
from cnnc.editor.context import Context, context_at
from cnnc.editor.describe import STATEMENTS, block_signature, block_text, class_text, specs_of
from cnnc.language import syntax
from cnnc.ops import OPS, Op
from cnnc.ops.base import ShapeError
from cnnc.ops.merge import Merge
from cnnc.recipe.declaration import TRAIN_STATEMENTS, TrainStatement
from cnnc.report import reference

ItemKind = Literal["layer", "statement", "block", "key", "word", "label", "variable", "data", "file", "code"]
MAX_NAMES = 200  # of layers above, the nearest


class Item(NamedTuple):
    """A text that can replace `span`. `snippet` is the text with `${1:...}` for what is to be filled in; `rank` sorts."""

    span: Span
    text: str
    kind: ItemKind
    detail: str = ""
    markdown: str = ""
    snippet: str = ""
    rank: int = 0


class _Completion:
    """The items at one cursor."""

    def __init__(self, analysis: Analysis, context: Context, here: Here, offset: int) -> None:
        self.analysis = analysis
        self.context = context
        self.here = here
        self.offset = offset
        self.items: list[Item] = []

    def add(
        self, text: str, kind: ItemKind, detail: str = "", markdown: str = "", snippet: str = "", rank: int = 0
    ) -> None:
        self.items.append(Item(self.context.span, text, kind, detail, markdown, snippet, rank))

    # --- the beginning of a statement

    def statements(self) -> None:
        if self.context.in_train:
            self.train_statements()
            return
        current = self.here.before.type if self.here.before is not None else None
        for word, cls in sorted(OPS.items()):
            fits = _fits(cls, current, self.here.before is not None)
            self.add(word, "layer", reference.first_line(cls), class_text(cls), _snippet(cls), 0 if fits else 3)
        for name, block in self.analysis.trace.blocks.items():
            self.add(name, "block", block_signature(block), block_text(block), _block_snippet(block), 0)
        at_top = not self.context.bodies
        for word, text in STATEMENTS.items():
            if at_top or word in ("let", "from", "repeat", "expect"):
                self.add(word, "statement", "", text, _STATEMENT_SNIPPETS.get(word, ""), 1)

    def train_statements(self) -> None:
        given = self.train_keywords()
        for keyword, kinds in TRAIN_STATEMENTS.items():
            cls = next(iter(kinds.values()))
            once = keyword in given and not cls.repeatable
            text = class_text(cls) if "" in kinds else f"kinds: {', '.join(kinds)}"
            detail = reference.first_line(cls) if "" in kinds else ", ".join(kinds)
            self.add(keyword, "statement", detail, text, f"{keyword} $0", 3 if once else 0)

    def train_keywords(self) -> set[str]:
        """The statements that the train section has, but for the one at the cursor."""
        for parent in self.here.parents:
            if isinstance(parent, syntax.Call) and parent.op.text == "train" and parent.bodies:
                others = (s for s in parent.bodies[0].statements if isinstance(s, syntax.Call))
                return {s.op.text for s in others if not s.span.start <= self.offset <= s.span.end}
        return set()

    # --- arguments

    def arguments(self) -> None:
        context, op = self.context, self.context.op
        blocks = self.analysis.trace.blocks
        if op in ("from", "output") or (op in OPS and issubclass(OPS[op], Merge)):
            self.layers()
            return
        if op in ("let", "repeat", "net", "block"):
            if op != "net":
                self.variables()
            return
        if op in blocks and not context.in_train:
            self.block_arguments(blocks[op])
            return
        if op in ("expect", "budget"):
            for key in _EXPECTED[op]:
                self.add(f"{key}=", "key", _EXPECTED[op][key])
            return
        if context.in_train and "" not in TRAIN_STATEMENTS.get(op, {"": None}) and not context.values:
            for kind, cls in TRAIN_STATEMENTS[op].items():
                self.add(kind, "word", reference.first_line(cls), class_text(cls), _kind_snippet(cls))
            return
        if op == "data" and context.in_train and not context.values:
            self.data_sets()
            return
        specs = specs_of(op, list(context.values), context.in_train)
        if context.key:
            for spec in specs:
                if context.key in spec.keys:
                    self.values(spec)
            return
        kinds = 1 if context.in_train and "" not in TRAIN_STATEMENTS.get(op, {"": None}) else 0
        positional = [spec for spec in specs if spec.positional]
        given = len(context.values) - kinds
        if given < len(positional) and not context.keys:
            self.values(positional[given])
        taken = {spec.name for spec in positional[:given]}
        for spec in specs:
            if not set(spec.keys) & set(context.keys) and spec.name not in taken:
                self.add(f"{spec.name}=", "key", spec.help, reference.kind_text(spec), rank=1 if spec.required else 2)

    def values(self, spec: ArgumentSpec) -> None:
        """The values of an argument: its words, true and false, layers, variables."""
        for word in spec.kind.words:
            self.add(word, "word", spec.help)
        if isinstance(spec.kind, Flag):
            self.add("true", "word", spec.help)
            self.add("false", "word", spec.help)
        elif isinstance(spec.kind, LayerName):
            self.layers(parameters_like=spec.name == "share")
        elif not self.context.in_train or not spec.kind.words:
            self.variables()
        if isinstance(spec.kind, Shape) and self.context.op == "input":
            for name, facts in KNOWN.items():
                self.add("x".join(map(str, facts.shape)), "word", f"the images of {name}")

    def block_arguments(self, block: syntax.Block) -> None:
        if self.context.key:
            self.variables()
            self.layers()
            return
        for parameter in block.parameters[len(self.context.values) :]:
            if parameter.name.text not in self.context.keys:
                rank = 1 if parameter.default is None else 2
                self.add(f"{parameter.name.text}=", "key", " ".join(parameter.span.text.split()), rank=rank)
        self.variables()
        self.layers()

    def data_sets(self) -> None:
        current = next((node.type.shape for node in self.analysis.graph.inputs), None)
        for name, facts in KNOWN.items():
            fits = facts.shape == current
            shape = "x".join(map(str, facts.shape))
            self.add(
                name,
                "data",
                f"{shape}{'' if fits or current is None else ', not the shape of the input'}",
                rank=not fits,
            )
        for name in READ_FROM_FILES:
            self.add(name, "data", "data of your own", snippet=f'{name} "$1"', rank=1)

    # --- names

    def layers(self, parameters_like: bool = False) -> None:
        """The layers above, the nearest first; those with the shape of the current tensor before all others."""
        frame = self.here.frame
        if frame is None:
            return
        rank = 0
        known: set[str] = set()
        for name in reversed(list(dict.fromkeys(frame.visible_names()))):
            declaration = frame.find(name)
            if declaration is None or name in known:
                continue
            if declaration.span.source is self.analysis.source and declaration.span.end > self.offset:
                continue  # it is below
            known.add(name)
            tensor = declaration.tensor
            same = self.here.before is not None and tensor.type is not None and tensor.type == self.here.before.type
            is_label = declaration.label is not None
            rank += 1
            self.add(
                name,
                "label",
                self.analysis.shape(tensor),
                rank=rank + (0 if same else 2_000) - 1_000 * is_label + 1_000,
            )
            if len(known) == MAX_NAMES:
                break
        if frame.entry is not None and not frame.top:
            self.add("in", "word", "what enters this body", rank=0)

    def variables(self) -> None:
        frame = self.here.frame
        if frame is None:
            return
        for name in dict.fromkeys(frame.scope.names()):
            holder = frame.scope.holder(name)
            value = holder.values[name] if holder is not None else None
            span = holder.spans.get(name) if holder is not None else None
            if span is not None and span.source is self.analysis.source and span.start > self.offset:
                continue
            self.add(name, "variable", value_text(value), rank=3)
        if self.here.before is not None and self.here.before.type is not None:
            self.add("c_in", "variable", f"{self.here.before.type.channels}, the channels that are read", rank=4)

    # --- comments and strings

    def warnings(self) -> None:
        """The codes of the warnings on this line, for `allow`."""
        line = self.analysis.source.position(self.offset)[0]
        for d in self.analysis.network.diagnostics:
            if (
                d.severity == "warning"
                and d.span is not None
                and d.span.source is self.analysis.source
                and d.span.line == line
            ):
                self.add(f"allow {d.code}", "code", d.message)


def complete(analysis: Analysis, offset: int, files: Sequence[str] = (), calls: Calls = ()) -> list[Item]:
    """What can stand at an offset. `files` are the sources beside this one, for `include`."""
    context = context_at(analysis.text, offset)
    context = context._replace(span=Span(analysis.source, context.span.start, context.span.end))
    completion = _Completion(analysis, context, analysis.here(offset, calls), offset)
    if context.in_comment:
        completion.warnings()
    elif context.string is not None:
        if context.op == "include":
            for file in files:
                completion.add(file, "file")
    elif context.op:
        completion.arguments()
    else:
        completion.statements()
    unique: dict[str, Item] = {}
    for item in completion.items:
        unique.setdefault(item.text, item)
    return sorted(unique.values(), key=lambda item: item.rank)


# --- what fits, and what is to be filled in --------------------------------------------------------------------


def _fits(cls: type[Op], current: TensorType | None, has_input: bool) -> bool:
    """Whether a layer with example arguments accepts the current tensor; if that is unknown, all do."""
    if cls.arity == 0:
        return not has_input
    if not has_input:
        return False
    if current is None:
        return True
    if current.dtype not in cls.takes:
        return False
    if cls.arity != 1 or any(isinstance(spec.kind, LayerName) and spec.required for spec in cls.arguments):
        return True
    values = {spec.name: _example(spec, current.rank) for spec in cls.arguments if spec.required}
    try:
        cls.make(current.rank, **values).output(current)
    except (ShapeError, BadValue, KeyError, TypeError, ValueError, IndexError):
        return cls.keyword in ("reshape", "slice", "crop")  # examples of sizes fit nothing in particular
    return True


def _example(spec: ArgumentSpec, rank: int) -> object:
    from cnnc.core.arguments import WordValue

    example = spec.kind.example_for(rank)
    return int(example) if example.isdigit() else WordValue(example)


def _filled(specs: Iterable[ArgumentSpec], first: int = 1) -> str:
    """The needed arguments, as places to fill in: `${1:16} k=${2:3}`."""
    parts = []
    for number, spec in enumerate((s for s in specs if s.required), first):
        example = _USUAL.get(spec.name, spec.kind.example).replace("}", "\\}")
        options = ",".join(spec.kind.words)
        place = f"${{{number}|{options}|}}" if options and len(spec.kind.words) > 1 else f"${{{number}:{example}}}"
        parts.append(place if spec.positional else f"{spec.name}={place}")
    return " ".join(parts)


_USUAL = {"out": "16", "k": "3", "lr": "0.01", "every": "10", "shape": "1x28x28", "p": "0.5"}


def _snippet(cls: type[Op]) -> str:
    return f"{cls.keyword} {_filled(cls.arguments)}".rstrip()


def _kind_snippet(cls: type[TrainStatement]) -> str:
    return f"{cls.kind} {_filled(cls.arguments)}".rstrip()


def _block_snippet(block: syntax.Block) -> str:
    needed = [p.name.text for p in block.parameters if p.default is None]
    return " ".join([block.name.text, *(f"${{{n}:{name}}}" for n, name in enumerate(needed, 1))])


_STATEMENT_SNIPPETS = {
    "block": "block ${1:name}(${2:w}) {\n\t$0\n}",
    "repeat": "repeat ${1:3} {\n\t$0\n}",
    "train": "train {\n\tdata ${1:digits}\n\tbatch ${2:64}\n\tepochs ${3:10}\n\toptimizer ${4:adam lr=0.001}\n}",
    "let": "let ${1:name} = ${2:16}",
    "include": 'include "$1"',
}
_EXPECTED = {
    "expect": {
        "params": "parameters",
        "macs": "multiply-adds",
        "out": "shape of the output",
        "field": "receptive field",
    },
    "budget": {
        "params": "parameters",
        "macs": "multiply-adds",
        "ram": "peak activation memory",
        "flash": "size of weights and buffers",
    },
}
