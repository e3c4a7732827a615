"""Every network of models/ that says how it is trained: stopped by SIGTERM twice and resumed, it ends with the bits of a
run that never stopped. The command is the real one, in a process of its own; only the data are made up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import environment
from tests.model_files import TRAINED
from tests.paths import ROOT
from tests.training.conftest import saved

SETTINGS = ("train.batch=4", "train.epochs=2", "train.data.val=0.2")
EXAMPLES = 20  # 16 to train on: two epochs of four steps

PROGRAM = f"""
import os, signal, sys
from cnnc.reference import engine
from cnnc.reference.parallel import processes
from cnnc.training import loop
from cnnc.training.numpy_engine import NumpyEngine
from tests.random_dataset import random_dataset

processes.MIN_RUN_MACS = 0  # as in long runs, each shard of a batch has a process of its own
engine.SHARD_WORK = engine.BATCH_SUM_WORK = engine.PARAMETER_WORK = 1  # and is one, however little there is to do

loop.open_data = lambda network, folder, report, vocabulary=(): random_dataset(network, {EXAMPLES})
left, step = [int(os.environ["STOP_AFTER"])], NumpyEngine.step

def counted(*arguments):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    return step(*arguments)

NumpyEngine.step = counted
from cnnc.cli.main import main
main()
"""


def cnnc(folder: Path, *words: str | Path, stop_after: int = 0) -> int:
    """The exit status of the command, to which SIGTERM comes in its so manieth step."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        cwd=folder,
        env=environment(STOP_AFTER=str(stop_after), CNNC_THREADS="2", PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGTERM")
@pytest.mark.parametrize("path", TRAINED, ids=[path.stem for path in TRAINED])
def test_terminated_and_resumed_to_the_same_bits(path: Path, tmp_path: Path) -> None:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    assert cnnc(tmp_path, "train", path, "--run", "whole", *settings) == 0
    assert cnnc(tmp_path, "train", path, "--run", "pieces", *settings, stop_after=3) == 128 + signal.SIGTERM
    assert cnnc(tmp_path, "train", "--resume", "pieces", stop_after=4) == 128 + signal.SIGTERM
    assert cnnc(tmp_path, "train", "--resume", "pieces") == 0
    assert saved(tmp_path / "pieces") == saved(tmp_path / "whole")
