"""The pages that are generated from the code: layers, statements of the train section, errors, commands, Python.

In: nothing. Out: Markdown, by the path of the page within the site.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence

import cnnc
from cnnc.cli.app import COMMANDS, app
from cnnc.core.arguments import ArgumentSpec
from cnnc.ops import OPS
from cnnc.recipe.declaration import TRAIN_STATEMENTS
from cnnc.report.explanations import pages as explanations
from cnnc.report.reference import Documented, signature


def reference_pages() -> dict[str, str]:
    """All generated pages."""
    statements = [cls for kinds in TRAIN_STATEMENTS.values() for cls in kinds.values()]
    return {
        "reference/layers.md": _documented(
            "Layers", "Every layer, in alphabetical order. `cnnc ops NAME` prints the same.", OPS.values()
        ),
        "reference/train.md": _documented(
            "The train section", "Every statement of `train { }`. `cnnc ops NAME` prints the same.", statements
        ),
        "reference/errors.md": _errors(),
        "reference/commands.md": _commands(),
        "reference/python.md": _python(),
    }


def _documented(title: str, lead: str, classes: Iterable[Documented]) -> str:
    entries = sorted(classes, key=lambda cls: signature(cls))
    return f"# {title}\n\n{lead}\n\n" + "\n".join(_entry(cls) for cls in entries)


def _entry(cls: Documented) -> str:
    """A layer or statement: its signature, description, arguments and an example."""
    form = signature(cls)
    head = form.partition("[")[0].strip()
    name = " ".join(word for word in head.split() if word.islower() and "=" not in word) or head
    details = getattr(cls, "details", lambda: "")()
    text = "\n\n".join(filter(None, [inspect.cleandoc(cls.__doc__ or ""), details]))
    arguments = _arguments(cls.arguments)
    return f"## {name}\n\n```cnn\n{form}\n```\n\n{_prose(text)}\n\n{arguments}Example:\n\n```cnn\n{cls.example}\n```\n"


def _arguments(specs: Sequence[ArgumentSpec]) -> str:
    if not specs:
        return ""
    lines = ["| argument | meaning | takes | unit | default |", "|---|---|---|---|---|"]
    for spec in specs:
        keys = spec.name.upper() if spec.positional else "/".join(spec.keys)
        default = "needed" if spec.required else "" if spec.default is None else f"`{_value(spec.default)}`"
        cells = (f"`{keys}`", spec.help, spec.kind.describe(), spec.unit or "", default)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n\n"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _errors() -> str:
    parts = [
        "# Errors and warnings",
        "Every code, what it means and how to fix it. `cnnc explain CODE` prints the same. Codes that begin with W are warnings.",
    ]
    for page in explanations().values():
        parts.append(f"## {page.code}: {page.title}")
        parts.append(_prose(page.text))
        for title, example in (("Broken", page.broken), ("Fixed", page.fixed)):
            if example:
                parts.append(f"{title}:\n\n```cnn\n{example.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def _commands() -> str:
    """The help pages of all commands, as a terminal of 100 columns shows them."""
    from typer.testing import CliRunner

    parts = ["# Commands", "The help page of every command. [Command line](../cli.md) explains how they work together."]
    for name in COMMANDS:
        shown = CliRunner().invoke(
            app([name]), _words(name), terminal_width=100, env={"COLUMNS": "100", "NO_COLOR": "1"}
        )
        assert shown.exit_code == 0, shown.output
        parts.append(f"## cnnc {name}\n\n```text\n{shown.output.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def _words(name: str) -> list[str]:
    return [name, "--help"]


def _python() -> str:
    """The public functions and classes, with their docstrings."""
    parts = ["# Python functions", "What `import cnnc` offers. [Python](../python.md) shows how to use it."]
    for name in sorted(cnnc.__all__, key=str.lower):
        found = getattr(cnnc, name)
        if callable(found):
            parts.append(f"## {name}\n\n```python\n{_call(name, found)}\n```\n\n{_prose(inspect.getdoc(found) or '')}")
    return "\n\n".join(parts) + "\n"


def _call(name: str, found: Callable[..., object]) -> str:
    kind = "class" if inspect.isclass(found) else "def"
    try:
        parameters = str(inspect.signature(found)).replace("cnnc.", "")
    except ValueError:  # an exception class has none
        parameters = ""
    return f"{kind} {name}{parameters}"


def _prose(text: str) -> str:
    """A docstring as Markdown: its indented parts are code, what else looks like HTML stays text."""
    lines = text.splitlines()
    return "\n".join(s if s.startswith("    ") else s.replace("<", "&lt;").replace("*", "\\*") for s in lines)
