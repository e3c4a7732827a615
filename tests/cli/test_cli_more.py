"""`cnnc check` in all its forms, `explain`, `ops` and `new`, as a user runs them."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnnc.ops import OPS
from cnnc.report.explanations import pages
from tests.cli.conftest import Cnnc, codes
from tests.commands import COMMAND, environment

SIZED = "input 3xHxW\na: conv 4 k=3 p=1\npool max k=2\nupsample 2\nconv 4 k=1\nadd a\n"
BLOCKS = "block b(w) { conv w k=3 p=1; relu }\ninput 1x8x8\nb 4\nfirst: b 8\nfc 10\n"


@pytest.fixture(autouse=True)
def _files(tmp_path: Path) -> None:
    (tmp_path / "sized.cnn").write_text(SIZED)
    (tmp_path / "blocks.cnn").write_text(BLOCKS)
    (tmp_path / "bad.cnn").write_text("input 1x8x8\nconv 4 k=9\n")
    (tmp_path / "warned.cnn").write_text("input 1x8x8\nconv 4 k=3 s=2\n")


# --- sizes -----------------------------------------------------------------------------------------------------


def test_symbols_are_reported(cnnc: Cnnc) -> None:
    done = cnnc("check", "sized.cnn")
    assert (done.returncode, done.stderr) == (0, "")
    assert "legal sizes: H ≥ 2, a multiple of 2; W ≥ 2, a multiple of 2" in done.stdout
    assert "4xHxW" in done.stdout
    assert "depend on the size: --at" in done.stdout


def test_at(cnnc: Cnnc) -> None:
    done = cnnc("check", "sized.cnn", "--at", "H=10,W=12")
    assert done.returncode == 0
    assert "4x10x12" in done.stdout
    assert "MACs\n" in done.stdout
    assert cnnc("check", "sized.cnn", "--at", "H=10", "--at", "W=12").stdout == done.stdout
    done = cnnc("check", "sized.cnn", "--at", "H=11,W=12")
    assert (done.returncode, codes(done.stderr)) == (1, ["E301"])
    assert "H=10 and H=12 are the nearest that fit" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("at", ["H", "H=", "=3", "H=x", "H=0", "H=-1", "H=1.5", "H=²", "N=3", "H=99999999999"])
def test_bad_sizes(cnnc: Cnnc, at: str) -> None:
    done = cnnc("check", "sized.cnn", "--at", at)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert done.stdout == ""


def test_json_of_symbols(cnnc: Cnnc) -> None:
    (net,) = json.loads(cnnc("check", "sized.cnn", "--json").stdout)
    assert (net["macs"], net["memory"]["peak"], net["memory"]["training"]) == (None, None, None)
    assert net["inputs"] == [{"name": "input1", "shape": [3, "H", "W"], "dtype": "float32"}]
    assert net["sizes"][0] == {
        "symbol": "H",
        "rule": "H ≥ 2, a multiple of 2",
        "minimum": 2,
        "period": 2,
        "residues": [0],
        "extra": [],
    }
    (net,) = json.loads(cnnc("check", "sized.cnn", "--json", "--at", "H=4,W=6").stdout)
    assert net["outputs"] == [{"name": "add1", "shape": [4, 4, 6]}]
    assert net["macs"] == sum(layer["macs"] for layer in net["layers"])


# --- views -----------------------------------------------------------------------------------------------------


def test_depth(cnnc: Cnnc) -> None:
    lines = cnnc("check", "blocks.cnn", "--depth", "1").stdout.splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["input1", "b1", "first", "fc1"]
    assert "block of 2 layers" in lines[3]
    assert lines[-2:] == cnnc("check", "blocks.cnn").stdout.splitlines()[-2:]


def test_sort(cnnc: Cnnc) -> None:
    def first(key: str) -> str:
        return cnnc("check", "blocks.cnn", "--sort", key).stdout.splitlines()[2].split()[0]

    assert [first(k) for k in ("macs", "params", "memory", "field")] == [
        "first.conv1",
        "fc1",
        "first.conv1",
        "fc1",
    ]
    assert cnnc("check", "blocks.cnn", "--sort", "name").returncode == 2


def test_versus_dense(cnnc: Cnnc) -> None:
    lines = cnnc("check", "blocks.cnn", "--versus-dense").stdout.splitlines()
    assert lines[0].split("  ")[-1].strip() == "saved"
    assert "fc weights" in lines[0]
    assert any(line.startswith("b1.conv1") and line.endswith("x") for line in lines)


def test_batch_changes_the_memory_of_training(cnnc: Cnnc) -> None:
    one, many = (cnnc("check", "blocks.cnn", "--batch", n).stdout.splitlines()[-1] for n in ("1", "64"))
    assert one != many
    assert many.endswith("in training at batch 64")
    assert cnnc("check", "blocks.cnn", "--batch", "0").returncode == 2


def test_csv(cnnc: Cnnc) -> None:
    done = cnnc("check", "blocks.cnn", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [r["name"] for r in rows] == ["input1", "b1.conv1", "b1.relu1", "first.conv1", "first.relu1", "fc1"]
    assert sum(int(r["params"]) for r in rows) == 40 + 296 + 5130


# --- formats of diagnostics ------------------------------------------------------------------------------------


def test_full_and_concise_go_to_stderr(cnnc: Cnnc) -> None:
    done = cnnc("check", "bad.cnn", "--format", "concise")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "bad.cnn:2:8: E302 the 9x9 kernel does not fit into the 8x8 input\n"
    done = cnnc("check", "bad.cnn")
    assert done.stderr.startswith("error[E302]: the 9x9 kernel")
    assert cnnc("check", "small.cnn", "--format", "concise").stderr == ""


@pytest.mark.parametrize("format", ["github", "sarif", "json"])
def test_formats_for_programs_go_to_stdout(cnnc: Cnnc, format: str) -> None:
    done = cnnc("check", "bad.cnn", "warned.cnn", "--format", format)
    assert (done.returncode, done.stderr) == (1, "")
    assert "E302" in done.stdout
    assert "W301" in done.stdout
    assert cnnc("check", "bad.cnn", "--format", "xml").returncode == 2


def test_json_and_sarif_are_json_and_nothing_else(cnnc: Cnnc) -> None:
    """Where the text is sound as well: a program that reads the output gets no table before it."""
    assert [d["code"] for d in json.loads(cnnc("check", "bad.cnn", "--format", "json").stdout)] == ["E302"]
    assert json.loads(cnnc("check", "bad.cnn", "--format", "sarif").stdout)["version"] == "2.1.0"
    assert json.loads(cnnc("check", "small.cnn", "--format", "json").stdout) == []
    assert json.loads(cnnc("check", "warned.cnn", "--format", "sarif").stdout)["version"] == "2.1.0"


# --- watch -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_watch_checks_again_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "check", "bad.cnn", "--watch"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        lines: list[str] = []
        while not lines or "watching" not in lines[-1]:
            lines.append(process.stderr.readline())
        assert any("E302" in line for line in lines)
        time.sleep(0.05)
        (tmp_path / "bad.cnn").write_text("input 1x8x8\nconv 4 k=3\nnonsense\n")
        lines = []
        while not lines or "watching" not in lines[-1]:
            lines.append(process.stderr.readline())
        assert any("E111" in line for line in lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.communicate()


# --- explain, ops, new -----------------------------------------------------------------------------------------


def test_explain(cnnc: Cnnc) -> None:
    done = cnnc("explain", "E301")
    assert done.returncode == 0
    assert done.stdout.startswith("E301: Shapes that cannot be added\n")
    assert "\nBroken:\n    input 16x28x28\n" in done.stdout
    assert "\nMended:\n" in done.stdout
    assert cnnc("explain", "e301").stdout == done.stdout
    listed = cnnc("explain").stdout.splitlines()
    assert len(listed) == len(pages())
    assert listed[0].startswith("E001  ")
    done = cnnc("explain", "E999")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "did you mean `E301` or `W301`?" in cnnc("explain", "301").stderr


def test_ops(cnnc: Cnnc) -> None:
    listed = cnnc("ops").stdout
    for keyword in OPS:
        assert any(line.split()[0] == keyword for line in listed.splitlines()), keyword
        page = cnnc("ops", keyword).stdout if keyword in ("conv", "pool", "bn", "filter") else None
        assert page is None or (page.startswith(keyword) and "Example:" in page)
    done = cnnc("ops", "cnov")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "did you mean `conv`?" in done.stderr
    assert "did you mean `fc`?" in cnnc("ops", "dense").stderr
    assert "is a statement" in cnnc("ops", "train").stderr
    assert cnnc("ops", "--markdown").stdout.startswith("| layer | arguments | meaning |\n|---|---|---|\n")


@pytest.mark.parametrize("template", ["lenet", "resnet", "unet", "textcnn"])
def test_new_writes_what_checks_without_a_word(cnnc: Cnnc, tmp_path: Path, template: str) -> None:
    done = cnnc("new", "mine", "--template", template)
    assert done.returncode == 0
    assert done.stdout == "wrote mine.cnn; next: cnnc check mine.cnn\n"
    assert cnnc("check", "mine.cnn", "--strict").returncode == 0
    assert "net mine\n" in (tmp_path / "mine.cnn").read_text()
    assert cnnc("fmt", "--check", "mine.cnn").returncode == 0
    done = cnnc("new", "mine")
    assert (done.returncode, codes(done.stderr)) == (6, ["E902"])


def test_new_with_an_awkward_name(cnnc: Cnnc, tmp_path: Path) -> None:
    assert cnnc("new", 'my "net" 1').returncode == 0
    assert cnnc("check", 'my "net" 1.cnn').stdout.splitlines()[-2].startswith('my "net" 1: ')
    assert cnnc("new", "relu").returncode == 0
    assert cnnc("check", "relu.cnn").returncode == 0
    assert cnnc("new", "mine", "-t", "nonsense").returncode == 2
    assert cnnc("new", "nowhere/mine").returncode == 6
    assert not (tmp_path / "nowhere").exists()


def test_every_command_answers_quickly_without_numpy(tmp_path: Path) -> None:
    code = "import sys\nfrom cnnc.cli.main import main\ntry: main()\nfinally: print('numpy' in sys.modules, file=sys.stderr)"
    for words in (["check", "blocks.cnn"], ["explain", "E301"], ["ops", "conv"], ["new", "x"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == "False", words
