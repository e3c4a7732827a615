"""The documentation is up to date: its networks check, its commands print what is shown, its tables match the code.

To regenerate the tables between the markers of language.md, and the output of commands, run

    python -m tests.report.test_docs
"""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest

from cnnc.data.catalog import KNOWN, READ_FROM_FILES
from cnnc.diagnostics import Diagnostic
from cnnc.network import check
from cnnc.report import reference
from tests.cli.conftest import run
from tests.package_edges import ALLOWED
from tests.paths import DOCS, ROOT
from tests.test_models import KEYS, LAYER, MEMORY

PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COURSES = [*(DOCS / f"{name}.md" for name in ("tutorial", "lecture", "data")), *sorted(DOCS.glob("howto/*.md"))]
"""Pages whose commands build on one another: tests/docs/test_courses.py runs them in order."""
LANGUAGE, ARCHITECTURE = DOCS / "language.md", DOCS / "architecture.md"


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
            if language == "console" and page not in COURSES:
                command, _, output = text.removeprefix("$ ").partition("\n")
                yield pytest.param(page, command, output, id=f"{page.stem}: {command}")


# --- tables ----------------------------------------------------------------------------------------------------


def train_table() -> str:
    """The statements of the train section, from their classes, and the data sets."""
    ours = ", ".join(f"`data {name}`" for name in KNOWN)
    yours = ", ".join(f'`data {name} "PATH"`' for name in READ_FROM_FILES)
    return f"{reference.train_markdown()}\n\nData sets: {ours}; of your own {yours}."


def package_picture() -> str:
    """The allowed edges between packages as a Mermaid diagram, without those that follow from others."""
    direct = {package: set(targets.split()) for package, targets in ALLOWED.items()}
    below: dict[str, set[str]] = {}  # all that a package can reach; ALLOWED lists packages after what they import
    for package, targets in direct.items():
        below[package] = targets.union(*(below[target] for target in targets))
    nodes = {package: f"{package.replace('.', '_')}_" for package in direct}  # a bare `graph` is a word of Mermaid
    lines = ["```mermaid", "flowchart TD", *(f'  {node}["{package}"]' for package, node in nodes.items())]
    for package, targets in reversed(direct.items()):
        needed = targets - {deeper for target in targets for deeper in below[target]}
        lines += [f"  {nodes[package]} --> {nodes[target]}" for target in sorted(needed)]
    return "\n".join([*lines, "```"])


TABLES = {
    LANGUAGE: {"layers": reference.markdown, "train": train_table},
    ARCHITECTURE: {"packages": package_picture},
}


def with_tables(page: Path, text: str) -> str:
    """The page with its regenerated parts."""
    for name, make in TABLES.get(page, {}).items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(end)
        assert found, name
        text = f"{head}{begin}\n\n{make()}\n\n{end}{tail}"
    return text


@pytest.mark.parametrize("page", TABLES, ids=[page.stem for page in TABLES])
def test_the_tables_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert with_tables(page, text) == text, "python -m tests.report.test_docs regenerates them"


TRAINING = [pytest.param(page, marks=[pytest.mark.long] * (page.stem == "python"), id=page.stem) for page in PAGES]


@pytest.mark.parametrize("page", TRAINING)
def test_python_sessions_give_what_is_shown(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`...` within a line stands for what is left out of it. Files that a session writes go to the test's folder."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    text = "\n".join(text for language, text in blocks(page) if language == "pycon")
    failed, _ = doctest.testmod(
        ModuleType(page.stem, text), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False
    )
    assert not failed, "doctest printed what differs"


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
    done = run(*words[1:], cwd=folder)
    return done.stdout + done.stderr


def cut_like(shown: str, printed: str) -> str:
    """What was printed with lines left out as in what is shown, where `...` stands for them.

    Lines before the first `...` are at the beginning, those after the last at the end, and those between two of them
    where the same words are, or else the same first two words.
    """
    rest = printed.splitlines()
    parts = [part.splitlines() for part in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)]
    if len(parts) == 1:
        return printed
    first, *middle, last = parts
    lines, rest = rest[: len(first)], rest[len(first) :]
    for part in middle:
        starts = (n for n in range(len(rest)) if words_of(rest[n : n + len(part)]) == words_of(part))
        similar = (n for n in range(len(rest)) if rest[n].split()[:2] == part[0].split()[:2])
        begin = next(starts, next(similar, 0))
        lines += ["...", *rest[begin : begin + len(part)]]
        rest = rest[begin + len(part) :]
    lines += ["...", *rest[len(rest) - len(last) :]]
    return "".join(f"{line}\n" for line in lines)


