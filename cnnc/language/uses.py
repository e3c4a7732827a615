"""What the names in a source refer to, recorded where lowering looks them up.

In: spans of names, and those of their definitions. Out: `Uses`. It holds spans only: scopes refer to it, and it to no scope, so
that what is no longer needed is freed at once.

Example: in `let w = 4; conv w k=3` the span of the second `w` has a `Use` with that of the first.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from cnnc.diagnostics import Span
from cnnc.language import syntax

NameKind = Literal["layer", "variable", "block", "size"]
"""What a name refers to: a layer or block call, a `let` or block parameter, a block, a symbolic size."""


class Use(NamedTuple):
    """What a name in the source refers to: the span of the name where it is defined; of a layer without a label, its call."""

    definition: Span
    kind: NameKind


class Uses:
    """Every use of a name, and where each symbolic size is first written."""

    def __init__(self) -> None:
        self.by_span: dict[Span, Use] = {}
        self.sizes: dict[str, Span] = {}

    def variable(self, span: Span, definition: Span | None, name: str) -> None:
        """Records the use of a variable or symbolic size."""
        if definition is not None:
            self.by_span[span] = Use(definition, "variable")
        elif name in self.sizes:
            self.by_span[span] = Use(self.sizes[name], "size")

    def size(self, name: str, span: Span) -> None:
        """Records a symbolic size in the shape of an input: the first time it is written, that is its definition."""
        definition = self.sizes.setdefault(name, span)
        if definition != span:
            self.by_span[span] = Use(definition, "size")

    def call(self, call: syntax.Call, block: syntax.Block) -> None:
        """Records the names in a block call: of the block, and of the parameters that are given by name."""
        self.by_span[call.op.span] = Use(block.name.span, "block")
        parameters = {parameter.name.text: parameter.span for parameter in block.parameters}
        for argument in call.arguments:
            if argument.key is not None and argument.key.text in parameters:
                self.by_span[argument.key.span] = Use(parameters[argument.key.text], "variable")


def axis_spans(extent: syntax.Extent) -> list[Span]:
    """The span of each axis of an extent."""
    spans, start = [], extent.span.start
    for text in extent.span.text.split("x"):
        spans.append(Span(extent.span.source, start, start + len(text)))
        start += len(text) + 1
    return spans
