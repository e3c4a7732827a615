"""The courses of docs/: the commands of a page, one after the other in one folder, print what it shows and write their files.

A block ```` ```console ```` holds one or several commands, each after `$ `, with its output; `...` on a line of its own
stands for lines left out, also several times. Words after `console` say more: `trained`: the numbers come from training, and
may differ a little on another machine; `slow`: it trains for several seconds, or needs such a
run, and belongs to the slow test alone; `mnist`, `text`: it needs this data set, and `CNNC_DATA` has to name the folder that contains it.

To regenerate the outputs, run `python -m tests.docs.test_courses PAGE...`, by default of all pages; with the word `all`, also
those of steps that need a data set.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from tests.commands import COMMAND, IN_PROCESS, environment, run_in_process
from tests.paths import ROOT
from tests.report.test_docs import COURSES, FENCE, blocks, cut_like, networks

DATA = {"mnist": "mnist", "text": "text"}
"""The words of a block that stand for a data set, and the folder that contains it."""
WORDS = {"trained", "slow", *DATA}
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?%?")
POINTS = 8
"""By how many percentage points the result of training may differ on another machine."""


class Step(NamedTuple):
    """A command with its output, and the words of its block."""

    command: str
    output: str
    words: frozenset[str]

    @property
    def needs_data(self) -> bool:
        return not self.words.isdisjoint(DATA)

    @property
    def is_slow(self) -> bool:
        return self.needs_data or "slow" in self.words


def steps(page: Path) -> Iterator[Step]:
    for info, text in FENCE.findall(page.read_text(encoding="utf-8")):
        kind, *words = info.split() or [""]
        if kind == "console":
            for command, output in commands(text):
                yield Step(command, output, frozenset(words))


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a block, each with its output."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def write_files(page: Path, folder: Path) -> None:
    """The networks of a page, and its programs, whose first lines are `# name.py`."""
    for name, text in networks(page).items():
        (folder / name).write_text(text, encoding="utf-8")
    for language, text in blocks(page):
        name = text.partition("\n")[0].removeprefix("# ")
        if language == "python" and name.endswith(".py"):
            (folder / name).write_text(text, encoding="utf-8")


def printed_by(command: str, folder: Path) -> str:
    """What a command prints, on stdout and stderr in this order of time."""
    program, *words = shlex.split(command)
    if program == "cnnc" and IN_PROCESS:
        done = run_in_process(words, folder, environment(), merged=True)
    else:
        done = run_process(program, words, folder)
    assert (done.returncode != 0) == ("error[" in done.stdout), f"{command}\n{done.stdout}"
    return done.stdout


def run_process(program: str, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    start = {"cnnc": COMMAND, "python": (sys.executable,)}[program]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [*start, *words],
        cwd=folder,
        env=environment(PYTHONUNBUFFERED="1", PYTHONPATH=path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )


def agree(shown: str, printed: str) -> bool:
    """Whether two outputs of a training have the same words, and numbers that differ little."""
    texts = [re.sub(r" +best$", "", text, flags=re.MULTILINE) for text in (shown, printed)]
    if len({re.sub(r"\s+", " ", NUMBER.sub("0", text)) for text in texts}) > 1:
        return False
    pairs = zip(*(NUMBER.findall(text) for text in texts), strict=True)
    return all(near(a, b) for a, b in pairs)


def near(a: str, b: str) -> bool:
    """Percentages within `POINTS`; other numbers within a factor of 2."""
    x, y = (abs(float(n.strip("%").replace(",", ""))) for n in (a, b))
    return abs(x - y) <= POINTS if a.endswith("%") else 2 * min(x, y) >= max(x, y)


def run_all(page: Path, chosen: list[Step], folder: Path) -> None:
    write_files(page, folder)
    for step in chosen:
        printed = cut_like(step.output, printed_by(step.command, folder))
        if "trained" not in step.words:
            assert printed == step.output, step.command
        elif not agree(step.output, printed):
            pytest.fail(f"{step.command}\n--- shown\n{step.output}\n--- printed\n{printed}")


each_course = pytest.mark.parametrize("page", COURSES, ids=[page.stem for page in COURSES])


@pytest.mark.long
@each_course
def test_the_steps_without_downloads(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    run_all(page, [step for step in steps(page) if not step.is_slow], tmp_path)


@pytest.mark.slow
@each_course
def test_all_steps(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    chosen = list(steps(page))
    if not any(step.is_slow for step in chosen):
        pytest.skip("runs in test_the_steps_without_downloads")
    root = Path(os.environ.get("CNNC_DATA", "none"))
    needed = {DATA[word] for step in chosen for word in step.words & DATA.keys()}
    missing = sorted(name for name in needed if not (root / name).exists())
    if missing:
        pytest.skip(f"CNNC_DATA has no {', '.join(missing)}")
    run_all(page, chosen, tmp_path)


def test_outputs_of_a_training_may_differ_a_little() -> None:
    shown = "epoch 9/9  loss 0.0300  best\ntest accuracy 93.89% (338 of 360)\n"
    assert agree(shown, "epoch 9/9  loss 0.0253\ntest accuracy 94.72% (341 of 360)\n")
    assert not agree(shown, "epoch 9/9  loss 0.0253\ntest accuracy 54.72% (197 of 360)\n")
    assert not agree(shown, "epoch 9/9  loss 2.3012\ntest accuracy 94.72% (341 of 360)\n")
    assert not agree(shown, "epoch 9/9  loss 0.0253\ntest mse 94.72% (341 of 360)\n")


@each_course
def test_every_block_of_commands_is_read(page: Path) -> None:
    """A misspelled word would leave a step out, or compare it in another way."""
    for info, text in FENCE.findall(page.read_text(encoding="utf-8")):
        kind, *words = info.split() or [""]
        assert kind in {"console", "cnn", "csv", "sh", "python", "text", ""}, info
        if kind == "console":
            assert text.startswith("$ "), text
            assert set(words) <= WORDS, info


def regenerated(page: Path, with_data: bool) -> str:
    """The page with the outputs that its commands print now."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_files(page, folder)

        def block(match: re.Match[str]) -> str:
            kind, *words = match[1].split() or [""]
            if kind != "console" or (not with_data and not DATA.keys().isdisjoint(words)):
                return match[0]
            ran = [f"$ {command}\n{rerun(command, output, folder)}" for command, output in commands(match[2])]
            return f"```{match[1]}\n{''.join(ran)}```"

        return FENCE.sub(block, page.read_text(encoding="utf-8"))


def rerun(command: str, output: str, folder: Path) -> str:
    """What the command prints now; the output so far if it fails unexpectedly."""
    try:
        return cut_like(output, printed_by(command, folder))
    except AssertionError as error:
        sys.stderr.write(f"{error}\n")
        return output


if __name__ == "__main__":
    pages = {course.stem: course for course in COURSES}
    chosen = [word for word in sys.argv[1:] if word != "all"] or list(pages)
    if not pages.keys() >= set(chosen):
        sys.exit(f"expected names of pages among {', '.join(pages)}, found {', '.join(chosen)}")
    for name in chosen:
        pages[name].write_text(regenerated(pages[name], "all" in sys.argv[1:]), encoding="utf-8")
