"""`cnnc bench`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.cli.conftest import Cnnc, codes, json_of, run
from tests.cli.nets import NETS


@pytest.mark.long
@pytest.mark.parametrize("name", NETS)
def test_bench(deployed: Path, name: str) -> None:
    words = ("--batch", "3", "--threads", "1", "--seconds", "0.05", "--warmup", "1", "--provider", "cpu")
    result = json_of(run("bench", f"{name}.onnx", *words, "--json", cwd=deployed))
    assert (result["provider"], result["batch"], result["threads"]) == ("cpu", 3, 1)
    assert result["calls"] >= 5
    assert 0 < result["p50"] <= result["p90"] <= result["p99"]
    assert result["throughput"] > 0
    assert result["load"] > 0
    assert result["peak_memory"] > 20e6
    assert list(result["nodes"]) == ["cpu"]
    assert result["nodes"]["cpu"] > 0
    assert {shape[0] for shape in result["shapes"].values()} == {3}


@pytest.mark.long
def test_bench_in_words(deployed: Path) -> None:
    shown = run("bench", "waves.onnx", "--seconds", "0", cwd=deployed).stdout
    assert shown.startswith("waves.onnx on cpu; input1 1x1x24\n")
    assert [line.split()[0] for line in shown.splitlines()[1:]] == ["latency", "throughput", "load", "memory", "nodes"]
    done = run("bench", "waves.onnx", "--size", "H=3", cwd=deployed)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])


def test_open_sizes_of_a_foreign_model(cnnc: Cnnc, tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], name="r")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3, "H"]) for name in "xy"]
    graph = helper.make_graph([node], "theirs", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "theirs.onnx")
    done = cnnc("bench", "theirs.onnx", "--seconds", "0")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "--size H=224" in done.stderr
    done = cnnc("bench", "theirs.onnx", "--seconds", "0", "--size", "H=7", "--batch", "3")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"]), "its batch is 2"
    result = json_of(cnnc("bench", "theirs.onnx", "--seconds", "0", "--size", "H=7", "--json"))
    assert result["shapes"] == {"x": [2, 3, 7]}
    np.save(tmp_path / "three.npy", np.arange(27, dtype=np.float32).reshape(3, 3, 3) - 9)
    results = json_of(cnnc("predict", "theirs.onnx", "three.npy", "--json"))
    values = np.array([r["outputs"]["y"]["values"] for r in results])
    assert np.array_equal(values, np.maximum(np.arange(27).reshape(3, 3, 3) - 9, 0)), "in parts of two"
