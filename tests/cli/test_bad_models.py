"""Files that are not usable models: every command that reads a model refuses them with one error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.cli.conftest import Cnnc, codes, foreign_model
from tests.onnx.importer.model_builders import model as by_hand
from tests.onnx.importer.model_builders import node


@pytest.mark.parametrize(
    "facts",
    [
        *("[]", "{", "null", "[" * 9999, '{"inputs": 3, "classes": [4], "sizes": {"H": {}}}'),
        *(
            '{"inputs": {"x": {"kind": "words", "layout": "N, T"}}}',
            '{"inputs": {"x": {"kind": "integers", "range": 3}}}',
        ),
        *('{"outputs": {"y": {"kind": []}}}', '{"data": {"val": 1}}', '{"trained": {"metric": "accuracy", "best": 1}}'),
    ],
)
def test_nonsense_in_the_metadata(cnnc: Cnnc, tmp_path: Path, facts: str) -> None:
    keys = ("cnnc.facts", "cnnc.map", "cnnc.vocabulary", "cnnc.includes", "cnnc.source")
    foreign_model(tmp_path / "theirs.onnx", **dict.fromkeys(keys, facts))
    assert cnnc("info", "theirs.onnx").returncode == 0
    assert codes(cnnc("where", "theirs.onnx").stderr) == ["E611"]
    assert cnnc("eval", "theirs.onnx").returncode in (1, 3)
    assert cnnc("bench", "theirs.onnx", "--seconds", "0").returncode == 2


@pytest.mark.parametrize("command", ["info", "where", "bench"])
def test_files_that_are_not_models(cnnc: Cnnc, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("no model\n" * 30)
    (tmp_path / "zeros.onnx").write_bytes(bytes(1000))
    for name in ("empty.onnx", "text.onnx", "zeros.onnx", "small.cnn"):
        done = cnnc(command, name)
        assert (done.returncode, codes(done.stderr)) == (3, ["E604"]), name
    done = cnnc(command, "nowhere.onnx")
    assert (done.returncode, codes(done.stderr)) == (6, ["E901"])


@pytest.mark.parametrize("command", ["info", "where", "bench", "import", "predict"])
def test_files_that_export_to_a_model(cnnc: Cnnc, trained: Path, command: str) -> None:
    more = ("--text", "words") if command == "predict" else ()
    for name in (trained / "run", trained / "run" / "best.safetensors", "small.cnn"):
        done = cnnc(command, name, *more)
        assert (done.returncode, codes(done.stderr)) == (3, ["E624" if command == "import" else "E604"]), name
        assert f"`cnnc export {name}`" in done.stderr


@pytest.mark.parametrize("command", ["bench", "eval", "predict"])
def test_missing_external_weights(cnnc: Cnnc, tmp_path: Path, command: str) -> None:
    assert cnnc("export", "small.cnn", "--external", "-o", "small.onnx").returncode == 0
    (weights,) = tmp_path.glob("*.data")
    weights.rename(tmp_path / "elsewhere")
    done = cnnc(command, "small.onnx", *(("--text", "words") if command == "predict" else ()))
    assert (done.returncode, codes(done.stderr)) == (3, ["E604"])
    assert f"small.onnx has its weights in {weights.name}, which is missing" in done.stderr


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_bad_models(cnnc: Cnnc, trained: Path, images: Path, tmp_path: Path, command: str) -> None:
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


HOSTILE = "\x1b[31mred\x07\x9b\u202eevil"


def test_control_characters_of_a_model_do_not_reach_the_terminal(cnnc: Cnnc, tmp_path: Path) -> None:
    facts = {"name": HOSTILE, "classes": [HOSTILE, "b"], "outputs": {"y": {"kind": "classes", "named": True}}}
    model = by_hand([node("Relu", "x")], {"x": ["N", 2]}, {})
    model.graph.name = model.producer_name = HOSTILE
    helper.set_model_props(model, {"cnnc.facts": json.dumps(facts), HOSTILE: HOSTILE})
    (tmp_path / "hostile.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "x.npy", np.ones((1, 2), np.float32))
    commands = (
        *(("info", "hostile.onnx"), ("info", "hostile.onnx", "--json"), ("where", "hostile.onnx")),
        *(("predict", "hostile.onnx", "x.npy"), ("predict", "hostile.onnx", "x.npy", "--json")),
    )
    for words in commands:
        done = cnnc(*words)
        assert not set(done.stdout + done.stderr) & set("\x1b\x07\x9b\u202e"), words
        if "--json" in words:
            assert json.dumps(HOSTILE)[1:-1] in json.dumps(json.loads(done.stdout))


def damaged(kind: str) -> Any:
    """A model that onnxruntime may load, with one thing that no program writes."""
    inputs = {"x": ["N", 2]} if kind != "batch" else {"x": [2**62, 2]}
    data = by_hand([node("Relu", "x")], inputs, {}).SerializeToString()
    if kind == "operator":
        return data.replace(b"Relu", b"Re\xff\xfe")
    if kind == "metadata":
        model = onnx.load_from_string(data)
        helper.set_model_props(model, {"made by": "MARK"})
        return model.SerializeToString().replace(b"MARK", b"\xff\xfe\xfd\xfc")
    if kind == "weights":
        model = by_hand([node("Add", "x", "w")], inputs, {"w": np.ones(2, np.float32)})
        (weight,) = model.graph.initializer
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="a\0b")
        return model.SerializeToString()
    if kind == "output":
        return by_hand([node("ReduceSum", "x", keepdims=0)], inputs, {}).SerializeToString()
    return data


@pytest.mark.parametrize("kind", ["operator", "metadata", "weights", "output", "batch"])
@pytest.mark.parametrize("command", ["info", "where", "predict", "bench", "eval", "import"])
def test_damaged_models_are_one_error(cnnc: Cnnc, tmp_path: Path, kind: str, command: str) -> None:
    (tmp_path / "damaged.onnx").write_bytes(damaged(kind))
    np.save(tmp_path / "x.npy", np.ones((1, 2), np.float32))
    more = {"predict": ["x.npy"], "bench": ["--seconds", "0"], "import": ["-o", "n.cnn"]}.get(command, [])
    done = cnnc(command, "damaged.onnx", *more)
    runs = kind in ("output", "batch") or (command, kind) == ("import", "metadata")  # which import does not read
    assert done.returncode in ((0, 1, 2, 3, 6) if runs else (1, 3)), done.stderr
    if done.returncode:
        assert len(codes(done.stderr)) == 1


@pytest.mark.parametrize("command", ["info", "predict", "bench", "eval"])
def test_an_array_in_place_of_a_model_is_called_no_model(cnnc: Cnnc, tmp_path: Path, command: str) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 2), np.float32))
    done = cnnc(command, "x.npy", *(("x.npy",) if command == "predict" else ()))
    assert (done.returncode, codes(done.stderr)) == (3, ["E604"])
    assert "x.npy is not an ONNX model" in done.stderr
