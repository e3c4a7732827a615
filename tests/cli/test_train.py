"""`cnnc train`: run folders, settings, sizes, dry runs and resuming."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnnc.recipe.metrics import decimals
from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import Cnnc, codes


def test_the_main_job(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("train", "small.cnn", "--export", "small.onnx")
    assert done.returncode == 0
    assert "test accuracy " in done.stdout
    assert "run runs/small" in done.stdout
    assert "wrote small.onnx" in done.stdout
    assert "verified: " in done.stdout
    assert sorted(p.name for p in (tmp_path / "runs" / "small").iterdir()) == sorted(checkpoints.RUN_FILES)
    lines = done.stderr.splitlines()
    assert lines[0].startswith(
        "Small: 1,036 parameters, 1,293 training images, 144 validation images, 2 epochs of 11 steps"
    )
    assert [line.split()[1] for line in lines[1:] if not line.startswith("next: ")] == ["1/2", "2/2"], (
        "one line an epoch"
    )
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    assert done.stdout.count("test accuracy") == 1


def test_a_dry_run_of_a_resumed_run_is_refused(cnnc: Cnnc, tmp_path: Path) -> None:
    cnnc("train", "small.cnn", "--run", "run", "--set", "train.epochs=1")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    done = cnnc("train", "--resume", "run", "--dry-run", "--set", "train.epochs=2")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_a_dry_run_that_diverges_is_reported_without_numpy_warnings(cnnc: Cnnc) -> None:
    done = cnnc("train", "small.cnn", "--dry-run", "--set", "train.optimizer.lr=1e38")
    assert (done.returncode, codes(done.stderr)) == (4, ["W504", "E701"])
    assert "RuntimeWarning" not in done.stderr


def test_a_run_that_ends_early_says_so(cnnc: Cnnc) -> None:
    options = ("--set", "train.stop.patience=1", "--set", "train.optimizer.lr=1e-30", "--set", "train.epochs=9")
    done = cnnc("train", "small.cnn", "--run", "run", *options)
    message = "stopped after epoch 2: no improvement since epoch 1 (stop patience=1)"
    epochs = [line for line in done.stderr.splitlines() if line.startswith(("epoch", "stopped"))]
    assert epochs[-1] == message
    again = cnnc("train", "--resume", "run")
    assert again.returncode == 0
    assert message in again.stderr.splitlines()
    assert again.stdout == done.stdout


def test_a_run_that_cannot_write_says_how_to_resume(cnnc: Cnnc, tmp_path: Path) -> None:
    cnnc("train", "small.cnn", "--run", "run", "--set", "train.epochs=1")
    (tmp_path / "run" / "curves.svg").unlink()
    (tmp_path / "run" / "curves.svg").mkdir()
    done = cnnc("train", "--resume", "run", "--set", "train.epochs=2")
    assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
    assert "resume from it with: cnnc train --resume run" in done.stderr
    (tmp_path / "run" / "curves.svg").rmdir()
    assert cnnc("train", "--resume", "run", "--set", "train.epochs=2").returncode == 0


@pytest.mark.parametrize(("loss", "text"), [(0.5, "0.5000"), (-2.0, "-2.0000"), (1.5e36, "1.5e+36"), (2e6, "2e+06")])
def test_a_huge_loss_is_printed_in_few_digits(loss: float, text: str) -> None:
    assert decimals(loss) == text


OPEN = """input 1xHxW
conv 4 k=3 p=1
pool max k=2
expect [4, H/2, W/2]
global_pool avg
fc 10
softmax
train { data images "pictures"; batch 8; epochs 2; optimizer adam }
"""


@pytest.fixture
def open_net(tmp_path: Path) -> Path:
    images = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    for number in range(40):
        place = tmp_path / "pictures" / f"c{number % 10}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        images.fromarray(random.integers(0, 256, (12, 14), np.uint8)).save(place)
    (tmp_path / "open.cnn").write_text(OPEN)
    return tmp_path / "open.cnn"


@pytest.mark.long
def test_a_run_keeps_its_sizes(cnnc: Cnnc, tmp_path: Path, open_net: Path) -> None:
    at = ("--at", "H=16,W=24")
    assert "images to 1x16x24" in cnnc("train", "open.cnn", *at, "--run", "whole").stderr
    cnnc("train", "open.cnn", *at, "--run", "half", "--set", "train.epochs=1")
    assert "images to 1x16x24" in cnnc("train", "--resume", "half", "--set", "train.epochs=2").stderr
    ends = [checkpoints.load(tmp_path / name / "last.safetensors") for name in ("whole", "half")]
    assert [end.sizes for end in ends] == [{"H": 16, "W": 24}] * 2
    for name, array in ends[0].weights.items():
        np.testing.assert_array_equal(array, ends[1].weights[name])
    ours = json.loads(cnnc("eval", "whole", "--json").stdout)
    assert cnnc("export", "whole", "-o", "open.onnx").returncode == 0
    info = json.loads(cnnc("info", "open.onnx", "--json").stdout)
    assert info["inputs"][0]["shape"] == ["N", 1, "H", "W"], "the model takes every size"
    assert info["trained"]["sizes"] == {"H": 16, "W": 24}
    assert "; at H=16, W=24; " in cnnc("info", "open.onnx").stdout
    theirs = json.loads(cnnc("eval", "open.onnx", "--json").stdout)
    assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-4)
    assert "images to 1x16x24" in cnnc("eval", "open.onnx").stderr


@pytest.mark.long
def test_a_partly_fixed_model_names_all_its_sizes(cnnc: Cnnc, open_net: Path) -> None:
    cnnc("train", "open.cnn", "--at", "H=16,W=24", "--run", "run", "--set", "train.epochs=1")
    assert "also W=24" in cnnc("export", "run", "--at", "H=32", "-o", "fixed.onnx").stderr
    info = json.loads(cnnc("info", "fixed.onnx", "--json").stdout)
    assert (info["inputs"][0]["shape"], info["at"]) == (["N", 1, 32, 24], {"H": 32, "W": 24})
    assert "images to 1x32x24" in cnnc("eval", "fixed.onnx").stderr


def test_bad_sizes(cnnc: Cnnc, tmp_path: Path, open_net: Path) -> None:
    done = cnnc("train", "open.cnn", "--at", "H=15,W=24")
    assert (done.returncode, codes(done.stderr)) == (1, ["E401"])
    assert "the nearest legal sizes are H=14 and H=16" in done.stderr
    assert codes(cnnc("train", "small.cnn", "--at", "H=15").stderr) == ["E010"]
    cnnc("train", "open.cnn", "--at", "H=16,W=24", "--run", "run", "--set", "train.epochs=1")
    assert codes(cnnc("train", "--resume", "run", "--at", "H=16").stderr) == ["E010"]


@pytest.mark.parametrize("out", ["nowhere/x.onnx", "."])
def test_a_model_that_cannot_be_written_is_reported_before_training(cnnc: Cnnc, tmp_path: Path, out: str) -> None:
    done = cnnc("train", "small.cnn", "--export", out)
    assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
    assert not (tmp_path / "runs").exists()


def test_no_run_overwrites_another(cnnc: Cnnc, tmp_path: Path) -> None:
    one = ("--set", "train.epochs=1")
    for name in ("small", "small-2", "small-3"):
        assert f"run runs/{name}\n" in cnnc("train", "small.cnn", *one).stdout
    before = (tmp_path / "runs" / "small" / "last.safetensors").read_bytes()
    done = cnnc("train", "small.cnn", "--run", "runs/small", *one)
    assert done.returncode == 2
    assert codes(done.stderr) == ["E010"]
    assert "cnnc train --resume runs/small" in done.stderr
    assert (tmp_path / "runs" / "small" / "last.safetensors").read_bytes() == before


def test_files_of_others_are_not_overwritten(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "network.cnn").write_text("mine")
    done = cnnc("train", "small.cnn", "--run", ".")
    assert done.returncode == 2
    assert (tmp_path / "network.cnn").read_text() == "mine"


def test_json(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("train", "small.cnn", "--json", "--export", "x.onnx")
    result = json.loads(done.stdout)
    assert (result["run"], result["epochs"]) == ("runs/small", 2)
    assert result["test"]["total"] == 360
    assert result["test"]["accuracy"] == result["test"]["right"] / 360
    assert (tmp_path / "x.onnx").exists()


def test_settings_change_the_recipe(cnnc: Cnnc) -> None:
    done = cnnc("train", "small.cnn", "--set", "train.epochs=1", "--set", "train.batch=500", "--set", "width=3")
    assert "1 epoch of 3 steps" in done.stderr
    assert done.returncode == 0


@pytest.mark.long
def test_resumed_in_another_folder(cnnc: Cnnc, tmp_path: Path) -> None:
    cnnc("train", "small.cnn", "--run", "whole", "--set", "train.epochs=3")
    cnnc("train", "small.cnn", "--run", "first")
    before = {p.name: p.read_bytes() for p in (tmp_path / "first").iterdir()}
    done = cnnc("train", "--resume", "first", "--run", "second", "--set", "train.epochs=3")
    assert done.returncode == 0
    assert "resuming at epoch 3, step 1" in done.stderr
    assert {p.name: p.read_bytes() for p in (tmp_path / "first").iterdir()} == before
    assert len((tmp_path / "second" / "metrics.jsonl").read_text().splitlines()) == 3
    for name in ("last", "best"):
        whole, second = (checkpoints.load(tmp_path / run / f"{name}.safetensors") for run in ("whole", "second"))
        for weight in whole.weights:
            assert whole.weights[weight].tobytes() == second.weights[weight].tobytes()


def test_resuming_a_finished_run_prints_its_score(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    right = json.loads((trained / "result.json").read_text())["test"]["right"]
    done = cnnc("train", "--resume", "run")
    assert done.returncode == 0
    assert "all epochs are done; nothing to train" in done.stderr
    assert f"({right} of 360)" in done.stdout


def test_resuming_says_in_one_line_what_differs_from_where_the_run_was_trained(
    cnnc: Cnnc, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    file = tmp_path / "run" / "last.safetensors"
    saved = checkpoints.load(file)
    assert "differ" not in cnnc("train", "--resume", "run").stderr
    elsewhere = {**saved.machine, "blas": "openblas 0.3.1 Nehalem", "python": "3.9.1", "unknown": "x"}
    checkpoints.save(file, replace(saved, machine=elsewhere, versions={**saved.versions, "numpy": "1.0"}, threads=64))
    done = cnnc("train", "--resume", "run")
    assert done.returncode == 0, "it is told, not refused"
    (line,) = (line for line in done.stderr.splitlines() if "differ" in line)
    assert line == (
        f"note: the run was trained with numpy: 1.0, now {np.__version__}; threads: 64, now 1; "
        f"blas: openblas 0.3.1 Nehalem, now {saved.machine['blas']}; python: 3.9.1, now {saved.machine['python']}; "
        "results may differ from an uninterrupted run in their last bits"
    )
    checkpoints.save(file, replace(saved, machine={}))
    assert "differ" not in cnnc("train", "--resume", "run").stderr, "an earlier version has recorded less"


@pytest.mark.parametrize("setting", ["train.seed=3", "train.data.val=0.3"])
def test_resumed_with_a_different_split(cnnc: Cnnc, trained: Path, setting: str) -> None:
    """The run may have trained on examples of the new validation or test set."""
    before = {p.name: p.read_bytes() for p in (trained / "run").iterdir()}
    done = cnnc("train", "--resume", trained / "run", "--set", setting, "--set", "train.epochs=9")
    assert done.returncode == 2
    assert codes(done.stderr) == ["E010"]
    assert f"leave `--set {setting}` out" in done.stderr
    assert {p.name: p.read_bytes() for p in (trained / "run").iterdir()} == before


def test_resumed_with_a_network_that_does_not_fit(cnnc: Cnnc, trained: Path) -> None:
    done = cnnc("train", "--resume", trained / "run", "--set", "width=7", "--run", "x")
    assert done.returncode == 3
    assert codes(done.stderr) == ["E605"]


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ((), 2, "E010"),
        (("small.cnn", "--resume", "runs/small"), 2, "E010"),
        (("nowhere.cnn",), 6, "E901"),
        (("--resume", "nowhere"), 3, "E606"),
        (("--resume", "."), 3, "E606"),
        (("--resume", "small.cnn"), 3, "E605"),
        (("small.cnn", "--set", "train.optimizer.lr=1e30"), 4, "E701"),
    ],
)
def test_bad_use(cnnc: Cnnc, words: tuple[str, ...], status: int, code: str) -> None:
    done = cnnc("train", *words)
    assert done.returncode == status
    assert [c for c in codes(done.stderr) if c.startswith("E")] == [code]
    assert done.stdout == ""


def test_a_network_without_a_train_section(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "bare.cnn").write_text("input 1x8x8\nfc 10\n")
    done = cnnc("train", "bare.cnn")
    assert done.returncode == 1
    assert codes(done.stderr) == ["E509"]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_damaged_checkpoints(cnnc: Cnnc, trained: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    path = tmp_path / "run" / "last.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes({"cut": bytes(data[: len(data) // 2]), "empty": b"", "flipped": bytes(data)}[damage])
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    for words in (("train", "--resume", "run"), ("export", "run", "--last", "-o", "x.onnx")):
        done = cnnc(*words)
        assert done.returncode == 3
        assert codes(done.stderr) == ["E605"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    assert not (tmp_path / "x.onnx").exists()
    assert cnnc("train", "--resume", "run/best.safetensors").returncode == 0, "the other checkpoint resumes"


def test_the_last_good_checkpoint_of_a_run_that_diverged(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    more = ("--set", "train.epochs=10")
    done = cnnc("train", "--resume", "run", *more, "--set", "train.optimizer.lr=1e35")
    assert done.returncode == 4
    assert codes(done.stderr) == ["W504", "E701"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    assert cnnc("train", "--resume", "run", *more).returncode == 0


def test_counts_follow_the_metric_they_belong_to(cnnc: Cnnc, tmp_path: Path) -> None:
    """`(n of total)` follows accuracy only; IoU is not a fraction of a count."""
    x = np.random.default_rng(0).random((20, 1, 4, 4), np.float32)
    np.savez(tmp_path / "maps.npz", x=x, y=(x[:, 0] > 0.5).astype(np.uint8))
    text = 'input 1x4x4\nconv 2 k=1\ntrain {{ data npz "maps.npz"; epochs 1; metric {} }}\n'
    for metrics, expected in (
        ("iou; metric accuracy", r"test iou [\d.]+%, accuracy [\d.]+%, "),
        ("accuracy", r"\(\d+ of 32\)"),
    ):
        (tmp_path / "maps.cnn").write_text(text.format(metrics))
        assert re.search(expected, cnnc("train", "maps.cnn").stdout)
    scores = json.loads(cnnc("train", "maps.cnn", "--set", "train.metric=iou", "--json").stdout)["test"]
    of_classes = {"confusion", "classes", "macro_f1", "balanced_accuracy"}
    assert set(scores) == {"right", "total", "loss", "iou", *of_classes}
