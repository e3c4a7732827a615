"""A batch in several passes has the weights of one pass, whatever share of its labels counts in each pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

from cnnc.network import check
from cnnc.torch.distributed.engine import SplitEngine
from cnnc.torch.engine import TorchEngine
from cnnc.training.loop import open_data, start, train
from cnnc.training.run import Engine

LOSSES = (
    "cross_entropy weights=[1, 0, 5] smoothing=0.1",
    "cross_entropy weights=[1, 0, 5]",
    "cross_entropy ignore=1 smoothing=0.1",
    "focal alpha=[1, 0, 2] ignore=1",
    "focal gamma=1",
)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_weights_of_several_passes_are_those_of_one(tmp_path: Path, loss: str) -> None:
    """Most labels are of the class that does not count: some passes have no other."""
    random = np.random.default_rng(2)
    labels = np.where(random.random(60) < 0.7, 1, random.integers(0, 3, 60))
    source = f'input 5\nfc 6; tanh\nfc 3\ntrain {{ data npz "a.npz"; loss {loss}; optimizer sgd lr=0.3; batch 6; epochs 2 }}\n'
    arrays = {"x": random.normal(size=(60, 5)).astype(np.float32), "y": labels}

    def trained(engine: Engine, folder: Path) -> dict[str, np.ndarray]:
        network = check(source)
        run = start(network, open_data(network, arrays, lambda line: None), folder, engine=engine)
        train(run)
        return run.weights

    whole = trained(TorchEngine("cpu"), tmp_path / "whole")
    parts = trained(SplitEngine("cpu", accumulate=4), tmp_path / "parts")
    for name, array in whole.items():
        np.testing.assert_allclose(parts[name], array, atol=1e-6, err_msg=name)
