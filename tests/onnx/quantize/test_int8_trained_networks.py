"""int8 of networks trained briefly on MNIST and CIFAR-10: file size and accuracy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import cnnc
from cnnc.network import load
from cnnc.onnx.export import Options
from tests.paths import MODELS

EPOCHS = {"lenet5": 1, "convnetjs_cifar10": 4, "mobilenet_cifar10": 2}
IN_FLOAT = {
    "lenet5": ("fc1", "fc2", "fc3"),
    "convnetjs_cifar10": ("fc1",),
    "mobilenet_cifar10": ("conv1", "separable1.conv1", "fc1"),
}


@pytest.mark.slow
@pytest.mark.skipif("CNNC_DATA" not in os.environ, reason="the variable CNNC_DATA names no data")
@pytest.mark.parametrize("name", EPOCHS)
def test_the_file_shrinks_to_three_tenths_and_loses_at_most_a_point(name: str, tmp_path: Path) -> None:
    network = load(MODELS / f"{name}.cnn", [f"train.epochs={EPOCHS[name]}"])
    cnnc.train(network, tmp_path / "run")
    whole = cnnc.export(tmp_path / "run", tmp_path / "whole.onnx")
    done = cnnc.export(tmp_path / "run", tmp_path / "int8.onnx", options=Options(precision="int8"))
    assert done.size <= 0.3 * whole.size
    assert done.quality is not None
    assert done.quality.metric == "accuracy"
    assert done.quality.before - done.quality.after <= 0.01
    assert done.quality.kept == ()
    assert done.quality.faster == IN_FLOAT[name]
