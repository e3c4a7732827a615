"""All features of the editor at once, at one place of a text."""

from __future__ import annotations

from cnnc.diagnostics import CnncError
from cnnc.editor.analysis import Analysis, analyse
from cnnc.editor.colours import colours
from cnnc.editor.completion import complete
from cnnc.editor.describe import describe
from cnnc.editor.fixes import problems
from cnnc.editor.hints import hints
from cnnc.editor.names import definition_at, references, rename
from cnnc.editor.outline import folds, outline
from cnnc.editor.positions import Positions
from cnnc.editor.preview import preview
from cnnc.editor.signature import signature_at


def ask_everything(text: str, offset: int, analysis: Analysis | None = None) -> Analysis:
    """Asks each feature about a place, and checks that what it says lies within the text and belongs to it."""
    analysis = analysis or analyse("", text)
    assert analysis.text == text
    positions = Positions(text)
    for hint in hints(analysis):
        assert 0 <= hint.offset <= len(text)
        assert "\n" not in hint.text
    found = problems(analysis, analysis.network.diagnostics, with_help=True)
    assert all(0 <= p.span.start <= p.span.end <= len(text) and p.span.source.text == text for p in found)
    described = describe(analysis, offset)
    assert described is None or described.span.start <= offset <= described.span.end
    for item in complete(analysis, offset, ["parts.cnn"]):
        assert item.span.start <= offset == item.span.end
    signature = signature_at(analysis, offset)
    assert signature is None or all(label in signature.label for label, _ in signature.parameters)
    definition = definition_at(analysis, offset)
    if definition is not None:
        references([analysis], definition[1])
    outline(analysis)
    lines = text.count("\n") + 1
    assert all(1 <= fold.first < fold.last <= lines for fold in folds(analysis))
    end = 0
    for colour in colours(analysis):
        assert end <= colour.span.start < colour.span.end <= len(text)
        end = colour.span.end
    line, character = positions.position(offset)
    assert positions.offset(line, character) == offset or text[offset - 1 : offset + 1] == "\r\n"
    return analysis


def ask_rename(analysis: Analysis, offset: int) -> None:
    """Renames what is at a place, and checks that the names mean the same afterwards."""
    found = definition_at(analysis, offset)
    if found is not None:
        try:
            rename([analysis], found[1], "renamed", lambda texts: [analyse("", next(iter(texts.values())))])
        except CnncError as error:
            assert "renamed" in error.diagnostics[0].message  # noqa: PT017


def ask_preview(analysis: Analysis) -> None:
    """Draws the network; each line that has a layer leads to a box."""
    drawn = preview(analysis)
    if drawn is not None:
        lines = analysis.text.count("\n") + 1
        assert all(1 <= line <= lines for box in drawn.boxes for line in box.lines)
