"""Networks whose weights stand in the source, as a student writes them: checked, trained, exported, run, imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import Cnnc, codes
from tests.commands import environment

XOR = """net xor
input 2
fc 2 weights=[[1, 1],
              [1, 1]] biases=[0, -1]
relu
fc 1 weights=[1, -2] biases=0
"""
# four outputs show the sums of the quarters of a digit, the other six are 0
QUARTERS = """net quarters
input 1x8x8
conv 1 k=4 s=4 weights=[[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]] frozen=true
relu
fc 10 weights=[{rows}]
train {{ data digits; optimizer adam lr=0.01; batch 128; epochs 1; seed 3 }}
"""


def quarters() -> str:
    rows = ", ".join(str([float(i == j) for j in range(4)]) for i in range(10))
    return QUARTERS.format(rows=rows)


def test_xor_is_computed_as_in_the_book(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "xor.cnn").write_text(XOR)
    done = cnnc("export", "xor.cnn", "--card")
    assert done.returncode == 0
    assert "untrained" not in done.stderr
    np.save(tmp_path / "x.npy", np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32))
    results = json.loads(cnnc("predict", "xor.onnx", "x.npy", "--json").stdout)
    assert [result["outputs"]["fc2"]["values"] for result in results] == [[0], [1], [1], [0]]
    assert "no: the source gives the weights" in cnnc("info", "xor.onnx").stdout
    assert json.loads(cnnc("info", "xor.onnx", "--json").stdout)["random"] is False
    card = (tmp_path / "xor.md").read_text()
    assert "random" not in card
    assert "training" not in card


def test_a_network_without_weights_is_not_untrained(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "edges.cnn").write_text("input 1x8x8\nfilter sobel_x\nabs\n")
    done = cnnc("export", "edges.cnn", "--card")
    assert done.returncode == 0
    assert "untrained" not in done.stderr
    assert "random" not in (tmp_path / "edges.md").read_text()
    assert "trained" not in cnnc("info", "edges.onnx").stdout


def test_beside_random_weights_the_given_ones_are_exported_exactly(cnnc: Cnnc, tmp_path: Path) -> None:
    """The others get the noise that lets no mistake of the export hide."""
    (tmp_path / "a.cnn").write_text("input 1x6x6\nconv 1 k=2 weights=[[1, 1], [1, 1]]\nrelu\nfc 3\n")
    done = cnnc("export", "a.cnn")
    assert "a is untrained: its weights are random (seed 0)" in done.stderr
    assert "random weights" in cnnc("info", "a.onnx").stdout
    cnnc("import", "a.onnx", "-o", "b.cnn")
    weights = checkpoints.load(tmp_path / "b.safetensors").weights
    assert weights["conv1.weight"].tolist() == [[[[1, 1], [1, 1]]]]
    assert weights["conv1.bias"].tolist() == [0]
    assert weights["fc1.bias"].all()


def test_an_import_has_the_given_numbers(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "xor.cnn").write_text(XOR)
    cnnc("export", "xor.cnn")
    assert cnnc("import", "xor.onnx", "-o", "again.cnn").returncode == 0
    weights = checkpoints.load(tmp_path / "again.safetensors").weights
    assert {name: array.tolist() for name, array in weights.items()} == {
        "fc1.weight": [[1, 1], [1, 1]],
        "fc1.bias": [0, -1],
        "fc2.weight": [[1, -2]],
        "fc2.bias": [0],
    }


def test_training_starts_from_them_and_leaves_the_frozen_ones(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "q.cnn").write_text(quarters())
    done = cnnc("train", "q.cnn", "--run", "run", "--set", "train.optimizer.lr=1e-7")
    assert done.returncode == 0, done.stderr
    assert "W701" not in done.stderr, "the first loss of weights that are given says nothing"
    weights = checkpoints.load(tmp_path / "run" / "last.safetensors").weights
    assert weights["conv1.weight"].tolist() == np.ones((1, 1, 4, 4)).tolist()
    assert weights["conv1.bias"].tolist() == [0]
    begun = np.eye(10, 4)
    assert not np.array_equal(weights["fc1.weight"], begun)
    np.testing.assert_allclose(weights["fc1.weight"], begun, atol=1e-4)


def test_int8_is_calibrated_on_the_data_of_the_train_section(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "q.cnn").write_text(quarters())
    done = cnnc("export", "q.cnn", "--int8", "--json")
    assert done.returncode == 0, done.stderr
    quality = json.loads(done.stdout)["quality"]
    assert quality["precision"] == "int8"
    assert quality["metric"] == "accuracy"
    assert not quality["random"]
    (tmp_path / "xor.cnn").write_text(XOR)
    done = cnnc("export", "xor.cnn", "--int8")
    assert codes(done.stderr) == ["E808"]
    assert "export the file again" in done.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv 1 k=2 weights=[[1, 0.5], [0, -1]] frozen=true", "conv 1 k=2 weights=[[1, 0.5], [0, -1]] frozen=true"),
        ("conv 2 k=1 weights=[[[[1]]], [[[2]]]] biases=3", "conv 2 k=1 weights=[[[[1]]], [[[2]]]] biases=3"),
        (f"fc 2 weights={[[1] * 64] * 2} biases=[1, 2]", "fc 2 weights=[2x64] biases=[1, 2]"),
    ],
)
def test_the_table_shows_few_numbers_and_the_shape_of_many(cnnc: Cnnc, tmp_path: Path, text: str, shown: str) -> None:
    (tmp_path / "a.cnn").write_text(f"input 1x8x8\n{text}\n")
    (layer,) = json.loads(cnnc("check", "a.cnn", "--json").stdout)[0]["layers"][1:]
    assert f"{layer['op']} {layer['arguments']}" == shown
    assert shown in cnnc("check", "a.cnn").stdout


def test_explain_shows_the_numbers_or_their_range(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "a.cnn").write_text("input 1x8x8\nconv 1 k=3 weights=[[0, 1, 0], [1, -4, 1], [0, 1, 0]]\n")
    assert "weights given: [[0, 1, 0], [1, -4, 1], [0, 1, 0]]" in cnnc("check", "a.cnn", "--explain").stdout
    (tmp_path / "b.cnn").write_text(f"input 1x8x8\nfc 2 weights={[[-1.5] * 64, [2] * 64]}\n")
    assert "weights given: 2x64 numbers from -1.5 to 2" in cnnc("check", "b.cnn", "--explain").stdout


def test_open_sizes_are_those_that_the_numbers_fit(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "a.cnn").write_text("input 1xH\nfc 2 weights=[[1, 2, 3], [3, 4, 5]]\n")
    assert "legal sizes: H = 3" in cnnc("check", "a.cnn").stdout
    (tmp_path / "b.cnn").write_text("input 1xHxW\nconv 1 k=2 weights=[[1, 2], [3, 4]]\n")
    done = cnnc("export", "b.cnn")
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_check_of_thousands_of_numbers_loads_no_numpy(tmp_path: Path) -> None:
    (tmp_path / "a.cnn").write_text(f"input 1x28x28\nfc 3 weights={[[0.5, -1e-3] * 392] * 3}\n")
    program = "import sys; from cnnc.network import load; from pathlib import Path; load(Path('a.cnn'), []).summary(); print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
