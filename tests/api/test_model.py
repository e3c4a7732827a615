"""Models as values: outputs, activations and gradients of arrays; saving; arrays, memory maps and generators as data."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnc
from cnnc.data.npz import ConvertedColumn

TEXT = """net Small
input 1x8x8
conv 4 k=3 p=1
bn
relu
pool max k=2
fc 3
softmax
train { data npz "own.npz"; loss cross_entropy; optimizer adam lr=0.01; batch 16; epochs 2 }
"""
SYNTHETIC = np.random.default_rng(3)
IMAGES = SYNTHETIC.integers(0, 255, (80, 1, 8, 8)).astype(np.uint8)
LABELS = (IMAGES.reshape(80, -1).mean(1) // 1 % 3).astype(np.int64)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def network() -> cnnc.Network:
    return cnnc.check(TEXT, "small.cnn")


@pytest.fixture
def model(network: cnnc.Network) -> cnnc.Model:
    model = cnnc.Model(network)
    for name in ("mean", "var"):  # statistics as after a training, so that batch norm does something
        model.weights[f"bn1.{name}"][:] = np.linspace(0.1, 0.9, 4)
    return model


def test_a_model_computes_what_its_export_computes(model: cnnc.Model) -> None:
    cnnc.export(model, "small.onnx")
    outputs = model(IMAGES)
    assert list(outputs) == ["softmax1"]
    exported = cnnc.predict("small.onnx", IMAGES).outputs["softmax1"]
    np.testing.assert_allclose(outputs["softmax1"], exported, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cnnc.predict(model, IMAGES).outputs["softmax1"], outputs["softmax1"])


def test_the_suffix_of_a_model_may_have_capitals(model: cnnc.Model) -> None:
    cnnc.export(model, "small.ONNX")
    assert cnnc.predict("small.ONNX", IMAGES[:2]).outputs["softmax1"].shape == (2, 3)
    assert cnnc.Model.load("small.ONNX")(IMAGES[:2])["softmax1"].shape == (2, 3)
    assert cnnc.bench("small.ONNX", seconds=0, warmup=0).calls == 5


def test_the_forms_of_an_input(model: cnnc.Model) -> None:
    expected = model(IMAGES)["softmax1"]
    for given in (IMAGES[:, 0], IMAGES / np.float32(255), np.asfortranarray(IMAGES)):
        np.testing.assert_allclose(model(given)["softmax1"], expected, rtol=1e-6)
    np.testing.assert_allclose(model(IMAGES[0, 0])["softmax1"], expected[:1], rtol=1e-6)
    np.testing.assert_allclose(model(input1=IMAGES)["softmax1"], expected, rtol=1e-6)
    with pytest.raises(cnnc.CnncError, match="the network takes input1 1x8x8"):
        model(IMAGES, IMAGES)
    with pytest.raises(cnnc.CnncError, match="no input is named images"):
        model(images=IMAGES)


def test_every_layer_can_be_seen(model: cnnc.Model) -> None:
    layers = model.layers(IMAGES[:2])
    shapes = {name: array.shape[1:] for name, array in layers.items()}
    assert shapes == {row.name: row.shape for row in model.network.layers}
    np.testing.assert_array_equal(layers["relu1"], np.maximum(layers["bn1"], 0))
    np.testing.assert_allclose(layers["softmax1"], model(IMAGES[:2])["softmax1"], rtol=1e-6)


def test_gradients_are_those_of_the_loss(model: cnnc.Model) -> None:
    """Central differences, in float64."""
    x, labels = IMAGES[:6] / 255.0, LABELS[:6]
    for name, array in model.weights.items():
        model.weights[name] = array.astype(np.float64)
    loss, weights, inputs = model.gradients(x, labels)
    assert set(weights) == set(model.weights) - {"bn1.mean", "bn1.var"}

    def loss_of(x: Any) -> float:
        return float(-np.log(model(x)["softmax1"][np.arange(6), labels]).mean())

    assert loss == pytest.approx(loss_of(x), rel=1e-5)
    step = 1e-6
    for name, at in (("conv1.weight", (1, 0, 2, 1)), ("bn1.scale", (2,)), ("bn1.shift", (1,)), ("fc1.bias", (0,))):
        array = model.weights[name]
        kept = array[at]
        array[at] = kept + step
        above = loss_of(x)
        array[at] = kept - step
        below = loss_of(x)
        array[at] = kept
        assert weights[name][at] == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-9)
    assert inputs["input1"].shape == x.shape


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (np.full(6, 3), "found the label 3; softmax1 has 3 classes"),
        (np.full(6, -1), "found the label -1"),
        (np.zeros(6), "compares with labels, found float64"),
        (np.full(6, "cat"), "compares with numbers, found <U3"),
        (np.zeros(5, int), "holds 5 examples, the input 6"),
        (np.zeros((6, 2), int), "E610"),
        ([np.zeros(6, int)] * 2, "compares with 1 target"),
    ],
)
def test_targets_that_do_not_fit(model: cnnc.Model, target: Any, words: str) -> None:
    with pytest.raises(cnnc.CnncError, match="E610") as caught:
        model.gradients(IMAGES[:6], target)
    assert words in str(caught.value)


def test_gradients_of_any_layer(model: cnnc.Model) -> None:
    x = IMAGES[:2] / np.float32(255)
    seed = np.zeros((2, 3), np.float32)
    seed[:, 1] = 1
    _, weights, _ = model.gradients(x, seeds={"fc1": seed})
    np.testing.assert_allclose(weights["fc1.bias"], [0, 2, 0])
    with pytest.raises(cnnc.CnncError, match="no layer is named fc2"):
        model.gradients(x, seeds={"fc2": seed})
    with pytest.raises(cnnc.CnncError, match="the gradient of fc1 is 3, its output is 2x3"):
        model.gradients(x, seeds={"fc1": seed[0]})


def test_a_model_is_saved_and_loaded(model: cnnc.Model) -> None:
    path = model.save("own.safetensors")
    again = cnnc.Model.load(path)
    assert again.network.graph == model.network.graph
    np.testing.assert_array_equal(again(IMAGES)["softmax1"], model(IMAGES)["softmax1"])
    same = cnnc.Model(model.network, model.weights)
    np.testing.assert_array_equal(same(IMAGES)["softmax1"], model(IMAGES)["softmax1"])
    with pytest.raises(cnnc.CnncError, match=r"write .*, or cnnc\.export"):
        model.save("own.onnx")
    with pytest.raises(cnnc.CnncError, match=r"fc1.bias is 2 of float64, expected 3"):
        cnnc.Model(model.network, {**model.weights, "fc1.bias": np.zeros(2)})


def test_symbolic_sizes() -> None:
    model = cnnc.Model(cnnc.check("input 1xHxW; conv 2 k=3; global_pool avg; fc 2"))
    assert model.network.inputs == {"input1": (1, "H", "W")}
    assert model.network.legal_sizes["H"].minimum == 3
    for size in (3, 9):
        assert model(np.zeros((5, 1, size, size + 1), np.float32))["fc1"].shape == (5, 2)
    with pytest.raises(cnnc.CnncError, match="legal size"):
        model(np.zeros((5, 1, 2, 9), np.float32))


def examples() -> Iterator[tuple[Any, Any]]:
    yield from zip(IMAGES, LABELS, strict=True)


def test_arrays_in_all_forms_train_alike(network: cnnc.Network) -> None:
    np.save("x.npy", IMAGES)
    np.savez("own.npz", x=IMAGES, y=LABELS)
    mapped = np.load("x.npy", mmap_mode="r")
    forms: list[Any] = [
        None,
        (IMAGES, LABELS),
        {"x": IMAGES, "y": LABELS},
        {"input1": IMAGES, "softmax1": LABELS},
        examples(),
        (mapped, LABELS),
    ]
    losses = [cnnc.train(network, f"run{i}", data=form).rows[1]["val_loss"] for i, form in enumerate(forms)]
    assert losses == [losses[0]] * len(forms)


def test_a_memory_map_stays_on_the_disk(network: cnnc.Network) -> None:
    np.save("x.npy", IMAGES)
    result = cnnc.train(network, data=(np.load("x.npy", mmap_mode="r"), LABELS))
    column: Any = result.run.data.train.inputs[0]
    while hasattr(column, "_column"):
        column = column._column
    assert isinstance(column, ConvertedColumn)
    assert isinstance(column._values, np.memmap)


def test_given_test_examples(network: cnnc.Network) -> None:
    result = cnnc.train(network, data=((IMAGES, LABELS), (IMAGES[:7], LABELS[:7])))
    assert result.test.total == 7
    assert cnnc.evaluate(result, (IMAGES, LABELS)).score.total == 80, "all of them are test examples"
    assert cnnc.evaluate(result, (IMAGES[:7], LABELS[:7])).score == result.test
    cnnc.export(result, "small.onnx")
    of_model = cnnc.evaluate("small.onnx", (IMAGES[:7], LABELS[:7]))
    assert (of_model.score.right, of_model.provider) == (result.test.right, "cpu")


def test_a_run_on_arrays_needs_them_again(network: cnnc.Network) -> None:
    """The file that the train section names would be other data."""
    np.savez("own.npz", x=IMAGES, y=LABELS)
    result = cnnc.train(network, "run", data=(IMAGES, LABELS))
    for call in (
        lambda: cnnc.resume("run", settings=["train.epochs=3"]),
        lambda: cnnc.evaluate("run"),
        lambda: cnnc.evaluate(result.model),
        lambda: cnnc.export("run", "a.onnx", precision="int8"),
    ):
        with pytest.raises(cnnc.CnncError) as caught:
            call()
        assert caught.value.diagnostics[0].code == "E603"
    resumed = cnnc.resume("run", data=(IMAGES, LABELS), settings=["train.epochs=3"])
    whole = cnnc.train(network.replace(recipe=network.recipe.replace(epochs=3)), data=(IMAGES, LABELS))  # type: ignore[union-attr]
    assert resumed.rows[2]["val_loss"] == whole.rows[2]["val_loss"], "the same bits as without a break"
    assert resumed.run.progress.epoch == 3


def test_resume_into_another_folder(network: cnnc.Network) -> None:
    first = cnnc.train(network, "run", data=(IMAGES, LABELS))
    other = cnnc.resume(first, "other", data=(IMAGES, LABELS), settings=["train.epochs=3"])
    assert (other.folder, len(other.rows)) == (Path("other"), 3)
    assert len(first.rows) == 2


def test_an_interrupt_saves_the_run(network: cnnc.Network) -> None:
    """The kernel of a notebook is interrupted by the signal of Ctrl-C."""

    class Interrupt(cnnc.Callback):
        def on_step(self, run: Any, epoch: int, step: int, loss: float) -> None:
            if (epoch, step) == (1, 1):
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"cnnc\.resume\('run'\)"):
        cnnc.train(network, "run", (IMAGES, LABELS), Interrupt())
    assert signal.getsignal(signal.SIGINT) is before
    resumed = cnnc.resume("run", data=(IMAGES, LABELS))
    whole = cnnc.train(network, "whole", (IMAGES, LABELS))
    for name, array in whole.model.weights.items():
        np.testing.assert_array_equal(resumed.model.weights[name], array)


def test_another_engine(network: cnnc.Network) -> None:
    result = cnnc.train(network, data=(IMAGES, LABELS), engine="onnxruntime", provider="cpu")
    assert result.run.engine.name == "onnxruntime"
    assert cnnc.resume(result, "on", (IMAGES, LABELS), settings=["train.epochs=3"]).run.engine.name == "onnxruntime"


def test_a_result_is_short_and_has_curves(network: cnnc.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    result = cnnc.train(network, data=(IMAGES, LABELS), progress=lines.append)
    assert len(repr(result)) < 160
    assert "in runs/small" in repr(result)
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert result.curves.startswith("<svg")
    assert "<img" in result._repr_html_()
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    plain = result.metrics
    assert plain["epoch"] == [1, 2]
    assert repr(plain).splitlines()[0].split() == list(result.rows[0])
    assert plain._repr_html_().count("<tr>") == 3


def test_progress_is_silent_where_nobody_looks(network: cnnc.Network, capfd: pytest.CaptureFixture[str]) -> None:
    cnnc.train(network, data=(IMAGES, LABELS))
    cnnc.train(network, data=(IMAGES, LABELS), progress=False)
    assert capfd.readouterr() == ("", "")


def test_a_network_is_built_in_python() -> None:
    build = cnnc.Builder("Built")
    x = build.input(3, 16, 16)
    left = build.relu(build.conv(x, 4, k=3, p=1, name="left"))
    right = build.conv(x, 4, k=(1, 1))
    both = build.concat(left, right)
    gate = build.sigmoid(build.conv(build.global_pool(both, "avg"), 8, k=1))
    scores = build.fc(build.mul(both, gate), 10)
    network = build.network(build.softmax(scores), left, train="data digits; batch 8", settings=["train.epochs=3"])
    assert [d.code for d in network.diagnostics] == ["E507"], "checked as a file is"
    network = build.network(build.softmax(scores), left)
    assert network.outputs == {"softmax2": (10,), "relu1": (4, 16, 16)}
    again = cnnc.load(network.save("built.cnn"))
    assert again.graph == network.graph
    assert again.source.text == network.source.text
    assert network["concat1"].shape == (8, 16, 16)
    wrong = cnnc.Builder("Wrong")
    wrong.conv(wrong.input(1, 8, 8), 4, k=9)
    error = wrong.network().diagnostics[0]
    assert (error.code, error.span and error.span.line) == ("E302", 4)
    with pytest.raises(cnnc.CnncError, match="another builder"):
        wrong.relu(gate)
    with pytest.raises(cnnc.CnncError, match="another builder"):
        wrong.relu(cnnc.Builder("Other").input(1, 8, 8))  # which has as few layers
    with pytest.raises(cnnc.CnncError, match="two layers or more"):
        build.add(x)


def test_layers_as_arguments_of_a_built_network() -> None:
    build = cnnc.Builder()
    a = build.input(4, name="a")
    b = build.input(4, name="b")
    first = build.fc(a, 3)
    second = build.fc(b, 3, share=first)
    network = build.network(build.bilinear(first, second))
    assert network.weights == {"fc1.weight": (3, 4), "fc1.bias": (3,), "bilinear1.weight": (1, 3, 3)}
    assert set(network.inputs) == {"a", "b"}
    outputs = cnnc.Model(network)(np.ones((2, 4), np.float32), b=np.ones((2, 4), np.float32))
    assert outputs["bilinear1"].shape == (2, 1)
