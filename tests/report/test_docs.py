"""What docs/ shows is what there is: networks check, commands give what is printed below them, tables are up to date.

The tables between the markers of language.md, and what commands print, are made anew by

    python -m tests.report.test_docs
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from cnnc.data.catalog import KNOWN
from cnnc.network import check
from cnnc.recipe.metrics import METRICS
from cnnc.recipe.reading import READ_FROM_FILES
from cnnc.recipe.statements import STATEMENTS
from cnnc.report import reference
from tests.commands import COMMAND, environment
from tests.paths import DOCS
from tests.test_models import KEYS, LAYER, MEMORY

PAGES = sorted(DOCS.glob("*.md"))
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LANGUAGE = DOCS / "language.md"


def blocks(page: Path) -> list[tuple[str, str]]:
    return FENCE.findall(page.read_text(encoding="utf-8"))


def networks(page: Path) -> dict[str, str]:
    """The networks of a page by the file names in their first lines."""
    found = {}
    for language, text in blocks(page):
        if language.startswith("cnn"):
            name = text.partition("\n")[0].removeprefix("# ")
            assert name.endswith(".cnn")
            assert name not in found
            found[name] = text
    return found


def sessions() -> Iterator[Any]:
    for page in PAGES:
        for language, text in blocks(page):
            if language == "console":
                command, _, output = text.removeprefix("$ ").partition("\n")
                yield pytest.param(page, command, output, id=f"{page.stem}: {command}")


# --- tables ----------------------------------------------------------------------------------------------------


def train_table() -> str:
    """The statements of the train section, from their classes."""
    lines = ["| statement | arguments | meaning |", "|---|---|---|"]
    for word, entry in STATEMENTS.items():
        for kind, cls in entry.items() if isinstance(entry, dict) else [("", entry)]:
            specs = [spec for spec in cls.arguments if not (kind and spec.name == "kind")]
            keys = [f"`{spec.name.upper() if spec.positional else spec.name}`{_default(spec)}" for spec in specs]
            meaning = (cls.__doc__ or "").strip().partition("\n")[0]
            if word in ("batch", "epochs"):
                meaning = {"batch": "Examples in each step.", "epochs": "Times that all examples are seen."}[word]
            lines.append(f"| `{f'{word} {kind}'.strip()}` | {', '.join(keys) or 'none'} | {meaning} |")
    ours = ", ".join(f"`data {name}`" for name in KNOWN)
    yours = ", ".join(f'`data {name} "PATH"`' for name in READ_FROM_FILES)
    lines += ["", f"Data: {ours}; of your own {yours}. Metrics: {', '.join(f'`{m}`' for m in METRICS)}."]
    return "\n".join(lines)


def _default(spec: Any) -> str:
    if spec.required:
        return "" if spec.positional else " (needed)"
    if spec.default is None:
        return ""
    return f" (default {str(spec.default).lower() if isinstance(spec.default, bool) else f'{spec.default:g}'})"


TABLES = {"layers": reference.markdown, "train": train_table}


def with_tables(text: str) -> str:
    """The page with its tables made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(end)
        assert found, name
        text = f"{head}{begin}\n\n{make()}\n\n{end}{tail}"
    return text


def test_the_tables_are_up_to_date() -> None:
    text = LANGUAGE.read_text(encoding="utf-8")
    assert with_tables(text) == text, "python -m tests.report.test_docs makes them anew"


# --- networks and commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_networks_check(page: Path) -> None:
    for name, text in networks(page).items():
        found = check(text, name).diagnostics
        assert bool(found) == (name == "broken.cnn"), name


@pytest.mark.long
@pytest.mark.parametrize(("page", "command", "output"), list(sessions()))
def test_commands_give_what_is_shown(page: Path, command: str, output: str, tmp_path: Path) -> None:
    """`...` on a line of its own stands for lines left out."""
    assert cut_like(output, printed_by(page, command, tmp_path)) == output


def printed_by(page: Path, command: str, folder: Path) -> str:
    """What a command prints, in a folder with the networks of the page."""
    for name, text in networks(page).items():
        (folder / name).write_text(text, encoding="utf-8")
    words = shlex.split(command)
    assert words[0] == "cnnc"
    done = subprocess.run(
        [*COMMAND, *words[1:]],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.stdout + done.stderr


def cut_like(shown: str, printed: str) -> str:
    """What was printed with as many lines left out as in what is shown: all between those before and after `...`."""
    lines, old = printed.splitlines(), shown.splitlines()
    if "..." in old:
        at = old.index("...")
        after = len(old) - at - 1
        lines = [*lines[:at], "...", *(lines[-after:] if after else [])]
    return "".join(f"{line}\n" for line in lines)


def test_every_command_has_its_output() -> None:
    assert len(list(sessions())) >= 6


# --- completeness ----------------------------------------------------------------------------------------------


def test_json_md_names_every_key() -> None:
    text = (DOCS / "json.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    diagnostics = ["code", "severity", "file", "line", "column", "message", "help"]
    sizes = ["symbol", "rule", "minimum", "period", "residues", "extra"]
    assert told == [*KEYS, *sorted(MEMORY, key=told.index), *sizes, *LAYER, *diagnostics]


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        anchors = {
            re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")
            for head in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        }
        for target in re.findall(r"\]\(([^)]+)\)", text):
            if target.startswith("#"):
                assert target[1:] in anchors, target
            elif not target.startswith("https://"):
                assert (DOCS / target).exists(), target


def test_limits_are_those_of_the_code() -> None:
    from cnnc.core.arguments import MAX_WHOLE
    from cnnc.language import blocks, expressions, infer, parse
    from cnnc.language import brackets as layout

    text = LANGUAGE.read_text(encoding="utf-8")
    assert f"{parse.MAX_TEXT:,} characters; {parse.MAX_TOKENS:,} words" in text
    assert f"| brackets within each other | {layout.MAX_NESTING} |" in text
    assert f"| operators in one value | {layout.MAX_OPERATORS} |" in text
    assert f"| block calls within each other | {blocks.MAX_CALLS} |" in text
    assert f"| layers of a network | {blocks.MAX_LAYERS:,} |" in text
    assert f"| numbers in one tensor | 2^{infer.MAX_ELEMENTS.bit_length() - 1} |" in text
    assert (MAX_WHOLE, expressions.LIMIT) == (2**31 - 1, 2**63)


def made_anew(page: Path) -> str:
    def session(match: re.Match[str]) -> str:
        if match[1] != "console":
            return match[0]
        command, _, output = match[2].removeprefix("$ ").partition("\n")
        with TemporaryDirectory() as folder:
            printed = printed_by(page, command, Path(folder))
        return f"```console\n$ {command}\n{cut_like(output, printed)}```"

    text = FENCE.sub(session, page.read_text(encoding="utf-8"))
    return with_tables(text) if page == LANGUAGE else text


if __name__ == "__main__":
    for changed in PAGES:
        changed.write_text(made_anew(changed), encoding="utf-8")
