"""`cnnc train` as a user runs it: run folders, settings, resuming, and data that are not what they should be."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnc.recipe.metrics import decimals
from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import Cnnc, codes

GREY = """input 1x28x28
pool avg k=7
fc 10
softmax
train { data mnist; epochs 1; batch 8; data mnist }
""".replace("; data mnist }", " }")


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
        "Small: 1,036 parameters, 1,293 images to train on, 144 to validate, 2 epochs of 11 steps"
    )
    assert [line.split()[1] for line in lines[1:]] == ["1/2", "2/2"], "one line an epoch"
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    assert done.stdout.count("test accuracy") == 1


def test_a_rehearsal_of_a_resumed_run_is_refused(cnnc: Cnnc, tmp_path: Path) -> None:
    cnnc("train", "small.cnn", "--run", "run", "--set", "train.epochs=1")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    done = cnnc("train", "--resume", "run", "--dry-run", "--set", "train.epochs=2")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_a_rehearsal_that_diverges_is_told_in_our_own_words(cnnc: Cnnc) -> None:
    done = cnnc("train", "small.cnn", "--dry-run", "--set", "train.optimizer.lr=1e38")
    assert (done.returncode, codes(done.stderr)) == (4, ["E701"])
    assert "RuntimeWarning" not in done.stderr


def test_a_run_that_ends_early_says_so(cnnc: Cnnc) -> None:
    options = ("--set", "train.stop.patience=1", "--set", "train.optimizer.lr=1e-30", "--set", "train.epochs=9")
    done = cnnc("train", "small.cnn", "--run", "run", *options)
    told = "ended after epoch 2: none was better than epoch 1 (stop patience=1)"
    assert done.stderr.splitlines()[-1] == told
    again = cnnc("train", "--resume", "run")
    assert (again.returncode, again.stderr.splitlines()[-1]) == (0, told)
    assert again.stdout == done.stdout


def test_a_run_that_cannot_write_says_how_to_go_on(cnnc: Cnnc, tmp_path: Path) -> None:
    cnnc("train", "small.cnn", "--run", "run", "--set", "train.epochs=1")
    (tmp_path / "run" / "curves.svg").unlink()
    (tmp_path / "run" / "curves.svg").mkdir()
    done = cnnc("train", "--resume", "run", "--set", "train.epochs=2")
    assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
    assert "go on from there with: cnnc train --resume run" in done.stderr
    (tmp_path / "run" / "curves.svg").rmdir()
    assert cnnc("train", "--resume", "run", "--set", "train.epochs=2").returncode == 0


@pytest.mark.parametrize(("loss", "text"), [(0.5, "0.5000"), (-2.0, "-2.0000"), (1.5e36, "1.5e+36"), (2e6, "2e+06")])
def test_a_huge_loss_is_told_shortly(loss: float, text: str) -> None:
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


def test_sizes_of_symbols_are_those_of_the_run(cnnc: Cnnc, tmp_path: Path, open_net: Path) -> None:
    at = ("--at", "H=16,W=24")
    assert "brought to 1x16x24" in cnnc("train", "open.cnn", *at, "--run", "whole").stderr
    cnnc("train", "open.cnn", *at, "--run", "half", "--set", "train.epochs=1")
    assert "brought to 1x16x24" in cnnc("train", "--resume", "half", "--set", "train.epochs=2").stderr
    ends = [checkpoints.load(tmp_path / name / "last.safetensors") for name in ("whole", "half")]
    assert all(end.sizes == {"H": 16, "W": 24} for end in ends)
    for name, array in ends[0].weights.items():
        np.testing.assert_array_equal(array, ends[1].weights[name])
    ours = json.loads(cnnc("eval", "whole", "--json").stdout)
    assert cnnc("export", "whole", "-o", "open.onnx").returncode == 0
    told = json.loads(cnnc("info", "open.onnx", "--json").stdout)
    assert told["inputs"][0]["shape"] == ["N", 1, "H", "W"], "the model takes every size"
    assert told["trained"]["sizes"] == {"H": 16, "W": 24}
    assert "; at H=16, W=24; " in cnnc("info", "open.onnx").stdout
    theirs = json.loads(cnnc("eval", "open.onnx", "--json").stdout)
    assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-4)
    assert "brought to 1x16x24" in cnnc("eval", "open.onnx").stderr


def test_a_model_fixed_in_part_says_all_its_sizes(cnnc: Cnnc, open_net: Path) -> None:
    cnnc("train", "open.cnn", "--at", "H=16,W=24", "--run", "run", "--set", "train.epochs=1")
    cnnc("export", "run", "--at", "H=32", "-o", "fixed.onnx")
    told = json.loads(cnnc("info", "fixed.onnx", "--json").stdout)
    assert (told["inputs"][0]["shape"], told["at"]) == (["N", 1, 32, 24], {"H": 32, "W": 24})
    assert "brought to 1x32x24" in cnnc("eval", "fixed.onnx").stderr


def test_sizes_that_cannot_be(cnnc: Cnnc, tmp_path: Path, open_net: Path) -> None:
    done = cnnc("train", "open.cnn", "--at", "H=15,W=24")
    assert (done.returncode, codes(done.stderr)) == (1, ["E401"])
    assert "the nearest legal sizes are H=14 and H=16" in done.stderr
    assert codes(cnnc("train", "small.cnn", "--at", "H=15").stderr) == ["E010"]
    cnnc("train", "open.cnn", "--at", "H=16,W=24", "--run", "run", "--set", "train.epochs=1")
    assert codes(cnnc("train", "--resume", "run", "--at", "H=16").stderr) == ["E010"]


@pytest.mark.parametrize("out", ["nowhere/x.onnx", "."])
def test_a_model_that_cannot_be_written_is_told_before_training(cnnc: Cnnc, tmp_path: Path, out: str) -> None:
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


def test_resumed_in_another_folder(cnnc: Cnnc, tmp_path: Path) -> None:
    cnnc("train", "small.cnn", "--run", "whole", "--set", "train.epochs=3")
    cnnc("train", "small.cnn", "--run", "first")
    before = {p.name: p.read_bytes() for p in (tmp_path / "first").iterdir()}
    done = cnnc("train", "--resume", "first", "--run", "second", "--set", "train.epochs=3")
    assert done.returncode == 0
    assert "going on with epoch 3" in done.stderr
    assert {p.name: p.read_bytes() for p in (tmp_path / "first").iterdir()} == before
    assert len((tmp_path / "second" / "metrics.jsonl").read_text().splitlines()) == 3
    for name in ("last", "best"):
        whole, second = (checkpoints.load(tmp_path / run / f"{name}.safetensors") for run in ("whole", "second"))
        for weight in whole.weights:
            assert whole.weights[weight].tobytes() == second.weights[weight].tobytes()


def test_resuming_what_is_done_gives_the_score_again(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    right = json.loads((trained / "result.json").read_text())["test"]["right"]
    done = cnnc("train", "--resume", "run")
    assert done.returncode == 0
    assert "all epochs are done" in done.stderr
    assert f"({right} of 360)" in done.stdout


@pytest.mark.parametrize("setting", ["train.seed=3", "train.data.val=0.3"])
def test_resumed_with_other_examples_held_back(cnnc: Cnnc, trained: Path, setting: str) -> None:
    """Those that it would be judged by have been trained on."""
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
def test_what_cannot_be_done(cnnc: Cnnc, words: tuple[str, ...], status: int, code: str) -> None:
    done = cnnc("train", *words)
    assert done.returncode == status
    assert codes(done.stderr) == [code]
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
    assert cnnc("train", "--resume", "run/best.safetensors").returncode == 0, "the other checkpoint goes on"


def test_the_last_good_checkpoint_of_a_run_that_diverged(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    more = ("--set", "train.epochs=10")
    done = cnnc("train", "--resume", "run", *more, "--set", "train.optimizer.lr=1e35")
    assert done.returncode == 4
    assert codes(done.stderr) == ["E701"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    assert cnnc("train", "--resume", "run", *more).returncode == 0


# --- data ---------------------------------------------------------------------------------------------------


def idx(sizes: tuple[int, ...], values: bytes) -> bytes:
    return bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + values


IMAGES = idx((20, 28, 28), bytes(i % 251 for i in range(20 * 784)))
LABELS = idx((20,), bytes(i % 10 for i in range(20)))
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A folder with twenty made-up images in the files of MNIST, and grey.cnn that trains on them."""
    (tmp_path / "grey.cnn").write_text(GREY)
    folder = tmp_path / "data"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(IMAGES if "images" in name else LABELS)
    return folder


