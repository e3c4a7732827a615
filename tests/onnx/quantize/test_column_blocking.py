"""Column blocking of int8 convolutions: which convolutions are blocked, and that the results stay the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cnnc.core.arrays import Array
from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError
from cnnc.network import Network, check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import PASSES, run_passes
from cnnc.onnx.emit.size_family import build_size_family
from cnnc.onnx.emit.verify import random_weights
from cnnc.onnx.metadata import metadata
from cnnc.onnx.quantize import int8 as quantize
from cnnc.onnx.quantize.column_blocking import INT8_LANES, ColumnBlocking, find_blocking
from cnnc.onnx.quantize.examples import CalibrationExamples
from cnnc.onnx.quantize.placement import tensor_shapes
from cnnc.onnx.source_map import locate, locate_nodes
from tests.onnx.quantize.test_placement import optimized

pytestmark = pytest.mark.long

LENET = """net LeNet
input 1x28x28
conv 6 k=5 p=2; relu
pool max k=2
conv 16 k=5; relu
pool max k=2
fc 10
"""


def emitted(text: str) -> tuple[onnx.ModelProto, Network]:
    network = check(text)
    graph, weights = run_passes(
        network.require_graph(), random_weights(network.require_graph(), 0), list(PASSES.values())
    )
    facts = metadata(network, graph, {"cnnc": "0"})
    return emit(graph, weights, facts, family=build_size_family(network, graph, lambda other: other)), network


def cells(text: str, layer: str = "conv1") -> ColumnBlocking | None:
    model, _ = emitted(text)
    (node,) = [node for node in model.graph.node if node.name == layer]
    return find_blocking(node, tensor_shapes(model.graph))


@pytest.mark.parametrize(
    ("text", "layer", "columns", "width", "kernel", "before", "pads"),
    [
        # four output columns read input columns -2..5: half a block of four, a block, half a block
        (LENET, "conv1", 4, 4, 3, 2, (1, 1)),
        # two output columns read 0..5
        (LENET, "conv2", 2, 2, 3, 0, (0, 0)),
        # two output columns with stride 2 read -3..5
        ("input 3x32x32; conv 64 k=7 s=2 p=3", "conv1", 2, 4, 3, 1, (1, 1)),
        # stride 4 with three channels is a block by itself; it reads -2..8
        ("input 3x224x224; conv 64 k=11 s=4 p=2", "conv1", 1, 4, 4, 2, (1, 1)),
        # few output channels
        ("input 32x16x16; conv 8 k=3 p=1", "conv1", 2, 2, 3, 1, (1, 1)),
        ("input 6x40; conv 8 k=5 p=2", "conv1", 2, 2, 3, 0, (1, 1)),
    ],
)
def test_the_blocking_with_the_fewest_columns(
    text: str, layer: str, columns: int, width: int, kernel: int, before: int, pads: tuple[int, int]
) -> None:
    found = cells(text, layer)
    assert found is not None
    assert found[:5] == (columns, width, kernel, before, pads)


@pytest.mark.parametrize(
    "text",
    [
        "input 16x16x16; conv 16 k=5 p=2",  # enough input and output channels
        "input 3x32x32; conv 16 k=3 p=1",  # four columns of three channels would be four times the work
        "input 1x28x28; conv 16 k=5 p=2",  # four values in a block, and float32 is fast with 16 channels
        "input 3x31x31; conv 16 k=5 p=2",  # the row does not divide into blocks
        "input 3x32x32; conv 16 k=5 p=4 d=2",
        "input 4x32x32; conv 16 k=5 p=2 groups=2",
        "input 3xHxW; conv 16 k=5 p=2",
        "input 3x16x16x16; conv 16 k=5 p=2",
    ],
)
def test_convolutions_that_are_not_blocked(text: str) -> None:
    assert cells(text) is None


def both(text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[onnx.ModelProto, onnx.ModelProto, Network]:
    """A network in int8, with column blocking and without."""
    model, network = emitted(text)
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(32, *node.type.shape)).astype(np.float32) for node in network.require_graph().inputs]
    split = Split(tuple(inputs), ())
    monkeypatch.setattr(quantize, "MAX_RELATIVE_ERROR", float("inf"))
    found, _ = quantize.to_int8(model, network, CalibrationExamples(split, split, split))
    with monkeypatch.context() as patch:
        patch.setattr(quantize, "block_columns", lambda graph, blockings: None)
        plain, _ = quantize.to_int8(model, network, CalibrationExamples(split, split, split))
    onnx.checker.check_model(found, full_check=True)
    return found, plain, network


def values(model: onnx.ModelProto, faster: bool = True) -> list[Array]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not faster:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    feeds = {i.name: random.normal(size=(3, *i.shape[1:])).astype(np.float32) for i in session.get_inputs()}
    found: list[Array] = session.run(None, feeds)
    return found


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


NETWORKS = {
    "pools": LENET,
    "pools of 3": "input 4x33x33; conv 5 k=7 p=3 bias=false; relu; pool max k=3; conv 16 k=3 p=1",
    "pools of 2x4 rows and columns": "input 2x32x32; conv 6 k=5 p=2; leaky_relu; pool max k=[2,4]; conv 6 k=5 p=2; relu; pool max k=[4,2]",
    "a pool that overlaps": "input 2x32x32; conv 6 k=5 p=2; relu; pool max k=3 s=2 p=1; conv 8 k=3 p=1",
    "a pool of odd rows": "input 2x31x32; conv 6 k=5 p=2; relu; pool max k=2",
    "16 channels": "input 3x32x32; conv 16 k=5 p=2; relu; pool max k=2; conv 16 k=5 p=2; relu; pool avg k=2",
    "steps": "input 3x64x64; conv 12 k=7 s=2 p=3; relu6; pool max k=2; conv 20 k=5 s=2 p=2; bn; relu",
    "a step without columns": "input 3x64x64; conv 16 k=11 s=4 p=4; relu; conv 16 k=3 p=1",
    "uneven steps and padding": "input 3x24x64; conv 12 k=[3,7] s=[1,2] p=[0,3,2,2]; relu; pool max k=2",
    "signals": "input 4x1024; conv 12 k=5 p=2; relu; pool max k=2; conv 12 k=5 p=2; relu; pool max k=4; conv 32 k=3 p=1",
    "two readers": "input 4x32x32; conv 8 k=5 p=2; relu; add { conv 8 k=5 p=2 } { identity }; relu; pool max k=2",
    "two outputs": "input 4x32x32; a: conv 8 k=5 p=2; b: conv 8 k=5 p=2; c: conv 8 k=5 p=2; output a c",
    "shared weights": "input 4x32x32; a: conv 4 k=5 p=2; relu; b: conv 4 k=5 p=2 share=a; relu; pool max k=2; conv 16 k=3",
    "two inputs": "left: input 4x32x32; conv 8 k=5 p=2; relu; right: input 4x32x32; conv 8 k=5 p=2; relu; concat left right",
    "places of maxima": "input 4x32x32; conv 8 k=5 p=2; relu; p: pool max k=2; conv 8 k=5 p=2; relu; unpool p; conv 8 k=3 p=1",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_blocking_does_not_change_the_outputs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, plain, _ = both(NETWORKS[name], monkeypatch)
    assert kinds(found)["Tile"] > 0 == kinds(plain)["Tile"]
    for faster in (True, False):
        for one, other in zip(values(found, faster), values(plain, faster), strict=True):
            if faster:  # integer sums do not depend on the order
                np.testing.assert_array_equal(one, other)
            else:
                np.testing.assert_allclose(one, other, atol=0.02 * np.abs(other).max())
            assert other.std() > 0


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data())
def test_blocking_any_convolution_does_not_change_its_output(data: st.DataObject) -> None:
    one = st.integers
    channels, outputs, rows = data.draw(one(1, 20)), data.draw(one(1, 20)), data.draw(one(8, 16))
    columns, size, step = 2 * data.draw(one(5, 20)), data.draw(one(1, 9)), data.draw(one(1, 4))
    before, after = data.draw(one(0, size)), data.draw(one(0, size))
    pool = data.draw(st.sampled_from(["", "pool max k=2", "pool max k=[1,2]", "pool max k=[2,1]", "pool max k=4"]))
    high = data.draw(one(1, 4))
    text = f"input {channels}x{rows}x{columns}; conv {outputs} k=[{high},{size}] s=[1,{step}] p=[0,{before},{high - 1},{after}]; relu; {pool}"
    try:
        found = cells(text)
    except CnncError:
        assume(False)
    assume(found is not None and (channels % INT8_LANES == 0 or high * size > 1))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("cnnc.onnx.quantize.placement.MIN_CONV_MACS", 0)
        made, plain, _ = both(text, monkeypatch)
    assert kinds(made)["Tile"] > 0
    np.testing.assert_array_equal(values(made)[0], values(plain)[0])


def test_the_file_keeps_the_kernel_and_onnxruntime_folds_the_large_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """conv1 computes two rows and four columns at once, conv2, with 16 channels, two columns. No Tile, Pad or Slice is left
    to run."""
    found, _, _ = both(LENET, monkeypatch)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in found.graph.initializer}
    assert shapes["conv1.weight.q"] == (6, 1, 5, 5)
    assert shapes["conv2.weight.q"] == (16, 6, 5, 5)
    onnx.save(found, tmp_path / "model.onnx")
    made = optimized(tmp_path / "model.onnx")
    kernels = [node.input[3] for node in made.graph.node if node.op_type == "QLinearConv"]
    sizes = {tensor.name: tuple(tensor.dims) for tensor in made.graph.initializer}
    assert [sizes[name] for name in kernels] == [(48, 4, 6, 3), (32, 12, 5, 3)]
    assert kinds(made)["QuantizeLinear"] == kinds(made)["DequantizeLinear"] == 1
    assert not {"Tile", "Pad", "Slice"} & set(kinds(made))


def test_added_nodes_belong_to_the_layer_that_they_lead_to(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _, _ = both(LENET, monkeypatch)
    placed = locate_nodes(found, "int8.onnx")
    assert len(placed) == len(found.graph.node)
    assert {part.position.layer for part in placed} >= {"conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "fc1"}
    first, second = (node for node in found.graph.node if node.op_type == "Pad")
    assert locate(found, first.output[0], "int8.onnx").position.layer == "conv1"
    assert locate(found, second.input[1], "int8.onnx").position.layer == "conv2", "a constant"
