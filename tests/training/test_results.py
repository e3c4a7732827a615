"""The networks of models/ that say how they are trained reach what docs/models.md says, and their exported models score the
same: minutes each, and real data.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cnnc.cli.templates import template_named
from cnnc.recipe.declaration import kinds_of
from cnnc.recipe.metrics import Metric, format_metric
from tests.model_files import TRAINED
from tests.paths import MODELS, ROOT


class Goal(NamedTuple):
    """What a network must reach on its test set: at least `least`, or at most `most`."""

    metric: str
    least: float = float("-inf")
    most: float = float("inf")


GOALS = {
    "allconv_cifar10": Goal("accuracy", least=0.74),
    "autoencoder": Goal("mse", most=0.02),
    "autoencoder_digits": Goal("mse", most=0.018),
    "autoencoder_l1": Goal("l1", most=0.05),  # an all-black image has 0.133
    "autoencoder_unpool": Goal("mse", most=0.02),
    "convnetjs_cifar10": Goal("accuracy", least=0.70),
    "digits": Goal("accuracy", least=0.98),
    "keywords": Goal("accuracy", least=0.92),
    "lenet5": Goal("accuracy", least=0.99),
    "mobilenet_cifar10": Goal("accuracy", least=0.70),
    "motion": Goal("accuracy", least=0.99),
    "pooling_cifar10": Goal("accuracy", least=0.74),
    "segmentation": Goal("iou", least=0.80),
    "segmentation_digits": Goal("iou", least=0.70),
    "smoothing": Goal("mse", most=0.0695),
    "text_ranker": Goal("accuracy", least=0.65),
    "textcnn": Goal("accuracy", least=0.74),
    "waves": Goal("accuracy", least=0.90),
}
NEED_NO_DOWNLOAD = ("autoencoder_digits", "digits", "keywords", "motion", "segmentation_digits", "smoothing", "waves")
NOT_RUN = {"allcnn_c": "hours"}


def test_every_trained_network_has_a_goal() -> None:
    assert {path.stem for path in TRAINED} == {*GOALS, *NOT_RUN}


DATA = os.environ.get("CNNC_DATA")
WHERE = ("--data", DATA) if DATA else ()
BRIEFLY = {"allcnn_c": ("--set", "train.data.val=0.9")}  # of what one epoch would take minutes


def run(folder: Path, *words: str) -> str:
    """What a module prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True
    ).stdout


def trained(name: str, folder: Path, *more: str) -> Any:
    """What `cnnc train` tells of a network of models/ as JSON, its data made before; the run is `run`, the model `model.onnx`."""
    if DATA is None and name not in NEED_NO_DOWNLOAD:
        pytest.skip("the variable CNNC_DATA names no data")
    if script := template_named(name).data_command:
        _, _, *words = shlex.split(script.replace("DIR", str(DATA)))
        run(folder, *words)
    words = ["train", str(MODELS / f"{name}.cnn"), "--run", "run", "--export", "model.onnx", "--json", *more]
    return json.loads(run(folder, "cnnc", *words, *WHERE))


def answers(folder: Path, what: str) -> dict[str, Any]:
    """What `cnnc eval` counts, and its metrics to the digits that are printed."""
    found = json.loads(run(folder, "cnnc", "eval", what, "--json", *WHERE))
    counted = {key: found[key] for key in ("data", "right", "total", "confusion") if key in found}
    return counted | {metric: format_metric(metric, found[metric]) for metric in kinds_of(Metric) if metric in found}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "goal"), GOALS.items(), ids=GOALS)
def test_what_is_claimed_is_reached_and_kept(name: str, goal: Goal, tmp_path: Path) -> None:
    found = trained(name, tmp_path)["test"]
    assert goal.least <= found[goal.metric] <= goal.most
    assert answers(tmp_path, "model.onnx") == answers(tmp_path, "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*GOALS, *NOT_RUN])
def test_an_exported_model_gives_the_answers_of_its_run(name: str, tmp_path: Path) -> None:
    """After one epoch, when many answers are close calls: the same number of right ones, the same digits of other scores."""
    trained(name, tmp_path, "--set", "train.epochs=1", *BRIEFLY.get(name, ()))
    of_run = answers(tmp_path, "run")
    assert answers(tmp_path, "model.onnx") == of_run
    assert of_run["total"] or of_run["mse"]
