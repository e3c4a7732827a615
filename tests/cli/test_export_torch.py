"""`cnnc export --target torch`: its two files, what it says without PyTorch, and what it refuses to replace.

Here PyTorch counts as not installed, so that the tests cost nothing; tests/torch/source runs what is written.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from cnnc.diagnostics import Exit
from cnnc.network import load
from cnnc.reference.initializers import initialize
from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import Cnnc, codes

KEYS = {"scale": "weight", "shift": "bias", "mean": "running_mean", "var": "running_var"}


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnc.torch.source.export.has_torch", lambda: False)


def test_two_files_are_written_with_the_initial_weights(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("export", "small.cnn", "--target", "torch")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("wrote small.py: ")
    assert "class Small" in done.stdout
    assert "wrote small.weights.safetensors: " in done.stdout
    assert "initial weights (seed 0)" in done.stdout
    assert "not compared with the network: PyTorch is not installed" in done.stdout
    assert 'pip install "cnnc[torch]"' in done.stderr
    arrays = load_file(tmp_path / "small.weights.safetensors")
    initial = initialize(load(tmp_path / "small.cnn").require_graph(), 0)
    for name, array in initial.items():
        layer, parameter = name.split(".")
        key = f"{layer}.{KEYS.get(parameter, parameter)}"
        assert (arrays.pop(key) == array).all(), name
    assert list(arrays) == ["bn1.num_batches_tracked"]


def test_a_run_gives_its_best_weights_and_its_classes(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    done = cnnc("export", trained / "run", "--target", "torch", "-o", "net.py", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["file"], result["weights"], result["class"]) == ("net.py", "net.weights.safetensors", "Small")
    assert (result["compared"], result["worst"], result["tensors"]) == (False, None, [])
    assert result["bytes"] == (tmp_path / "net.py").stat().st_size
    best = checkpoints.load(trained / "run" / "best.safetensors")
    assert (load_file(tmp_path / "net.weights.safetensors")["fc1.weight"] == best.weights["fc1.weight"]).all()
    with safe_open(tmp_path / "net.weights.safetensors", "np") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert json.loads(metadata["cnnc"])["classes"] == [str(digit) for digit in range(10)]
    assert json.loads(metadata["cnnc"])["file"] == "small.cnn"


def test_options_of_the_source_hold(cnnc: Cnnc, tmp_path: Path) -> None:
    words = ("export", "small.cnn", "--target", "torch", "-o", "part.py")
    assert cnnc(*words, "--outputs", "relu1", "--set", "width=3").returncode == 0
    text = (tmp_path / "part.py").read_text()
    assert "nn.Conv2d(1, 3, 3, padding=1, bias=False)" in text
    assert "Linear" not in text
    (tmp_path / "open.cnn").write_text("input 1xHxW\nconv 2 k=3 p=1\npool avg k=2 p=same\n")
    refused = cnnc("export", "open.cnn", "--target", "torch")
    assert codes(refused.stderr) == ["E806"]
    assert not (tmp_path / "open.py").exists()
    fixed = cnnc("export", "open.cnn", "--target", "torch", "--at", "H=9,W=8")
    assert fixed.returncode == 0, fixed.stderr
    assert "sizes are fixed: H=9, W=8" in fixed.stderr


def test_source_that_was_edited_is_not_replaced(cnnc: Cnnc, tmp_path: Path) -> None:
    words = ("export", "small.cnn", "--target", "torch", "-o", "net.py")
    assert cnnc(*words).returncode == 0
    assert cnnc(*words).returncode == 0
    path = tmp_path / "net.py"
    edited = path.read_text() + "\nprint('mine')\n"
    path.write_text(edited)
    refused = cnnc(*words)
    assert (refused.returncode, codes(refused.stderr)) == (Exit.RESOURCES, ["E902"])
    assert "it exists and is not Python source as cnnc wrote it" in refused.stderr
    assert path.read_text() == edited
    assert cnnc(*words, "--force").returncode == 0
    assert "mine" not in path.read_text()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--fp16",), "E010"),
        (("--opset", "18"), "E010"),
        (("--card",), "E010"),
        (("--training",), "E010"),
        (("-o", "net.onnx"), "E902"),
        (("-o", "/dev/stdout"), "E010"),
        (("-o", "/"), "E010"),
        (("--outputs", "nothing"), "E010"),
    ],
)
def test_what_does_not_go_together_is_refused(cnnc: Cnnc, tmp_path: Path, words: tuple[str, ...], code: str) -> None:
    refused = cnnc("export", "small.cnn", "--target", "torch", *words)
    assert codes(refused.stderr) == [code]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.cnn"]


def test_a_run_takes_no_settings(cnnc: Cnnc, trained: Path) -> None:
    assert codes(cnnc("export", trained / "run", "--target", "torch", "--set", "width=3").stderr) == ["E010"]
