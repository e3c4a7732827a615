"""Export of a part of a network (`outputs`), with symbolic or fixed sizes, lower precision and external weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import cnnc
from cnnc.api.evaluation import trained_network
from cnnc.diagnostics import CnncError
from cnnc.network import check
from cnnc.onnx.emit.verify import random_weights, sample_feeds
from cnnc.onnx.export import Options, export
from cnnc.onnx.run.session import open_model
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first

OPEN = """net Open
image: input 3xHxW
conv 4 k=3 p=same; bn; relu
pool max k=2
down: conv 6 k=3 s=2 p=1; relu
global_pool avg
fc 5
softmax
"""
TRAINED = """net Trained
image: input 1x8x8
conv 8 k=3 p=1; relu
pool max k=2
features: fc 24; relu
scores: fc 10
softmax
train { data digits; optimizer adam lr=0.005; batch 64; epochs 4 }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "trained"
    cnnc.train(check(TRAINED, name="trained.cnn"), folder)
    return folder


@pytest.mark.parametrize("external", [False, True])
def test_a_part_keeps_symbolic_sizes(external: bool, tmp_path: Path) -> None:
    network = check(OPEN, name="open.cnn")
    weights = random_weights(network.require_graph(), 0)
    done = export(network, weights, tmp_path / "part.onnx", outputs=["down"], options=Options(external=external))
    assert {d.name for d in done.verification.deviations} >= {"relu1", "down"}
    session = open_model(done.path, "cpu")
    assert (list(session.inputs), session.outputs) == (["image"], ["down"])
    assert session.inputs["image"].shape == (3, "H", "W")
    assert not session.facts.whole
    graph = network.graph_at({"H": 21, "W": 34})
    feeds = sample_feeds(graph, 2, 5)
    expected = to_channels_first(forward(graph, weights, feeds, outputs=["down"]).values["down"])
    np.testing.assert_allclose(session.run(feeds)[0], expected, rtol=1e-4, atol=1e-5)


def test_fixed_sizes_are_in_the_metadata(tmp_path: Path) -> None:
    network = check(OPEN, name="open.cnn", at={"H": 20, "W": 30})
    done = export(network, random_weights(network.require_graph(), 0), tmp_path / "fixed.onnx")
    session = open_model(done.path, "cpu")
    assert session.inputs["image"].shape == (3, 20, 30)
    assert (session.facts.at, session.facts.sizes) == ({"H": 20, "W": 30}, {})
    assert session.facts.inputs["image"]["shape"] == [3, 20, 30]
    assert session.facts.macs == network.require_graph().total_macs
    assert trained_network(session).require_graph().inputs[0].type.shape == (3, 20, 30)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_part_in_a_lower_precision(precision: str, run: Path, tmp_path: Path) -> None:
    """Features have no labels, so they are judged by their deviation; scores are judged by accuracy."""
    options = Options(precision=precision)  # type: ignore[arg-type]
    done = cnnc.export(run, tmp_path / "features.onnx", outputs=["features"], options=options)
    assert done.quality is not None
    assert (done.quality.metric, done.quality.before) == ("error", 0.0)
    assert 0 < done.quality.after < 0.1
    assert onnx.load(done.path).graph.output[0].name == "features"


def test_one_input_of_two_in_a_lower_precision(tmp_path: Path) -> None:
    """Calibration feeds only the inputs that the part has."""
    random = np.random.default_rng(0)
    left, right = random.random((2, 80, 2, 6, 6), np.float32)
    y = (left.mean((1, 2, 3)) > right.mean((1, 2, 3))).astype(np.int64)
    np.savez(tmp_path / "data.npz", a=left, b=right, y=y)
    text = """a: input 2x6x6; conv 4 k=3; relu; left: global_pool avg
b: input 2x6x6; conv 4 k=3; relu; right: global_pool avg
concat left right; fc 2; softmax
train { data npz "data.npz" test=0.2; optimizer adam lr=0.01; batch 16; epochs 1 }
"""
    network = check(text, name="two.cnn")
    cnnc.train(network, tmp_path / "two", tmp_path)
    done = cnnc.export(
        tmp_path / "two", tmp_path / "b.onnx", outputs=["right"], options=Options(precision="int8"), data=tmp_path
    )
    assert list(open_model(done.path, "cpu").inputs) == ["b"]


def test_a_part_for_a_microcontroller(run: Path, tmp_path: Path) -> None:
    whole, part = (
        cnnc.export(run, tmp_path / f"{name}.onnx", outputs=outputs, options=Options(target="mcu"))
        for name, outputs in (("whole", ()), ("part", ("features",)))
    )
    assert whole.footprint is not None
    assert part.footprint is not None
    assert part.footprint.flash < whole.footprint.flash
    assert open_model(part.path, "cpu").batch == 1


def test_an_unknown_output_writes_nothing(tmp_path: Path) -> None:
    network = check(OPEN)
    with pytest.raises(CnncError, match="no layer is named"):
        export(network, random_weights(network.require_graph(), 0), tmp_path / "no.onnx", outputs=["nothing"])
    assert not (tmp_path / "no.onnx").exists()
