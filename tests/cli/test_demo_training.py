"""`cnnc demo --training`: what the page is told, its options and its errors. In browsers: tests/browser/test_training.py."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

import cnnc as package
from cnnc.core.random_streams import Stream
from cnnc.reference.initializers import initialize
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import one_step, open_data, start
from cnnc.view.demo.sheet import packed_column, png_sheet
from cnnc.view.web.runtime import WebRuntime
from tests.cli.conftest import Cnnc
from tests.cli.nets import NETS, write_nets
from tests.cli.test_demo import blob_of, data_of

FAKE = WebRuntime("1.30.0", "wasm", b"var ort;", b"", b"")


@pytest.fixture
def here(cnnc: Cnnc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cnnc:
    """Runs cnnc in a folder with the networks of nets.py, with a runtime without content."""
    monkeypatch.setattr("cnnc.cli.web_runtime.web_runtime", lambda given, build, report: FAKE)
    write_nets(tmp_path)
    return cnnc


def column_of(page: Path, split: str, number: int) -> NDArray[Any]:
    """A column of examples, read by other means than the page's."""
    entry, content = data_of(page)["columns"][split][number], blob_of(page, f"{split}-{number}")
    if entry["encoding"] == "array":
        return np.frombuffer(content, entry["dtype"]).reshape(entry["shape"])
    count, channels, height, width = entry["shape"]
    rows = np.array(Image.open(io.BytesIO(content)))
    return rows.reshape(count, height, width, channels).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("name", NETS)
def test_examples_come_in_the_order_of_the_first_epoch(here: Cnnc, tmp_path: Path, name: str) -> None:
    done = here("demo", f"{name}.cnn", "--training", "-o", "x.html", "--examples", "20")
    assert done.returncode == 0, done.stderr
    network = package.load(tmp_path / f"{name}.cnn")
    run = start(network, open_data(network, tmp_path, lambda line: None), tmp_path / "run")
    order = np.random.default_rng(Stream.SHUFFLE.key(run.recipe.seed, 0)).permutation(len(run.train))[:20]
    expected = {node.name: values for node, values in zip(run.graph.inputs, run.train.inputs, strict=True)}
    compared = {term.output.name: term.column for term in run.objective.terms if term.column is not None}
    page = data_of(tmp_path / "x.html")
    for entry in page["fed"]:
        if "output" in entry:
            expected[entry["name"]] = run.train.targets[compared[entry["output"]]]
    assert [entry["name"] for entry in page["columns"]["train"]] == [*expected]
    for number, values in enumerate(expected.values()):
        stored = column_of(tmp_path / "x.html", "train", number)
        np.testing.assert_array_equal(stored.reshape(values[order].shape), values[order])


