"""Models for microcontrollers: fixed shapes, operators that C code generators support, and the memory footprint."""

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
from cnnc.onnx.quantize.examples import CalibrationExamples

SMALL = "input 1x8x8; conv 4 k=3 p=1 bias=false; bn; relu; pool max k=2; dropout; fc 10; softmax"


def exported(network: Network, path: Path) -> Exported:
    weights = random_weights(network.require_graph(), 0)
    return export(network, weights, path, options=Options(target="mcu"))


def test_every_shape_is_fixed_and_the_batch_is_one(tmp_path: Path) -> None:
    done = exported(check(SMALL), tmp_path / "small.onnx")
    graph = onnx.load(done.path).graph
    for info in [*graph.input, *graph.output, *graph.value_info]:
        sizes = [(d.dim_value, d.dim_param) for d in info.type.tensor_type.shape.dim]
        assert all(value > 0 and not param for value, param in sizes), info.name
        assert sizes[0] == (1, "")


def test_footprint_of_a_float32_model(tmp_path: Path) -> None:
    network = check(SMALL)
    done = exported(network, tmp_path / "small.onnx")
    assert done.footprint is not None
    # the peak: the 4x8x8 outputs of convolution and relu; the passes have removed batch norm and dropout
    assert done.footprint.ram == 2 * 4 * 8 * 8 * 4
    assert done.footprint.at == "relu1"
    assert done.footprint.ram <= peak_memory(network.require_graph()).bytes
    # conv 4·9 + 4, fc 10·64 + 10
    assert done.footprint.flash == 4 * (36 + 4 + 640 + 10)


def test_int8_tensors_take_one_byte_per_element() -> None:
    """4x4 floats and their bytes are 64 + 16 bytes; then 16 and the 4 maxima; then 4 bytes and 4 floats."""
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
    assert mcu.measure_footprint(check("input 1x4x4; pool max k=2"), model) == (64 + 16, "input1", 4 + 1)


def test_footprint_of_an_int8_model(tmp_path: Path) -> None:
    network = check("input 1x8x8; conv 4 k=3 p=1 bias=false; bn; relu; fc 10; softmax")
    images = np.random.default_rng(0).random((32, 1, 8, 8), np.float32)
    split = Split((images,), (np.zeros(32, np.int64),))
    weights = random_weights(network.require_graph(), 0)
    options = Options(target="mcu", precision="int8")
    done = export(
        network,
        weights,
        tmp_path / "int8.onnx",
        options=options,
        examples=CalibrationExamples.of(split, split, split, 0),
    )
    assert done.quality is not None
    assert done.footprint is not None
    assert done.quality.faster == (), "everywhere: no layer stays in float32"
    # at fc1: its input, its weights (converted to float at run time) and its output
    assert done.footprint[:2] == (4 * (256 + 256 * 10 + 10), "fc1")
    # conv1 and fc1: weights, and per channel a zero point of 1 byte, a scale and a bias of 4 bytes; a scale for each of
    # input1, relu1, fc1.flat and fc1; two zero points, as the first three share one
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
def test_an_unsupported_layer_is_named(text: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(CnncError, match="target mcu does not support") as caught:
        exported(check(text), tmp_path / "no.onnx")
    (found,) = caught.value.diagnostics
    assert found.code == "E807"
    assert caught.value.status is Exit.EXPORT
    assert word in found.message or "indices" in found.message
    assert found.span is not None
    assert found.span.line in (2, 3)
    assert list(tmp_path.iterdir()) == []


def test_symbolic_sizes_are_rejected_and_at_helps(tmp_path: Path) -> None:
    text = "input 1xHxW; conv 4 k=3 s=2 p=same; relu; pool avg k=2 ceil=true; global_pool avg"
    with pytest.raises(CnncError, match="symbolic sizes") as caught:
        exported(check(text), tmp_path / "no.onnx")
    assert caught.value.diagnostics[0].code == "E807"
    assert "--at H=" in caught.value.diagnostics[0].help
    exported(check(text, at={"H": 9, "W": 12}), tmp_path / "yes.onnx")


@pytest.mark.parametrize(
    "kind", ["avg k=3 s=2 p=1 ceil=true count_pad=true", "weighted k=3 s=2 p=1", "avg k=2 s=1 d=2 p=1"]
)
def test_divisors_of_average_pools_are_constants(kind: str, tmp_path: Path) -> None:
    done = exported(check(f"input 2x7x8; pool {kind}"), tmp_path / "mean.onnx")
    assert {n.op_type for n in onnx.load(done.path).graph.node} <= {"Conv", "Div"}


def test_verification_uses_the_batch_of_one(tmp_path: Path) -> None:
    done = exported(check(SMALL), tmp_path / "small.onnx")
    assert {d.name for d in done.verification.deviations} == {"bn1", "relu1", "pool1", "fc1", "softmax1"}
    assert all(np.isfinite(d.difference) for d in done.verification.deviations)
