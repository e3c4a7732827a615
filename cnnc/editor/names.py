"""Where a name is defined and used, and how it is renamed: labels, `let`s, parameters, blocks, symbolic sizes.

In: analyses and an offset. Out: spans, or edits. What a name means is what lowering found (`LoweringTrace.uses`); a renaming is
checked by analysing the changed sources, and refused if it causes an error or changes what some name means.

Example: in `a: conv 4 k=3; add a`, both `a` lead to the first and are renamed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from cnnc.diagnostics import CnncError, Diagnostic, Edit, Source, Span
from cnnc.editor.analysis import Analysis, bodies_of
from cnnc.language import syntax
from cnnc.language.parse import tokenize
from cnnc.language.resolve import require_not_reserved

Place = tuple[str, int]
"""A file and an offset in it: what a definition is known by in several analyses."""


class Definition(NamedTuple):
    """A name and where it is defined. `automatic` is a layer without a label; the span is then that of its op."""

    span: Span
    name: str
    automatic: bool = False

    @property
    def place(self) -> Place:
        """The file and offset of the definition."""
        return self.span.source.name, self.span.start


def definitions(analysis: Analysis) -> dict[Span, Definition]:
    """All definitions in the files of a network, by the spans that `LoweringTrace.uses` has for them."""
    found: dict[Span, Definition] = {}
    files = [analysis.trace.file, *analysis.trace.included.values()]
    pending = [statement for file in files for statement in file.statements]
    while pending:
        statement = pending.pop()
        names: list[tuple[Span, syntax.Name]] = []
        if isinstance(statement, syntax.Call):
            op = Definition(statement.op.span, statement.op.text, automatic=True)
            found[statement.span] = op
            names = [(statement.label.span, statement.label)] if statement.label is not None else []
        elif isinstance(statement, syntax.Let):
            names = [(statement.name.span, statement.name)]
        elif isinstance(statement, syntax.Block):
            names = [(statement.name.span, statement.name)]
            names += [(parameter.span, parameter.name) for parameter in statement.parameters]
        found.update({span: Definition(name.span, name.text) for span, name in names})
        pending += [inner for body in bodies_of(statement) for inner in body.statements]
    found.update({span: Definition(span, name) for name, span in analysis.trace.sizes.items()})
    return found


def definition_at(analysis: Analysis, offset: int) -> tuple[Span, Definition] | None:
    """The name at an offset, and its definition."""
    known = definitions(analysis)
    for span, use in analysis.trace.uses.items():
        if span.source is analysis.source and span.start <= offset <= span.end and use.definition in known:
            return span, known[use.definition]
    for definition in known.values():
        span = definition.span
        if not definition.automatic and span.source is analysis.source and span.start <= offset <= span.end:
            return span, definition
    return None


def included_at(analysis: Analysis, offset: int) -> str | None:
    """The path of the file whose name an `include` has at an offset."""
    for span, file in analysis.trace.included.items():
        if span.source is analysis.source and span.start <= offset <= span.end:
            return file.source.name
    return None


def references(analyses: Iterable[Analysis], definition: Definition, declaration: bool = True) -> list[Span]:
    """All places where a name is used, in several networks, and with `declaration` where it is defined; each once."""
    spans: dict[Place, Span] = {}
    for analysis in analyses:
        known = definitions(analysis)
        for span, use in analysis.trace.uses.items():
            target = known.get(use.definition)
            if target is not None and target.place == definition.place:
                spans.setdefault((span.source.name, span.start), span)
    if declaration and not definition.automatic:
        spans.setdefault(definition.place, definition.span)
    return sorted(spans.values(), key=lambda span: (span.source.name, span.start))


Analyse = Callable[[Mapping[str, str]], list[Analysis]]
"""Analyses the same networks with other texts in some files."""


def rename(analyses: list[Analysis], definition: Definition, new: str, again: Analyse) -> list[Edit]:
    """The edits that rename a definition and its uses; a layer without a label gets one.

    Raises CnncError E105, E106 or E114 if the new name is not allowed, is taken, or changes what another name means.
    """
    tokens = tokenize(Source("", new)) if new.isascii() and "\n" not in new else []
    if len(tokens) != 1 or tokens[0].type != "NAME" or tokens[0].text != new:
        raise CnncError.of("E105", f"`{new}` is not a name", help="a name has letters, digits and `_`")
    require_not_reserved(syntax.Name(new, definition.span))
    spans = references(analyses, definition)
    edits = [Edit(span, new) for span in spans]
    start = definition.span.start
    if definition.automatic:
        edits.append(Edit(Span(definition.span.source, start, start), f"{new}: "))
    texts = _edited(edits)
    checked = again(texts)
    for before, after in zip(analyses, checked, strict=True):
        error = _new_error(before.network.diagnostics, after.network.diagnostics)
        if error is not None:
            raise CnncError.of(error.code, f"`{definition.name}` cannot be renamed to `{new}`: {error.message}")
        if len(before.trace.uses) != len(after.trace.uses) or _meanings(before) != _meanings(after):
            message = f"`{definition.name}` cannot be renamed to `{new}`: another name would mean something else"
            raise CnncError.of("E106", message)
    return edits


def _edited(edits: Iterable[Edit]) -> dict[str, str]:
    """The texts of the sources with these edits, by name."""
    by_source: dict[Source, list[Edit]] = {}
    for edit in edits:
        by_source.setdefault(edit.span.source, []).append(edit)
    texts = {}
    for source, changes in by_source.items():
        text = source.text
        for edit in sorted(changes, key=lambda e: -e.span.start):
            text = text[: edit.span.start] + edit.text + text[edit.span.end :]
        texts[source.name] = text
    return texts


def _new_error(before: Iterable[Diagnostic], after: Iterable[Diagnostic]) -> Diagnostic | None:
    known = [d.code for d in before if d.severity == "error"]
    for diagnostic in after:
        if diagnostic.severity == "error":
            if diagnostic.code not in known:
                return diagnostic
            known.remove(diagnostic.code)
    return None


def _meanings(analysis: Analysis) -> list[int]:
    """For each use in order, the number of its definition: the same after a renaming."""
    uses = sorted(analysis.trace.uses.items(), key=lambda pair: (pair[0].source.name, pair[0].start))
    known = definitions(analysis)
    targets = sorted({known[use.definition].place for _, use in uses if use.definition in known})
    number = {place: index for index, place in enumerate(targets)}
    return [number.get(known[use.definition].place, -1) if use.definition in known else -1 for _, use in uses]
