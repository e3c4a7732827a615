"""A training begins with the weights of another network, where names and shapes fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cnnc
from tests.cli.conftest import codes, run

BODY = "input 1x8x8; conv 4 k=3; relu; global_pool avg; {} train {{ data digits; epochs 1; batch 256 }}"
TEN, NEW_HEAD = BODY.format("fc 10;"), BODY.format("fc 12; relu; scores: fc 10;")


class First(cnnc.Callback):
    """The weights that a training begins with."""

    weights: dict[str, np.ndarray]

    def on_start(self, run: object) -> None:
        self.weights = {name: array.copy() for name, array in run.weights.items()}  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its model, and a network with the same first layers and another end."""
    place = tmp_path_factory.mktemp("retrain")
    result = cnnc.train(cnnc.check(TEN, name="ten.cnn"), place / "ten", progress=False)
    cnnc.export(result, place / "ten.onnx")
    (place / "new.cnn").write_text(NEW_HEAD)
    return place


@pytest.mark.parametrize("name", ["ten", "ten/best.safetensors", "ten.onnx"])
def test_what_fits_is_taken(folder: Path, tmp_path: Path, name: str) -> None:
    old, drawn, first = cnnc.Model.load(folder / "ten").weights, First(), First()
    lines: list[str] = []
    cnnc.train(folder / "new.cnn", tmp_path / "drawn", callback=drawn, progress=False)
    cnnc.train(folder / "new.cnn", tmp_path / "a", callback=first, weights=folder / name, progress=lines.append)
    for weight in ("conv1.weight", "conv1.bias"):
        np.testing.assert_array_equal(first.weights[weight], old[weight])
    for weight in ("fc1.weight", "scores.weight"):
        np.testing.assert_array_equal(first.weights[weight], drawn.weights[weight])
    expected = (
        f"weights: 2 of 6 from {folder / name}; drawn at random: fc1.weight, fc1.bias, scores.weight, scores.bias"
    )
    assert expected in lines


def test_a_model_with_all_weights(folder: Path, tmp_path: Path) -> None:
    model, first = cnnc.Model.load(folder / "ten"), First()
    cnnc.train(cnnc.check(TEN), tmp_path / "a", callback=first, weights=model, progress=False)
    assert all(np.array_equal(first.weights[name], array) for name, array in model.weights.items())


def test_the_command(folder: Path) -> None:
    done = run("train", "new.cnn", "--weights", "ten.onnx", "--run", "again", cwd=folder)
    assert done.returncode == 0
    assert "weights: 2 of 6 from ten.onnx; drawn at random: fc1.weight" in done.stderr
    resumed = run("train", "--resume", "again", "--weights", "ten.onnx", cwd=folder)
    assert (resumed.returncode, codes(resumed.stderr)) == (2, ["E010"])
    assert run("train", "new.cnn", "--weights", "ten", "--dry-run", cwd=folder).returncode == 0
    (folder / "other.cnn").write_text(
        TEN.replace("1x8x8; conv 4 k=3", "1x8x8; conv 5 k=2").replace("fc 10", "s: fc 10")
    )
    other = run("train", "other.cnn", "--weights", "ten", "--run", "other", cwd=folder)
    assert (other.returncode, codes(other.stderr)) == (3, ["E605"])
    assert "no weight of ten fits the network" in other.stderr
    assert not (folder / "other").exists()
    untrained = run("train", "new.cnn", "--weights", "new.cnn", cwd=folder)
    assert (untrained.returncode, codes(untrained.stderr)) == (3, ["E605"])
    assert codes(run("train", "new.cnn", "--weights", "nowhere", cwd=folder).stderr) == ["E606"]


TABLE = 'input 2\nfc 3; tanh\nfc 2\ntrain {{ data series "{}" label=kind; epochs 1; batch 8 }}\n'


def beans(folder: Path, name: str, columns: str) -> Path:
    rows = [{"kind": "xy"[n % 2], "length": n * 0.1, "weight": (-1) ** n + n * 0.01} for n in range(40)]
    lines = [",".join(str(row[column]) for column in columns.split(",")) for row in rows]
    (folder / name).write_text("\n".join([columns, *lines]) + "\n")
    return folder / name


def test_columns_of_a_table_stay_where_the_weights_have_them(tmp_path: Path) -> None:
    old = beans(tmp_path, "old.csv", "kind,length,weight")
    new = beans(tmp_path, "new.csv", "weight,kind,length")
    other = beans(tmp_path, "other.csv", "kind,weight,weight")
    first = cnnc.train(cnnc.check(TABLE.format(old)), tmp_path / "first", progress=False)
    results = [
        cnnc.train(cnnc.check(TABLE.format(file)), tmp_path / file.stem, weights=first, progress=False)
        for file in (old, new)
    ]
    for name, array in results[0].model.weights.items():
        np.testing.assert_array_equal(results[1].model.weights[name], array)
    assert results[1].model.columns == ("length", "weight")
    others = cnnc.train(cnnc.check(TABLE.format(other)), tmp_path / "b", weights=first, progress=False)
    assert others.model.columns == (), "a table with other columns is taken as it is"


def test_words_keep_their_numbers(tmp_path: Path) -> None:
    source = (
        'input 4 dtype=int64\nembed 3 vocab={}\nglobal_pool max\nfc 2\ntrain {{ data text "{}"; epochs 1; batch 4 }}\n'
    )
    for name, words in (("old", ("good", "bad")), ("new", ("fine", "good"))):
        lines = [f"{n % 2}\t{words[n % 2]} film {'really' if name == 'new' else ''}" for n in range(20)]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    first = cnnc.train(cnnc.check(source.format(5, tmp_path / "old.tsv")), tmp_path / "first", progress=False)
    again = cnnc.train(
        cnnc.check(source.format(5, tmp_path / "new.tsv")), tmp_path / "again", weights=first, progress=False
    )
    assert again.model.vocabulary == first.model.vocabulary
    larger = cnnc.train(
        cnnc.check(source.format(9, tmp_path / "new.tsv")), tmp_path / "larger", weights=first, progress=False
    )
    assert "really" in larger.model.vocabulary, "vectors that do not fit are drawn, so the words are those of the data"