@pytest.mark.parametrize("name", NETS)
def test_the_first_loss_is_that_of_the_trainer(here: Cnnc, tmp_path: Path, name: str) -> None:
    assert here("demo", f"{name}.cnn", "--training", "-o", "x.html").returncode == 0
    network = package.load(tmp_path / f"{name}.cnn")
    run = start(network, open_data(network, tmp_path, lambda line: None), tmp_path / "run")
    order = np.random.default_rng(Stream.SHUFFLE.key(run.recipe.seed, 0)).permutation(len(run.train))
    rows = order[: run.recipe.batch]
    inputs, targets = (tuple(c[rows] for c in part) for part in (run.train.inputs, run.train.targets))
    with run.engine.running(run):
        expected = one_step(run, 0, 0, inputs, targets).loss
    assert data_of(tmp_path / "x.html")["check"]["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_page_starts_with_the_initial_weights_and_the_learning_rates(here: Cnnc, tmp_path: Path) -> None:
    words = ("--set", "train.schedule=cosine", "--set", "train.epochs=3")
    done = here("demo", "pictures.cnn", "--training", "-o", "x.html", *words)
    assert done.returncode == 0, done.stderr
    page, network = data_of(tmp_path / "x.html"), package.load(tmp_path / "pictures.cnn", words[1::2])
    recipe, blob = network.recipe, blob_of(tmp_path / "x.html", "arrays")
    assert recipe is not None
    weights = initialize(network.require_graph(), 0)
    assert page["arrays"].keys() == weights.keys()
    for name, array in weights.items():
        stored = np.frombuffer(blob, np.float32, array.size, page["arrays"][name]).reshape(array.shape)
        np.testing.assert_array_equal(stored, array)
    steps = -(-page["counts"]["train"] // recipe.batch)
    rates = np.frombuffer(blob_of(tmp_path / "x.html", "rates"), np.float32)
    expected = [recipe.learning_rate(epoch + step / steps) for epoch in range(3) for step in range(steps)]
    np.testing.assert_array_equal(rates, np.array(expected, np.float32))
    assert page["schedule"] == "cosine"


@pytest.mark.parametrize("name", NETS)
def test_the_scoring_graph_gives_the_scores_of_cnnc(here: Cnnc, tmp_path: Path, name: str) -> None:
    """Loss and metrics of the test examples, with the initial weights."""
    assert here("demo", f"{name}.cnn", "--training", "-o", "x.html").returncode == 0
    page, network = data_of(tmp_path / "x.html"), package.load(tmp_path / f"{name}.cnn")
    run = start(network, open_data(network, tmp_path, lambda line: None), tmp_path / "run")
    session = ort.InferenceSession(blob_of(tmp_path / "x.html", "score"))
    names = {info.name for info in session.get_inputs()}
    dtypes = {entry["name"]: entry["dtype"] for entry in page["fed"]}
    feeds = {key: array for key, array in run.weights.items() if key in names}
    for number, entry in enumerate(page["columns"]["test"]):
        values = column_of(tmp_path / "x.html", "test", number)
        scaled = values / np.float32(255) if values.dtype == np.uint8 else values
        feeds[entry["name"]] = scaled.astype(dtypes[entry["name"]])
    outputs = [info.name for info in session.get_outputs()]
    results = dict(zip(outputs, session.run(outputs, feeds), strict=True))
    expected = run.objective.measure(run.engine.runner(run, run.weights), run.data.test)
    assert results["train.loss"] == pytest.approx(expected.loss, rel=1e-4)
    if "train.accuracy" in results:
        assert (results["train.accuracy"], results["train.accuracy.count"]) == (expected.right, expected.total)


@pytest.mark.parametrize("name", ["words", "several"])
def test_the_scoring_graph_computes_nothing_else(here: Cnnc, tmp_path: Path, name: str) -> None:
    """Not the gradients of the losses, which are built with them."""
    assert here("demo", f"{name}.cnn", "--training", "-o", "x.html").returncode == 0
    score = blob_of(tmp_path / "x.html", "score")
    nodes = onnx.load_from_string(score).graph.node
    assert all(reached(score) & set(node.output) for node in nodes)


def reached(model: bytes) -> set[str]:
    """The tensors that an output of a model depends on, and those outputs."""
    graph = onnx.load_from_string(model).graph
    wanted = {info.name for info in graph.output}
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= {*node.input, *node.output}
    return wanted


def test_what_was_written_is_said(here: Cnnc, tmp_path: Path) -> None:
    done = here("demo", "pictures.cnn", "--training", "--examples", "100", "--json")
    found = json.loads(done.stdout)
    assert found["bytes"] == (tmp_path / "pictures-learn.html").stat().st_size
    assert (found["training_examples"], found["test_examples"]) == (100, 360)
    assert re.search(
        r"wrote pictures-learn.html: [\d,]+ bytes, 100 training and 360 test examples in [\d,]+ bytes; initial weights \(seed 0\)\n",
        done.stderr,
    )


def test_the_test_examples_that_are_shown_are_spread(here: Cnnc, tmp_path: Path) -> None:
    """Over a test set that is sorted by class; every example is there once."""
    x = np.arange(8000, dtype=np.float32).reshape(-1, 4)
    np.savez(tmp_path / "sorted.npz", x=x, y=np.repeat(np.arange(10), 200))
    (tmp_path / "sorted.cnn").write_text(
        'net Sorted\ninput 4\nfc 10\nsoftmax\ntrain { data npz "sorted.npz" test=0.5; optimizer sgd lr=1e-6; epochs 1 }\n'
    )
    done = here("demo", "sorted.cnn", "--training", "-o", "x.html")
    assert done.returncode == 0, done.stderr
    labels = column_of(tmp_path / "x.html", "test", 1)
    assert np.bincount(labels[:40]).tolist() == [4] * 10
    firsts = column_of(tmp_path / "x.html", "test", 0)[:, 0]
    assert len(set(firsts.tolist())) == len(firsts) == 500


def test_what_is_left_out_is_named(here: Cnnc, tmp_path: Path) -> None:
    words = ("--set", "train.augment.shift=1")
    text = (tmp_path / "pictures.cnn").read_text().replace("batch 128", "augment shift=1; stop patience=3; batch 128")
    (tmp_path / "pictures.cnn").write_text(text.replace("data digits", "data digits val=0.2"))
    assert here("demo", "pictures.cnn", "--training", "-o", "x.html", *words).returncode == 0
    assert "Left out on this page: augment shift=1; stop patience=3." in data_of(tmp_path / "x.html")["recipeText"]


def test_examples_that_are_not_mixed_are_labelled(here: Cnnc, tmp_path: Path) -> None:
    done = here("demo", "pictures.cnn", "--training", "-o", "x.html", "--set", "train.augment.mixup=0.2")
    assert done.returncode == 0, done.stderr
    assert [fed["labels"] for fed in data_of(tmp_path / "x.html")["fed"] if "labels" in fed] == [True]


def test_training_goes_on_from_a_run(here: Cnnc, tmp_path: Path) -> None:
    assert here("train", "pictures.cnn", "--run", "run", "--set", "train.epochs=1").returncode == 0
    done = here("demo", "run", "--training", "--last", "-o", "x.html")
    assert done.returncode == 0, done.stderr
    assert "the weights of run/last.safetensors" in done.stdout
    page = data_of(tmp_path / "x.html")
    saved = checkpoints.load(tmp_path / "run" / "last.safetensors")
    assert page["training"]["start"] == saved.slots["steps"] > 0
    blob = blob_of(tmp_path / "x.html", "arrays")
    expected = {**saved.weights, **saved.slots}
    del expected["steps"]
    assert page["arrays"].keys() == expected.keys()
    for name, array in expected.items():
        stored = np.frombuffer(blob, np.float32, array.size, page["arrays"][name]).reshape(array.shape)
        np.testing.assert_array_equal(stored, array)


def test_errors(here: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "bare.cnn").write_text("net Bare\ninput 1x8x8\nfc 10\nsoftmax\n")
    (tmp_path / "elsewhere.cnn").write_text(NETS["words"].replace("reviews.tsv", "nowhere.tsv"))
    (tmp_path / "model.onnx").write_bytes(b"")
    cases: dict[tuple[str, ...], str] = {
        ("bare.cnn",): "E509",
        ("elsewhere.cnn",): "E60",
        ("model.onnx",): "E010",
        ("pictures.cnn", "--examples", "0"): "E010",
        ("nowhere.cnn",): "E901",
    }
    for words, code in cases.items():
        done = here("demo", *words, "--training", "-o", "x.html")
        assert done.returncode != 0, words
        assert f"error[{code}" in done.stderr, (words, done.stderr)
        assert not (tmp_path / "x.html").exists()


def test_a_page_that_a_browser_cannot_hold_is_refused(
    here: Cnnc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnc.cli.demo.MAX_MODEL_BYTES", 1 << 10)
    monkeypatch.setattr("cnnc.cli.demo_training.MAX_MODEL_BYTES", 1 << 10)
    done = here("demo", "pictures.cnn", "--training", "-o", "x.html")
    assert "error[E903]" in done.stderr
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["noise", "ramp", "flat", "rows"])
def test_a_sheet_holds_the_pixels(channels: int, kind: str) -> None:
    random = np.random.default_rng(0)
    shape = (7, channels, 5, 6)
    images = {
        "noise": random.integers(0, 256, shape),
        "ramp": np.add.outer(np.arange(7 * channels * 5), 9 * np.arange(6)).reshape(shape) % 256,
        "flat": np.full(shape, 200),
        "rows": np.repeat(random.integers(0, 256, (7, channels, 1, 6)), 5, 2),
    }[kind].astype(np.uint8)
    rows = np.array(Image.open(io.BytesIO(png_sheet(images)))).reshape(7, 5, 6, channels)
    np.testing.assert_array_equal(rows.transpose(0, 3, 1, 2), images)


def test_integers_are_never_packed_as_pixels() -> None:
    for values in ([0, 9], [0, 200], [-1, 70000]):
        packed = packed_column(np.array(values, np.int64))
        assert packed.entry["dtype"] != "uint8"
        assert np.frombuffer(packed.content, packed.entry["dtype"]).tolist() == values
