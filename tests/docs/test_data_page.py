"""docs/data.md: its programs and commands, one after the other in one folder, print what the page shows.

A block of Python that begins with `# name.py` is a file of that folder. To regenerate the outputs, run
`python -m tests.docs.test_data_page`.
"""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.commands import environment, run_in_process
from tests.docs.test_lecture import commands
from tests.paths import DOCS
from tests.report.test_docs import FENCE, cut_like, networks

PAGE = DOCS / "data.md"


def write_files(folder: Path) -> None:
    for name, text in networks(PAGE).items():
        (folder / name).write_text(text, encoding="utf-8")
    for language, text in FENCE.findall(PAGE.read_text(encoding="utf-8")):
        name = text.partition("\n")[0].removeprefix("# ")
        if language == "python" and name.endswith(".py"):
            (folder / name).write_text(text, encoding="utf-8")


def printed_by(command: str, folder: Path) -> str:
    program, *words = shlex.split(command)
    if program == "python":
        with chdir(folder):
            runpy.run_path(words[0])
        return ""
    done = run_in_process(words, folder, environment(), merged=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def steps() -> Iterator[tuple[str, str]]:
    for info, text in FENCE.findall(PAGE.read_text(encoding="utf-8")):
        if info == "console":
            yield from commands(text)


@pytest.mark.long
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    write_files(tmp_path)
    for command, output in steps():
        assert cut_like(output, printed_by(command, tmp_path)) == output, command


def regenerated(text: str) -> str:
    """The page with the outputs that its commands print now."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)

        def block(match: re.Match[str]) -> str:
            if match[1] != "console":
                return match[0]
            ran = [f"$ {c}\n{cut_like(output, printed_by(c, folder))}" for c, output in commands(match[2])]
            return f"```{match[1]}\n{''.join(ran)}```"

        return FENCE.sub(block, text)


if __name__ == "__main__":
    PAGE.write_text(regenerated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
