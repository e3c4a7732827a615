"""`cnnc predict` on images, arrays, series and sentences."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from cnnc.data import load
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import open_data
from cnnc.training.objective import Objective
from tests.cli.conftest import Cnnc, codes, json_of, run
from tests.cli.nets import NETS
from tests.commands import environment
from tests.cuda import WHY_NOT


def test_predict_names_the_classes(cnnc: Cnnc, trained: Path, images: Path) -> None:
    words = ("predict", trained / "small.onnx", "a.png", "b.jpg", "batch.npy", "one.npy", "flat.npy")
    done = cnnc(*words)
    assert done.returncode == 0
    assert "running on cpu" in done.stderr or not WHY_NOT
    assert "b.jpg: resized from 32x32 to 8x8" in done.stderr
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert list(lines) == ["a.png", "b.jpg", *(f"batch.npy[{i}]" for i in range(5)), "one.npy", "flat.npy"]
    assert lines["a.png"] == lines["batch.npy[0]"] == lines["one.npy"] == lines["flat.npy"]
    for line in lines.values():
        assert len(line.split()) == 6, "three classes, each with its probability"

    results = json.loads(cnnc(*words, "--json", "--top", "10").stdout)
    assert [example["file"] for example in results] == list(lines)
    for example in results:
        assert sorted(guess["class"] for guess in example["top"]) == list("0123456789")
        probabilities = [guess["probability"] for guess in example["top"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("text.png", 3, "E608"),
        ("cut.png", 3, "E608"),
        ("empty.jpg", 3, "E608"),
        ("wrong.npy", 3, "E608"),
        ("words.npy", 3, "E608"),
        ("objects.npy", 3, "E608"),
        ("cut.npy", 3, "E608"),
        ("nowhere.png", 6, "E901"),
        (".", 6, "E901"),
    ],
)
def test_bad_images(cnnc: Cnnc, trained: Path, images: Path, name: str, status: int, code: str) -> None:
    done = cnnc("predict", trained / "small.onnx", name, "a.png")
    assert done.returncode == status
    assert codes(done.stderr) == [code]
    assert done.stdout.startswith("a.png: "), "the other image is still classified"


def test_predict_without_classes_in_the_model(cnnc: Cnnc, trained: Path, images: Path, tmp_path: Path) -> None:
    """A model of another tool: no metadata, or nonsense in it."""

    model = onnx.load(trained / "small.onnx")
    for facts in (None, "[]", "{", '{"classes": 3}', '{"classes": ["one"], "data": 4}'):
        del model.metadata_props[:]
        if facts is not None:
            model.metadata_props.add(key="cnnc.facts", value=facts)
        onnx.save(model, tmp_path / "other.onnx")
        done = cnnc("predict", "other.onnx", "a.png", "--top", "1")
        assert done.returncode == 0, facts
        assert done.stdout.split()[1] in set("0123456789")
    done = cnnc("eval", "other.onnx")
    assert done.returncode == 3
    assert codes(done.stderr) == ["E611"]
    assert cnnc("eval", "other.onnx", "--on", "digits").returncode == 0


def tops(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The most probable class of each example."""
    return [example["top"][0]["class"] for example in json_of(done)]


