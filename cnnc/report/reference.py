"""The layer reference, made from the ops: for the terminal, and for docs/language.md.

In: the table of ops. Out: text or Markdown. What is written of a layer stands with its class; nothing here
names one.
"""

from __future__ import annotations

import inspect
from typing import Any

from cnnc.core.arguments import ArgumentSpec
from cnnc.ops import OPS, Op


def listing() -> str:
    """Every layer with its arguments and its line of help."""
    rows = [(signature(cls), first_line(cls)) for _, cls in sorted(OPS.items())]
    width = max(len(left) for left, _ in rows if len(left) < 60)
    return "\n".join(
        f"{left:<{width}}  {right}" if len(left) <= width else f"{left}\n{'':<{width}}  {right}" for left, right in rows
    )


def page(cls: type[Op]) -> str:
    """One layer: signature, what it is, its arguments, an example."""
    lines = [signature(cls), "", inspect.cleandoc(cls.__doc__ or "")]
    if cls.arguments:
        names = [_keys(spec) for spec in cls.arguments]
        width = max(map(len, names))
        lines += ["", "Arguments:"]
        for spec, name in zip(cls.arguments, names, strict=True):
            lines.append(f"  {name:<{width}}  {spec.help}; {_kind(spec)}{_default(spec)}")
    lines += ["", f"Example: {cls.example}"]
    return "\n".join(lines)


def markdown() -> str:
    """All layers as a Markdown table, for docs/language.md."""
    lines = ["| layer | arguments | meaning |", "|---|---|---|"]
    for keyword, cls in sorted(OPS.items()):
        arguments = ", ".join(f"`{_keys(spec)}`{_default(spec)}" for spec in cls.arguments) or "none"
        lines.append(f"| `{keyword}` | {_cell(arguments)} | {_cell(first_line(cls))} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def signature(cls: type[Op]) -> str:
    """`conv OUT k= [s=1] [p=0] ...`: what must be given stands bare, the rest in brackets."""
    parts = [cls.keyword]
    for spec in cls.arguments:
        text = spec.name.upper() if spec.positional else f"{spec.name}="
        if not spec.required and not spec.positional:
            text += "" if spec.default is None else _value(spec.default)
        parts.append(text if spec.required else f"[{text}]")
    return " ".join(parts)


def first_line(cls: type[Op]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _keys(spec: ArgumentSpec) -> str:
    return spec.name.upper() if spec.positional else "/".join(spec.keys)


def _kind(spec: ArgumentSpec) -> str:
    return f"takes {spec.kind.describe()}"


def _default(spec: ArgumentSpec) -> str:
    if spec.required:
        return " (needed)" if not spec.positional else ""
    return "" if spec.default is None else f" (default {_value(spec.default)})"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
