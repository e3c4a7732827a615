"""A program as a user writes it, which mypy and pyright check in their strict modes; tests/api/test_types.py runs both.

It is not executed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cnnc


def examples(images: NDArray[Any]) -> Iterator[tuple[NDArray[Any], int]]:
    for number, image in enumerate(images):
        yield image, number % 10


class Losses(cnnc.Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_step(self, run: Any, epoch: int, step: int, loss: float) -> None:
        self.values.append(loss)


def build() -> cnnc.Network:
    layers = cnnc.Builder("Small")
    x = layers.input(1, 8, 8)
    x = layers.relu(layers.conv(x, 4, k=3, p=1, name="first"))
    return layers.network(layers.fc(x, 10), train="data digits; epochs 2")


def main(folder: Path) -> None:
    network: cnnc.Network = cnnc.load(folder / "small.cnn", ["train.epochs=2"], at={"H": 8})
    shapes: dict[str, tuple[int | str, ...]] = network.inputs
    macs: int | None = network["conv1"].macs
    losses = Losses()
    images: NDArray[np.float32] = np.zeros((16, 1, 8, 8), np.float32)
    labels: NDArray[np.int64] = np.zeros(16, np.int64)
    result: cnnc.Result = cnnc.train(build(), folder / "run", (images, labels), losses, engine="numpy", progress=False)
    resumed = cnnc.resume(result, data=examples(images), settings=["train.epochs=4"])
    accuracy: float = resumed.test.accuracy
    model: cnnc.Model = resumed.model
    scores: NDArray[Any] = model(images)["fc1"]
    loss, weights, inputs = model.gradients(images, labels)
    shape: tuple[int, ...] = weights["first.weight"].shape + inputs["input1"].shape
    evaluation: cnnc.Evaluation = cnnc.evaluate(model, (images, labels))
    exported = cnnc.export(result, folder / "small.onnx", precision="int8", data=(images, labels))
    predictions: cnnc.Predictions = cnnc.predict(exported.path, images, top=2, provider="cpu")
    label: str = predictions.labels[0]
    p50: float = cnnc.bench(exported.path, batch=8, seconds=0.5).p50
    cnnc.draw(network, style="volumes").save(folder / "small.svg")
    cnnc.inspect(model, mistakes=True, data=(images, labels)).save(folder / "small.html")
    numbers: Any = cnnc.unfold(model, "first", images[0], at="0,3,3").numbers
    survey = cnnc.data("digits").facts
    imported: cnnc.Model = cnnc.import_model(exported.path, folder / "again.cnn", force=True)
    try:
        cnnc.check("input 1x8x8; conv 4 k=9").require_graph()
    except cnnc.CnncError as error:
        first: cnnc.Diagnostic = error.diagnostics[0]
        raise SystemExit(f"{first.code} in line {first.span.line if first.span else 0}: {first.help}") from error
    used = (shapes, macs, accuracy, scores, loss, shape, evaluation.score, label, p50, numbers, survey, imported)
    raise SystemExit(f"{cnnc.__version__}: {used}")
