"""`cnnc eval` of runs and models, for networks of every kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cnnc, codes, json_of, run
from tests.cli.nets import NETS


def test_eval_counts_like_the_trainer(cnnc: Cnnc, trained: Path) -> None:
    score = json.loads((trained / "result.json").read_text())["test"]
    done = cnnc("eval", trained / "small.onnx", "--json")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert (result["data"], result["right"], result["total"]) == ("digits", score["right"], score["total"])
    assert result["provider"] in done.stderr
    line = cnnc("eval", trained / "small.onnx").stdout
    assert line.startswith("digits: test accuracy ")
    assert f"({score['right']} of 360)" in line


def test_eval_on_data_of_another_shape(cnnc: Cnnc, trained: Path) -> None:
    done = cnnc("eval", trained / "small.onnx", "--on", "diggits")
    assert done.returncode == 3
    assert codes(done.stderr) == ["E601"]


@pytest.mark.parametrize("name", NETS)
def test_a_model_scores_as_its_run_does(deployed: Path, name: str) -> None:
    of_run = json_of(run("eval", name, "--json", cwd=deployed))
    of_model = json_of(run("eval", f"{name}.onnx", "--json", cwd=deployed))
    assert of_model["data"] == of_run["data"]
    assert (of_model["right"], of_model["total"]) == (of_run["right"], of_run["total"])
    assert of_model.get("confusion") == of_run.get("confusion")
    kept = json.loads((deployed / name / "test.json").read_text())
    for key, value in kept.items():
        if key != "epoch":
            assert of_run[key] == pytest.approx(value, rel=1e-12), key
            assert of_model[key] == pytest.approx(value, rel=2e-4), key


def test_a_model_prints_the_same_line_as_its_run(deployed: Path) -> None:
    runs, model = (run("eval", name, cwd=deployed).stdout for name in ("maps", "maps.onnx"))
    first = runs.splitlines()[0]
    assert first.startswith("npz: test iou ")
    assert ", accuracy " in first
    assert model.splitlines()[0] == first.partition(", loss")[0] + " on cpu"
    assert model.splitlines()[1] == runs.splitlines()[1]


def test_eval_where_the_data_have_moved(deployed: Path, tmp_path: Path) -> None:
    for name in ("words.onnx", "reviews.tsv"):
        shutil.copy(deployed / name, tmp_path / name)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "reviews.tsv").rename(tmp_path / "elsewhere" / "reviews.tsv")
    done = run("eval", "words.onnx", cwd=tmp_path)
    assert (done.returncode, codes(done.stderr)) == (3, ["E603"])
    assert run("eval", "words.onnx", "--data", "elsewhere", cwd=tmp_path).stdout.startswith("text: test accuracy")


def test_words_keep_the_numbers_they_were_trained_with(deployed: Path, tmp_path: Path) -> None:
    """A vocabulary of the new data would number words differently."""
    lines = (deployed / "reviews.tsv").read_text().splitlines()
    more = [f"{line}\t".replace("\t", "\tnew words come first, ", 1).rstrip("\t") for line in lines]
    (tmp_path / "reviews.tsv").write_text("\n".join(more))
    for source in ("words", "words.onnx"):
        done = run("eval", deployed / source, "--data", tmp_path, "--json", cwd=tmp_path)
        assert json_of(done)["accuracy"] > 0.8, "the known words keep their numbers"


def test_other_classes_are_refused(deployed: Path, tmp_path: Path) -> None:
    text = (deployed / "waves.csv").read_text().replace("fast", "zz-fast")
    (tmp_path / "waves.csv").write_text(text)
    done = run("eval", deployed / "waves.onnx", "--data", tmp_path, cwd=tmp_path)
    assert (done.returncode, codes(done.stderr)) == (3, ["E609"])
    assert "slow, zz-fast" in done.stderr


def test_a_part_without_the_scored_output(deployed: Path, tmp_path: Path) -> None:
    assert run("export", deployed / "coder", "--outputs", "code", "-o", "code.onnx", cwd=tmp_path).returncode == 0
    done = run("eval", "code.onnx", cwd=tmp_path)
    assert (done.returncode, codes(done.stderr)) == (3, ["E609"])
    assert "picture" in done.stderr


def test_scores_before_softmax(deployed: Path, tmp_path: Path) -> None:
    assert run("export", deployed / "waves", "--outputs", "fc1", "-o", "scores.onnx", cwd=tmp_path).returncode == 0
    scored = json_of(run("eval", "scores.onnx", "--data", deployed, "--json", cwd=tmp_path))
    whole = json_of(run("eval", "waves.onnx", "--json", cwd=deployed))
    assert scored["right"] == whole["right"]
    assert scored["loss"] == pytest.approx(whole["loss"], rel=1e-5)
