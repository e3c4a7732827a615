"""`cnnc import`: the files it writes, what it prints, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from cnnc.diagnostics import Exit
from cnnc.network import check
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import open_data, start
from cnnc.training.loop import train as run_training
from tests.cli.conftest import Cnnc, codes
from tests.onnx.importer.model_builders import model, node

WEIGHT = np.arange(24, dtype=np.float32).reshape(2, 12) / 24


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A model of another tool, with an input whose name is not a legal label."""
    nodes = [node("Conv", "input w", "c", pads=[1, 1, 1, 1]), node("Clip", "c a b", "r"), node("Flatten", "r", "f"),
             node("Gemm", "f m", "scores", transB=1)]  # fmt: skip
    constants = {"w": np.ones((3, 1, 3, 3), np.float32), "a": np.float32(0), "b": np.float32(6), "m": WEIGHT}
    proto = model(nodes, {"input": ["batch", 1, 2, 2]}, constants, ("scores",))
    path = tmp_path / "foreign.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    path = tmp_path / "refused.onnx"
    path.write_bytes(model([node("Sin", "x", "a"), node("Cos", "a")], {"x": ["N", 3]}).SerializeToString())
    return path


def test_a_tiny_output_is_reported_as_judged(cnnc: Cnnc, tmp_path: Path) -> None:
    """Its relative difference is 1, and nothing is wrong."""
    (tmp_path / "dead.cnn").write_text("input 4; normalize mean=30 std=1; y: sigmoid")
    assert cnnc("export", "dead.cnn").returncode == 0
    verified = json.loads(cnnc("import", "dead.onnx", "-o", "net.cnn", "--json").stdout)["verified"]
    assert verified["output"] == "y"
    assert verified["scale"] < 1e-7
    assert 0 < verified["difference"] < verified["allowed"]
    done = cnnc("import", "dead.onnx", "-o", "again.cnn")
    share = verified["difference"] / verified["allowed"]
    assert f"verified: outputs differ from the model's by at most {share:.1%} of what is allowed (y: " in done.stdout


def test_equal_outputs_are_called_equal(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "relu.onnx").write_bytes(model([node("Relu", "x")], {"x": ["N", 3]}).SerializeToString())
    done = cnnc("import", "relu.onnx", "-o", "relu.cnn")
    assert done.returncode == 0
    assert "verified: outputs equal the model's\n" in done.stdout


def test_a_network_that_amplifies_rounding_is_imported(cnnc: Cnnc, tmp_path: Path) -> None:
    """The norm's inputs are -1e6 ± 1e3, so that float32 leaves three digits of its output."""
    (tmp_path / "net.cnn").write_text("input 2x9; normalize mean=1000 std=0.001; y: layer_norm")
    assert cnnc("export", "net.cnn", "-o", "net.onnx").returncode == 0
    done = cnnc("import", "net.onnx", "-o", "back.cnn", "--json")
    verified = json.loads(done.stdout)["verified"]
    assert 1e-4 < verified["difference"] < verified["allowed"] < 0.1


def test_a_model_that_is_channels_last(cnnc: Cnnc, tmp_path: Path) -> None:
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w", "c"),
        node("Transpose", "c", perm=[0, 2, 3, 1]),
    ]
    proto = model(nodes, {"x": ["N", 8, 9, 2]}, {"w": np.arange(12, dtype=np.float32).reshape(3, 2, 1, 2)})
    onnx.save(proto, str(tmp_path / "last.onnx"))
    line = "channels last (NHWC) in the model, channels first in the network: x 2x8x9, y 3x8x8"
    done = cnnc("import", "last.onnx", "-o", "a.cnn")
    assert f"{line}; the comparison fed the model transposed arrays" in done.stdout.splitlines()
    assert "verified: " in done.stdout
    assert line in cnnc("import", "last.onnx", "-o", "b.cnn", "--no-verify").stdout.splitlines()
    assert json.loads(cnnc("import", "last.onnx", "-o", "c.cnn", "--json").stdout)["channels_last"] == ["x", "y"]
    assert cnnc("export", "a.safetensors", "-o", "first.onnx").returncode == 0


