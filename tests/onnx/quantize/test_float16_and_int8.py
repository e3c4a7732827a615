"""float16 and int8 of networks trained on the bundled digits: accuracy, file size, and which models are rejected."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import cnnc
from cnnc.core.arrays import Weights
from cnnc.data import load as load_data
from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError, Exit
from cnnc.network import Network, check
from cnnc.onnx.emit.verify import random_weights
from cnnc.onnx.export import Exported, Options, export
from cnnc.onnx.quantize import float16 as half
from cnnc.onnx.quantize import int8 as quantize
from cnnc.onnx.quantize.examples import CalibrationExamples
from cnnc.onnx.run.session import open_model
from cnnc.training import checkpoint as checkpoints

pytestmark = pytest.mark.long

PLAIN = """net Plain
input 1x8x8
conv 16 k=3 p=1
relu
conv 16 k=3 p=1
relu
pool max k=2
fc 160
relu
fc 10
softmax
train { data digits; optimizer adam lr=0.003; batch 64; epochs 5 }
"""
DEPTHWISE = """net Depthwise
input 1x8x8
conv 32 k=3 p=1 bias=false; bn; relu6
conv 32 k=3 p=1 groups=c_in bias=false; bn; relu6
conv 64 k=1 bias=false; bn; relu6
conv 64 k=3 p=1 groups=c_in bias=false; bn; relu6
conv 64 k=1 bias=false; bn; relu6
global_pool avg
fc 10
softmax
train { data digits; optimizer adam lr=0.01; batch 64; epochs 8 }
"""
Runs = dict[str, Path]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    for text in (PLAIN, DEPTHWISE):
        network = check(text, name="net.cnn")
        assert network.ok
        cnnc.train(network, folder / network.name)
    return {name: folder / name for name in ("Plain", "Depthwise")}


def written(run: Path, path: Path, precision: str, **more: object) -> tuple[Exported, int]:
    """The export of a run in a precision, and the size in bytes of its float32 export."""
    whole = cnnc.export(run, path.with_name("whole.onnx"))
    return cnnc.export(run, path, options=Options(precision=precision, **more)), whole.size  # type: ignore[arg-type]


def accuracy(path: Path) -> float:
    """The accuracy of a model on the test digits, computed independently of the package."""
    test = load_data("digits", None, lambda line: None).test
    session = open_model(path, "cpu")
    found = session.run({"input1": test.images.astype(np.float32) / 255})[0]
    return float((found.argmax(1) == test.labels).mean())


@pytest.mark.parametrize("name", ["Plain", "Depthwise"])
def test_int8_keeps_its_accuracy(name: str, runs: Runs, tmp_path: Path) -> None:
    done, whole = written(runs[name], tmp_path / "int8.onnx", "int8")
    assert done.quality is not None
    assert done.quality.metric == "accuracy"
    assert done.quality.before == accuracy(tmp_path / "whole.onnx") > 0.9
    assert done.quality.after == accuracy(done.path)
    assert done.quality.before - done.quality.after <= 0.01
    model = onnx.load(done.path)
    onnx.checker.check_model(model, full_check=True)
    kept = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    layers = (
        ("conv2",) if name == "Plain" else ("conv3", "conv4", "conv5")
    )  # including the depthwise one between two others
    assert done.quality.kept == ()
    assert done.quality.faster == (("conv1", "fc1", "fc2") if name == "Plain" else ("conv1", "conv2", "fc1"))
    for layer in layers:
        assert kept[f"{layer}.weight.q"].dtype == np.int8
        assert kept[f"{layer}.weight.scale"].shape == (len(kept[f"{layer}.weight.q"]),)  # one per channel
    assert open_model(done.path, "cpu").metadata["cnnc.precision"] == "int8"
    if name == "Plain":  # most of the file is weights
        assert done.size <= 0.3 * whole


@pytest.mark.parametrize("name", ["Plain", "Depthwise"])
def test_float16_halves_the_file_and_keeps_the_accuracy(name: str, runs: Runs, tmp_path: Path) -> None:
    done, whole = written(runs[name], tmp_path / "half.onnx", "float16")
    assert done.quality is not None
    assert 0 < done.quality.after < half.MAX_LOGIT_ERROR
    assert abs(accuracy(done.path) - accuracy(tmp_path / "whole.onnx")) <= 0.01
    assert done.size < (0.56 if name == "Plain" else 0.7) * whole
    onnx.checker.check_model(onnx.load(done.path), full_check=True)  # this includes the topological order of the nodes
    session = open_model(done.path, "cpu")
    assert [signature.dtype for signature in session.inputs.values()] == [np.float32]
    assert session.run({"input1": np.zeros((3, 1, 8, 8), np.float32)})[0].dtype == np.float32


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_the_same_weights_give_the_same_bytes(precision: str, runs: Runs, tmp_path: Path) -> None:
    first, second = (written(runs["Plain"], tmp_path / f"{i}.onnx", precision)[0].path for i in range(2))
    assert first.read_bytes() == second.read_bytes()


# --- what goes wrong -----------------------------------------------------------------------------------------


def trained(run: Path) -> tuple[Network, Weights, CalibrationExamples]:
    saved = checkpoints.load(checkpoints.find(run, "best"))
    data = load_data("digits", None, lambda line: None)
    half_of = len(data.train) // 2
    first, second = np.arange(half_of), np.arange(half_of, len(data.train))
    return (
        saved.network(),
        saved.weights,
        CalibrationExamples.of(data.train.select(first), data.train.select(second), data.test, 0),
    )


def stretched(weights: Weights, factor: float) -> Weights:
    """Scales a channel of conv1 by a factor and its weights in conv2 by the inverse; the network computes the same."""
    new = {name: array.copy() for name, array in weights.items()}
    new["conv1.weight"][0] *= factor
    new["conv1.bias"][0] *= factor
    new["conv2.weight"][:, 0] /= factor
    return new


def test_layers_that_lose_accuracy_stay_in_float32(runs: Runs, tmp_path: Path) -> None:
    """With one scale for a tensor whose first channel is 3,000 times the others, the others lose all precision."""
    network, weights, examples = trained(runs["Plain"])
    done = export(
        network,
        stretched(weights, 3000),
        tmp_path / "int8.onnx",
        options=Options(precision="int8"),
        examples=examples,
    )
    assert done.quality is not None
    assert {"conv1", "conv2"} >= set(done.quality.kept) != set()
    assert done.quality.before - done.quality.after <= 0.01
    kept = {t.name: t for t in onnx.load(done.path).graph.initializer}
    for name in done.quality.kept:
        assert kept[f"{name}.weight"].data_type == onnx.TensorProto.FLOAT
    assert kept["fc1.weight.q"].data_type == onnx.TensorProto.INT8


def refused(call: Callable[[], object], code: str) -> str:
    with pytest.raises(CnncError) as caught:
        call()
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert caught.value.status is Exit.EXPORT
    return found.message


def test_int8_that_loses_too_much_is_not_written(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, weights, examples = trained(runs["Plain"])
    monkeypatch.setattr(quantize, "_layers_to_keep", lambda work, selection: [])
    path = tmp_path / "int8.onnx"
    options = Options(precision="int8")
    bad = stretched(weights, 30000)
    message = refused(lambda: export(network, bad, path, options=options, examples=examples), "E803")
    assert "Plain in int8 falls from 9" in message
    assert list(tmp_path.iterdir()) == []


def test_int8_of_an_untrained_network_is_rejected(tmp_path: Path) -> None:
    network = check(PLAIN)
    weights = random_weights(network.require_graph(), 0)
    options = Options(precision="int8")
    refused(lambda: export(network, weights, tmp_path / "int8.onnx", options=options), "E808")


def test_float16_that_overflows_is_not_written(tmp_path: Path) -> None:
    """The logits are moderate, but activations before them exceed 65,504."""
    network = check("net Large; input 16; fc 8; scale 1000000; tanh; fc 3")
    graph = network.require_graph()
    weights = random_weights(graph, 0)
    path = tmp_path / "half.onnx"
    export(network, weights, path)
    path.unlink()
    large = check("net Large; input 16; fc 8; relu; scale 1000000; scale 0.000001; fc 3")
    weights = random_weights(large.require_graph(), 0)
    message = refused(lambda: export(large, weights, path, options=Options(precision="float16")), "E802")
    assert message.startswith("scale1 reaches ")
    assert "float16 ends at 65,504" in message
    assert list(tmp_path.iterdir()) == []


def test_float16_that_cannot_run_is_not_written(tmp_path: Path) -> None:
    """onnxruntime has no float16 ScatterElements that adds."""
    network = check("net Meet; input 2x9x9; p: pool max k=3 s=2; relu; unpool p")
    weights = random_weights(network.require_graph(), 0)
    export_half = partial(export, network, weights, tmp_path / "half.onnx", options=Options(precision="float16"))
    assert "Meet does not run in float16: " in refused(export_half, "E802")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("before", "after", "answer", "expected"),
    [
        ([3.0, 1.0, 0.0], [2.9, 1.1, 0.0], [0.8, 0.2, 0.0], False),
        ([3.0, 1.0, 0.0], [2.9, 1.1, 0.0], [0.4, 0.6, 0.0], True),  # a wrong softmax
        ([3.0, 2.9, 0.0], [2.9, 3.0, 0.0], [0.4, 0.6, 0.0], False),  # rounding may flip a margin this small
        ([3.0], [2.0], [1.0], False),
    ],
)
def test_another_class_is_rejected_where_the_margin_is_clear(
    before: list[float], after: list[float], answer: list[float], expected: bool
) -> None:
    rows = [np.array([row, row[::-1]]) for row in (before, after, answer)]
    assert half.top_class_changes(*rows) == expected


@pytest.mark.parametrize(
    "text", ["fc 3; dropout; softmax", "s: fc 4; softmax; from s; t: tanh; output softmax1 t", "softmax"]
)
def test_logits_are_found_after_any_passes(text: str, tmp_path: Path) -> None:
    network = check(f"input 6; {text}")
    weights = random_weights(network.require_graph(), 0)
    done = export(network, weights, tmp_path / "half.onnx", options=Options(precision="float16"))
    assert done.quality is not None
    assert 0 < done.quality.after < 0.01


def test_a_network_without_labels_is_compared_with_its_float32_outputs(tmp_path: Path) -> None:
    network = check("net Coder; input 1x8x8; conv 16 k=3 p=1; relu; conv 16 k=3 p=1; relu; conv 1 k=3 p=1")
    images = load_data("digits", None, lambda line: None).train.images[:300]
    split = Split((images,), (images.astype(np.float32) / 255,))
    weights = random_weights(network.require_graph(), 0)
    options = Options(precision="int8")
    done = export(
        network,
        weights,
        tmp_path / "coder.onnx",
        options=options,
        examples=CalibrationExamples.of(split, split, split, 0),
    )
    assert done.quality is not None
    assert done.quality.metric == "error"
    assert 0 < done.quality.after < quantize.MAX_RELATIVE_ERROR


@pytest.mark.parametrize(
    ("source", "judged"),
    [
        ('input 4\nfc 4\ntrain { data npz "x.npz"; loss mse target=input }', None),
        ('a: input 4\nh: fc 2\nfrom a; m: fc 3\noutput h m\ntrain { data npz "x.npz"; loss cross_entropy on=m }', 1),
        ('a: input 4\nh: fc 2\nfrom a; m: fc 3\noutput h m\ntrain { data npz "x.npz"; loss cross_entropy on=h }', 0),
    ],
    ids=["labels that no loss reads", "of the second output", "of the first output"],
)
def test_precision_is_judged_by_the_labels_of_the_first_loss(source: str, judged: int | None) -> None:
    network = check(source)
    columns = (np.array([0, 1, 0]), np.array([2, 0, 1]))
    split = Split((np.zeros((3, 4), np.float32),), columns)
    targets = CalibrationExamples(split, split, split).for_graph(network, network.require_graph()).test.targets
    assert [*map(id, targets)] == ([] if judged is None else [id(columns[judged])])