def words_of(lines: list[str]) -> list[str]:
    """Lines without what may differ in another training: numbers, spaces, and which epoch is the best."""
    return [re.sub(r"\d[\d.,]*", "0", " ".join(line.removesuffix("best").split())) for line in lines]


def test_lines_left_out() -> None:
    printed = "a 1\nb\ntest 93.2% (3 of 4)\nnext: c\nrun r\n"
    assert (
        cut_like("a 1\n...\ntest 9.1% (1 of 4)\n...\nrun r\n", printed) == "a 1\n...\ntest 93.2% (3 of 4)\n...\nrun r\n"
    )
    assert cut_like("...\nrun r\n", printed) == "...\nrun r\n"
    assert cut_like("a 1\n...\n", printed) == "a 1\n...\n"
    assert cut_like("a 1\n", printed) == printed


def test_every_command_has_its_output() -> None:
    assert len(list(sessions())) >= 6


# --- completeness ----------------------------------------------------------------------------------------------


def test_json_md_names_every_key() -> None:
    text = (DOCS / "json.md").read_text(encoding="utf-8").partition("\n## Scores")[0]
    told = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    diagnostics = list(Diagnostic("E000", "").as_dict())
    compared = ["dense_weights", "local_weights", "shared_weights", "operations", "dense_operations"]
    sizes = ["symbol", "rule", "minimum", "period", "residues", "extra"]
    assert told == [*KEYS, *sorted(MEMORY, key=told.index), *sizes, *LAYER, *compared, *diagnostics]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if target.startswith("https://"):
                continue
            file, _, anchor = target.partition("#")
            linked = page.parent / file if file else page
            assert linked.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(linked), f"{page.name}: {target}"


def test_files_that_are_named_exist() -> None:
    for page in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"\b(?:cnnc|grammar|tests|docs|models|benchmarks)/[\w/]+\.(?:py|md|cnn|toml|lark)\b", text)
        created = re.findall(r"^Create `([^`]+)`:$", text, re.MULTILINE)  # by a guide
        assert [name for name in sorted({*named} - {*created}) if not (ROOT / name).exists()] == [], page.name


def test_limits_are_those_of_the_code() -> None:
    from cnnc.core.arguments import MAX_WHOLE
    from cnnc.language import blocks, expressions, infer, parse
    from cnnc.language import brackets as layout

    text = LANGUAGE.read_text(encoding="utf-8")
    assert f"{parse.MAX_TEXT:,} characters; {parse.MAX_TOKENS:,} tokens" in text
    assert f"| nested brackets | {layout.MAX_NESTING} |" in text
    assert f"| operators in one value | {layout.MAX_OPERATORS} |" in text
    assert f"| nested block calls | {blocks.MAX_CALLS} |" in text
    assert f"| layers of a network | {blocks.MAX_LAYERS:,} |" in text
    assert f"| elements of one tensor | 2^{infer.MAX_ELEMENTS.bit_length() - 1} |" in text
    assert (MAX_WHOLE, expressions.LIMIT) == (2**31 - 1, 2**63)


def regenerated(page: Path) -> str:
    def session(match: re.Match[str]) -> str:
        if match[1] != "console" or page in COURSES:
            return match[0]
        command, _, output = match[2].removeprefix("$ ").partition("\n")
        with TemporaryDirectory() as folder:
            printed = printed_by(page, command, Path(folder))
        return f"```console\n$ {command}\n{cut_like(output, printed)}```"

    text = FENCE.sub(session, page.read_text(encoding="utf-8"))
    return with_tables(page, text)


if __name__ == "__main__":
    for changed in PAGES:
        changed.write_text(regenerated(changed), encoding="utf-8")
