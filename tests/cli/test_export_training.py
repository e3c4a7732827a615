"""`cnnc export --training`: its three files, a program that trains with nothing else, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from safetensors.numpy import load_file

from cnnc.data import load as load_data
from cnnc.diagnostics import Exit
from cnnc.graph.graph import Node
from cnnc.network import load
from cnnc.onnx.train_step.step_emitter import BACKWARDS, Passed, StepEmitter, TensorGradients
from cnnc.ops.dense import Fc
from cnnc.reference.engine import forward
from tests.cli.conftest import Cnnc, codes

DIGITS = """net Small
input 1x8x8
conv 8 k=3 p=1 bias=false
bn
relu
pool max k=2
dropout 0.2
fc 10
train { data digits; augment shift=1; loss cross_entropy; optimizer adam lr=0.01; batch 50; epochs 2 }
"""
FILES = ("step.onnx", "step.infer.onnx", "step.weights.safetensors")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    (tmp_path / "small.cnn").write_text(DIGITS, encoding="utf-8")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_three_files_are_written_and_say_what_they_are(cnnc: Cnnc, digits: Path) -> None:
    done = cnnc("export", "small.cnn", "--training", "-o", "step.onnx")
    assert done.returncode == 0, done.stderr
    wrote = [line for line in done.stdout.splitlines() if line.startswith("wrote ")]
    assert [line.split()[1].rstrip(":") for line in wrote] == list(FILES)
    assert "initial weights (seed 0)" in wrote[2]
    assert "verified: 3 steps of 8 random examples" in done.stdout
    assert "left out: `augment shift=1`" in done.stderr
    assert "dropout1 drops elements by the input train.seed" in done.stderr
    for name in FILES[:2]:
        model = onnx.load(digits / name)
        assert {opset.domain: opset.version for opset in model.opset_import} == {"": 17}
        assert {node.domain for node in model.graph.node} == {""}
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    again = contents(digits)
    assert cnnc("export", "small.cnn", "--training", "-o", "step.onnx").returncode == 0
    assert contents(digits) == again


class Host:
    """A program that knows only the three files, as a page in a browser does."""

    def __init__(self, folder: Path) -> None:
        model = onnx.load(folder / "step.onnx")
        (text,) = (prop.value for prop in model.metadata_props if prop.key == "cnnc.training")
        self.about: dict[str, Any] = json.loads(text)
        assert (folder / self.about["step"]).samefile(folder / "step.onnx")
        self.step = ort.InferenceSession(folder / self.about["step"])
        self.inference = ort.InferenceSession(folder / self.about["inference"])
        saved = load_file(folder / self.about["weights_file"])
        self.weights = {entry["name"]: saved[f"weights/{entry['name']}"] for entry in self.about["weights"]}
        self.slots = {entry["name"]: np.zeros(entry["shape"], np.float32) for entry in self.about["slots"]}
        self.steps = 0

    def train(self, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        about, self.steps = self.about, self.steps + 1
        feeds = {about["inputs"][0]: images, about["targets"][0]["name"]: labels}
        feeds[about["learning_rate"]] = np.array(about["recipe"]["rates"][0], np.float32)
        feeds[about["counter"]] = np.array(self.steps, np.int64)
        feeds[about["seed"]] = np.array(self.steps, np.int32)
        feeds |= self.slots | {e["name"]: self.weights[e["name"]] for e in about["weights"] if e["in_step"]}
        names = [output.name for output in self.step.get_outputs()]
        results = dict(zip(names, self.step.run(names, feeds), strict=True))
        for kept, entries in ((self.weights, about["weights"]), (self.slots, about["slots"])):
            kept.update({entry["name"]: results[entry["new"]] for entry in entries if entry["new"]})
        return results

    def predict(self, images: np.ndarray) -> np.ndarray:
        (scores,) = self.inference.run(None, {self.about["inputs"][0]: images, **self.weights})
        return np.asarray(scores)


def test_a_program_trains_with_the_files_alone(cnnc: Cnnc, digits: Path) -> None:
    assert cnnc("export", "small.cnn", "--training", "-o", "step.onnx").returncode == 0
    host, data = Host(digits), load_data("digits", None, print)
    images, labels = data.train.images.astype(np.float32) / 255, data.train.labels
    correct, count = host.about["metrics"]["accuracy"]["sum"], host.about["metrics"]["accuracy"]["count"]
    losses = []
    for start in [*range(0, 1000, 50), *range(0, 1000, 50)]:
        results = host.train(images[start : start + 50], labels[start : start + 50])
        losses.append(float(results[host.about["loss"]]))
        assert results[count] == 50
        assert 0 <= results[correct] <= 50
    assert losses[-1] < losses[0] / 3
    tested = data.test.images.astype(np.float32) / 255
    scores = host.predict(tested)
    assert (scores.argmax(1) == data.test.labels).mean() > 0.85
    graph = load(digits / "small.cnn").require_graph()
    expected = forward(graph, host.weights, {"input1": tested}).values[graph.outputs[0]]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


def test_the_weights_are_a_checkpoint(cnnc: Cnnc, digits: Path) -> None:
    cnnc("export", "small.cnn", "--training", "-o", "step.onnx")
    assert cnnc("export", "step.weights.safetensors", "-o", "net.onnx").returncode == 0
    for command in (
        ("predict", "step.infer.onnx", "x.png"),
        ("eval", "step.onnx"),
        ("import", "step.onnx", "-o", "a.cnn"),
    ):
        refused = cnnc(*command)
        assert codes(refused.stderr) == ["E613"]
        assert "`cnnc export step.weights.safetensors`" in refused.stderr


def test_a_run_gives_its_weights_and_slots(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    done = cnnc("export", trained / "run", "--last", "--training", "-o", "step.onnx", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [report["file"], report["inference"], report["weights"]] == list(FILES)
    assert all(array["share"] <= 1 for array in report["arrays"])
    saved, written = load_file(trained / "run" / "last.safetensors"), load_file(tmp_path / FILES[2])
    assert set(saved) == set(written)
    assert all((saved[name] == written[name]).all() for name in saved)


def test_the_default_name_is_not_that_of_the_model(cnnc: Cnnc, digits: Path) -> None:
    assert cnnc("export", "small.cnn", "--training").returncode == 0
    assert {"small.step.onnx", "small.step.infer.onnx", "small.step.weights.safetensors"} <= set(contents(digits))


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("--int8",), Exit.USAGE, "E010"),
        (("--fp16",), Exit.USAGE, "E010"),
        (("--external",), Exit.USAGE, "E010"),
        (("--card",), Exit.USAGE, "E010"),
        (("--outputs", "relu1"), Exit.USAGE, "E010"),
        (("--no-pass", "fold-scale"), Exit.USAGE, "E010"),
        (("--target", "mcu"), Exit.USAGE, "E010"),
        (("-o", "/dev/stdout"), Exit.USAGE, "E010"),
        (("-o", "small.cnn"), Exit.RESOURCES, "E902"),
        (("-o", "missing/step.onnx"), Exit.RESOURCES, "E902"),
        (("--opset", "12"), Exit.EXPORT, "E804"),
    ],
    ids=str,
)
def test_what_is_refused(words: tuple[str, ...], status: Exit, code: str, cnnc: Cnnc, digits: Path) -> None:
    before = contents(digits)
    done = cnnc("export", "small.cnn", "--training", *words)
    assert (done.returncode, codes(done.stderr)) == (status, [code])
    assert contents(digits) == before


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("input 4\nfc 2\n", "E509"),
        ('input 10x1x1\nflatten\ntrain { data npz "x.npz"; loss cross_entropy }\n', "E810"),
        ('input 4\nfc 2 frozen=true\ntrain { data npz "x.npz"; loss cross_entropy }\n', "E810"),
        (
            "input 1x8x8\nconv 2 k=1\npool max k=3 s=1\nfc 10\ntrain { data digits; loss cross_entropy; optimizer sgd lr=0.1 }\n",
            "E805",
        ),
    ],
    ids=["no train section", "no weights", "frozen", "overlapping windows"],
)
def test_networks_that_are_refused(text: str, code: str, cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(text, encoding="utf-8")
    before = contents(tmp_path)
    done = cnnc("export", "net.cnn", "--training", "--opset", "13")
    assert codes(done.stderr) == [code]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", FILES)
def test_no_file_changes_if_one_cannot_be_written(name: str, cnnc: Cnnc, digits: Path) -> None:
    (digits / name).mkdir()
    before = contents(digits)
    done = cnnc("export", "small.cnn", "--training", "-o", "step.onnx")
    assert codes(done.stderr) == ["E902"]
    assert contents(digits) == before


def test_a_file_of_another_kind_is_not_replaced(cnnc: Cnnc, digits: Path) -> None:
    (digits / FILES[2]).write_bytes(b"mine")
    done = cnnc("export", "small.cnn", "--training", "-o", "step.onnx")
    assert codes(done.stderr) == ["E902"]
    assert (digits / FILES[2]).read_bytes() == b"mine"
    assert cnnc("export", "small.cnn", "--training", "-o", "step.onnx", "--force").returncode == 0


def test_a_step_that_deviates_is_not_written(cnnc: Cnnc, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = BACKWARDS[Fc]

    def wrong(e: StepEmitter, op: Fc, node: Node, at: Passed) -> TensorGradients:
        inputs, weights = right(e, op, node, at)
        return TensorGradients(inputs, {**weights, "weight": e.new("Neg", weights["weight"])})

    monkeypatch.setitem(BACKWARDS, Fc, wrong)
    before = contents(digits)
    done = cnnc("export", "small.cnn", "--training")
    assert (done.returncode, codes(done.stderr)) == (Exit.EXPORT, ["E811"])
    assert "fc1.weight" in done.stderr
    assert contents(digits) == before
