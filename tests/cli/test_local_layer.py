"""A network with unshared convolutions by the command line: trained, exported in every precision, evaluated, imported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Cnnc, json_of

pytestmark = pytest.mark.long

NETWORK = """input 1x8x8
conv 8 k=3 p=same
relu
local 8 k=3 s=2 p=same
relu
local 4 k=2
relu
fc 10

train {
  data digits
  loss cross_entropy
  optimizer adam lr=0.005
  batch 32
  epochs 3
}
"""


def test_a_network_with_local_layers(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(NETWORK)
    assert cnnc("train", "net.cnn", "--run", "run").returncode == 0
    accuracies = []
    for model, options in (
        ("net", ()),
        ("half", ("--fp16",)),
        ("int8", ("--int8",)),
        ("mcu", ("--target", "mcu", "--int8")),
    ):
        done = cnnc("export", "run", "-o", f"{model}.onnx", *options)
        assert done.returncode == 0, done.stderr
        accuracies.append(json_of(cnnc("eval", f"{model}.onnx", "--json"))["accuracy"])
    assert min(accuracies) > 0.7
    assert max(accuracies) - min(accuracies) < 0.02
    sizes = {path.stem: path.stat().st_size for path in tmp_path.glob("*.onnx")}
    assert sizes["int8"] < 0.5 * sizes["net"]  # their weights are stored as int8, though they compute in float32
    done = cnnc("import", "net.onnx", "-o", "back.cnn")
    assert done.returncode == 0, done.stderr
    layers = re.findall(r"\blocal [^;\n]*", (tmp_path / "back.cnn").read_text())
    assert layers == ["local 8 k=3 s=2 p=same", "local 4 k=2"]
