"""Training leaves frozen weights as they are, to the bit, and keeps one array for those that are shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnc.network import check
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import start
from tests.training.conftest import Trainer

NET = """input 1x8x8
conv 6 k=3 p=1
relu
first: conv 6 k=3 p=1 frozen=true
relu
add {{ a: conv 6 k=3 p=1; relu; conv 6 k=3 p=1 flip=true share=a }} {{ }}
same: conv 6 k=3 p=1 share=first
relu
mul {{ }} {{ pool avg k=8; conv 6 k=1; sigmoid }}
concat {{ pool max k=2 }} {{ space_to_depth 2; conv 4 k=1 }}
conv_transpose 4 k=2 s=2 frozen=true
bn
crop 6x6
fc 10
softmax
train {{ data digits; optimizer {optimizer}; batch 128; epochs {epochs}; seed 3 }}
"""
FROZEN = {f"{layer}.{name}" for layer in ("first", "conv_transpose1") for name in ("weight", "bias")}


@pytest.mark.parametrize("optimizer", ["adam lr=0.01", "sgd lr=0.05 momentum=0.9 weight_decay=0.01"])
def test_frozen_weights_stay_as_they_are(trainer: Trainer, tmp_path: Path, optimizer: str) -> None:
    """Weight decay, which needs no gradient, leaves them alone as well."""
    network = check(NET.format(optimizer=optimizer, epochs=2), "net.cnn")
    before = {name: array.copy() for name, array in start(network, trainer.data, tmp_path).weights.items()}
    trainer.run(network, tmp_path, steps=9)
    after = checkpoints.load(tmp_path / "last.safetensors")
    assert after.weights.keys() == before.keys()
    assert {name for name in before if before[name].tobytes() == after.weights[name].tobytes()} == FROZEN
    assert not any(slot.startswith(tuple(FROZEN)) for slot in after.slots), "no optimizer keeps a state for them"


def test_shared_weights_are_one_array(trainer: Trainer, tmp_path: Path) -> None:
    """So no step can make them differ."""
    network = check(NET.format(optimizer="adam lr=0.01", epochs=2), "net.cnn")
    graph = network.require_graph()
    assert {n.parameter_owner for n in graph.nodes if n.name in ("a", "same", "first")} == {"a", "first"}
    result = trainer.run(network, tmp_path, steps=3)
    assert result.run.weights.keys() == graph.weights.keys()
    assert not any(name.startswith(("same.", "conv2.")) for name in result.run.weights)


@pytest.mark.long
def test_a_network_with_all_of_these_learns(trainer: Trainer, tmp_path: Path) -> None:
    network = check(NET.format(optimizer="adam lr=0.01", epochs=8), "net.cnn")
    result = trainer.run(network, tmp_path)
    assert result.test is not None
    assert result.test.accuracy > 0.8
    for array in result.run.weights.values():
        assert np.isfinite(array).all()
