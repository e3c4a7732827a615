"""`cnnc export`, `cnnc predict` and `cnnc eval` as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cnnc.data import load
from cnnc.onnx.emit.verify import ATOL, RTOL
from tests.cli.conftest import Cnnc, codes
from tests.cuda import WHY_NOT, needs_cuda
from tests.onnx.importer.model_builders import model as by_hand
from tests.onnx.importer.model_builders import node

# --- export ----------------------------------------------------------------------------------------------------


def test_export_of_a_run(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    done = cnnc("export", trained / "run", "-o", "x.onnx")
    assert done.returncode == 0
    assert done.stdout.startswith("wrote x.onnx: ")
    assert "verified: " in done.stdout
    assert (tmp_path / "x.onnx").read_bytes() == (trained / "small.onnx").read_bytes()
    assert (tmp_path / "x.onnx").stat().st_size == int(done.stdout.split()[2].replace(",", ""))


def test_export_of_a_checkpoint_and_of_the_last_weights(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    cnnc("export", trained / "run" / "last.safetensors", "-o", "a.onnx")
    cnnc("export", trained / "run", "--last", "-o", "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_export_of_an_untrained_network(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("export", "small.cnn", "--json", "--set", "width=3")
    assert done.returncode == 0
    proof = json.loads(done.stdout)
    assert proof["file"] == "small.onnx"
    assert proof["bytes"] == (tmp_path / "small.onnx").stat().st_size
    assert proof["tensors"] > 3
    assert "untrained" in done.stderr
    assert cnnc("predict", "small.onnx", "--top", "1").returncode == 2


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("nowhere",), 3, "E606"),
        (("nowhere.cnn",), 6, "E901"),
        ((".",), 3, "E606"),
        (("empty",), 3, "E605"),
        (("run", "--set", "width=3"), 2, "E010"),
    ],
)
def test_what_cannot_be_exported(
    cnnc: Cnnc, trained: Path, tmp_path: Path, words: tuple[str, ...], status: int, code: str
) -> None:
    (tmp_path / "empty").touch()
    shutil.copytree(trained / "run", tmp_path / "run")
    done = cnnc("export", *words)
    assert done.returncode == status
    assert codes(done.stderr) == [code]
    assert not list(tmp_path.glob("*.onnx"))


# --- predict ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Digits of the test set as a PNG, a JPEG, arrays, and pictures that are not what they should be."""
    image = pytest.importorskip("PIL.Image")
    digits = load("digits").test
    picture = image.fromarray(digits.images[0, 0])
    picture.save(tmp_path / "a.png")
    picture.resize((32, 32)).convert("RGB").save(tmp_path / "b.jpg", quality=95)
    np.save(tmp_path / "batch.npy", digits.images[:5])
    np.save(tmp_path / "one.npy", digits.images[0].astype(np.float32) / 255)
    np.save(tmp_path / "flat.npy", digits.images[0, 0])
    np.save(tmp_path / "wrong.npy", np.zeros((3, 9, 9), np.float32))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "batch.npy").read_bytes()[:-10])
    (tmp_path / "empty.jpg").touch()
    return tmp_path


def test_predict_names_the_classes(cnnc: Cnnc, trained: Path, pictures: Path) -> None:
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

    found = json.loads(cnnc(*words, "--json", "--top", "10").stdout)
    assert [example["file"] for example in found] == list(lines)
    for example in found:
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
def test_bad_pictures(cnnc: Cnnc, trained: Path, pictures: Path, name: str, status: int, code: str) -> None:
    done = cnnc("predict", trained / "small.onnx", name, "a.png")
    assert done.returncode == status
    assert codes(done.stderr) == [code]
    assert done.stdout.startswith("a.png: "), "one bad picture does not keep the others waiting"


def test_predict_without_classes_in_the_model(cnnc: Cnnc, trained: Path, pictures: Path, tmp_path: Path) -> None:
    """A model of another maker: no facts, or facts that are nonsense."""
    import onnx

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


# --- eval ------------------------------------------------------------------------------------------------------