def test_sizes_that_the_network_lacks_are_told(cnnc: Cnnc, tmp_path: Path) -> None:
    nodes = [node("MaxPool", "x", "p", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]), node("Shape", "x", "s"),
             node("Resize", "p - - s", mode="nearest")]  # fmt: skip
    onnx.save(model(nodes, {"x": ["N", 2, "H", "W"]}), str(tmp_path / "sizes.onnx"))
    done = cnnc("import", "sizes.onnx", "-o", "a.cnn")
    assert "not all sizes of the model: Resize `node_y` has no layer at every size" in done.stdout + done.stderr
    assert json.loads(cnnc("import", "sizes.onnx", "-o", "b.cnn", "--json").stdout)["limits"]


def test_an_exported_model_is_imported(cnnc: Cnnc, tmp_path: Path) -> None:
    assert cnnc("export", "small.cnn", "-o", "small.onnx").returncode == 0
    done = cnnc("import", "small.onnx", "-o", "net.cnn")
    assert done.returncode == 0, done.stderr
    first, second, *rest = done.stdout.splitlines()
    assert first == "read 6 nodes of opset 17"
    assert second == "Small: 6 layers; 1,030 parameters, 4,416 MACs"
    assert re.fullmatch(
        r"verified: outputs differ from the model's by at most \d\.\d% of what is allowed \(\w+: [0-9e.+-]+ of [0-9e.+-]+\)",
        rest[-2],
    )
    assert rest[-1].startswith("wrote net.cnn and net.safetensors")
    assert cnnc("fmt", "--check", "net.cnn").returncode == 0
    assert cnnc("check", "--strict", "net.cnn").returncode == 0
    again = cnnc("export", "net.safetensors", "-o", "again.onnx")
    assert again.returncode == 0, again.stderr
    before, after = (onnx.load(str(tmp_path / f"{name}.onnx")).graph for name in ("small", "again"))
    assert [n.op_type for n in before.node] == [n.op_type for n in after.node]
    assert [t.raw_data for t in before.initializer] == [t.raw_data for t in after.initializer]


def test_the_source_in_the_metadata_is_not_what_is_imported(cnnc: Cnnc, tmp_path: Path) -> None:
    assert cnnc("export", "small.cnn", "-o", "small.onnx").returncode == 0
    proto = onnx.load(str(tmp_path / "small.onnx"))
    del proto.metadata_props[:]
    onnx.save(proto, str(tmp_path / "bare.onnx"))
    cnnc("import", "small.onnx", "-o", "a.cnn")
    cnnc("import", "bare.onnx", "-o", "b.cnn")
    a, b = ((tmp_path / f"{n}.cnn").read_text().partition("\n")[2] for n in "ab")
    assert a == b != ""
    assert "train" not in a


def test_a_foreign_model(cnnc: Cnnc, foreign: Path, tmp_path: Path) -> None:
    done = cnnc("import", foreign.name)
    assert done.returncode == 0, done.stderr
    assert "input is renamed to input1" in done.stdout
    assert (tmp_path / "foreign.cnn").read_text() == (
        "# Imported from foreign.onnx: ONNX opset 17.\nnet by_hand\n\ninput 1x2x2\n\n"
        "conv 3 k=3 p=same bias=false; relu6\nscores: fc 2 bias=false\n\nexpect params=51 macs=132\n"
    )


def test_json(cnnc: Cnnc, foreign: Path) -> None:
    done = cnnc("import", foreign.name, "--json")
    result = json.loads(done.stdout)
    assert (result["layers"], result["params"], result["macs"], result["nodes"]) == (4, 51, 132, 4)
    assert result["inputs"] == {"input": "input1"}
    assert result["outputs"] == {"scores": "scores"}
    assert result["refused"] == []
    assert result["verified"]["compared"] is True
    assert result["verified"]["difference"] < 1e-5


