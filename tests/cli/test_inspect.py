"""`cnnc inspect`: the report, its numbers and its files, for runs, models and network files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.data import load
from cnnc.reference.engine import forward
from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import Cnnc, codes, run


def numbers(*words: str | Path, cwd: Path) -> dict[str, Any]:
    done = run("inspect", *words, "-o", "x.html", "--json", "--force", cwd=cwd)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def titles(path: Path) -> list[str]:
    return re.findall(r'<section class="part" id="[^"]*">\n<h2>([^<]*)</h2>', path.read_text())


@pytest.fixture
def here(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_feature_maps_and_histograms_are_those_of_the_engine(here: Path) -> None:
    result = numbers("run", "--example", "3", cwd=here)
    saved = checkpoints.load(checkpoints.find(here / "run"))
    graph, images = saved.network().require_graph(), load("digits").test.images
    names = [node.name for node in graph.nodes]
    one = forward(graph, saved.weights, {"input1": images[3:4]}, outputs=names).values
    for name, layer in result["maps"]["layers"].items():
        assert layer["least"] == one[name].min()
        assert layer["largest"] == one[name].max()
    probabilities = one["softmax1"][0]
    best = result["maps"]["predictions"]["softmax1"][0]
    assert (best["class"], best["name"]) == (probabilities.argmax(), str(probabilities.argmax()))
    assert best["probability"] == pytest.approx(probabilities.max(), rel=1e-6)
    many = forward(graph, saved.weights, {"input1": images[:256]}, outputs=names).values
    histograms = result["histograms"]
    assert histograms["examples"] == "256 examples of the test set of digits"
    for name, layer in histograms["activations"].items():
        assert sum(layer["histogram"]["counts"]) == many[name].size
        edges = layer["histogram"]["edges"]
        assert edges[0] == pytest.approx(many[name].min())
        assert edges[-1] == pytest.approx(many[name].max())
    weight = saved.weights["conv1.weight"]
    assert sum(histograms["weights"]["conv1.weight"]["histogram"]["counts"]) == weight.size
    assert histograms["weights"]["conv1.weight"]["norm"] == pytest.approx(np.linalg.norm(weight))


def test_a_report_is_one_file_without_outside_addresses(here: Path) -> None:
    done = run("inspect", "run", "--example", "0", "--example", "0", cwd=here)
    assert done.stdout == "wrote run-inspect.html\n"
    text = (here / "run-inspect.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)|url\((?!#)|@import|<link|<iframe""", text)
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text
    assert len(text) < 5_000_000
    found = titles(here / "run-inspect.html")
    assert found == ["Network", "Kernels", "Feature maps: example 0 of the test set of digits", "Histograms"]


def test_the_report_names_the_command_that_unfolds_a_number(here: Path) -> None:
    assert run("inspect", "run", "--example", "3", cwd=here).returncode == 0
    command = re.search(
        r"<code>cnnc ([^<]*)</code> shows how one number of conv1 comes about", (here / "run-inspect.html").read_text()
    )
    assert command
    done = run(*command[1].split(), cwd=here)
    assert done.returncode == 0, done.stderr
    assert "conv1" in done.stdout


def test_a_dead_channel_and_bad_weights_are_named(here: Path) -> None:
    path = checkpoints.find(here / "run")
    saved = checkpoints.load(path)
    saved.weights["bn1.scale" if "bn1.scale" in saved.weights else "bn1.weight"][2] = 0
    saved.weights["bn1.bias" if "bn1.bias" in saved.weights else "bn1.shift"][2] = -1
    checkpoints.save(path, saved)
    result = numbers("run", cwd=here)["histograms"]["activations"]
    assert 2 in result["relu1"]["dead"]
    assert 2 in result["bn1"]["constant"]
    dead = re.search(r"relu1: (channels? [\d, ]+) (?:is|are) dead: never above 0 on 256", (here / "x.html").read_text())
    assert dead
    assert "2" in re.findall(r"\d+", dead[1])
    saved.weights["fc1.weight"][0, 0], saved.weights["fc1.weight"][1, 1] = np.nan, np.inf
    checkpoints.save(path, saved)
    result = numbers("run", "--example", "0", cwd=here)["histograms"]
    assert result["weights"]["fc1.weight"]["not_finite"] == 2
    assert "fc1.weight: 1 weights are NaN, 1 infinite" in (here / "x.html").read_text()