def test_data_from_a_folder(cnnc: Cnnc, mnist: Path) -> None:
    for more in (("--data", "data"), ()):
        done = cnnc("train", "grey.cnn", *more, env={"CNNC_DATA": str(mnist)})
        assert done.returncode == 0, done.stderr
        assert "of 20), weights of epoch 1" in done.stdout


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:-1]),
        ("train-images-idx3-ubyte", lambda data: data[:10]),
        ("train-images-idx3-ubyte", lambda data: b""),
        ("train-images-idx3-ubyte", lambda data: data + b"x"),
        ("train-images-idx3-ubyte", lambda data: gzip.compress(data)[:-20]),
        ("train-images-idx3-ubyte", lambda data: LABELS),
        ("train-labels-idx1-ubyte", lambda data: IMAGES),
        ("train-labels-idx1-ubyte", lambda data: idx((19,), bytes(19))),
        ("train-labels-idx1-ubyte", lambda data: idx((20,), bytes([11] * 20))),
        ("t10k-images-idx3-ubyte", lambda data: idx((20, 8, 8), bytes(20 * 64))),
        ("t10k-images-idx3-ubyte", lambda data: b"\x89PNG" + data),
    ],
    ids=["cut", "cut header", "empty", "too long", "cut gzip", "labels", "images", "few", "class 11", "8x8", "PNG"],
)
def test_damaged_data(cnnc: Cnnc, mnist: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (mnist / name).write_bytes(damage((mnist / name).read_bytes()))
    done = cnnc("train", "grey.cnn", "--data", "data")
    assert done.returncode == 3
    assert codes(done.stderr) == ["E602"]
    assert name in done.stderr
    assert not (tmp_path / "runs").exists()


def test_data_that_are_not_there(cnnc: Cnnc, mnist: Path) -> None:
    (mnist / NAMES[0]).unlink()
    for folder in ("data", "nowhere", "grey.cnn"):
        done = cnnc("train", "grey.cnn", "--data", folder)
        assert done.returncode == 3
        assert codes(done.stderr) == ["E603"]
        assert "help" in done.stderr


def test_counts_stand_beside_the_metric_they_belong_to(cnnc: Cnnc, tmp_path: Path) -> None:
    """An iou is no share of pixels."""
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
    assert set(scores) == {"right", "total", "loss", "iou"}
