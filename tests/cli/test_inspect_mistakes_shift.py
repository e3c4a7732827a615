"""`cnnc inspect --mistakes` and `--shift`: wrong answers, and what shifts change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.api.inspect.shift import shifted
from cnnc.network import check
from cnnc.reference.engine import forward
from cnnc.reference.initializers import initialize
from cnnc.view.inspect.shifts import layer_shift, shift_axes
from tests.cli.conftest import codes, run

ENCODER = """net Encoder
input 1x8x8
conv 2 k=3 p=1
relu
conv 1 k=3 p=1
sigmoid
train {
  data digits
  loss mse target=input
  optimizer adam
  epochs 1
}
"""


@pytest.fixture
def here(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def numbers(*words: str | Path, cwd: Path) -> dict[str, Any]:
    done = run("inspect", *words, "-o", "x.html", "--json", "--force", cwd=cwd)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_mistakes_and_shift_zero_agree_with_eval(here: Path) -> None:
    result = numbers("run", "--mistakes", "--shift", "0..3", cwd=here)
    score = json.loads(run("eval", "run", "--json", cwd=here).stdout)
    mistakes, shift = result["mistakes"], result["shift"]
    assert mistakes["confusion"] == score["confusion"]
    assert (mistakes["right"], mistakes["total"]) == (score["right"], score["total"])
    assert (shift["right"][0], shift["examples"]) == (score["right"], score["total"])
    assert shift["changed_predictions"][0] == 0
    assert shift["accuracy"][3] < shift["accuracy"][0]
    listed = mistakes["mistakes"]
    assert 0 < len(listed) <= score["total"] - score["right"]
    assert [m["probability"] for m in listed] == sorted((m["probability"] for m in listed), reverse=True)
    assert all(m["predicted"] != m["true"] and m["probability"] > m["probability_of_true"] for m in listed)
    for layer in shift["layers"].values():
        assert layer["changed"][0] == 0
        assert layer["aligned_difference"][0] in (0, None)
    text = (here / "x.html").read_text()
    assert "Confusion matrix" in text
    assert "The most confident wrong answers" in text


def test_a_wrong_label_is_the_most_confident_mistake(here: Path) -> None:
    from cnnc.data import load

    data = load("digits")
    probable = numbers("run", "--mistakes", cwd=here)["mistakes"]["mistakes"]
    from cnnc.training import checkpoint as checkpoints

    saved = checkpoints.load(checkpoints.find(here / "run"))
    images, labels = data.test.images, data.test.labels.copy()
    outputs = forward(saved.network().require_graph(), saved.weights, {"input1": images}).values["softmax1"]
    right = outputs.argmax(-1) == labels
    planted = int(np.argmax(np.where(right, outputs.max(-1), 0)))
    assert outputs[planted].max() > probable[0]["probability"]
    labels[planted] = (labels[planted] + 1) % 10
    np.savez(here / "planted.npz", x=data.train.images, y=data.train.labels, x_test=images, y_test=labels)
    source = (
        (here / "small.cnn")
        .read_text()
        .replace("data digits", 'data npz "planted.npz"')
        .replace("epochs 2", "epochs 8")
    )
    (here / "planted.cnn").write_text(source)
    done = run("train", "planted.cnn", cwd=here)
    assert done.returncode == 0, done.stderr
    first = numbers("runs/planted", "--mistakes", cwd=here)["mistakes"]["mistakes"][0]
    assert (first["example"], first["true"]) == (planted, int(labels[planted]))


def test_an_autoencoder_shows_its_largest_losses(here: Path) -> None:
    (here / "encoder.cnn").write_text(ENCODER)
    result = numbers("encoder.cnn", "--mistakes", "--shift", "0..2", cwd=here)
    listed = result["mistakes"]["mistakes"]
    assert [each["loss"] for each in listed] == sorted((each["loss"] for each in listed), reverse=True)
    assert listed[-1]["loss"] > result["mistakes"]["mean_loss"]
    assert "accuracy" not in result["shift"]
    assert "Accuracy is not measured: no loss compares" in (here / "x.html").read_text()


def _shifts(source: str, image: np.ndarray[Any, Any], by: int) -> dict[str, Any]:
    """What a shift changes in each layer of an untrained network, whose weights are made multiples of 1/64."""
    graph = check(f"net A\n{source}", "a.cnn").require_graph()
    weights = {name: np.rint(values * 64) / 64 for name, values in initialize(graph, 0).items()}
    before, after = (
        forward(graph, weights, {"input1": each}, keep_all=True).values for each in (image, shifted(image, by))
    )
    axes = shift_axes(graph)
    width = image.shape[-1]
    return {n.name: layer_shift(before[n.name], after[n.name], axes.get(n.name), by, width) for n in graph.nodes}


def _image(margin: int = 0) -> np.ndarray[Any, Any]:
    image = np.random.default_rng(0).integers(1, 256, (2, 1, 16, 16)) / 256
    if margin:
        image[..., :margin] = image[..., -margin:] = 0
    return image


def test_a_convolution_is_equivariant_to_the_last_bit() -> None:
    for by in (1, 2, 5):
        found = _shifts("input 1x16x16\nconv 3 k=3 p=1\nrelu\nconv 2 k=3 p=1", _image(), by)
        for name in ("conv1", "relu1", "conv2"):
            assert found[name].aligned == 0.0
        assert found["conv1"].changed > 0.9


def test_a_stride_compares_at_its_multiples_only() -> None:
    source = "input 1x16x16\nconv 3 k=3 s=2 p=1\nupsample 2\nconv 2 k=3 p=1"
    for by in (1, 3):
        found = _shifts(source, _image(), by)
        assert found["conv1"].aligned is found["upsample1"].aligned is found["conv2"].aligned is None
    for by in (2, 4):
        found = _shifts(source, _image(), by)
        assert found["conv1"].aligned == found["upsample1"].aligned == found["conv2"].aligned == 0.0


def test_an_unshared_layer_is_not_equivariant() -> None:
    found = _shifts("input 1x16x16\nlocal 2 k=3", _image(), 1)
    assert found["local1"].aligned > 0.01


def test_global_pooling_of_an_image_with_a_margin_is_invariant() -> None:
    found = _shifts("input 1x16x16\nglobal_pool max", _image(4), 3)
    assert found["global_pool1"].changed == 0.0
    assert found["input1"].changed > 0
    assert _shifts("input 1x16x16\npool max k=2", _image(4), 1)["pool1"].changed > 0


@pytest.mark.parametrize("text", ["x", "3..1", "0..", "-1..2", "0..8", "9", "1.5"])
def test_bad_shifts_are_one_error_whose_help_works(here: Path, text: str) -> None:
    done = run("inspect", "run", f"--shift={text}", cwd=here)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "`--shift 0..6`" in done.stderr
    assert not (here / "run-inspect.html").exists()
    assert run("inspect", "run", "--shift", "0..6", cwd=here).returncode == 0


def test_data_and_axes_that_are_missing_are_one_error(here: Path) -> None:
    (here / "bare.cnn").write_text("net Bare\ninput 1x8x8\nconv 2 k=3\n")
    for option in (["--mistakes"], ["--shift", "0..2"]):
        assert codes(run("inspect", "bare.cnn", *option, cwd=here).stderr) == ["E509"]
    (here / "flat.cnn").write_text("net Flat\ninput 8\nfc 2\n")
    done = run("inspect", "flat.cnn", "--shift", "0..2", cwd=here)
    assert codes(done.stderr) == ["E010"]
    (here / "words.cnn").write_text("net Words\ninput 12 dtype=int64\nembed 4 vocab=20\n")
    done = run("inspect", "words.cnn", "--shift", "0..2", cwd=here)
    assert codes(done.stderr) == ["E010"]
    assert "takes words" in done.stderr
