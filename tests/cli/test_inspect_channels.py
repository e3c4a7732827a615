"""`cnnc inspect --why`, `--maximize` and `--deconv`: what they read, their numbers, and help that works when it is applied."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.api.inspect.data import Inspection
from cnnc.api.inspect.options import InspectOptions
from cnnc.data.dataset import Dataset, Split
from cnnc.network import check
from cnnc.training.trained import untrained
from tests.cli.conftest import codes, run


@pytest.fixture
def here(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def numbers(*words: str | Path, cwd: Path) -> dict[str, Any]:
    done = run("inspect", *words, "-o", "x.html", "--json", "--force", cwd=cwd)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


ALL = ("--example", "1", "--why", "--mistakes", "--shift", "0..2")


@pytest.mark.long
def test_all_parts_read_the_data_once(deployed: Path, tmp_path: Path) -> None:
    words = ("--maximize", "conv1", "--maximize", "conv2", "--deconv", "conv2", "--data", deployed, *ALL)
    done = run("inspect", deployed / "waves", *words, "-o", "x.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(re.findall("training and .* test examples", done.stderr)) == 1
    assert (tmp_path / "x.html").read_text().count('<section class="part"') == 10


class CountedColumn:
    """Examples that count how often each is read."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values, self.reads = values, np.zeros(len(values), int)
        self.shape, self.dtype = values.shape, values.dtype

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, chosen: Any) -> np.ndarray[Any, Any]:
        self.reads[chosen] += 1
        result: np.ndarray[Any, Any] = self.values[chosen]
        return result


def test_one_search_serves_all_layers() -> None:
    network = check("net n\ninput 1x6x6\nconv 2 k=3\nrelu\nconv 3 k=3\n")
    column = CountedColumn(np.random.default_rng(0).random((20, 1, 6, 6), np.float32))
    split = Split((column,), (np.zeros(20, np.int64),))
    options = InspectOptions(Path("n.cnn"), maximize=("conv1", "conv2"), deconv=("conv2:0", "relu1"))
    inspection = Inspection(options, untrained(network), Dataset("some", (), split, split))
    assert set(inspection.search.layers) == {"conv1", "conv2", "relu1"}
    assert inspection.search.ranges["input1"].mean == pytest.approx(column.values.mean(), rel=1e-6)
    assert column.reads[1:].max() == 1


def applied(help: str) -> list[str]:
    """The words of the first option that a help names: `--maximize conv1`."""
    (first, *_) = re.findall(r"`(--[^`]*)`", help)
    return str(first).split()


@pytest.mark.long
@pytest.mark.parametrize("option", ["--maximize", "--deconv"])
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("conv11", "no layer is named `conv11`"),
        ("conv1:6", "conv1 has 6 channels, and no channel `6`"),
        ("conv1:-1", "no channel `-1`"),
        ("conv1:x", "no channel `x`"),
        ("conv1:", "no channel ``"),
        ("conv1:٣", "no channel `٣`"),
    ],
)
def test_a_channel_that_is_not_there(here: Path, option: str, name: str, problem: str) -> None:
    done = run("inspect", "run", option, name, cwd=here)
    assert (codes(done.stderr), done.returncode) == (["E010"], 2)
    assert problem in done.stderr
    assert not (here / "run-inspect.html").exists()
    words = applied(done.stderr)
    assert words[0] == option
    assert run("inspect", "run", *words, cwd=here).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("option", ["--maximize", "--deconv"])
def test_an_input_is_not_a_layer_with_channels(here: Path, option: str) -> None:
    done = run("inspect", "run", option, "input1", cwd=here)
    assert codes(done.stderr) == ["E010"]
    layers = re.findall(r"the layers are (.*)", done.stderr)[0].split(", ")
    assert run("inspect", "run", option, layers[0], cwd=here).returncode == 0


def test_a_class_that_is_not_there(here: Path) -> None:
    done = run("inspect", "run", "--why", "--label", "10", cwd=here)
    assert (codes(done.stderr), done.returncode) == (["E010"], 2)
    words = applied(done.stderr)
    assert words == ["--label", "9"]
    assert numbers("run", "--why", *words, cwd=here)["why"]["index"] == [9]


def test_options_are_checked_before_the_data_are_read(deployed: Path, tmp_path: Path) -> None:
    for words in (["--maximize", "x"], ["--deconv", "x"], ["--shift", "x"], ["--why", "--label", "99"]):
        done = run("inspect", deployed / "waves", *words, "--data", deployed, cwd=tmp_path)
        assert codes(done.stderr) == ["E010"]
        assert "test examples" not in done.stderr


