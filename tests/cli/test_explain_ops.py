"""`cnnc explain` and `cnnc ops`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.ops import OPS
from cnnc.recipe.declaration import TRAIN_STATEMENTS
from cnnc.report.explanations import pages
from tests.cli.conftest import Cnnc, codes
from tests.commands import environment


def test_explain(cnnc: Cnnc) -> None:
    done = cnnc("explain", "E301")
    assert done.returncode == 0
    assert done.stdout.startswith("E301: Shapes cannot be broadcast\n")
    assert "\nBroken:\n    input 16x28x28\n" in done.stdout
    assert "\nFixed:\n" in done.stdout
    assert cnnc("explain", "e301").stdout == done.stdout
    listed = cnnc("explain").stdout.splitlines()
    assert [line.partition("  ")[0] for line in listed] == sorted(page.code for page in pages().values())
    assert listed[0].startswith("E001  ")
    done = cnnc("explain", "E999")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "did you mean `E301` or `W301`?" in cnnc("explain", "301").stderr


def test_ops(cnnc: Cnnc) -> None:
    listed = cnnc("ops").stdout
    assert sorted(set(OPS) - {line.split()[0] for line in listed.splitlines() if line}) == []
    for keyword in ("conv", "pool", "bn", "filter"):
        page = cnnc("ops", keyword).stdout
        assert page.startswith(keyword)
        assert "Example:" in page
    done = cnnc("ops", "cnov")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "did you mean `conv`?" in done.stderr
    assert "did you mean `fc`?" in cnnc("ops", "dense").stderr
    assert "is a statement" in cnnc("ops", "let").stderr
    assert cnnc("ops", "--markdown").stdout.startswith("| layer | arguments | meaning |\n|---|---|---|\n")


def test_ops_of_the_train_section(cnnc: Cnnc) -> None:
    listed = cnnc("ops").stdout
    assert listed.startswith("Layers\n")
    for keyword, kinds in TRAIN_STATEMENTS.items():
        assert (f"\n\nTrain section, {keyword}\n" in listed) == ("" not in kinds)
        for kind in kinds:
            assert any(line.startswith(f"{keyword} {kind}".strip()) for line in listed.splitlines()), (keyword, kind)
    page = cnnc("ops", "adam").stdout
    assert page.startswith("optimizer adam [lr=0.001] [beta1=0.9]")
    assert "Kingma & Ba 2015" in page
    assert "  lr            learning rate; takes a number above 0 (default 0.001)\n" in page
    assert page.endswith("Example: optimizer adam lr=0.002\n")
    assert "shift by up to N pixels along each axis; takes a whole number from 0 to 1024 (pixels) (default 0)" in (
        cnnc("ops", "augment").stdout
    )
    assert cnnc("ops", "optimizer", "adam").stdout == page
    pages = cnnc("ops", "optimizer").stdout
    assert all(f"Example: {cls.example}\n" in pages for cls in TRAIN_STATEMENTS["optimizer"].values())
    both = cnnc("ops", "clip").stdout
    assert "Example: clip 0 1\n" in both
    assert "Example: clip 1\n" in both
    assert "did you mean `cosine`?" in cnnc("ops", "cosin").stderr


@pytest.mark.long
def test_commands_that_do_not_load_numpy(cnnc: Cnnc, tmp_path: Path) -> None:
    code = "import sys\nfrom cnnc.cli.main import main\ntry: main()\nfinally: print('numpy' in sys.modules, file=sys.stderr)"
    for words in (["check", "small.cnn"], ["explain", "E301"], ["ops", "conv"], ["new", "x"]):
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
