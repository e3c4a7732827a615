"""Training takes about as much memory as `cnnc check --batch N` says.

Each network takes its steps in a process of its own. What single layers hold for a moment depends on how the reference
runs them and is not predicted, so the networks are large enough that it does not tip the scale.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.network import load
from cnnc.reference.registry import Mode
from tests.cli.conftest import SMALL, run
from tests.commands import environment
from tests.paths import MODELS

pytestmark = pytest.mark.long

TOLERANCE = 0.25
BATCHES = {
    "lenet5": 512,
    "convnetjs_cifar10": 128,
    "digits": 512,
    "autoencoder_unpool": 128,
    "segmentation": 16,
    "motion": 64,
    "textcnn": 50,
}
STEPS = """
import json, sys
from tempfile import TemporaryDirectory
from pathlib import Path
from cnnc.network import load
from cnnc.training.loop import start
from cnnc.training.dry_run import dry_run
from tests.random_dataset import random_dataset

network = load(sys.argv[1], [f"train.batch={sys.argv[2]}", "train.data.val=0"])
with TemporaryDirectory() as folder:
    found = dry_run(start(network, random_dataset(network, int(sys.argv[2])), Path(folder)))
print(json.dumps(found._asdict()))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to see a process grow")
@pytest.mark.skipif(
    not hasattr(Mode, "may_overwrite_input"), reason="a reference whose relu writes over what it reads is expected"
)
@pytest.mark.parametrize(("name", "batch"), BATCHES.items(), ids=BATCHES)
def test_a_step_takes_what_check_predicts(name: str, batch: int) -> None:
    path = MODELS / f"{name}.cnn"
    command = [sys.executable, "-c", STEPS, str(path), str(batch)]
    root = str(MODELS.parent)
    done = subprocess.run(
        command, cwd=root, env=environment(PYTHONPATH=root), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["predicted"] == load(path).summary(batch).training
    assert found["measured"] == pytest.approx(found["predicted"], rel=TOLERANCE)
    assert found["peak"] > found["measured"]


def test_a_run_tells_its_memory(tmp_path: Path) -> None:
    (tmp_path / "small.cnn").write_text(SMALL)
    result = json.loads(run("train", "small.cnn", "--json", cwd=tmp_path, new_process=True).stdout)
    lines = [json.loads(line) for line in (tmp_path / "runs" / "small" / "metrics.jsonl").read_text().splitlines()]
    if not Path("/proc/self/clear_refs").exists():
        assert result["memory"] is None
        return
    assert 1e5 < lines[0]["memory"] <= lines[1]["memory"] <= result["memory"] < 1e8
