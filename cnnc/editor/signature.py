"""The arguments of the call at the cursor, and which of them is being written.

In: an analysis and an offset. Out: `CallSignature`. Example: behind `conv 8 k=` it is `conv OUT k= [s=1] ...` with `k=` active.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.editor.analysis import Analysis
from cnnc.editor.context import context_at
from cnnc.editor.describe import argument_text, block_signature
from cnnc.ops import OPS
from cnnc.recipe.declaration import TRAIN_STATEMENTS
from cnnc.report import reference


class CallSignature(NamedTuple):
    """The signature of a call, its parameters as parts of it with a text each, and the index of the active one (or None)."""

    label: str
    documentation: str
    parameters: tuple[tuple[str, str], ...]
    active: int | None


def signature_at(analysis: Analysis, offset: int) -> CallSignature | None:
    """The signature of the call at an offset; None at the beginning of a statement and in a comment."""
    context = context_at(analysis.text, offset)
    if not context.op or context.in_comment:
        return None
    block = analysis.trace.blocks.get(context.op)
    if block is not None and not context.in_train:
        names = [p.name.text for p in block.parameters]
        active = names.index(context.key) if context.key in names else len(context.values)
        texts = tuple((" ".join(p.span.text.split()), "") for p in block.parameters)
        return CallSignature(block_signature(block), "", texts, active if active < len(names) else None)
    cls: reference.Documented | None = OPS.get(context.op)
    positions = len(context.values)
    if context.in_train:
        kinds = TRAIN_STATEMENTS.get(context.op, {})
        cls = kinds.get("") or (kinds.get(context.values[0]) if context.values else None)
        positions -= "" not in kinds
    if cls is None:
        return None
    label = reference.signature(cls)
    parts = label.split(" ")[len(label.split(" ")) - len(cls.arguments) :] if cls.arguments else []
    active_index = next((i for i, spec in enumerate(cls.arguments) if context.key in spec.keys), None)
    if active_index is None and not context.key:
        positional = [i for i, spec in enumerate(cls.arguments) if spec.positional]
        active_index = positional[positions] if positions < len(positional) and not context.keys else None
    texts = tuple((part.strip("[]"), argument_text(spec)) for part, spec in zip(parts, cls.arguments, strict=True))
    return CallSignature(label, reference.first_line(cls), texts, active_index)
