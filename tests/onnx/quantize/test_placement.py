"""Placement of an int8 model: which layers compute in int8, and that onnxruntime fuses them as expected."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from cnnc.data.dataset import Split
from cnnc.network import Network, check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import PASSES, run_passes
from cnnc.onnx.emit.verify import random_weights
from cnnc.onnx.export import Exported, Options, export
from cnnc.onnx.quantize.examples import CalibrationExamples
from cnnc.onnx.quantize.placement import WITH_WEIGHTS, int8_nodes
from cnnc.onnx.source_map import locate

SEPARABLE = """net Separable
input 3x32x32
conv 32 k=3 p=1 bias=false; bn; relu6
conv c_in k=3 s=2 p=1 groups=c_in bias=false; bn; relu6
conv 64 k=1 bias=false; bn; relu6
conv c_in k=3 p=1 groups=c_in bias=false; bn; relu6
conv 64 k=1 bias=false; bn; relu6
global_pool avg
fc 10
softmax
"""
POOLED = "input 3x32x32; conv 16 k=3 p=1; {}; pool max k=2; conv 20 k=5 p=2; relu; pool max k=2; conv 20 k=5 p=2; relu; pool max k=2; fc 10; softmax"


def layers(text: str, *apart: str, everywhere: bool = False) -> list[str]:
    """The names of the nodes with weights that compute in int8."""
    network = check(text)
    graph, weights = run_passes(
        network.require_graph(), random_weights(network.require_graph(), 0), list(PASSES.values())
    )
    model = emit(graph, weights, {})
    known = {node.name for node in model.graph.node if node.op_type in WITH_WEIGHTS}
    return [name for name in int8_nodes(model, apart, everywhere) if name in known]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # few input channels; many
        ("input 3x32x32; conv 16 k=3 p=1; relu; conv 16 k=3 p=1", ["conv2"]),
        ("input 7x32x32; conv 16 k=3 p=1; relu", []),
        ("input 8x32x32; conv 16 k=3 p=1; relu", ["conv1"]),
        # channels that are not a multiple of four: enough of them; blocked; neither
        ("input 17x32x32; conv 16 k=3 p=1", ["conv1"]),
        ("input 14x32x32; conv 16 k=3 p=1", ["conv1"]),
        ("input 13x32x32; conv 16 k=3 p=1", []),
        ("input 18x32x32; conv 16 k=1", []),
        # few channels, blocked (see test_column_blocking.py)
        ("input 3x32x32; conv 16 k=5 p=2", ["conv1"]),
        # many channels from few, alone and before a convolution that gains
        ("input 3x32x32; conv 64 k=3 p=1; relu", []),
        ("input 3x32x32; conv 64 k=3 p=1; relu; pool max k=2; conv 16 k=3 p=1", ["conv1", "conv2"]),
        ("input 3x32x32; conv 60 k=3 p=1; relu; pool max k=2; conv 16 k=3 p=1", ["conv2"]),
        # too little work to convert to int8 and back: 16·16·9·36 multiply-adds, and 16·16·9·49
        ("input 16x6x6; conv 16 k=3 p=1", []),
        ("input 16x7x7; conv 16 k=3 p=1", ["conv1"]),
        # symbolic sizes count as large
        ("input 16xHxW; conv 16 k=3 p=1", ["conv1"]),
        # a matrix of 131,072 elements or more, and a small one between it and another
        ("input 256; fc 511; relu; fc 10", []),
        ("input 256; fc 512; relu; fc 10", ["fc1"]),
        ("input 256; fc 512; relu; fc 256; relu; fc 10; relu; fc 16384", ["fc1", "fc2", "fc3", "fc4"]),
        # a depthwise convolution at the beginning, between, at the end
        (f"{SEPARABLE}", ["bn3", "bn4", "bn5"]),
        ("input 32x16x16; conv 64 k=1; relu; conv 64 k=3 p=1 groups=64; relu; global_pool avg", ["conv1"]),
        # groups, transposed convolutions
        ("input 64x8x8; conv 64 k=3 p=1 groups=4", []),
        ("input 64x8x8; conv_transpose 64 k=2 s=2; conv 64 k=3 p=1", ["conv1"]),
    ],
)
def test_which_layers_compute_in_int8(text: str, expected: list[str]) -> None:
    assert layers(text) == expected


def test_excluded_layers_and_everywhere() -> None:
    text = "input 16x16x16; conv 16 k=3 p=1; relu; conv 16 k=3 p=1; relu; conv 16 k=3 p=1 groups=16; relu; conv 32 k=1"
    assert layers(text) == ["conv1", "conv2", "conv3", "conv4"]
    assert layers(text, "conv2") == ["conv1", "conv4"], "conv3 reads floats then"
    assert layers("input 1x8x8; conv 4 k=3; relu; fc 10; softmax", everywhere=True) == ["conv1", "fc1"]


def test_a_sum_is_in_int8_if_all_its_inputs_are() -> None:
    both = "input 16x16x16; conv 16 k=3 p=1; add { conv 16 k=3 p=1 } { identity }; relu; conv 16 k=3 p=1"
    one = "input 16x16x16; add { conv 16 k=3 p=1 } { tanh }; relu; conv 16 k=3 p=1"
    for text, expected in ((both, True), (one, False)):
        network = check(text)
        graph, weights = run_passes(
            network.require_graph(), random_weights(network.require_graph(), 0), list(PASSES.values())
        )
        assert ("add1" in int8_nodes(emit(graph, weights, {}))) is expected


# --- what onnxruntime makes of it ----------------------------------------------------------------------------


def exported(text: str, path: Path) -> tuple[Exported, Network]:
    network = check(text)
    random = np.random.default_rng(0)
    images = random.random((64, *network.require_graph().inputs[0].type.shape), np.float32)
    split = Split((images,), ())
    weights = random_weights(network.require_graph(), 0)
    options = Options(precision="int8")
    return export(
        network, weights, path, options=options, examples=CalibrationExamples.of(split, split, split, 0)
    ), network


def optimized(path: Path) -> onnx.ModelProto:
    """The model as onnxruntime optimizes it, except for processor-specific layouts."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_name("optimized.onnx"))
    options.log_severity_level = 4
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(path.with_name("optimized.onnx"))


