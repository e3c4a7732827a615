"""Output formats for diagnostics: full text, one line each, JSON, GitHub workflow commands, SARIF.

In: diagnostics. Out: text. `FORMATS` has all of them by the name that `--format` takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cnnc.diagnostics import Diagnostic, Edit, Span, render


def full(diagnostics: Sequence[Diagnostic]) -> str:
    """The form for people, see `cnnc.diagnostics.render`."""
    return "\n\n".join(render(d) for d in diagnostics)


def concise(diagnostics: Sequence[Diagnostic]) -> str:
    """One line each: `lenet5.cnn:12:3: E301 add needs equal shapes: ...`."""
    return "\n".join(f"{_position(d)} {d.code} {d.message}" for d in diagnostics)


def _position(diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    return f"{span.source.name}:{span.line}:{span.column}:" if span is not None else f"{diagnostic.severity}:"


def as_json(diagnostics: Sequence[Diagnostic]) -> str:
    """A JSON array of objects with the keys of `Diagnostic.as_dict`."""
    return json.dumps([d.as_dict() for d in diagnostics], indent=2, ensure_ascii=False)


def github(diagnostics: Sequence[Diagnostic]) -> str:
    """GitHub workflow commands, which annotate the lines of a pull request."""
    lines = []
    for d in diagnostics:
        position = ""
        if d.span is not None:
            end = d.span.column + max(1, d.span.end - d.span.start)
            name = _property(d.span.source.name)
            position = f" file={name},line={d.span.line},col={d.span.column},endColumn={end}"
        title = f"{',' if position else ' '}title={d.code}"
        text = d.message + (f"\nhelp: {d.help}" if d.help else "")
        lines.append(f"::{d.severity}{position}{title}::{_data(text)}")
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif(diagnostics: Sequence[Diagnostic]) -> str:
    """SARIF 2.1.0, the exchange format of code scanners."""
    from importlib.metadata import version

    rules = [{"id": code} for code in dict.fromkeys(d.code for d in diagnostics)]
    driver = {"name": "cnnc", "version": version("cnnc"), "rules": rules}
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": list(_results(diagnostics))}
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _results(diagnostics: Iterable[Diagnostic]) -> Iterable[dict[str, Any]]:
    for d in diagnostics:
        text = d.message + (f". Help: {d.help}" if d.help else "")
        result: dict[str, Any] = {"ruleId": d.code, "level": d.severity, "message": {"text": text}}
        if d.span is not None:
            result["locations"] = [_location(d.span)]
        if d.notes or d.calls:
            related = [*d.notes, *d.calls]
            result["relatedLocations"] = [{**_location(n.span), "message": {"text": n.text}} for n in related]
        if d.edits:
            result["fixes"] = [_fix(edit) for edit in d.edits]
        yield result


def _location(span: Span) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": span.source.name}, "region": _region(span)}}


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _fix(edit: Edit) -> dict[str, Any]:
    replacement = {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}}
    change = {"artifactLocation": {"uri": edit.span.source.name}, "replacements": [replacement]}
    return {"description": {"text": edit.words}, "artifactChanges": [change]}


FORMATS: dict[str, Callable[[Sequence[Diagnostic]], str]] = {
    "full": full,
    "concise": concise,
    "json": as_json,
    "github": github,
    "sarif": sarif,
}
