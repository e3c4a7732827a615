"""`cnnc demo`: what the page is told, its options and its errors. Pages in browsers are in tests/browser/test_demo.py."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cnnc.view.web.runtime import WebRuntime
from tests.cli.conftest import Cnnc

FAKE = WebRuntime("1.30.0", "wasm", b"var ort;", b"", b"")


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime without content, so that no test needs the real one."""
    monkeypatch.setattr("cnnc.cli.web_runtime.web_runtime", lambda given, build, report: FAKE)


@pytest.fixture
def here(cnnc: Cnnc, trained: Path, tmp_path: Path, runtime: None) -> Cnnc:
    """Runs cnnc in a folder with a trained run and its model."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return cnnc


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def blob_of(page: Path, name: str) -> bytes:
    found = re.search(rf'id="blob-{name}"[^>]*>([^<]*)<', page.read_text())
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1]))


def array_of(page: Path, entry: dict[str, Any]) -> Any:
    size = int(np.prod(entry["shape"]))
    return np.frombuffer(blob_of(page, "examples"), entry["dtype"], size, entry["offset"]).reshape(entry["shape"])


def test_the_page_of_a_run(here: Cnnc, tmp_path: Path) -> None:
    done = here("demo", "run", "-o", "x.html")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"wrote x.html: [\d,]+ bytes, 20 examples\n", done.stdout)
    data = data_of(tmp_path / "x.html")
    (given,) = data["inputs"]
    assert (given["control"], given["shape"], given["dtype"], given["inverted"]) == (
        "image",
        [1, 8, 8],
        "float32",
        False,
    )
    assert given["frame"]["box"] == 1
    assert data["outputs"] == [{"name": "softmax1", "kind": "classes", "classes": [*"0123456789"], "isImage": False}]
    assert [layer["name"] for layer in data["layers"] if layer["shown"]] == ["bn1", "relu1", "pool1", "fc1", "softmax1"]
    assert "folded into others, or without effect at inference: conv1, dropout1" in data["layersNote"]


def test_examples_have_the_outputs_of_predict(here: Cnnc, tmp_path: Path) -> None:
    assert here("demo", "small.onnx", "-o", "x.html", "--examples", "7").returncode == 0
    examples = data_of(tmp_path / "x.html")["examples"]
    assert (examples["count"], len(examples["names"])) == (7, 7)
    np.save(tmp_path / "images.npy", array_of(tmp_path / "x.html", examples["inputs"][0]))
    done = here("predict", "small.onnx", "images.npy", "--json", "--top", "10")
    stored = array_of(tmp_path / "x.html", examples["outputs"][0])
    for row, entry in zip(stored, json.loads(done.stdout), strict=True):
        for guess in entry["top"]:
            assert abs(row[int(guess["class"])] - guess["probability"]) < 1e-6
    assert blob_of(tmp_path / "x.html", "model") == (tmp_path / "small.onnx").read_bytes()


def test_an_int8_model_says_which_numbers_are_shown(here: Cnnc, tmp_path: Path) -> None:
    assert here("export", "run", "--int8", "-o", "int8.onnx").returncode == 0
    assert here("demo", "int8.onnx", "-o", "x.html").returncode == 0
    assert "before they are rounded to 8 bits" in data_of(tmp_path / "x.html")["layersNote"]


def test_a_network_file_and_json(here: Cnnc, tmp_path: Path) -> None:
    done = here("demo", "small.cnn", "--set", "width=3", "--examples", "0", "--json")
    result = json.loads(done.stdout)
    assert result["file"] == "small-demo.html"
    assert result["bytes"] == (tmp_path / "small-demo.html").stat().st_size
    assert (result["examples"], result["layers"]) == (0, 5)
    assert data_of(tmp_path / "small-demo.html")["examples"] is None
    assert "untrained" in done.stderr


def save(path: Path, shape: list[Any], dtype: int = TensorProto.FLOAT, op: str = "Neg") -> None:
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize(
    ("shape", "control"),
    [
        (["N", 3, 20, 30], "image"),
        (["N", 1, "H", "W"], "image"),
        (["N", 4], "sliders"),
        (["N", 40], "series"),
        (["N", 2, 40], "series"),
        (["N", "T"], "series"),
        (["N", 4, 20, 20], "numbers"),
        (["N", 2, 4, 5, 6], "numbers"),
    ],
)
def test_controls_fit_the_input(here: Cnnc, tmp_path: Path, shape: list[Any], control: str) -> None:
    save(tmp_path / "x.onnx", shape)
    done = here("demo", "x.onnx", "-o", "x.html")
    assert done.returncode == 0, done.stderr
    assert "random inputs instead of examples: x.onnx does not carry its source" in done.stderr
    data = data_of(tmp_path / "x.html")
    assert data["inputs"][0]["control"] == control
    assert data["examples"]["random"]


@pytest.mark.parametrize(
    ("option", "colour"), [("", None), (' background="#336699"', [51, 102, 153]), (" background=grey", [128, 128, 128])]
)
def test_the_page_lays_transparent_pixels_over_the_background_of_the_data(
    here: Cnnc, tmp_path: Path, option: str, colour: list[int] | None
) -> None:
    source = f'net Photos\ninput 3x8x8\nfc 2\ntrain {{ data images "photos"{option} }}\n'
    (tmp_path / "photos.cnn").write_text(source)
    assert here("demo", "photos.cnn", "-o", "x.html").returncode == 0
    assert data_of(tmp_path / "x.html")["inputs"][0]["background"] == colour


def test_integers_that_are_no_words(here: Cnnc, tmp_path: Path) -> None:
    save(tmp_path / "x.onnx", ["N", 30], TensorProto.INT64)
    assert here("demo", "x.onnx", "-o", "x.html").returncode == 0
    assert data_of(tmp_path / "x.html")["inputs"][0]["control"] == "numbers"


def test_weights_in_a_second_file_are_in_the_page(here: Cnnc, tmp_path: Path) -> None:
    assert here("export", "run", "-o", "two.onnx", "--external").returncode == 0
    assert here("demo", "two.onnx", "-o", "x.html").returncode == 0
    model = onnx.load_from_string(blob_of(tmp_path / "x.html", "model"))
    assert all(tensor.data_location != TensorProto.EXTERNAL for tensor in model.graph.initializer)
    assert sum(numpy_helper.to_array(tensor).size for tensor in model.graph.initializer) > 1000
    (tmp_path / "two.onnx.data").unlink(missing_ok=True)
    for path in tmp_path.glob("two.*data"):
        path.unlink()
    assert "E604" in here("demo", "two.onnx", "-o", "x.html").stderr


def test_errors(here: Cnnc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in one line with its code; no page is written."""
    (tmp_path / "none.onnx").write_text("hello")
    (tmp_path / "bare.cnn").write_text("input 4\nfc 2\n")
    save(tmp_path / "text.onnx", ["N", 6], TensorProto.STRING, "Identity")
    cases = {
        ("demo", "none.onnx", "-o", "x.html"): "E604",
        ("demo", "missing.onnx", "-o", "x.html"): "E901",
        ("demo", "missing", "-o", "x.html"): "E606",
        ("demo", "text.onnx", "-o", "x.html"): "E609",
        ("demo", "bare.cnn", "-o", "x.html", "--examples", "5"): "E509",
        ("demo", "small.onnx", "-o", "no/x.html"): "E902",
        ("demo", "small.onnx", "-o", "x.png"): "E902",
        ("demo", "small.onnx", "-o", "small.onnx"): "E902",
        ("demo", "small.onnx", "-o", "x.html", "--last"): "E010",
        ("demo", "run", "-o", "x.html", "--set", "width=2"): "E010",
    }
    for words, code in cases.items():
        done = here(*words)
        assert done.returncode, words
        assert done.stderr.count("error[") == 1, (words, done.stderr)
        assert f"error[{code}]" in done.stderr, (words, done.stderr)
    monkeypatch.setattr("cnnc.cli.demo.MAX_MODEL_BYTES", 1000)
    done = here("demo", "small.onnx", "-o", "x.html")
    assert "E903" in done.stderr
    assert not (tmp_path / "x.html").exists()


def test_no_data_for_examples(here: Cnnc, tmp_path: Path) -> None:
    """By default the page is written with random inputs; with --examples it is an error."""
    source = (tmp_path / "small.cnn").read_text().replace("data digits", 'data npz "gone.npz"')
    (tmp_path / "gone.cnn").write_text(source)
    done = here("demo", "gone.cnn", "-o", "x.html")
    assert done.returncode == 0, done.stderr
    assert "random inputs instead of examples: gone.npz does not exist" in done.stderr
    done = here("demo", "gone.cnn", "-o", "y.html", "--examples", "5")
    assert done.returncode == 3
    assert "error[E603]" in done.stderr
    assert not (tmp_path / "y.html").exists()


def test_a_page_replaces_only_pages(here: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text("<p>mine</p>")
    assert "E902" in here("demo", "small.onnx", "-o", "x.html").stderr
    assert here("demo", "small.onnx", "-o", "x.html", "--force").returncode == 0
    assert here("demo", "small.onnx", "-o", "x.html").returncode == 0


def test_without_a_runtime(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    done = cnnc("demo", "small.onnx", "--runtime", "nothing")
    assert "error[E911]" in done.stderr
    assert not (tmp_path / "small-demo.html").exists()
