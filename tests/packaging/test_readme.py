"""README.md and docs/cli.md agree with the program: example, error message, totals, commands, exit statuses, links."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from typer.main import get_command

from cnnc.cli.app import app
from cnnc.diagnostics import Exit, render
from cnnc.network import check
from tests.paths import DOCS, MODELS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI = (DOCS / "cli.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_example_is_the_model() -> None:
    (example,) = [text for _, text in BLOCKS if text.startswith("net LeNet5")]
    source = (MODELS / "lenet5.cnn").read_text(encoding="utf-8")
    assert source.endswith(example)
    comment = source.removesuffix(example).splitlines()
    assert [line for line in comment if not line.startswith("#")] == []


def test_the_error_is_what_cnnc_prints() -> None:
    (shown,) = [text for _, text in BLOCKS if text.startswith("error[")]
    (diagnostic,) = check("input 1x8x8\nconv 4 k=9\nfc 10\n", "net.cnn").diagnostics
    assert render(diagnostic) + "\n" == shown


def test_the_totals_are_those_of_the_model() -> None:
    graph = check((MODELS / "digits.cnn").read_text(encoding="utf-8")).require_graph()
    assert f"Digits: {graph.total_parameters:,} parameters" in README


def test_two_commands_of_one_line() -> None:
    main_job, tests = [text for language, text in BLOCKS if language == "sh"]
    assert (main_job.count("\n"), tests.count("\n")) == (1, 1)
    for command in (
        "python3 -m venv .venv",
        "pip install -q .",
        "cnnc train models/digits.cnn",
        "cnnc eval digits.onnx",
    ):
        assert command in main_job
    for command in ("python3 -m venv .venv", 'pip install -q -e ".[dev]"', "python -m pytest"):
        assert command in tests


def test_ci_runs_the_two_commands() -> None:
    """The awk program of .ci/run extracts them as they stand."""
    script = ROOT / ".ci" / "run"
    if not script.exists():
        pytest.skip("an sdist has no .ci")
    (line,) = re.findall(r"^commands=\"\$\((awk .*)\)\"$", script.read_text(encoding="utf-8"), re.MULTILINE)
    try:
        done = subprocess.run(shlex.split(line), cwd=ROOT, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("needs awk")
    assert done.stdout == "".join(text for language, text in BLOCKS if language == "sh")


def test_every_command_is_listed_with_its_help() -> None:
    rows = dict(re.findall(r"^\| `cnnc (\w+)[^`]*` \| (.+) \|$", CLI, re.MULTILINE))
    commands = vars(get_command(app([])))["commands"]
    assert rows == {name: command.help for name, command in commands.items()}


def test_every_exit_status_is_listed() -> None:
    listed = {int(n) for row in re.findall(r"^\| ([\d, ]+) \|", CLI, re.MULTILINE) for n in row.split(",")}
    assert listed == set(Exit)


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", DOCS / "cli.md"):
        targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
        dead = [t for t in targets if not t.startswith("https://") and not (page.parent / t).exists()]
        assert dead == [], page.name
