"""The reference of layers and train statements, for the terminal (`cnnc ops`) and for docs/language.md.

In: the tables of ops and of train statements. Out: plain text or Markdown, generated from the arguments, docstring and
example of each class.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from cnnc.core.arguments import ArgumentSpec
from cnnc.ops import OPS, Op
from cnnc.recipe.declaration import TRAIN_STATEMENTS, TrainStatement
from cnnc.report.layout import reflowed

Documented = type[Op] | type[TrainStatement]


def listing() -> str:
    """The layers and the train statements by group, each with its signature and the first line of its help."""
    groups: list[tuple[str, Sequence[Documented]]] = [
        ("Layers", [cls for _, cls in sorted(OPS.items())]),
        ("Train section", [kinds[""] for kinds in TRAIN_STATEMENTS.values() if "" in kinds]),
    ]
    groups += [
        (f"Train section, {k}", list(kinds.values())) for k, kinds in TRAIN_STATEMENTS.items() if "" not in kinds
    ]
    return "\n\n".join(f"{title}\n{_rows(classes)}" for title, classes in groups)


def entries(name: str) -> list[Documented]:
    """What this name stands for: a layer, a train statement (`batch`), all its kinds (`optimizer`), a kind (`adam`).

    Several where a name is both, as clip. A keyword and a kind may be given together: `optimizer adam`.
    """
    classes: list[Documented] = [OPS[name]] if name in OPS else []
    for keyword, kinds in TRAIN_STATEMENTS.items():
        classes += [cls for kind, cls in kinds.items() if name in (keyword, kind, f"{keyword} {kind}")]
    return classes


def names() -> list[str]:
    """Every name that `entries` knows."""
    kinds = (kind for group in TRAIN_STATEMENTS.values() for kind in group if kind)
    return [*OPS, *TRAIN_STATEMENTS, *kinds]


def page(cls: Documented, width: int | None = None) -> str:
    """One layer or statement: signature, description, arguments with kind, unit and default, an example.

    With a width, each paragraph of the description is one line, to be broken there.
    """
    description = inspect.cleandoc(cls.__doc__ or "")
    if issubclass(cls, Op) and (details := cls.details()):
        description += f"\n\n{details}"
    lines = [signature(cls), "", description if width is None else reflowed(description)]
    if cls.arguments:
        keys = [_keys(spec) for spec in cls.arguments]
        width = max(map(len, keys))
        lines += ["", "Arguments:"]
        for spec, key in zip(cls.arguments, keys, strict=True):
            lines.append(f"  {key:<{width}}  {spec.help}; {kind_text(spec)}")
    lines += ["", f"Example: {cls.example}"]
    return "\n".join(lines)


def markdown() -> str:
    """All layers as a Markdown table, for docs/language.md."""
    return _table("layer", [cls for _, cls in sorted(OPS.items())])


def train_markdown() -> str:
    """All train statements as a Markdown table, for docs/language.md."""
    return _table("statement", [cls for kinds in TRAIN_STATEMENTS.values() for cls in kinds.values()])


def _table(title: str, classes: Sequence[Documented]) -> str:
    lines = [f"| {title} | arguments | meaning |", "|---|---|---|"]
    for cls in classes:
        arguments = ", ".join(f"`{_keys(spec)}`{_default(spec)}" for spec in cls.arguments) or "none"
        lines.append(f"| `{_head(cls)}` | {_cell(arguments)} | {_cell(first_line(cls))} |")
    return "\n".join(lines)


def _rows(classes: Sequence[Documented]) -> str:
    """One line per class, with the help in one column; after a long signature the help is on a line of its own."""
    rows = [(signature(cls), first_line(cls)) for cls in classes]
    width = max((len(left) for left, _ in rows if len(left) < 60), default=0)
    return "\n".join(
        f"{left:<{width}}  {right}" if len(left) <= width else f"{left}\n{'':<{width}}  {right}" for left, right in rows
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _head(cls: Documented) -> str:
    """The words that it begins with: `conv`, `optimizer adam`."""
    return f"{cls.keyword} {cls.kind}".strip() if issubclass(cls, TrainStatement) else cls.keyword


def signature(cls: Documented) -> str:
    """`conv OUT k= [s=1] [p=0] ...`: required arguments, then optional ones in brackets."""
    parts = [_head(cls)]
    for spec in cls.arguments:
        text = spec.name.upper() if spec.positional else f"{spec.name}="
        if not spec.required and not spec.positional:
            text += "" if spec.default is None else _value(spec.default)
        parts.append(text if spec.required else f"[{text}]")
    return " ".join(parts)


def first_line(cls: Documented) -> str:
    """The help of a layer or statement in one line: the first of its docstring."""
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _keys(spec: ArgumentSpec) -> str:
    return spec.name.upper() if spec.positional else "/".join(spec.keys)


def kind_text(spec: ArgumentSpec) -> str:
    """`takes a whole number of at least 1 (pixels) (default 3)`."""
    return f"takes {spec.kind.describe()}{_unit_and_default(spec)}"


def _unit_and_default(spec: ArgumentSpec) -> str:
    """` (pixels) (default 0)`, each where there is one."""
    return (f" ({spec.unit})" if spec.unit else "") + _default(spec)


def _default(spec: ArgumentSpec) -> str:
    if spec.required:
        return " (needed)" if not spec.positional else ""
    return "" if spec.default is None else f" (default {_value(spec.default)})"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