@pytest.mark.long
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh"])
def test_activations_are_quantized_once_after_the_pool(activation: str, tmp_path: Path) -> None:
    done, _ = exported(POOLED.format(activation), tmp_path / "int8.onnx")
    assert done.quality is not None
    assert done.quality.faster == ("conv1", "fc1")
    graph = optimized(done.path).graph
    makers = {name: node for node in graph.node for name in node.output}
    count = Counter(node.op_type for node in graph.node)
    assert (count["QLinearConv"], count["QuantizeLinear"], count["DequantizeLinear"]) == (2, 1, 1)
    (first,) = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert makers[first.input[0]].op_type == "MaxPool"
    assert not {"Clip", "Cast", "Mul"} & set(count)


@pytest.mark.long
def test_separable_convolutions_are_fused(tmp_path: Path) -> None:
    done, _ = exported(SEPARABLE, tmp_path / "int8.onnx")
    assert done.quality is not None
    assert done.quality.faster == ("conv1", "conv2", "fc1")
    count = Counter(node.op_type for node in optimized(done.path).graph.node)
    assert (count["QLinearConv"], count["QuantizeLinear"], count["DequantizeLinear"]) == (3, 1, 1)


HEAVY = "input 16x8x8; conv 64 k=3 p=1; relu; conv 64 k=3 p=1; relu; pool max k=2; fc 64; relu; fc 10"


def test_the_file_is_little_more_than_a_quarter(tmp_path: Path) -> None:
    done, network = exported(HEAVY, tmp_path / "int8.onnx")
    whole = export(network, random_weights(network.require_graph(), 0), tmp_path / "whole.onnx").size
    assert whole > 4 * network.require_graph().total_parameters
    assert done.size < 0.28 * whole


def test_stored_weights_are_rounded_to_nearest(tmp_path: Path) -> None:
    """For a layer that computes in float32: one scale per output channel, and errors of at most half of it."""
    done, network = exported(HEAVY, tmp_path / "int8.onnx")
    model = onnx.load(done.path)
    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weight = random_weights(network.require_graph(), 0)["fc1.weight"]
    whole, scale = known["fc1.weight.q"], known["fc1.weight.scale"]
    assert (str(whole.dtype), whole.shape, scale.shape) == ("int8", weight.shape, (64, 1))
    assert np.all(np.abs(whole * scale - weight) <= scale * 0.500001)
    assert np.abs(whole).max(1).min() == 127


def test_names_are_those_of_the_source(tmp_path: Path) -> None:
    """For a layer in int8 and one in float32 with int8 weights; the source map has their positions."""
    done, _ = exported(HEAVY, tmp_path / "int8.onnx")
    graph = onnx.load(done.path).graph
    assert [node.name for node in graph.node if node.name] == [
        "conv1",
        "conv2",
        "pool1",
        "fc1.flat",
        "fc1",
        "relu3",
        "fc2",
    ]
    readers = {node.name: list(node.input) for node in graph.node if node.name}
    assert readers["conv1"] == ["input1.dq", "conv1.weight", "conv1.bias"]
    assert readers["fc1"] == ["fc1.flat", "fc1.weight", "fc1.bias"]
    model = onnx.load(done.path)
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "cnnc"
    for name in [*(t.name for t in graph.initializer), *(name for node in graph.node for name in node.output)]:
        layer = locate(model, name, "int8.onnx").position.layer
        assert name == layer or name.startswith((f"{layer}.", ".")), "names that belong to no layer begin with a dot"


def test_layers_may_have_names_that_the_quantizer_uses(tmp_path: Path) -> None:
    names = ("x", "x_scale", "x_zero_point", "x_quantized", "x_DequantizeLinear_Output")
    done, _ = exported(
        "input 16x8x8\n" + "\n".join(f"{name}: conv 16 k=3 p=1" for name in names), tmp_path / "int8.onnx"
    )
    graph = onnx.load(done.path).graph
    assert [node.output[0] for node in graph.node if node.op_type == "Conv"] == [*names[:-1], f"{names[-1]}.float"]
