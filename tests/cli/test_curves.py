"""Shows what `cnnc curves` draws and refuses, and that curves.svg of a run is what it draws."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import codes, json_of, run


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A folder with the runs `run` and `other/run`, and a folder that is not a run."""
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copytree(trained / "run", tmp_path / "other" / "run")
    (tmp_path / "empty").mkdir()
    return tmp_path


def texts(svg: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text())


def test_one_run_is_drawn_as_in_its_folder(runs: Path) -> None:
    best = checkpoints.load(runs / "run" / "best.safetensors").progress.best_epoch + 1
    for _ in range(2):  # the second time, it replaces its own picture
        done = run("curves", "run", cwd=runs)
        assert (done.returncode, done.stdout) == (0, "wrote curves.svg\n"), done.stderr
    drawn, kept = texts(runs / "curves.svg"), texts(runs / "run" / "curves.svg")
    assert drawn[1:] == kept[1:]  # after the title, which is the name of the folder, and of the network
    assert f"best: {best}" in drawn
    assert f"at the best epoch, {best} of 8" in drawn
    assert {"training", "validation", "test", "loss", "accuracy"} <= set(drawn)


def test_the_curves_of_a_run_are_recognized_as_drawn_by_cnnc(runs: Path) -> None:
    shutil.copy(runs / "run" / "curves.svg", runs / "copy.svg")
    assert run("curves", "run", "-o", "copy.svg", cwd=runs).returncode == 0
    (runs / "copy.svg").write_text("<svg/>")
    done = run("curves", "run", "-o", "copy.svg", cwd=runs)
    assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
    assert run("curves", "run", "-o", "copy.svg", "--force", cwd=runs).returncode == 0


@pytest.mark.parametrize("suffix", ["svg", "png", "html"])
def test_several_runs_are_drawn_together(runs: Path, suffix: str) -> None:
    if suffix == "png":
        pytest.importorskip("PIL.Image")
    shutil.copytree(runs / "run", runs / "<b>third & last")
    done = run("curves", "run", "other/run", "<b>third & last", "-o", f"compare.{suffix}", cwd=runs)
    assert (done.returncode, done.stdout) == (0, f"wrote compare.{suffix}\n"), done.stderr
    if suffix == "svg":
        assert {"Training of 3 runs", "run", "other/run", "&lt;b&gt;third &amp; last"} <= set(
            texts(runs / "compare.svg")
        )


def test_the_numbers_as_json(runs: Path) -> None:
    lines = [json.loads(line) for line in (runs / "run" / "metrics.jsonl").read_text().splitlines()]
    score = json.loads((runs / "run" / "test.json").read_text())
    best, _ = score.pop("epoch"), score.pop("accuracy_interval")
    numbers = json_of(run("curves", "run", "other/run", "--json", cwd=runs))["runs"]
    assert [each["run"] for each in numbers] == ["run", "other/run"]
    assert numbers[0] == {
        "run": "run", "epochs": 8, "best_epoch": best, "best": lines[best - 1], "last": lines[-1], "test": score,
    }  # fmt: skip


def test_a_damaged_line_is_left_out_with_a_note(runs: Path) -> None:
    metrics = runs / "run" / "metrics.jsonl"
    whole = metrics.read_text()
    metrics.write_text(whole[:-20])
    done = run("curves", "run", "--json", cwd=runs)
    assert json_of(done)["runs"][0]["epochs"] == 7
    assert "note: run/metrics.jsonl: line 8 is damaged and left out" in done.stderr
    metrics.write_text("[1]\n" + '{"epoch": true}\n' + '{"epoch": 0}\n' + "[" * 100_000 + "\n" + whole)
    done = run("curves", "run", "--json", cwd=runs)
    assert json_of(done)["runs"][0]["epochs"] == 8
    assert "note: run/metrics.jsonl: 1 more line is damaged and left out" in done.stderr


