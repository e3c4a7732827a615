"""`cnnc check`: sizes, views, formats of diagnostics and `--watch`."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

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


def test_symbols_are_reported(cnnc: Cnnc) -> None:
    done = cnnc("check", "sized.cnn")
    assert (done.returncode, done.stderr) == (0, "")
    assert "legal sizes: H ≥ 2, a multiple of 2; W ≥ 2, a multiple of 2" in done.stdout
    assert "4xHxW" in done.stdout
    assert "depend on the size, set it with --at" in done.stdout


def test_at(cnnc: Cnnc) -> None:
    done = cnnc("check", "sized.cnn", "--at", "H=10,W=12")
    assert done.returncode == 0
    assert "4x10x12" in done.stdout
    assert "MACs\n" in done.stdout
    assert cnnc("check", "sized.cnn", "--at", "H=10", "--at", "W=12").stdout == done.stdout
    done = cnnc("check", "sized.cnn", "--at", "H=11,W=12")
    assert (done.returncode, codes(done.stderr)) == (1, ["E301"])
    assert "the nearest legal sizes are H=10 and H=12" in done.stderr
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
    (conv,) = [line for line in lines if line.startswith("b1.conv1")]
    assert conv.endswith("x")


def test_versus_dense_in_json_and_csv(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "large.cnn").write_text(
        "input 1x1000x1000\nlocal 1 k=10 p=same bias=false\nrelu\nfc 1000000 bias=false\n"
    )
    done = cnnc("check", "large.cnn", "--versus-dense", "--json")
    assert done.returncode == 0
    (_, local, relu, fc) = json.loads(done.stdout)[0]["layers"]
    names = ("dense_weights", "local_weights", "shared_weights")
    assert [local[name] for name in names] == [10**12, 10**8, 100]
    assert [relu[name] for name in names] == [None] * 3
    assert [fc[name] for name in names] == [10**12, None, None]
    assert not {*names} & {*json.loads(cnnc("check", "large.cnn", "--json").stdout)[0]["layers"][1]}
    rows = list(csv.DictReader(io.StringIO(cnnc("check", "large.cnn", "--versus-dense", "--csv").stdout)))
    assert [rows[1][name] for name in names] == [str(local[name]) for name in names]
    assert [rows[2][name] for name in names] == [""] * 3
    assert "local_weights" not in cnnc("check", "large.cnn", "--csv").stdout


LARGE = """input 1x8x8
fc 1000000
relu
fc 1000000
relu
fc 10
train { data digits
loss cross_entropy
optimizer adam lr=0.001
epochs 1 }
"""


@pytest.mark.parametrize("command", ["train large.cnn --run run", "export large.cnn", "train large.cnn --dry-run"])
def test_weights_that_memory_cannot_hold_are_refused(cnnc: Cnnc, tmp_path: Path, command: str) -> None:
    """Before any of them is made: the process would be killed otherwise. `check` shows the figures all the same."""
    (tmp_path / "large.cnn").write_text(LARGE)
    assert "1,000,076,000,010 parameters (4000.3 GB in float32)" in cnnc("check", "large.cnn").stdout
    files = sorted(tmp_path.iterdir())
    done = cnnc(*command.split())
    assert (done.returncode, codes(done.stderr)) == (6, ["W107", "W113", "E904"])
    assert "make fc2 smaller" in done.stderr
    assert "--> large.cnn:4:1" in done.stderr.partition("E904")[2]
    assert sorted(tmp_path.iterdir()) == files


def test_batch_changes_the_memory_of_training(cnnc: Cnnc) -> None:
    one, many = (cnnc("check", "blocks.cnn", "--batch", n).stdout.splitlines()[-1] for n in ("1", "64"))
    assert one != many
    assert many.endswith("at batch size 64")
    assert cnnc("check", "blocks.cnn", "--batch", "0").returncode == 2


def test_csv(cnnc: Cnnc) -> None:
    done = cnnc("check", "blocks.cnn", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [r["name"] for r in rows] == ["input1", "b1.conv1", "b1.relu1", "first.conv1", "first.relu1", "fc1"]
    assert sum(int(r["params"]) for r in rows) == 40 + 296 + 5130


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
    """Also for a network without errors: stdout has no table before the document."""
    assert [d["code"] for d in json.loads(cnnc("check", "bad.cnn", "--format", "json").stdout)] == ["E302"]
    assert json.loads(cnnc("check", "bad.cnn", "--format", "sarif").stdout)["version"] == "2.1.0"
    assert json.loads(cnnc("check", "small.cnn", "--format", "json").stdout) == []
    assert json.loads(cnnc("check", "warned.cnn", "--format", "sarif").stdout)["version"] == "2.1.0"


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
        assert "E302" in "".join(lines)
        time.sleep(0.05)
        (tmp_path / "bad.cnn").write_text("input 1x8x8\nconv 4 k=3\nnonsense\n")
        lines = []
        while not lines or "watching" not in lines[-1]:
            lines.append(process.stderr.readline())
        assert "E111" in "".join(lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.communicate()
