"""Words of this package as the numbers of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lsprotocol import types as lsp

from cnnc.diagnostics import Severity
from cnnc.editor.colours import MODIFIERS, TYPES, ColouredWord
from cnnc.editor.completion import ItemKind
from cnnc.editor.outline import SymbolKind
from cnnc.editor.positions import Positions

SEVERITIES: Mapping[Severity, lsp.DiagnosticSeverity] = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
}
COMPLETION_KINDS: Mapping[ItemKind, lsp.CompletionItemKind] = {
    "layer": lsp.CompletionItemKind.Class,
    "statement": lsp.CompletionItemKind.Keyword,
    "block": lsp.CompletionItemKind.Function,
    "key": lsp.CompletionItemKind.Property,
    "word": lsp.CompletionItemKind.EnumMember,
    "label": lsp.CompletionItemKind.Variable,
    "variable": lsp.CompletionItemKind.Constant,
    "data": lsp.CompletionItemKind.Module,
    "file": lsp.CompletionItemKind.File,
    "code": lsp.CompletionItemKind.Text,
}
SYMBOL_KINDS: Mapping[SymbolKind, lsp.SymbolKind] = {
    "net": lsp.SymbolKind.Namespace,
    "layer": lsp.SymbolKind.Class,
    "block": lsp.SymbolKind.Function,
    "call": lsp.SymbolKind.Method,
    "variable": lsp.SymbolKind.Constant,
    "section": lsp.SymbolKind.Package,
    "statement": lsp.SymbolKind.Property,
}


def token_data(colours: Iterable[ColouredWord], positions: Positions) -> list[int]:
    """The colours as semantic tokens: five numbers each, of which the first two count from the token before."""
    data: list[int] = []
    last_line = last_character = 0
    for span, type_, modifiers in colours:
        line, character = positions.position(span.start)
        end_line, end = positions.position(span.end)
        if end_line != line or end <= character:
            continue
        bits = sum(1 << MODIFIERS.index(modifier) for modifier in modifiers)
        first = character - last_character if line == last_line else character
        data += [line - last_line, first, end - character, TYPES.index(type_), bits]
        last_line, last_character = line, character
    return data
