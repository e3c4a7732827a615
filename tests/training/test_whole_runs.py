"""Whole runs of what the other tests try in parts: losses on several outputs, metrics, clip, stop, and npz.

What a run reports is counted again from the outputs of its best weights, by formulas written here.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError
from cnnc.network import Network, check
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import open_data, start, train
from cnnc.training.objective import feeds_of
from cnnc.training.run import RunResult
from tests.cli.nets import write_maps, write_several

pytestmark = pytest.mark.long

MAPS = """net Maps
input 1x8x8
conv 8 k=3 p=1; relu; conv 8 k=3 p=1; relu
conv 3 k=1; softmax
train { data npz "maps.npz"; metric iou; metric accuracy; optimizer adam lr=0.02; batch 16; epochs 12 }
"""
SEVERAL = """net Several
a: input 1x8x8
b: input 4
from a
conv 4 k=1; tanh; conv 1 k=1
pixels: sigmoid
from b
fc 16; relu
h: identity
sums: fc 3
from h
fc 2
kind: softmax
output pixels sums kind
train {
  data npz "several.npz"
  loss bce on=pixels weight=2
  loss mse on=sums weight=0.5
  loss cross_entropy on=kind weight=0.1
  metric psnr
  metric mse
  optimizer adam lr=0.02
  batch 16
  epochs 15
}
"""


def run(text: str, folder: Path, *settings: str) -> tuple[RunResult, Dataset]:
    network = prepared(text, *settings)
    data = open_data(network, folder, lambda line: None)
    return train(start(network, data, folder / "run")), data


def prepared(text: str, *settings: str) -> Network:
    network = check(text, settings=settings)
    network.require_graph()
    return network


def outputs(result: RunResult, data: Dataset) -> dict[str, Array]:
    """The outputs of the best weights for the test examples, channels first."""
    weights = checkpoints.load(checkpoints.find(result.run.folder)).weights
    graph = result.run.graph
    feeds = feeds_of(graph, tuple(column[:] for column in data.test.inputs))
    values = forward(graph, weights, feeds).values
    return {name: to_channels_first(values[name]) for name in graph.outputs}


def metrics(result: RunResult) -> list[dict[str, float]]:
    return [json.loads(line) for line in (result.run.folder / "metrics.jsonl").read_text().splitlines()]


def cross_entropy(p: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    return float(-np.log(np.take_along_axis(p, labels[:, None], 1)).mean())


def test_label_maps_and_iou(tmp_path: Path) -> None:
    write_maps(tmp_path / "maps.npz", np.random.default_rng(0), 160)
    result, data = run(MAPS, tmp_path)
    test = result.test
    assert test is not None
    p, labels = outputs(result, data)["softmax1"], data.test.labels
    said = p.argmax(1)
    each = [((said == k) & (labels == k)).sum() / ((said == k) | (labels == k)).sum() for k in range(3)]
    assert test.metric == "iou"
    assert test.value == pytest.approx(np.mean(each))
    assert dict(test.others)["accuracy"] == (said == labels).mean()
    assert (test.right, test.total) == ((said == labels).sum(), labels.size)
    assert test.loss == pytest.approx(cross_entropy(p, labels), rel=1e-5)
    lines = metrics(result)
    assert lines[-1]["val_iou"] > lines[0]["val_iou"], "it learned"
    best = max(range(len(lines)), key=lambda n: (lines[n]["val_iou"], n))
    assert result.run.progress.best_epoch == best
    assert json.loads((result.run.folder / "test.json").read_text()) == {"epoch": best + 1, **test.as_dict()}


def test_a_class_that_does_not_count(tmp_path: Path) -> None:
    write_maps(tmp_path / "maps.npz", np.random.default_rng(0), 60)
    with np.load(tmp_path / "maps.npz") as whole:
        x, y = whole["x"], whole["y"].copy()
    y[:, 0] = 255
    np.savez(tmp_path / "maps.npz", x=x, y=y)
    result, data = run(MAPS.replace("metric iou", "loss cross_entropy ignore=255; metric iou"), tmp_path)
    test = result.test
    assert test is not None
    p, labels = outputs(result, data)["softmax1"], data.test.labels
    counted = labels != 255
    assert test.total == counted.sum() == labels.size * 7 // 8
    assert test.right == (p.argmax(1) == labels)[counted].sum()


def test_losses_add_up_by_their_weights(tmp_path: Path) -> None:
    write_several(tmp_path / "several.npz", np.random.default_rng(0), 120)
    result, data = run(SEVERAL, tmp_path)
    test = result.test
    assert test is not None
    made = outputs(result, data)
    pixels, sums, kind = (column[:] for column in data.test.targets)
    p = made["pixels"].astype(np.float64)
    parts = {
        "bce": -(pixels * np.log(p) + (1 - pixels) * np.log(1 - p)).mean(),
        "mse": np.square(made["sums"] - sums).mean(),
        "cross_entropy": cross_entropy(made["kind"], kind),
    }
    assert test.loss == pytest.approx(2 * parts["bce"] + 0.5 * parts["mse"] + 0.1 * parts["cross_entropy"], rel=1e-5)
    mse = np.square(p - pixels).mean()
    assert test.metric == "psnr"
    assert test.value == pytest.approx(10 * np.log10(1 / mse), rel=1e-5)
    assert dict(test.others)["mse"] == pytest.approx(mse, rel=1e-5)
    lines = metrics(result)
    assert lines[-1]["val_loss"] < 0.8 * lines[0]["val_loss"]
    assert parts["mse"] < sums.var(0).mean(), "the second output learned as well"


def test_psnr_takes_the_epoch_with_the_most(tmp_path: Path) -> None:
    write_several(tmp_path / "several.npz", np.random.default_rng(0), 60)
    result, _ = run(SEVERAL, tmp_path, "train.epochs=5")
    found = [line["val_psnr"] for line in metrics(result)]
    assert result.run.progress.best_epoch == max(range(5), key=lambda n: (found[n], n))


def test_mse_takes_the_epoch_with_the_least(tmp_path: Path) -> None:
    write_several(tmp_path / "several.npz", np.random.default_rng(0), 60)
    text = SEVERAL.replace("  metric psnr\n", "")
    result, _ = run(text, tmp_path, "train.epochs=5")
    found = [line["val_mse"] for line in metrics(result)]
    assert result.run.progress.best_epoch == min(range(5), key=lambda n: (found[n], -n))


def test_a_step_is_no_longer_than_clip_allows(tmp_path: Path) -> None:
    """Of plain SGD a step moves all weights together by lr·clip at most; the first ones, whose gradients are large, by just that."""
    write_several(tmp_path / "several.npz", np.random.default_rng(0), 60)
    text = SEVERAL.replace("optimizer adam lr=0.02", "optimizer sgd lr=0.5\n  clip 0.01")
    moved = {}
    for name, changed in (("clipped", text), ("free", text.replace("  clip 0.01\n", ""))):
        network = prepared(changed, "train.epochs=1", "train.batch=64")
        data = open_data(network, tmp_path, lambda line: None)
        under_way = start(network, data, tmp_path / name)
        before = {key: array.copy() for key, array in under_way.weights.items()}
        train(under_way)
        after = under_way.weights
        moved[name] = float(np.sqrt(sum(np.square(after[k] - before[k]).sum(dtype=np.float64) for k in before)))
    assert moved["clipped"] == pytest.approx(0.5 * 0.01, rel=1e-4)
    assert moved["free"] > 10 * moved["clipped"]


@pytest.mark.parametrize("rate", [3, 1e-9])
def test_it_stops_where_validation_no_longer_improves(tmp_path: Path, rate: float) -> None:
    """At a rate that soon wrecks what was learned, and at one that leaves everything as it was."""
    write_maps(tmp_path / "maps.npz", np.random.default_rng(0), 60)
    text = MAPS.replace("optimizer adam lr=0.02", f"optimizer sgd lr={rate}; stop patience=2")
    result, _ = run(text, tmp_path, "train.epochs=40")
    found = [line["val_iou"] for line in metrics(result)]
    epochs = result.run.progress.epoch
    assert epochs == len(found) < 40
    assert max(found[-2:]) <= max(found[:-2]), "two epochs without a better one"
    for end in range(3, epochs):
        assert max(found[end - 2 : end]) > max(found[: end - 2]), "not before"
    assert not result.stopped
    assert result.test is not None


def test_stop_needs_a_validation_share(tmp_path: Path) -> None:
    write_maps(tmp_path / "maps.npz", np.random.default_rng(0), 60)
    with pytest.raises(CnncError, match="`stop` needs validation data") as caught:
        run(MAPS.replace('"maps.npz"', '"maps.npz" val=0; stop patience=2'), tmp_path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E607"
    assert diagnostic.span is not None
    assert diagnostic.span.text == "stop patience=2"