@pytest.mark.parametrize("options", [("--int8", "--target", "mcu"), ("--fp16",)])
def test_a_lower_precision_is_one_error(options: tuple[str, ...], cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    assert cnnc("export", trained / "run", *options, "-o", "low.onnx").returncode == 0
    done = cnnc("import", "low.onnx")
    assert done.returncode == Exit.DATA
    assert codes(done.stderr) == ["E621"]
    assert "`cnnc info low.onnx --source`" in done.stderr
    assert cnnc("info", "low.onnx", "--source").returncode == 0
    assert not (tmp_path / "low.cnn").exists()
    assert json.loads(cnnc("import", "low.onnx", "--json").stdout)["refused"]


def test_nodes_without_a_counterpart_are_listed(cnnc: Cnnc, refused: Path, tmp_path: Path) -> None:
    done = cnnc("import", refused.name)
    assert done.returncode == Exit.DATA
    assert codes(done.stderr) == ["E621", "E621"]
    assert "Sin `node_a`" in done.stderr
    assert not (tmp_path / "refused.cnn").exists()
    done = cnnc("import", refused.name, "--json")
    assert done.returncode == Exit.DATA
    assert [c["op"] for c in json.loads(done.stdout)["refused"]] == ["Sin", "Cos"]


def test_an_existing_file_is_kept(cnnc: Cnnc, foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign.cnn").write_text("mine")
    done = cnnc("import", foreign.name)
    assert (done.returncode, codes(done.stderr)) == (Exit.RESOURCES, ["E902"])
    done = cnnc("import", foreign.name, "-o", "foreign.cnn")
    assert (done.returncode, codes(done.stderr)) == (Exit.RESOURCES, ["E902"])
    assert "it exists and is not a network file that import wrote" in done.stderr
    assert (tmp_path / "foreign.cnn").read_text() == "mine"
    assert cnnc("import", foreign.name, "--force").returncode == 0
    assert (tmp_path / "foreign.cnn").read_text().startswith("# Imported from foreign.onnx")


def test_wrong_use(cnnc: Cnnc, foreign: Path) -> None:
    assert cnnc("import", foreign.name, "-o", "net.txt").returncode == Exit.USAGE
    assert cnnc("import", foreign.name, "--at", "H=9").returncode == Exit.USAGE
    assert cnnc("import", "none.onnx").returncode == Exit.RESOURCES
    assert codes(cnnc("import", "small.cnn", "-o", "other.cnn").stderr) == ["E624"]


@pytest.mark.parametrize("model", ["", ".", "/"])
def test_a_folder_is_not_a_model(cnnc: Cnnc, model: str) -> None:
    done = cnnc("import", model)
    assert (done.returncode, codes(done.stderr)) == (6, ["E901"])


@pytest.mark.parametrize("words", [("-o", ""), ("--out", ""), ("--out=",)])
def test_an_empty_output_is_refused_with_the_name_that_was_typed(
    cnnc: Cnnc, foreign: Path, words: tuple[str, ...]
) -> None:
    done = cnnc("import", foreign.name, *words)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert f"{words[0].rstrip('=')} has an empty value" in done.stderr


@pytest.mark.parametrize("out", [".", "part"])
def test_a_folder_as_output_gets_the_name_of_a_file_in_it(cnnc: Cnnc, foreign: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "part").mkdir()
    done = cnnc("import", foreign.name, "-o", out)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    named = str(Path(out, f"{foreign.stem}.cnn"))
    assert f"such as {named}, not" in done.stderr
    assert cnnc("import", foreign.name, "-o", named).returncode == 0


def test_weights_in_another_file_are_verified_as_well(cnnc: Cnnc, foreign: Path, tmp_path: Path) -> None:
    proto = onnx.load(str(foreign))
    onnx.save(proto, str(foreign), save_as_external_data=True, location="w.bin", size_threshold=0)
    done = cnnc("import", foreign.name)
    assert done.returncode == 0, done.stderr
    assert "verified: " in done.stdout


def test_an_external_constant_is_verified_from_any_folder(cnnc: Cnnc, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    tensor = onnx.numpy_helper.from_array(WEIGHT, "w")
    nodes = [node("Constant", "", "w", value=tensor), node("Gemm", "x w", transB=1)]
    proto = model(nodes, {"x": ["N", 12]}, opset=13)
    external = proto.graph.node[0].attribute[0].t
    external.ClearField("raw_data")
    external.data_location = onnx.TensorProto.EXTERNAL
    external.external_data.add(key="location", value="w.bin")
    (folder / "w.bin").write_bytes(WEIGHT.tobytes())
    (folder / "x.onnx").write_bytes(proto.SerializeToString())
    done = cnnc("import", folder / "x.onnx")
    assert done.returncode == 0, done.stderr
    assert "verified: " in done.stdout


def test_sizes_and_flat(cnnc: Cnnc, tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "r"), node("GlobalAveragePool", "r")]
    (tmp_path / "open.onnx").write_bytes(model(nodes, {"x": ["N", 3, "h", "w"]}).SerializeToString())
    assert cnnc("import", "open.onnx", "-o", "a.cnn").returncode == 0
    assert "input 3xHxW" in (tmp_path / "a.cnn").read_text()
    assert cnnc("import", "open.onnx", "-o", "b.cnn", "--at", "H=8,W=9", "--flat", "--no-verify").returncode == 0
    assert "input 3x8x9" in (tmp_path / "b.cnn").read_text()


# --- where the weights come from ---------------------------------------------------------------------------------


def described(cnnc: Cnnc, model: str) -> tuple[dict[str, Any], str]:
    """What `cnnc info --json` and the line `trained` of `cnnc info` say."""
    text = cnnc("info", model).stdout
    (line,) = [line for line in text.splitlines() if line.strip().startswith("trained ")]
    return json.loads(cnnc("info", model, "--json").stdout), " ".join(line.split()[1:])


def test_an_exported_import_says_where_its_weights_come_from(cnnc: Cnnc, foreign: Path, tmp_path: Path) -> None:
    proto = onnx.load(str(foreign))
    proto.producer_name, proto.producer_version = "pytorch", "2.13.0"
    onnx.save(proto, str(foreign))
    sha256 = hashlib.sha256(foreign.read_bytes()).hexdigest()
    assert cnnc("import", foreign.name, "-o", "net.cnn").returncode == 0
    assert cnnc("export", "net.safetensors", "-o", "again.onnx", "--card").returncode == 0
    facts, trained = described(cnnc, "again.onnx")
    assert facts["origin"] == {"file": "foreign.onnx", "sha256": sha256, "producer": "pytorch 2.13.0"}
    assert facts["trained"] is None
    said = f"weights imported from foreign.onnx (produced by pytorch 2.13.0, sha256 {sha256[:16]})"
    assert trained == said
    assert f"Training: {said}." in (tmp_path / "again.md").read_text()


def test_an_unknown_producer_is_left_out(cnnc: Cnnc, foreign: Path) -> None:
    assert cnnc("import", foreign.name).returncode == 0
    assert cnnc("export", "foreign.safetensors", "-o", "again.onnx").returncode == 0
    facts, trained = described(cnnc, "again.onnx")
    assert set(facts["origin"]) == {"file", "sha256"}
    assert "produced by" not in trained


def test_a_network_with_random_weights_has_no_origin(cnnc: Cnnc, foreign: Path) -> None:
    assert cnnc("import", foreign.name).returncode == 0
    done = cnnc("export", "foreign.cnn", "-o", "random.onnx")
    assert "its weights are random (seed 0); `cnnc export foreign.safetensors` exports those in" in done.stderr
    facts, trained = described(cnnc, "random.onnx")
    assert (facts["origin"], trained) == (None, "no: random weights")


@pytest.mark.long
def test_further_training_keeps_the_origin(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    assert cnnc("export", trained / "run", "-o", "old.onnx").returncode == 0
    assert cnnc("import", "old.onnx", "-o", "net.cnn").returncode == 0
    saved = checkpoints.load(tmp_path / "net.safetensors")
    network = check(f"{saved.source}\ntrain {{ data digits; epochs 1 }}\n", "net.cnn")
    result = run_training(start(network, open_data(network, None, print), tmp_path / "tuned", saved))
    assert result.run.origin == saved.origin
    assert cnnc("train", "--resume", "tuned", "--set", "train.epochs=2").returncode == 0
    assert cnnc("export", "tuned", "-o", "tuned.onnx").returncode == 0
    facts, said = described(cnnc, "tuned.onnx")
    assert facts["origin"]["file"] == "old.onnx"
    assert facts["trained"]["epochs"] >= 1
    assert said.startswith("weights of epoch ")
    assert "; started from weights imported from old.onnx (produced by cnnc " in said


def test_an_import_without_a_train_section_is_exported_in_float16(cnnc: Cnnc, foreign: Path) -> None:
    assert cnnc("import", foreign.name).returncode == 0
    done = cnnc("export", "foreign.safetensors", "--fp16", "-o", "half.onnx")
    assert done.returncode == 0, done.stderr
    assert "from float32 on 64 random inputs" in done.stdout
    done = cnnc("export", "foreign.safetensors", "--int8", "-o", "int8.onnx")
    assert (done.returncode, codes(done.stderr)) == (Exit.EXPORT, ["E808"])
    assert "by_hand has no train section" in done.stderr