@pytest.mark.long
def test_sentences(deployed: Path, tmp_path: Path) -> None:
    model = deployed / "words.onnx"
    done = run("predict", model, "--text", "a warm and fine film!", "--text", "cold dull", cwd=tmp_path)
    assert [line.split()[-4] for line in done.stdout.splitlines()] == ["pos", "neg"]
    assert "--text: not in the vocabulary: and, !" in done.stderr
    (tmp_path / "lines.txt").write_text("a warm fine film\n\ncold, dull\n")
    assert tops(run("predict", model, "lines.txt", "--json", cwd=tmp_path)) == ["pos", "neg"]
    piped = subprocess.run(
        [sys.executable, "-m", "cnnc", "predict", str(model), "-", "--json"],
        input="a warm fine film\ncold, dull\n",
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert [example["top"][0]["class"] for example in json.loads(piped.stdout)] == ["pos", "neg"]


@pytest.mark.parametrize(("name", "data"), [("words", "reviews.tsv"), ("pairs", "pairs.tsv"), ("waves", "waves.csv")])
def test_a_file_of_training_data_is_read_as_in_training(deployed: Path, name: str, data: str) -> None:
    """As many predictions are right as the trainer counts in NumPy, over training and test set together."""
    separator = "," if data.endswith("csv") else "\t"
    truth = [line.split(separator)[0] for line in (deployed / data).read_text().splitlines()]
    answers = tops(run("predict", f"{name}.onnx", data, "--json", cwd=deployed))
    saved = checkpoints.load(checkpoints.find(deployed / name))
    network = saved.network()
    opened = open_data(network, deployed, lambda line: None)
    assert network.recipe is not None
    objective = Objective(network.require_graph(), network.recipe, opened)
    right = sum(objective.evaluate(saved.weights, share).right for share in (opened.train, opened.test))
    assert sum(a == b for a, b in zip(answers, truth, strict=True)) == right


def test_series_with_and_without_labels_and_as_arrays(deployed: Path, tmp_path: Path) -> None:
    lines = (deployed / "waves.csv").read_text().splitlines()[:4]
    bare = [line.split(",", 1)[1] for line in lines]
    (tmp_path / "labelled.csv").write_text("label,values\n" + "\n".join(lines))
    (tmp_path / "bare.csv").write_text("\n".join(bare))
    values = np.array([[float(v) for v in line.split(",")] for line in bare], np.float32)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", x=values[:, None], y=np.zeros(4, np.int64))
    model = deployed / "waves.onnx"
    results = [
        [example["top"] for example in json_of(run("predict", model, name, "--json", cwd=tmp_path))]
        for name in ("labelled.csv", "bare.csv", "a.npy", "b.npz")
    ]
    assert results[1:] == [results[0]] * 3
    assert len(results[0]) == 4


def test_two_inputs(deployed: Path, tmp_path: Path) -> None:
    model = deployed / "pairs.onnx"
    (tmp_path / "l.txt").write_text("a warm fine film\ncold dull\n")
    (tmp_path / "r.txt").write_text("a funny film\nwarm film\n")
    (tmp_path / "both.tsv").write_text("a warm fine film\ta funny film\ncold dull\twarm film\n")
    words = ("predict", model, "--json")
    apart = json_of(run(*words, "--input", "right=r.txt", "--input", "left=l.txt", cwd=tmp_path))
    together = json_of(run(*words, "both.tsv", cwd=tmp_path))
    typed = json_of(run(*words, "--text", "cold dull\twarm film", cwd=tmp_path))
    assert [e["top"] for e in apart] == [e["top"] for e in together]
    assert typed[0]["top"] == together[1]["top"]


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ((), 2, "E010"),
        (("--input", "left=l.txt"), 2, "E010"),
        (("--input", "left"), 2, "E010"),
        (("--input", "lef=l.txt", "--input", "right=l.txt"), 2, "E010"),
        (("--input", "left=l.txt", "--input", "right=two.txt"), 3, "E608"),
        (("--input", "left=nowhere.txt", "--input", "right=l.txt"), 6, "E901"),
        (("l.txt",), 3, "E608"),
        (("a.npy",), 3, "E608"),
        (("--text", "no tab"), 3, "E608"),
        (("--text", "\t"), 3, "E608"),
    ],
)
def test_bad_use_of_two_inputs(deployed: Path, tmp_path: Path, words: tuple[str, ...], status: int, code: str) -> None:
    (tmp_path / "l.txt").write_text("a film\n")
    (tmp_path / "two.txt").write_text("a film\na film\n")
    np.save(tmp_path / "a.npy", np.zeros((1, 6), np.int64))
    done = run("predict", deployed / "pairs.onnx", *words, cwd=tmp_path)
    assert (done.returncode, codes(done.stderr)) == (status, [code])
    assert done.stdout == ""


def test_an_untrained_model_has_no_words(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "words.cnn").write_text(NETS["words"])
    assert cnnc("export", "words.cnn").returncode == 0
    done = cnnc("predict", "words.onnx", "--text", "a film")
    assert (done.returncode, codes(done.stderr)) == (3, ["E608"])
    np.save(tmp_path / "ids.npy", np.zeros((2, 8), np.int64))
    assert len(cnnc("predict", "words.onnx", "ids.npy").stdout.splitlines()) == 2
    np.save(tmp_path / "ids.npy", np.full((2, 8), 40))
    done = cnnc("predict", "words.onnx", "ids.npy")
    assert (done.returncode, codes(done.stderr)) == (3, ["E608"])
    assert "integers from 0 to 39" in done.stderr


