"""What lowering sees at each place of the source, for readers that ask about a place: editors.

In: what the rules of the language find while a file is lowered. Out: `Trace`: which name means what, and for each statement
the layers that it added, the tensors before and after it, and the frame with the names that it can see. Blocks that nothing
calls are visited too, with unknown parameters. Without a trace, lowering records nothing.

Example: in `a: conv 4 k=3; add a`, the span of the second `a` leads to that of the label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from cnnc.core.arguments import Declared, LayerName
from cnnc.diagnostics import Span
from cnnc.graph.graph import ExpandedCall, Node
from cnnc.language import syntax

if TYPE_CHECKING:
    from cnnc.language.scope import Frame, Tensor

MAX_VISITS = 50_000  # beyond these, only the first visit of each statement is kept

NameKind = Literal["layer", "variable", "block", "size"]
"""What a name refers to: a layer or block call, a `let` or block parameter, a block, a symbolic size."""


class Use(NamedTuple):
    """What a name in the source refers to: the span of the name where it is defined; of a layer without a label, its call."""

    definition: Span
    kind: NameKind


class Visit(NamedTuple):
    """One lowering of a statement: a block's statements are lowered once for each call, those of a repeat for each round.

    `path` are the block calls around it, outermost first. `before` and `after` are the current tensors. Those of the nodes
    whose number is in `nodes` were added by it.
    """

    path: tuple[str, ...]
    frame: Frame
    before: Tensor | None
    after: Tensor | None
    nodes: range


class Names:
    """What each name in the sources refers to. Holds spans only: scopes refer to it, and it to no scope."""

    def __init__(self) -> None:
        self.uses: dict[Span, Use] = {}
        self.sizes: dict[str, Span] = {}

    def variable(self, span: Span, definition: Span | None, name: str) -> None:
        """Records the use of a variable or symbolic size."""
        if definition is not None:
            self.uses[span] = Use(definition, "variable")
        elif name in self.sizes:
            self.uses[span] = Use(self.sizes[name], "size")

    def size(self, name: str, span: Span) -> None:
        """Records a symbolic size in the shape of an input: the first time it is written, that is its definition."""
        definition = self.sizes.setdefault(name, span)
        if definition != span:
            self.uses[span] = Use(definition, "size")

    def call(self, call: syntax.Call, block: syntax.Block) -> None:
        """Records the names in a block call: of the block, and of the parameters that are given by name."""
        self.uses[call.op.span] = Use(block.name.span, "block")
        parameters = {parameter.name.text: parameter.span for parameter in block.parameters}
        for argument in call.arguments:
            if argument.key is not None and argument.key.text in parameters:
                self.uses[argument.key.span] = Use(parameters[argument.key.text], "variable")

    def train_statement(self, cls: type[Declared], spans: Mapping[str, Span], top: Frame) -> None:
        """Records the layers that the arguments of a train statement name; `spans` are those of the arguments."""
        for spec in cls.arguments:
            if isinstance(spec.kind, LayerName) and spec.name in spans:
                span = spans[spec.name]
                self.layer(syntax.Word(span.text.rpartition("=")[2], span), top)

    def layer(self, word: syntax.Word, frame: Frame) -> None:
        """Records the names in a reference to a layer: `b1` and `skip` in `b1.skip`, `s` in `s.*`."""
        if not word.span.text.endswith(word.name):
            return  # it is not written in the source: a setting
        parts = word.name.split(".")
        start = word.span.end - len(word.name)  # the span of an argument also covers its key
        for index, part in enumerate(parts):
            span = Span(word.span.source, start, start + len(part))
            start = span.end + 1
            if part == "*" or part.isdigit():
                continue
            name = ".".join(parts[: index + 1])
            rounds = [p for p in parts[index + 1 :] if p.isdigit()]
            declaration = frame.find(name) or frame.find(".".join([name, *rounds]))
            declaration = declaration or next(iter(frame.in_all_rounds(name).values()), None)
            if declaration is not None:
                self.uses[span] = Use(declaration.label or declaration.span, "layer")


class Trace:
    """Collects uses and visits while a file is lowered."""

    def __init__(self, file: syntax.File) -> None:
        self.file = file
        self.names = Names()
        self.visits: dict[Span, list[Visit]] = {}
        self.included: dict[Span, syntax.File] = {}  # by the span of the file name in an `include`
        self.nodes: tuple[Node, ...] = ()
        self.calls: tuple[ExpandedCall, ...] = ()
        self.blocks: Mapping[str, syntax.Block] = {}
        self.symbols: Mapping[str, int] = {}
        self.top: Frame | None = None
        self._count = 0

    def visited(
        self, statement: Span, frame: Frame, before: Tensor | None, after: Tensor | None, first: int, end: int
    ) -> None:
        """Records that a statement was lowered."""
        visits = self.visits.setdefault(statement, [])
        self._count += 1
        if not visits or self._count <= MAX_VISITS:
            visits.append(Visit(frame.space.path, frame, before, after, range(first, end)))

    @property
    def uses(self) -> dict[Span, Use]:
        """What each name in the sources refers to."""
        return self.names.uses

    @property
    def sizes(self) -> dict[str, Span]:
        """Where each symbolic size is first written."""
        return self.names.sizes


def axis_spans(extent: syntax.Extent) -> list[Span]:
    """The span of each axis of an extent."""
    spans, start = [], extent.span.start
    for text in extent.span.text.split("x"):
        spans.append(Span(extent.span.source, start, start + len(text)))
        start += len(text) + 1
    return spans