def test_inputs_that_do_not_fit(here: Path, deployed: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    np.save(here / "odd.npy", np.zeros((1, 9, 9), np.float32))
    np.save(here / "right.npy", np.zeros((1, 8, 8), np.float32))
    done = run("inspect", "run", "--why", "--image", "odd.npy", cwd=here)
    assert codes(done.stderr) == ["E608"]
    assert "odd.npy holds 1x9x9; the network takes 1x8x8" in done.stderr
    assert run("inspect", "run", "--why", "--image", "right.npy", cwd=here).returncode == 0
    image.new("L", (9, 9)).save(here / "odd.png")  # images are resized
    assert run("inspect", "run", "--why", "--image", "odd.png", "--force", cwd=here).returncode == 0
    words = (deployed / "words", "--data", deployed)
    done = run("inspect", *words, "--image", "odd.png", cwd=here)
    assert codes(done.stderr) == ["E608"]
    assert "odd.png is an image; the network takes words" in done.stderr
    assert run("inspect", *words, "--text", "a fine film", cwd=here).returncode == 0


def test_numbers_that_are_not_finite_are_reported_as_by_predict(here: Path) -> None:
    values = np.zeros((1, 8, 8), np.float32)
    values[0, 2, 3] = np.nan
    np.save(here / "nan.npy", values)
    said = run("predict", "small.onnx", "nan.npy", cwd=here).stdout.partition(": ")[2].strip()
    done = run("inspect", "run", "--image", "nan.npy", cwd=here)
    assert done.returncode == 0
    assert f"nan.npy: {said}; activations are NaN or infinite from input1 on" in done.stderr
    page = (here / "run-inspect.html").read_text()
    assert "No class: the scores are not finite; activations are NaN or infinite from input1 on." in page
    done = run("inspect", "run", "--image", "nan.npy", "--why", cwd=here)
    assert (codes(done.stderr), done.returncode) == (["E608"], 3)


@pytest.mark.long
def test_a_run_without_its_data(deployed: Path, tmp_path: Path) -> None:
    """The run folder alone: parts that need data say where they look; --data, as the help says, gives them."""
    shutil.copytree(deployed / "waves", tmp_path / "waves")
    for words in (["--deconv", "conv1:0"], ["--mistakes"], ["--shift", "0..1"], ["--example", "0"]):
        done = run("inspect", "waves", *words, cwd=tmp_path)
        assert (codes(done.stderr), done.returncode) == (["E603"], 3), words
        assert "--data" in done.stderr.partition("help:")[2]
        assert run("inspect", "waves", *words, "--data", deployed, "--force", cwd=tmp_path).returncode == 0
    done = run("inspect", "waves", "--why", cwd=tmp_path)
    assert codes(done.stderr) == ["E010"]
    assert "name an input with `--image FILE`" in done.stderr
    np.save(tmp_path / "FILE.npy", np.zeros((1, 24), np.float32))
    assert run("inspect", "waves", "--why", "--image", "FILE.npy", "--force", cwd=tmp_path).returncode == 0
    result = numbers("waves", "--maximize", "conv1:0", cwd=tmp_path)
    assert result["maximize"]["channels"][0]["largest_on_test"] is None
    assert "not compared with the test set: " in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize("option", ["--maximize", "--deconv"])
def test_words_cannot_be_changed_a_little(deployed: Path, tmp_path: Path, option: str) -> None:
    words = (deployed / "words", "--data", deployed)
    done = run("inspect", *words, option, "conv1", cwd=tmp_path)
    assert (codes(done.stderr), done.returncode) == (["E010"], 2)
    assert "conv1 depends on input1, whose integers cannot be changed a little" in done.stderr
    assert f"leave {option} out; the n-grams show which words excite a filter" in done.stderr
    assert "ngrams" in numbers(*words, cwd=tmp_path)


TWO = """net Two
a: input 1x8x8
b: input 1x8x8
from a
left: conv 2 k=3
from b
right: conv 2 k=3
both: add left
"""


@pytest.mark.parametrize("option", ["--maximize", "--deconv"])
def test_a_layer_of_one_of_several_inputs(deployed: Path, tmp_path: Path, option: str) -> None:
    (tmp_path / "two.cnn").write_text(TWO)
    done = run("inspect", "two.cnn", option, "both", cwd=tmp_path)
    assert codes(done.stderr) == ["E010"]
    assert "both depends on a and b; the method changes one input" in done.stderr
    words = applied(done.stderr)
    assert words == [option, "left"]
    if option == "--maximize":
        assert len(numbers("two.cnn", *words, cwd=tmp_path)["maximize"]["channels"]) == 2
    name = option.removeprefix("--")
    several = numbers(deployed / "several", option, "conv1:2", "--data", deployed, cwd=tmp_path)
    assert several[name]["channels"][0]["channel"] == 2


def test_a_vector_has_no_patches(tmp_path: Path) -> None:
    (tmp_path / "flat.cnn").write_text("net Flat\ninput 8\nfc 2\n")
    done = run("inspect", "flat.cnn", "--deconv", "fc1", cwd=tmp_path)
    assert codes(done.stderr) == ["E010"]
    assert run("inspect", "flat.cnn", *applied(done.stderr), cwd=tmp_path).returncode == 0


SMOOTH = """net Smooth
input 1x8x8
conv 2 k=3
bn
tanh
pool max k=2
conv 2 k=2
leaky_relu 0.1
dropout 0.5
fc 10
softmax
train { data digits; epochs 1 }
"""


def test_the_report_says_how_each_layer_is_projected(here: Path) -> None:
    (here / "smooth.cnn").write_text(SMOOTH)
    treated = numbers("smooth.cnn", "--deconv", "softmax1:0", cwd=here)["deconv"]["treatments"]
    assert treated == {
        "fc1": "transposed",
        "leaky_relu1": "leaky",
        "conv2": "transposed",
        "pool1": "switches",
        "tanh1": "gradient",
        "bn1": "transposed",
        "conv1": "transposed",
    }
    page = (here / "x.html").read_text()
    assert "<td>tanh1</td><td>not defined by the method: multiplied by the derivative at the activations</td>" in page
    assert "<td>leaky_relu1</td><td>negative elements are scaled by the slope of the layer</td>" in page


def test_the_strongest_activation_is_that_of_the_engine(here: Path) -> None:
    from cnnc.data import load
    from cnnc.reference.engine import forward
    from cnnc.training import checkpoint as checkpoints

    shown = numbers("run", "--deconv", "conv1:4", "--maximize", "conv1:4", cwd=here)
    saved = checkpoints.load(checkpoints.find(here / "run"))
    images = load("digits").test.images
    maps = forward(saved.network().require_graph(), saved.weights, {"input1": images}, outputs=("conv1",)).values
    largest = maps["conv1"][..., 4].max((1, 2))
    first = shown["deconv"]["channels"][0]["strongest"][0]
    assert first["example"] == largest.argmax()
    assert first["activation"] == pytest.approx(largest.max(), rel=1e-5)
    channel = shown["maximize"]["channels"][0]
    assert channel["largest_on_test"] == pytest.approx(largest.max(), rel=1e-5)
    optimum = np.maximum(saved.weights["conv1.weight"][4], 0).sum()  # of pixels from 0 to 1; the layer has no bias
    assert 0.95 * optimum < channel["reached"] <= optimum + 1e-6


def test_series_are_curves(deployed: Path, tmp_path: Path) -> None:
    words = ("--maximize", "conv1:0", "--deconv", "conv1:0", "--example", "0", "--why", "--data", deployed)
    assert run("inspect", deployed / "waves", *words, "--files", "f", "-o", "x.html", cwd=tmp_path).returncode == 0
    for name in ("maximize-1-conv1", "deconv-1-conv1_channel_0", "why-1-input1", "maps-1-input1"):
        (path,) = [p for p in (tmp_path / "f").iterdir() if p.name.lower().startswith(name)]
        assert "<polyline" in path.read_text() or "<path" in path.read_text()
        assert "<image" not in path.read_text(), name


def test_an_untrained_network_has_the_class_names_of_its_data(deployed: Path) -> None:
    result = numbers(deployed / "waves.cnn", "--example", "0", "--data", deployed, "--why", cwd=deployed)
    assert {each["name"] for each in result["maps"]["predictions"]["softmax1"]} == {"fast", "slow"}
    page = (deployed / "x.html").read_text()
    assert re.search(r"the score of class [01] \((fast|slow)\) in fc1, before softmax1", page)
    assert "<dd>fast, slow</dd>" in page


def test_the_answer_stands_above_what_it_depends_on(here: Path) -> None:
    result = numbers("run", "--example", "3", "--why", cwd=here)
    best = result["maps"]["predictions"]["softmax1"][0]
    page = (here / "x.html").read_text()
    said = re.search(r"The predicted class is (\d) with a probability of ([\d.]+)%; the label is (\d)\.", page)
    assert said
    assert int(said[1]) == best["class"] == result["why"]["index"][-1]
    assert float(said[2]) == pytest.approx(100 * best["probability"], abs=0.01)


def test_an_autoencoder_is_not_explained_by_classes(deployed: Path, tmp_path: Path) -> None:
    numbers(deployed / "coder", "--why", "--example", "0", "--data", deployed, cwd=tmp_path)
    page = (tmp_path / "x.html").read_text()
    assert re.search(r"The maps explain the score of channel 0 in \w+ at position \d,\d, before picture", page)
    assert "predicted class" not in page
    assert "<dt>classes</dt>" not in page
