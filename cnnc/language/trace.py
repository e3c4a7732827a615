"""What lowering sees at each place of the source, for readers that ask about a place: editors.

In: what the rules of the language find while a file is lowered. Out: `LoweringTrace`: which name means what, and for each statement
the layers that it added, the tensors before and after it, and the frame with the names that it can see. Blocks that nothing
calls are visited too, with unknown parameters. Without a trace, lowering records nothing.

Example: in `a: conv 4 k=3; add a`, the span of the second `a` leads to that of the label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cnnc.diagnostics import Span
from cnnc.graph.graph import ExpandedCall, Node
from cnnc.language import syntax
from cnnc.language.scope import Frame, Tensor
from cnnc.language.uses import Use, Uses

MAX_VISITS = 50_000  # beyond these, only the first visit of each statement is kept


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


class LoweringTrace:
    """Collects uses and visits while a file is lowered."""

    def __init__(self, file: syntax.File) -> None:
        self.file = file
        self.names = Uses()
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
        return self.names.by_span

    @property
    def sizes(self) -> dict[str, Span]:
        """Where each symbolic size is first written."""
        return self.names.sizes
