"""The benchmarks compare equal networks, and each of their processes works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from benchmarks import graphs
from benchmarks.nets import NAMES, NETS, peer
from cnnc.network import load
from tests.paths import ROOT

pytestmark = pytest.mark.long


@pytest.mark.parametrize("name", NAMES)
def test_the_peer_has_as_many_parameters(name: str) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    graph = load(NETS / f"{name}.cnn").require_graph()
    net = peer(name)
    assert sum(p.numel() for p in net.module.parameters()) == graph.total_parameters
    assert net.shape == graph.inputs[0].type.shape


@pytest.mark.parametrize("who", ["cnnc", "onnx", "textbook"])
def test_a_process_of_the_training_benchmark(who: str) -> None:
    command = [sys.executable, "-m", "benchmarks.train", who, "lenet5", "0.01"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["rate"] > 0
    assert found["memory"] > 1 << 20


@pytest.mark.parametrize("who", ["torch-last-bf16", "engine-last-bf16", "turn"])
def test_a_process_of_the_benchmark_of_the_engine_torch(who: str) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    command = [sys.executable, "-m", "benchmarks.train", who, "lenet5", "0.01"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert all(number > 0 for number in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", graphs.NAMES)
def test_a_model_is_no_larger_than_what_pytorch_writes(name: str, tmp_path: Path) -> None:
    """Than its default exporter writes; than its older one writes, without metadata, doc strings and value_info, which that one leaves out."""
    for package in ("torch", "onnxscript"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    for who in ("cnnc", "torch", "torch-new"):
        graphs.write(who, name, tmp_path / who)
    assert (tmp_path / "cnnc").stat().st_size < (tmp_path / "torch-new").stat().st_size
    bare = onnx.load(tmp_path / "cnnc")
    bare.ClearField("metadata_props")
    bare.graph.ClearField("value_info")
    for node in bare.graph.node:
        node.ClearField("doc_string")
    assert bare.ByteSize() <= (tmp_path / "torch").stat().st_size


def test_the_benchmark_of_int8(tmp_path: Path) -> None:
    (tmp_path / "small.cnn").write_text("input 16x8x8; conv 16 k=3 p=1; relu; fc 4")
    command = [sys.executable, "-m", "benchmarks.int8", str(tmp_path / "small.cnn")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    row = done.stdout.splitlines()[-1].strip("| ").split(" | ")
    assert row[0] == "small"
    assert all(float(cell) > 0 for cell in row[1:])
    assert len(row) == 6