def test_numbers_that_no_run_writes(runs: Path) -> None:
    rows = ['{"epoch": 1, "train_loss": 1e999, "val_loss": "x", "lr": null}']
    rows += ['{"epoch": 2, "train_loss": NaN, "val_loss": 1' + "0" * 400 + "}", '{"epoch": 3, "train_loss": 2}']
    (runs / "run" / "metrics.jsonl").write_text("\n".join(rows))
    assert run("curves", "run", cwd=runs).returncode == 0
    assert "Training loss is missing or not finite at epoch 1 to 2." in texts(runs / "curves.svg")


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("empty",), 3, "E606"),
        (("missing",), 3, "E606"),
        (("run", "run/../run"), 2, "E010"),
        (("run", "-o", "run/curves.svg"), 6, "E902"),
        (("run", "-o", "x.pdf"), 6, "E902"),
        (("run/best.safetensors",), 3, "E606"),
    ],
)
def test_bad_input_is_one_error(runs: Path, words: tuple[str, ...], status: int, code: str) -> None:
    done = run("curves", *words, cwd=runs)
    assert (done.returncode, codes(done.stderr)) == (status, [code])
    assert not (runs / "curves.svg").exists()


def test_a_run_without_an_epoch(runs: Path) -> None:
    (runs / "run" / "metrics.jsonl").unlink()
    for text in (None, "", "\n"):
        if text is not None:
            (runs / "run" / "metrics.jsonl").write_text(text)
        done = run("curves", "run", cwd=runs)
        assert codes(done.stderr) == ["E612"]
        assert "`cnnc train --resume run` continues the run" in done.stderr
        assert run("train", "--resume", "run", cwd=runs).returncode == 0


def test_the_picture_is_not_put_into_the_run(runs: Path) -> None:
    done = run("curves", ".", cwd=runs / "run")
    assert (done.returncode, codes(done.stderr)) == (6, ["E902"])


@pytest.mark.parametrize(
    ("out", "written"),
    [
        ("-", "curves.svg"),
        (".svg", "curves.svg"),
        ("run", "curves.svg"),
        ("empty", "empty/curves.svg"),
        ("x.pdf", "x.svg"),
        ("run/metrics.jsonl", "run/metrics.svg"),
    ],
)
def test_the_help_names_a_file_that_can_be_written(runs: Path, out: str, written: str) -> None:
    before = (runs / "run" / "curves.svg").read_bytes()
    done = run("curves", "run", "-o", out, cwd=runs)
    assert codes(done.stderr) == ["E902"]
    assert f"write `-o {written}`" in done.stderr
    assert run("curves", "run", "-o", written, cwd=runs).returncode == 0
    assert (runs / "run" / "curves.svg").read_bytes() == before


def test_the_help_for_what_is_not_a_run(runs: Path) -> None:
    shutil.copy(runs / "run" / "network.cnn", runs / "small.cnn")
    for name, help in {
        "other": "name a run folder in it, such as other/run",
        "small.cnn": "`cnnc train small.cnn` writes a run folder",
        "run/metrics.jsonl": "name the folder that contains it: `cnnc curves run`",
    }.items():
        done = run("curves", name, cwd=runs)
        assert codes(done.stderr) == ["E606"]
        assert help in done.stderr


def test_metrics_without_a_number_that_can_be_drawn(runs: Path) -> None:
    for row in ('{"epoch": 1}', '{"epoch": 1, "train_loss": NaN, "lr": null, "seconds": 3}'):
        (runs / "run" / "metrics.jsonl").write_text(row)
        done = run("curves", "run", cwd=runs)
        assert codes(done.stderr) == ["E612"]
        assert "run/metrics.jsonl holds no finite loss, metric or learning rate" in done.stderr


def test_the_score_of_an_epoch_that_is_missing_is_left_out(runs: Path) -> None:
    metrics = runs / "run" / "metrics.jsonl"
    best = json.loads((runs / "run" / "test.json").read_text())["epoch"]
    lines = metrics.read_text().splitlines()
    metrics.write_text("\n".join(line for line in lines if json.loads(line)["epoch"] != best))
    numbers = json_of(run("curves", "run", "--json", cwd=runs))["runs"][0]
    assert (numbers["best_epoch"], numbers["test"]) == (None, None)
    assert "test" not in texts(runs / "curves.svg")


def test_seventeen_runs_are_too_many(runs: Path) -> None:
    done = run("curves", *(f"r{i}" for i in range(17)), cwd=runs)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])


@pytest.mark.parametrize("score", ['{"epoch": 99, "loss": 1}', '{"loss": 1}', '{"epoch": true, "loss": 1}', "[]", "{"])
def test_a_test_score_without_its_epoch_is_left_out(runs: Path, score: str) -> None:
    """It would be drawn at an epoch that it is not about."""
    (runs / "run" / "test.json").write_text(score)
    assert json_of(run("curves", "run", "--json", cwd=runs))["runs"][0]["test"] is None
