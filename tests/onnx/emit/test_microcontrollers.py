"""Models for microcontrollers: numbers alone as shapes, operators that generators of C have, and what it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError, Exit
from cnnc.graph.analysis import peak_memory
from cnnc.network import Network, check
from cnnc.onnx.emit import microcontrollers as mcu
from cnnc.onnx.emit.verify import random_weights
from cnnc.onnx.export import Exported, Options, export
from cnnc.onnx.quantize.examples import Examples

SMALL = "input 1x8x8; conv 4 k=3 p=1 bias=false; bn; relu; pool max k=2; dropout; fc 10; softmax"


def exported(network: Network, path: Path) -> Exported:
    weights = random_weights(network.require_graph(), 0)
    return export(network, weights, path, options=Options(target="mcu"))


def test_every_shape_is_a_number_and_the_batch_is_one(tmp_path: Path) -> None:
    done = exported(check(SMALL), tmp_path / "small.onnx")
    graph = onnx.load(done.path).graph
    for info in [*graph.input, *graph.output, *graph.value_info]:
        sizes = [(d.dim_value, d.dim_param) for d in info.type.tensor_type.shape.dim]
        assert all(value > 0 and not param for value, param in sizes), info.name
        assert sizes[0] == (1, "")


def test_what_it_needs(tmp_path: Path) -> None:
    network = check(SMALL)
    done = exported(network, tmp_path / "small.onnx")
    assert done.footprint is not None
    # the most alive: a convolution's 4x8x8 beside the relu's; without batch norm and dropout, which are gone
    assert done.footprint.ram == 2 * 4 * 8 * 8 * 4
    assert done.footprint.at == "relu1"
    assert done.footprint.ram <= peak_memory(network.require_graph()).bytes
    # conv 4·9 + 4, fc 10·64 + 10
    assert done.footprint.flash == 4 * (36 + 4 + 640 + 10)


def test_bytes_take_one_byte() -> None:
    """4x4 floats and their bytes are 64 + 16; then 16 bytes and the 4 largest; then 4 bytes and 4 floats."""
    nodes = [
        onnx.helper.make_node("QuantizeLinear", ["input1", "scale", "zero"], ["input1.q"]),
        onnx.helper.make_node("MaxPool", ["input1.q"], ["pool1.q"], "pool1", kernel_shape=[2, 2], strides=[2, 2]),
        onnx.helper.make_node("DequantizeLinear", ["pool1.q", "scale", "zero"], ["pool1"]),
    ]
    constants = [("scale", np.float32(0.5)), ("zero", np.uint8(0))]
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants]
    shapes = {"input1": (1, 1, 4, 4), "pool1": (1, 1, 2, 2)}
    entry, end = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in shapes.items())
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "bytes", [entry], [end], tensors))
    assert mcu.measured(check("input 1x4x4; pool max k=2"), model) == (64 + 16, "input1", 4 + 1)


def test_what_a_network_in_int8_needs(tmp_path: Path) -> None:
    network = check("input 1x8x8; conv 4 k=3 p=1 bias=false; bn; relu; fc 10; softmax")
    images = np.random.default_rng(0).random((32, 1, 8, 8), np.float32)
    split = Split((images,), (np.zeros(32, np.int64),))
    weights = random_weights(network.require_graph(), 0)
    options = Options(target="mcu", precision="int8")
    done = export(
        network, weights, tmp_path / "int8.onnx", options=options, examples=Examples.of(split, split, split, 0)
    )
    assert done.quality is not None
    assert done.footprint is not None
    assert done.quality.faster == (), "float32 is faster on other processors"
    # at fc1: what it reads and its weights, made floats when the model runs, and what it makes
    assert done.footprint[:2] == (4 * (256 + 256 * 10 + 10), "fc1")
    # conv1 and fc1: weights, and for each channel a zero of one byte, a scale and a bias of four; a scale for each of
    # input1, relu1, fc1.flat and fc1; two zeros, as those of the first three are the same
    assert done.footprint.flash == (36 + 4 * 9) + (2560 + 10 * 9) + 4 * 4 + 2


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("input 1x8x8\nq: pool max k=2\nu: unpool q\n", "u as ONNX's"),
        ("input 2x8x8\ntanh\np: pool l2 k=2\n", "p as ONNX's LpPool"),
        ("input 2x8x8\ntanh\np: global_pool l2\n", "p as ONNX's GlobalLpPool"),
        ("input 4x4x4\ntanh\np: depth_to_space 2\n", "p as ONNX's DepthToSpace"),
    ],
)
def test_a_layer_that_a_generator_lacks_is_named(text: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(CnncError, match="a microcontroller cannot take") as caught:
        exported(check(text), tmp_path / "no.onnx")
    (found,) = caught.value.diagnostics
    assert found.code == "E807"
    assert caught.value.status is Exit.EXPORT
    assert word in found.message or "indices" in found.message
    assert found.span is not None
    assert found.span.line in (2, 3)
    assert list(tmp_path.iterdir()) == []


def test_symbols_are_refused_and_a_size_helps(tmp_path: Path) -> None:
    text = "input 1xHxW; conv 4 k=3 s=2 p=same; relu; pool avg k=2 ceil=true; global_pool avg"
    with pytest.raises(CnncError, match="sizes that are symbols") as caught:
        exported(check(text), tmp_path / "no.onnx")
    assert caught.value.diagnostics[0].code == "E807"
    assert "--at H=" in caught.value.diagnostics[0].help
    exported(check(text, at={"H": 9, "W": 12}), tmp_path / "yes.onnx")


@pytest.mark.parametrize(
    "kind", ["avg k=3 s=2 p=1 ceil=true count_pad=true", "weighted k=3 s=2 p=1", "avg k=2 s=1 d=2 p=1"]
)
def test_divisors_of_means_are_constants(kind: str, tmp_path: Path) -> None:
    done = exported(check(f"input 2x7x8; pool {kind}"), tmp_path / "mean.onnx")
    assert {n.op_type for n in onnx.load(done.path).graph.node} <= {"Conv", "Div"}


def test_a_batch_of_one_is_what_is_proven(tmp_path: Path) -> None:
    done = exported(check(SMALL), tmp_path / "small.onnx")
    assert {d.name for d in done.proof.deviations} == {"bn1", "relu1", "pool1", "fc1", "softmax1"}
    assert all(np.isfinite(d.difference) for d in done.proof.deviations)
