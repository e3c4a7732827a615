"""The networks of models/ that say how they are trained reach what docs/models.md says: minutes each, and real data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.training.test_resume_models import TRAINED

ROOT = Path(__file__).parent.parent.parent


class Goal(NamedTuple):
    """What a network must reach on its test set: at least `least`, or at most `most`."""

    metric: str
    least: float = float("-inf")
    most: float = float("inf")
    script: str = ""
    data: str = "."


GOALS = {
    "autoencoder": Goal("mse", most=0.02),
    "autoencoder_unpool": Goal("mse", most=0.02),
    "convnetjs_cifar10": Goal("accuracy", least=0.70),
    "digits": Goal("accuracy", least=0.98),
    "lenet5": Goal("accuracy", least=0.99),
    "mobilenet_cifar10": Goal("accuracy", least=0.70),
    "motion": Goal("accuracy", least=0.99, script="motion"),
    "segmentation": Goal("iou", least=0.80, script="segments"),
    "smoothing": Goal("mse", most=0.0695, script="positions"),
    "text_ranker": Goal("accuracy", least=0.65, script="pairs", data="text"),
    "textcnn": Goal("accuracy", least=0.74),
    "waves": Goal("accuracy", least=0.90, script="waves"),
}
NOT_RUN = {"allcnn_c": "hours"}


def test_every_trained_network_has_a_goal() -> None:
    assert {path.stem for path in TRAINED} == {*GOALS, *NOT_RUN}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "goal"), GOALS.items(), ids=GOALS)
def test_what_is_claimed_is_reached(name: str, goal: Goal, tmp_path: Path) -> None:
    data = os.environ.get("CNNC_DATA")
    if data is None and name not in ("digits", "motion", "smoothing", "waves"):
        pytest.skip("the variable CNNC_DATA names no data")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    if goal.script:
        given = ["--data", str(Path(data) / goal.data)] if data and goal.script in ("segments", "pairs") else []
        run(f"models.scripts.{goal.script}", *given)
    where = ["--data", data] if data else []
    found = json.loads(run("cnnc", "train", str(ROOT / "models" / f"{name}.cnn"), "--json", *where))["test"]
    assert goal.least <= found[goal.metric] <= goal.most
