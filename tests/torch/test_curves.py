"""Trainings on PyTorch beside the same in NumPy: losses step by step, and accuracies over three seeds.

In float32 two correct trainings drift apart as soon as rounding moves one element over the kink of a relu or makes another the
largest of its window: a NumPy training whose initial weights change in their last bit drifts from itself by 1e-3 and more
within 200 steps. In float64 this is so rare that the curves stay together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from cnnc.core.arrays import Array
from cnnc.core.random_streams import Stream
from cnnc.network import Network, check
from cnnc.torch.engine import TorchEngine
from cnnc.training.loop import one_step, open_data, start, train
from cnnc.training.numpy_engine import NumpyEngine
from cnnc.training.run import Engine
from cnnc.training.run_folder import new_folder

pytestmark = [pytest.mark.slow]

STEPS = 200
RECIPE = "train { data digits; loss cross_entropy; optimizer sgd lr=0.02 momentum=0.9; batch 32; epochs 3; seed SEED }"
NETS = {
    "lenet5": "pad 12; conv 6 k=5 p=2; relu; pool max k=2; conv 16 k=5; relu; pool max k=2; fc 120; relu; fc 84; relu; fc 10",
    "residual": (
        "conv 8 k=3 p=1 bias=false; bn; relu; "
        "add { conv 8 k=3 p=1 bias=false; bn; relu; conv 8 k=3 p=1 bias=false; bn } { }; relu; "
        "add { conv 16 k=3 s=2 p=1 bias=false; bn; relu; conv 16 k=3 p=1 bias=false; bn } { conv 16 k=1 s=2; bn }; relu; "
        "global_pool avg; fc 10"
    ),
    "depthwise": (
        "conv 8 k=3 p=1; relu; conv 8 k=3 p=1 groups=8 bias=false; bn; relu; conv 16 k=1 bias=false; bn; relu; "
        "conv 16 k=3 s=2 p=1 groups=16 bias=false; bn; relu; conv 32 k=1 bias=false; bn; relu; dropout 0.2; "
        "global_pool avg; fc 10"
    ),
}


def network(name: str, seed: int = 0) -> Network:
    return check(f"input 1x8x8\n{NETS[name]}\n{RECIPE.replace('SEED', str(seed))}".replace("; ", "\n"), name=name)


def losses(name: str, engine: Engine, folder: Path, dtype: Any) -> Array:
    """The losses of the first steps."""
    net = network(name)
    run = start(net, open_data(net, None, lambda line: None), folder, engine=engine)
    run.weights = {name: array.astype(dtype) for name, array in run.weights.items()}
    curve = []
    with engine.running(run):
        for step in range(STEPS):
            epoch, at = divmod(step, run.steps_per_epoch)
            order = np.random.default_rng(Stream.SHUFFLE.key(0, epoch)).permutation(len(run.train))
            rows = order[at * run.recipe.batch : (at + 1) * run.recipe.batch]
            inputs, targets = (tuple(column[rows] for column in c) for c in (run.train.inputs, run.train.targets))
            curve.append(one_step(run, epoch, at, inputs, targets).loss)
    return np.array(curve)


@pytest.mark.parametrize("name", NETS)
def test_losses_are_those_of_numpy(name: str, tmp_path: Path) -> None:
    exact, on_torch = (losses(name, engine, tmp_path, np.float64) for engine in (NumpyEngine(), TorchEngine("cpu")))
    assert exact[-20:].mean() < 0.7 * exact[:5].mean(), "it learns"
    np.testing.assert_allclose(on_torch, exact, rtol=1e-9)
    single = losses(name, TorchEngine("cpu"), tmp_path, np.float32)
    np.testing.assert_allclose(single[:20], exact[:20], rtol=1e-5)
    np.testing.assert_allclose(single[-50:].mean(), exact[-50:].mean(), rtol=0.05)


@pytest.mark.parametrize("name", NETS)
def test_accuracies_are_those_of_numpy_over_three_seeds(name: str, tmp_path: Path) -> None:
    means = {}
    for engine in ("numpy", "torch"):
        scores = []
        for seed in range(3):
            net = network(name, seed)
            computes = TorchEngine("cpu") if engine == "torch" else NumpyEngine()
            folder = tmp_path / f"{engine}{seed}"
            run = start(net, open_data(net, None, lambda line: None), folder, engine=computes)
            with new_folder(run, lambda line: None):
                result = train(run)
            assert result.test is not None
            scores.append(result.test.accuracy)
        means[engine] = scores
    numpy, on_torch = (np.array(means[engine]) for engine in ("numpy", "torch"))
    assert abs(numpy.mean() - on_torch.mean()) <= 0.02, means