def test_eval_counts_as_the_trainer_does(cnnc: Cnnc, trained: Path) -> None:
    score = json.loads((trained / "result.json").read_text())["test"]
    done = cnnc("eval", trained / "small.onnx", "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert (found["data"], found["right"], found["total"]) == ("digits", score["right"], score["total"])
    assert found["provider"] in done.stderr
    line = cnnc("eval", trained / "small.onnx").stdout
    assert line.startswith("digits: test accuracy ")
    assert f"({score['right']} of 360)" in line


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_bad_models(cnnc: Cnnc, trained: Path, pictures: Path, tmp_path: Path, command: str) -> None:
    data = bytearray((trained / "small.onnx").read_bytes())
    (tmp_path / "cut.onnx").write_bytes(data[:-200])
    data[200:260] = b"\xff" * 60
    (tmp_path / "damaged.onnx").write_bytes(data)
    (tmp_path / "empty.onnx").touch()
    constant = by_hand([node("Relu", "k")], {}, {"k": [1.0]})
    (tmp_path / "constant.onnx").write_bytes(constant.SerializeToString())
    more = ("a.png",) if command == "predict" else ()
    for name in ("cut.onnx", "damaged.onnx", "empty.onnx", "constant.onnx", "small.cnn"):
        done = cnnc(command, name, *more)
        assert done.returncode == 3, name
        assert codes(done.stderr) in (["E604"], ["E609"], ["E611"])
        assert done.stdout == ""
    done = cnnc(command, "nowhere.onnx", *more)
    assert done.returncode == 6
    assert codes(done.stderr) == ["E901"]
    done = cnnc(command, ".", *more)  # eval takes it for a run
    assert (done.returncode, codes(done.stderr)) == ((3, ["E606"]) if command == "eval" else (6, ["E901"]))


def test_eval_on_data_of_another_shape(cnnc: Cnnc, trained: Path) -> None:
    done = cnnc("eval", trained / "small.onnx", "--on", "diggits")
    assert done.returncode == 3
    assert codes(done.stderr) == ["E601"]


@pytest.mark.skipif(not WHY_NOT, reason="cuda is there")
@pytest.mark.parametrize("command", ["eval", "predict", "bench"])
def test_cuda_where_it_is_not_there(cnnc: Cnnc, trained: Path, pictures: Path, command: str) -> None:
    more = ("a.png",) if command == "predict" else ()
    done = cnnc(command, trained / "small.onnx", "--provider", "cuda", *more)
    assert done.returncode == 6
    assert codes(done.stderr) == ["E905"]
    assert done.stdout == "", "nothing runs in its place"
    done = cnnc(command, trained / "small.onnx", "--provider", "gpu", *more)
    assert done.returncode == 2


@needs_cuda
def test_a_gpu_gives_the_answers_of_the_cpu(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", np.random.default_rng(0).random((20, 1, 8, 8), np.float32))
    counted = {}
    for provider in ("cpu", "cuda"):
        scored = cnnc("eval", trained / "small.onnx", "--json", "--provider", provider)
        found = json.loads(scored.stdout)
        assert found["provider"] == provider
        counted[provider] = (found["right"], found["total"], found["confusion"])
        done = cnnc("predict", trained / "small.onnx", "digits.npy", "--out", provider, "--provider", provider)
        assert (done.returncode, f"running on {provider}" in done.stderr) == (0, True)
    assert counted["cuda"] == counted["cpu"]
    files = sorted(path.name for path in (tmp_path / "cpu").glob("*.npy"))
    assert files == sorted(path.name for path in (tmp_path / "cuda").glob("*.npy")) != []
    for name in files:
        on_cpu, on_gpu = (np.load(tmp_path / provider / name) for provider in ("cpu", "cuda"))
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=RTOL, atol=ATOL)


@needs_cuda
def test_a_gpu_is_measured_beside_the_cpu(cnnc: Cnnc, trained: Path) -> None:
    for provider in ("cpu", "cuda"):
        words = ("bench", trained / "small.onnx", "--json", "--seconds", "0.2", "--batch", "64", "--provider", provider)
        found = json.loads(cnnc(*words).stdout)
        assert found["provider"] == provider
        assert next(iter(found["nodes"])) == provider, "most nodes run there"
        assert found["throughput"] > 0
