"""The shell: completion of commands and values, the manual page, and what `cnnc` alone prints."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from cnnc.cli.app import COMMANDS, app
from cnnc.cli.completion import COMPLETERS
from cnnc.cli.first_steps import FIRST_STEPS
from cnnc.cli.man import ENVIRONMENT, EXIT_STATUSES
from cnnc.diagnostics import Exit
from tests.cli.conftest import Cnnc
from tests.paths import DOCS, MODELS

Complete = Callable[[str], list[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with networks, a model and two runs."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(MODELS / "lenet5.cnn", tmp_path)
    shutil.copy(MODELS / "digits.cnn", tmp_path)
    for run in ("runs/lenet5", "own"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "last.safetensors").touch()
        shutil.copy(MODELS / "lenet5.cnn", tmp_path / run / "network.cnn")
    for name in ("x.onnx", "y.onnx", "photo.png", "a b.cnn"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def ask(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What cnnc prints for a shell that sets these variables."""

    def answer(**variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            app([])(args=[], standalone_mode=False, prog_name="cnnc")
        shown = capsys.readouterr()
        assert shown.err == ""
        return shown.out

    return answer


@pytest.fixture
def complete(ask: Callable[..., str]) -> Complete:
    """The values for the last word of a line, as bash gets them."""

    def values(line: str) -> list[str]:
        count = len(line.split()) - (not line.endswith(" "))
        return ask(_CNNC_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(count)).split()

    return values


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cnnc ex", ["export", "explain"]),
        ("cnnc check ", ["digits.cnn", "lenet5.cnn"]),
        ("cnnc train --resume ", ["own", "runs/lenet5"]),
        ("cnnc curves runs/", ["runs/lenet5"]),
        ("cnnc predict ", ["x.onnx", "y.onnx"]),
        ("cnnc unfold runs/lenet5 c", ["conv1", "conv2"]),
        ("cnnc draw lenet5.cnn --style volumes --at c", ["conv1", "conv2"]),
        ("cnnc export own --outputs relu1,f", ["relu1,fc1", "relu1,fc2", "relu1,fc3"]),
        ("cnnc ops group", ["group_norm"]),
        ("cnnc data mn", ["mnist"]),
        ("cnnc explain e", []),
        ("cnnc explain E009", ["E009"]),
        ("cnnc train --engine o", ["onnxruntime"]),
        ("cnnc unfold nowhere c", []),
    ],
)
def test_completion(complete: Complete, line: str, expected: list[str]) -> None:
    assert complete(line) == expected


@pytest.mark.parametrize(("command", "parameter"), COMPLETERS)
def test_every_completer_belongs_to_an_argument(command: str, parameter: str) -> None:
    module, function = COMMANDS[command].split(".")
    assert parameter in inspect.signature(getattr(import_module(f"cnnc.cli.{module}"), function)).parameters


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_in_other_shells(ask: Callable[..., str], shell: str) -> None:
    out = ask(
        _CNNC_COMPLETE=f"complete_{shell}",
        _TYPER_COMPLETE_ARGS="cnnc explain E30",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert "E301" in out
    assert "Shapes cannot be broadcast" in out, "what the code means"


@pytest.mark.long
def test_completion_loads_no_numpy(folder: Path) -> None:
    code = (
        "import sys\nsys.argv = ['cnnc']\nfrom cnnc.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'onnx', 'onnxruntime') if m in sys.modules])"
    )
    line = "cnnc unfold runs/lenet5 c"
    variables = {"_CNNC_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[:2] == ["conv1", "conv2"]
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_manual_page(cnnc: Cnnc) -> None:
    page = cnnc("man").stdout
    assert page.startswith(".TH CNNC 1")
    for name in COMMANDS:
        assert f".SS cnnc {name}\n" in page
    assert r"\fB\-\-resume\fR \fIRUN\fR" in page
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    shown = subprocess.run(
        [groff, "-man", "-Tutf8", "-ww", "-Kutf8"], input=page, capture_output=True, text=True, check=True
    )
    assert shown.stderr == ""


def test_the_manual_page_has_the_statuses_and_variables_of_the_reference() -> None:
    reference = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert [status for status, _ in EXIT_STATUSES] == sorted(Exit)
    variables = re.findall(
        r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", reference.partition("## Environment variables")[2], re.MULTILINE
    )
    assert [name for name, _ in ENVIRONMENT] == [each.replace("`", "") for each in variables]


def test_cnnc_alone_says_what_to_do_first(cnnc: Cnnc) -> None:
    done = cnnc()
    assert done.returncode == 2
    assert FIRST_STEPS.splitlines()[0] in done.stderr
    assert "--install-completion" in done.stderr
    assert done.stdout == ""


@pytest.mark.long
def test_the_first_steps_work(cnnc: Cnnc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in FIRST_STEPS.splitlines():
        words = shlex.split(line.partition("  ")[0])[1:]
        cnnc(*words, *(["--set", "train.epochs=1"] if words[0] == "train" else []))
    assert (tmp_path / "digits.onnx").is_file()