@pytest.mark.long
def test_label_maps_are_written(deployed: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    model, data = deployed / "maps.onnx", deployed / "maps.npz"
    done = run("predict", model, data, "--out", "made", "--json", cwd=tmp_path)
    results = json_of(done)
    assert len(results) == 60
    labels = np.load(tmp_path / "made" / "maps-3.npy")
    assert (labels.shape, labels.dtype) == ((8, 8), np.uint8)
    assert results[3]["written"] == ["made/maps-3.npy", "made/maps-3.png"]
    with image.open(tmp_path / "made" / "maps-3.png") as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), labels)
    shares = {s["class"]: s["share"] for s in results[3]["outputs"]["softmax1"]["labels"]}
    assert shares["0"] == (labels == 0).mean()
    assert run("predict", model, data, cwd=tmp_path).stdout.splitlines()[3].startswith("".join((str(data), "[3]: 0 ")))


def test_images_and_values_are_written(deployed: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    digits = load("digits").test.images[:2]
    np.save(tmp_path / "d.npy", digits)
    done = run("predict", deployed / "coder.onnx", "d.npy", "d.npy", "--out", "made", cwd=tmp_path)
    assert re.match(r"d\.npy\[0\]: 1x8x8, 0\.\d+ to 0\.\d+, mean 0\.\d+\n", done.stdout)
    names = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert names == [f"d-{i}{again}.{kind}" for i in (0, 1) for again in ("", "~2") for kind in ("npy", "png")]
    values = np.load(tmp_path / "made" / "d-1.npy")
    assert (values.shape, values.dtype) == ((1, 8, 8), np.float32)
    with image.open(tmp_path / "made" / "d-1.png") as picture:
        assert np.abs(np.asarray(picture) / 255 - values[0]).max() < 0.5 / 255 + 1e-6
    results = json_of(
        run("predict", deployed / "several.onnx", deployed / "several.npz", "--json", "--top", "1", cwd=tmp_path)
    )
    outputs = results[0]["outputs"]
    assert list(outputs) == ["pixels", "sums", "kind"]
    assert len(outputs["sums"]["values"]) == 3
    assert outputs["kind"]["top"][0]["class"] in "01"


PHOTOS = """net Photos
input 3x8x8
conv 4 k=3; relu; global_pool avg; fc 2; softmax
train { data images "photos"; optimizer adam lr=0.02; batch 8; epochs 4 }
"""


@pytest.mark.long
def test_a_folder_of_images(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 80, (11, 9, 3), np.uint8)
            pixels[..., channel] += 150
            image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    (tmp_path / "photos.cnn").write_text(PHOTOS)
    done = run("train", "photos.cnn", "--run", "run", "--export", "photos.onnx", "--json", cwd=tmp_path)
    test = json_of(done)["test"]
    scored = json_of(run("eval", "photos.onnx", "--json", cwd=tmp_path))
    assert (scored["right"], scored["total"], scored["data"]) == (test["right"], test["total"], "images")
    assert scored["loss"] == pytest.approx(test["loss"], rel=1e-5)
    (entry,) = json_of(run("info", "photos.onnx", "--json", cwd=tmp_path))["inputs"]
    assert (entry["kind"], entry["range"]) == ("picture", [0, 1])
    done = run("predict", "photos.onnx", "photos/red/3.png", "photos/blue/3.png", "--json", cwd=tmp_path)
    assert tops(done) == ["red", "blue"]
    assert "resized from 9x11 to 8x8" in done.stderr
    for name in ("run", "photos.onnx"):
        (tmp_path / "photos").rename(tmp_path / "gone")
        assert codes(run("eval", name, cwd=tmp_path).stderr) == ["E603"]
        done = run("eval", name, "--data", "gone", cwd=tmp_path)
        assert codes(done.stderr) == ["E603"], "another name is another folder"
        (tmp_path / "gone").rename(tmp_path / "photos")
        for folder in (tmp_path, tmp_path / "photos"):  # the one that holds them, or they themselves
            assert run("eval", tmp_path / name, "--data", folder, cwd=tmp_path / "run").returncode == 0
