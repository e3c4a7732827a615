"""The layers of a model as plain data, and the tail that makes their tensors outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cnnc.network import check
from cnnc.onnx.emit.verify import random_weights
from cnnc.onnx.export import Options, export
from cnnc.onnx.run.model_layers import ModelLayer, model_layers, observed_tail
from cnnc.onnx.run.session import Session

SOURCE = """
net Small
input 1x8x8
first: conv 4 k=3 p=1
relu
pool max k=2
conv_transpose 2 k=2 s=2
fc 10
softmax
"""


def exported(folder: Path, source: str = SOURCE, **options: object) -> onnx.ModelProto:
    network = check(source)
    weights = random_weights(network.require_graph(), 0)
    export(network, weights, folder / "model.onnx", options=Options(**options))  # type: ignore[arg-type]
    return onnx.load(folder / "model.onnx")


def by_name(model: onnx.ModelProto) -> dict[str, ModelLayer]:
    return {layer.name: layer for layer in model_layers(model)}


def test_layers_of_an_exported_network(tmp_path: Path) -> None:
    layers = by_name(exported(tmp_path))
    first = layers["first"]
    assert (first.operator, first.line, first.inputs) == (
        "Conv",
        "first: conv 4 k=3 p=1",
        ("input1", "first.weight", "first.bias"),
    )
    assert first.constants == ("first.weight", "first.bias")
    assert first.attributes["pads"] == [1, 1, 1, 1]
    assert first.shape is not None
    assert first.shape[1:] == (4, 8, 8)
    shown = [name for name, layer in layers.items() if layer.shown]
    assert shown == ["first", "relu1", "pool1", "conv_transpose1", "fc1", "softmax1"]
    assert layers["fc1.flat"].owner == "fc1"


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_parameters_and_multiply_adds_are_those_of_the_network(tmp_path: Path, precision: str) -> None:
    graph = check(SOURCE).require_graph()
    layers = by_name(exported(tmp_path, precision=precision))
    assert sum(layer.parameters for layer in layers.values()) == graph.total_parameters
    sizes = {name: int(np.prod([n for n in layer.shape or () if isinstance(n, int)])) for name, layer in layers.items()}
    macs = sum(
        layer.products * sizes[layer.inputs[0] if layer.per_input else layer.name]
        for layer in layers.values()
        if layer.products
    )
    assert macs == graph.total_macs


def test_a_shared_weight_counts_once(tmp_path: Path) -> None:
    source = "input 2x6x6\nfirst: conv 2 k=3 p=1\nconv 2 k=3 p=1 share=first\n"
    layers = by_name(exported(tmp_path, source))
    assert [layer.parameters for layer in layers.values()] == [38, 0]


def test_the_tail_makes_every_tensor_an_output(tmp_path: Path) -> None:
    """What the observed model computes for its own outputs is unchanged, and weights come out as well."""
    model = exported(tmp_path)
    layers = model_layers(model)
    content = model.SerializeToString()
    observed = Session(content + observed_tail(model, layers), "observed", "cpu", optimize=False)
    x = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    tensors = dict(zip(observed.outputs, observed.run({"input1": x}), strict=True))
    assert {layer.name for layer in layers} | {"first.weight", "fc1.bias"} <= tensors.keys()
    (scores,) = Session(content, "plain", "cpu").run({"input1": x})
    np.testing.assert_allclose(tensors["softmax1"], scores, rtol=1e-5)
    np.testing.assert_array_equal(tensors["relu1"], np.maximum(tensors["first"], 0))
    weight = next(t for t in model.graph.initializer if t.name == "first.weight")
    np.testing.assert_array_equal(tensors["first.weight"], numpy_helper.to_array(weight))


def test_a_model_of_another_program() -> None:
    """Each operator that computes numbers is shown; what depends on constants alone is not a layer."""
    w = numpy_helper.from_array(np.ones((3, 6), np.int8), "w.q")
    scale = numpy_helper.from_array(np.array(0.5, np.float32), "scale")
    nodes = [
        helper.make_node("DequantizeLinear", ["w.q", "scale"], ["w"]),
        helper.make_node("Gemm", ["x", "w"], ["y"], transB=1),
        helper.make_node("ArgMax", ["y"], ["k"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])]
    outputs = [helper.make_tensor_value_info("k", TensorProto.INT64, ["N", 1])]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, [w, scale]))
    layers = by_name(model)
    assert list(layers) == ["y", "k"]
    assert (layers["y"].parameters, layers["y"].products, layers["y"].constants) == (18, 6, ("w",))
    assert layers["y"].shown
    assert not layers["k"].shown
    assert layers["y"].line == ""