def test_a_model_brings_its_data_and_classes(here: Path) -> None:
    result = numbers("small.onnx", "--example", "3", cwd=here)
    expected = numbers("run", "--example", "3", cwd=here)
    best, known = (r["maps"]["predictions"]["softmax1"][0] for r in (result, expected))
    assert best["name"] == known["name"]
    assert best["probability"] == pytest.approx(known["probability"], rel=1e-4)
    assert result["histograms"]["examples"] == "256 examples of the test set of digits"


def test_a_foreign_model_without_data_says_so(here: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(here / "small.onnx")
    del model.metadata_props[:]
    onnx.save(model, here / "foreign.onnx")
    result = numbers("foreign.onnx", cwd=here)["histograms"]
    assert result["activations"] == {}
    assert result["weights"]
    assert "No activations: " in (here / "x.html").read_text()
    np.save(here / "digits.npy", load("digits").test.images[:3])
    result = numbers("foreign.onnx", "--image", "digits.npy", cwd=here)
    assert result["histograms"]["examples"] == "3 given inputs"
    assert [result[name]["input"] for name in ("maps", "maps-2", "maps-3")] == [f"digits.npy[{n}]" for n in range(3)]
    done = run("inspect", "foreign.onnx", "--example", "0", cwd=here)
    assert codes(done.stderr) == ["E509"]


def test_a_network_file_is_shown_as_untrained(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("inspect", "small.cnn")
    assert done.returncode == 0
    assert "untrained: initial weights (seed 0)" in done.stderr
    assert "<title>small: untrained</title>" in (tmp_path / "small-inspect.html").read_text().lower()


def test_files_are_named_for_their_drawings_and_replace_nothing_foreign(here: Path) -> None:
    words = ("inspect", "run", "--example", "0", "-o", "x.html", "--files", "new/drawings")
    done = run(*words, cwd=here)
    names = sorted(path.name for path in (here / "new/drawings").iterdir())
    assert done.stdout == f"wrote x.html\nwrote {len(names)} drawings to new/drawings\n"
    assert {"kernels-1-conv1.svg", "kernels-2-fc1.svg", "maps-1-input1.svg", "network-1-small.svg"} <= {
        name.lower() for name in names
    }
    assert run(*words, cwd=here).returncode == 0  # its own files are replaced
    (here / "new/drawings/kernels-1-conv1.svg").write_text("mine")
    (here / "x.html").unlink()
    done = run(*words, cwd=here)
    assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
    assert "or replace the file with --force" in done.stderr
    assert (here / "new/drawings/kernels-1-conv1.svg").read_text() == "mine"
    assert not (here / "x.html").exists()
    assert run(*words, "--force", cwd=here).returncode == 0


def test_bad_input_ends_in_one_error(here: Path) -> None:
    np.save(here / "odd.npy", np.zeros((1, 9, 9), np.float32))
    (here / "cut.onnx").write_bytes((here / "small.onnx").read_bytes()[:1500])
    (here / "file").touch()
    cases: list[tuple[tuple[str, ...], str, int]] = [
        (("run", "--image", "odd.npy"), "E608", 3),
        (("run", "--image", "missing.png"), "E901", 6),
        (("run", "--text", "hello"), "E608", 3),
        (("run", "--example", "100000"), "E010", 2),
        (("cut.onnx",), "E624", 3),
        (("run", "--label", "3"), "E010", 2),
        (("small.onnx", "--last"), "E010", 2),
        (("nothing",), "E606", 3),
        (("run", "--files", "file"), "E902", 6),
        (("run", "-o", "run/network.cnn"), "E902", 6),
    ]
    for words, code, status in cases:
        done = run("inspect", *words, cwd=here)
        assert (codes(done.stderr), done.returncode) == ([code], status), (words, done.stderr)
        assert done.stdout == ""


TEXT = """net Words

input 6 dtype=int64
embed 2 vocab=6
conv 1 k=2
relu
global_pool max
fc 2
softmax

train {
  data text "text.tsv" test=0.5
  loss cross_entropy
  epochs 1
}
"""


def test_ngrams_of_a_filter_that_detects_one_word(tmp_path: Path) -> None:
    lines = [f"{'good' if n % 2 else 'bad'}\tthe film is {'bright' if n % 2 else 'dark'}" for n in range(20)]
    (tmp_path / "text.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "words.cnn").write_text(TEXT)
    assert run("train", "words.cnn", "--run", "run", "--data", ".", cwd=tmp_path).returncode == 0
    path = checkpoints.find(tmp_path / "run")
    saved = checkpoints.load(path)
    number = saved.vocabulary.index("bright") + 2
    saved.weights["embed1.weight"][:] = 0
    saved.weights["embed1.weight"][number] = (1, 0)
    saved.weights["conv1.weight"][:] = 0
    saved.weights["conv1.weight"][0, 0, 1] = 5  # the second word of the window
    saved.weights["conv1.bias"][:] = 0
    checkpoints.save(path, saved)
    grams = numbers("run", "--data", ".", cwd=tmp_path)["ngrams"]["conv1"][0]
    assert grams[0] == {"words": "is bright", "activation": 5}
    assert all(gram["activation"] == 0 for gram in grams[1:])
    sentence = numbers("run", "--text", "bright bright is dark", "--data", ".", cwd=tmp_path)
    assert [gram["words"] for gram in sentence["ngrams"]["conv1"][0]][:1] == ["bright bright"]
    assert sentence["maps"]["input"] == "`bright bright is dark`"


@pytest.mark.long
def test_runs_and_models_of_every_kind_have_a_report(deployed: Path, tmp_path: Path) -> None:
    """Several inputs and outputs, text, series, symbolic sizes, label maps."""
    from tests.cli.nets import NETS

    for name in NETS:
        for source in (deployed / name, deployed / f"{name}.onnx"):
            words = ("--data", deployed, "--example", "1")
            result = numbers(source, *words, cwd=tmp_path)
            assert result["maps"]["layers"], source
            assert result["histograms"]["activations"], source


def test_an_activation_that_reads_only_padding_shows_the_nearest_pixel(cnnc: Cnnc, tmp_path: Path) -> None:
    """The second layer is 0 on the image and 1 on the padding behind it."""
    given = "conv 1 k=1 weights=[0] biases=[1]\nconv 1 k=1 p=[0,0,2,2] weights=[-1] biases=[1]\nrelu\nflatten\nfc 10\n"
    source = (
        f"input 1x8x8\n{given}train {{\n  data digits\n  loss cross_entropy\n  optimizer sgd lr=0.1\n  epochs 1\n}}\n"
    )
    (tmp_path / "padded.cnn").write_text(source)
    done = cnnc("inspect", "padded.cnn", "--deconv", "conv2")
    assert (done.returncode, done.stdout) == (0, "wrote padded-inspect.html\n"), done.stderr


def test_an_input_of_nan_has_a_report(cnnc: Cnnc, tmp_path: Path) -> None:
    np.save(tmp_path / "nan.npy", np.full((1, 8, 8), np.nan, np.float32))
    (tmp_path / "bare.cnn").write_text("input 1x8x8\nconv 2 k=3\nrelu\nfc 3\n")
    done = cnnc("inspect", "bare.cnn", "--image", "nan.npy")
    assert (done.returncode, done.stdout) == (0, "wrote bare-inspect.html\n"), done.stderr
    assert ">no finite number<" in (tmp_path / "bare-inspect.html").read_text()
