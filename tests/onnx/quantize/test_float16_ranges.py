"""float16 as a device computes it: activations, sums and constants beyond its range, and the emulation that finds them.

The models that are written are run by onnx.reference, which computes in float16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from cnnc.core.arrays import Array
from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError, Diagnostic, Exit
from cnnc.network import check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import run_passes
from cnnc.onnx.emit.verify import random_weights, sample_feeds
from cnnc.onnx.export import Exported, Options, export
from cnnc.onnx.quantize.examples import CalibrationExamples
from cnnc.onnx.quantize.float16 import to_float16
from cnnc.onnx.quantize.float16_conversion import emulation, with_float16
from cnnc.onnx.run.session import Session
from cnnc.ops.spectrogram import Spectrogram
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from tests.model_files import FILES, network_of
from tests.op_cases import CASES, Case
from tests.op_cases import network_of as network_of_case

HALF = Options(precision="float16")
Change = Mapping[str, Callable[[Array], Array]]


def uniform(low: float, high: float, *shape: int) -> Array:
    return np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)


def exported(text: str, path: Path, inputs: Array | None = None, change: Change | None = None) -> Exported:
    network = check(text, "net.cnn")
    weights = random_weights(network.require_graph(), 0)
    for name, function in (change or {}).items():
        weights[name] = function(weights[name])
    examples = None
    if inputs is not None:
        split = Split((inputs,), ())
        examples = CalibrationExamples.of(split, split, split, 0)
    return export(network, weights, path, options=HALF, examples=examples)


def refusal(text: str, path: Path, inputs: Array | None = None, change: Change | None = None) -> Diagnostic:
    with pytest.raises(CnncError) as caught:
        exported(text, path, inputs, change)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E802"
    assert caught.value.status is Exit.EXPORT
    assert not path.exists()
    return diagnostic


def deviation_in_float16(text: str, path: Path, inputs: Array | None, change: Change | None) -> float:
    """How far onnx.reference, which computes in float16, is from the network, relative to its largest output."""
    graph = check(text).require_graph()
    weights = random_weights(graph, 0)
    for name, function in (change or {}).items():
        weights[name] = function(weights[name])
    feeds = {graph.inputs[0].name: inputs[:3]} if inputs is not None else sample_feeds(graph, 3, 5)
    expected = to_channels_first(forward(graph, weights, feeds).values[graph.outputs[0]])
    (found,) = ReferenceEvaluator(onnx.load(path)).run(None, feeds)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# --- activations -----------------------------------------------------------------------------------------

UNSCALED = """net Unscaled
input 1x32
conv 16 k=5
relu
conv 16 k=5
relu
global_pool avg
fc 3
train { data series "acc.csv"; epochs 1 }
"""


def test_activations_out_of_range_name_the_layer_and_a_remedy_that_works(tmp_path: Path) -> None:
    """In float16 every output would be NaN; onnxruntime on a CPU computes it without an error."""
    inputs = uniform(0, 60000, 40, 1, 32)
    found = refusal(UNSCALED, tmp_path / "half.onnx", inputs)
    assert found.message.startswith("conv1 reaches ")
    assert "on 40 training examples; float16 ends at 65,504" in found.message
    assert found.span is not None
    assert (found.span.line, found.span.text) == (3, "conv 16 k=5")
    edit = found.help.split("`")[1]
    assert found.help == f"add `{edit}` after input1 and train again, use --int8, or leave --fp16 out"
    assert edit.startswith("normalize mean=")
    exported(UNSCALED.replace("conv", f"{edit}\nconv", 1), tmp_path / "half.onnx", inputs)


def test_the_remedy_for_scaled_inputs_is_a_batch_norm(tmp_path: Path) -> None:
    text = 'net Deep; input 2x8x8; conv 4 k=3; conv 4 k=3; fc 3; train { data npz "d.npz"; epochs 1 }'
    found = refusal(text, tmp_path / "half.onnx", uniform(0, 1, 8, 2, 8, 8), {"conv2.weight": lambda w: w * 2e5})
    assert found.message.startswith("conv2 reaches ")
    assert found.help == "add `bn` after conv2 and train again, use --int8, or leave --fp16 out"


def test_a_layer_in_a_block_has_its_calls(tmp_path: Path) -> None:
    text = "block loud(n) { fc n; scale 200000 }\ninput 4\nloud 8\nfc 3"
    found = refusal(text, tmp_path / "half.onnx")
    assert found.span is not None
    assert found.span.text == "scale 200000"
    assert [call.text for call in found.calls] == ["block loud"]
    assert found.help == "leave --fp16 out"
    assert "random inputs" in found.message


@pytest.mark.parametrize(("largest", "accepted"), [(30000, True), (40000, False), (70000, False)])
def test_activations_may_use_half_of_the_range(largest: float, accepted: bool, tmp_path: Path) -> None:
    """Other inputs than the examples reach further."""
    text = f"input 1x4x4; relu; scale {largest}; conv 2 k=1; fc 3"
    inputs = uniform(0, 1, 8, 1, 4, 4)
    inputs[0, 0, 0, 0] = 1
    path = tmp_path / "half.onnx"
    if accepted:
        exported(text, path, inputs, {"conv1.weight": lambda w: w / 100})
    else:
        assert refusal(text, path, inputs, {"conv1.weight": lambda w: w / 100}).message.startswith("scale1 reaches")


def test_huge_scores_before_a_softmax_are_refused(tmp_path: Path) -> None:
    found = refusal("input 8; fc 5; softmax", tmp_path / "half.onnx", None, {"fc1.weight": lambda w: w * 1e6})
    assert found.message.startswith("fc1 reaches ")


def test_activations_too_small_for_float16_are_refused(tmp_path: Path) -> None:
    found = refusal("net Small; input 8; fc 4; scale 1e-7; scale 10000; fc 3 bias=false", tmp_path / "half.onnx")
    assert found.message.startswith("Small in float16 deviates by ")
    assert found.span is not None
    assert found.span.text == "scale 1e-7"


def test_a_single_output_may_be_near_zero(tmp_path: Path) -> None:
    """The logit of a classifier for two classes is near 0 for some examples, where no error is small in relation."""
    inputs = uniform(-1, 1, 64, 6)
    done = exported("input 6; fc 16; relu; fc 1; sigmoid", tmp_path / "half.onnx", inputs)
    assert done.quality is not None
    assert done.quality.after < 0.01


# --- layers in float32 -----------------------------------------------------------------------------------

IN_FLOAT32: list[tuple[str, tuple[str, ...], Array | None, Change]] = [
    # the squares of 1,000, and 36,864 squares of 1.3
    ("input 4x8x8; scale 1000; group_norm groups=2; conv 2 k=1", ("group_norm1",), None, {}),
    ("input 64x24x24; scale 2; group_norm groups=1; conv 2 k=1", ("group_norm1",), None, {}),
    ("input 4x8x8; scale 1000; instance_norm; conv 2 k=1", ("instance_norm1",), None, {}),
    ("input 4x8x8; scale 1000; layer_norm; conv 2 k=1", ("layer_norm1",), None, {}),
    ("input 64; scale 1000; layer_norm; fc 3", ("layer_norm1",), None, {}),
    # an eps that float16 rounds to 0
    ("input 4x8x8; instance_norm eps=1e-12; conv 2 k=1", ("instance_norm1",), None, {}),
    ("input 64; layer_norm eps=1e-12; fc 3", ("layer_norm1",), None, {}),
    # statistics beyond float16, and a channel whose deviation is close to 0
    (
        "input 4x8x8; relu; bn; conv 2 k=1",
        ("bn1",),
        uniform(0, 2000, 8, 4, 8, 8),
        {"bn1.var": lambda v: v * 1e6, "bn1.mean": lambda m: m + 1000},
    ),
    (
        "input 4x8x8; relu; bn eps=1e-10; conv 2 k=1",
        ("bn1",),
        None,
        {"bn1.var": lambda v: v * 1e-9, "bn1.scale": lambda s: s * 1e-4},
    ),
    # sums of pools
    ("input 1x260x260; relu; global_pool avg; fc 3", ("global_pool1",), None, {}),
    ("input 2x40x40; pool avg k=20; fc 3", ("pool1",), uniform(0, 500, 8, 2, 40, 40), {}),
    ("input 1xHxW; relu; global_pool avg; fc 3", ("global_pool1",), None, {}),
    ("input 2x4x4; scale 100; pool lp norm=9 k=2; fc 3", ("pool1",), None, {}),
    # exponentials
    ("input 8; scale 100; softplus; fc 3", ("softplus1",), None, {}),
    ("input 8; scale 100; mish; fc 3", ("mish1",), None, {}),
    # constants
    ("input 3x8x8; conv 4 k=1; scale 0.00001; conv 2 k=1", ("scale1",), None, {}),
    ("input 3x8x8; normalize mean=0 std=1e-9; relu; conv 2 k=1", ("normalize1",), uniform(0, 1e-8, 8, 3, 8, 8), {}),
    ("input 4; normalize mean=500000 std=300000; relu; fc 1", ("normalize1",), uniform(0, 1e6, 8, 4), {}),
    ("input 4; fc 4; relu; fc 1", ("fc1",), None, {"fc1.weight": lambda w: w * 1e-7, "fc1.bias": lambda b: b * 0}),
    # a last layer whose output is beyond float16
    ("input 4; fc 1", ("fc1",), None, {"fc1.weight": lambda w: w * 4e5}),
]


@pytest.mark.long
@pytest.mark.parametrize(("text", "layers", "inputs", "change"), IN_FLOAT32)
def test_a_layer_that_float16_cannot_compute_stays_in_float32(
    text: str, layers: tuple[str, ...], inputs: Array | None, change: Change, tmp_path: Path
) -> None:
    path = tmp_path / "half.onnx"
    done = exported(text, path, inputs, change)
    assert done.quality is not None
    assert done.quality.kept == layers
    assert deviation_in_float16(text, path, inputs, change) < 0.005
    onnx.checker.check_model(onnx.load(path), full_check=True)


@pytest.mark.parametrize(
    "text",
    [
        "input 4x8x8; group_norm groups=2; conv 2 k=1",
        "input 4x8x8; bn; relu; bn; conv 2 k=1; global_pool avg; fc 3",
        "input 16; layer_norm; softplus; fc 3",
        "input 2x9x9; pool max k=3 d=2 p=same; conv 2 k=1",  # its padding is infinite
        "input 8; clip -1000000 1000000; fc 3",
        "input 3x8x8; upsample 2; conv 2 k=1",
    ],
)
def test_other_layers_compute_in_float16(text: str, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    done = exported(text, path)
    assert done.quality is not None
    assert done.quality.kept == ()
    assert deviation_in_float16(text, path, None, None) < 0.005
    floats = [t.name for t in onnx.load(path).graph.initializer if t.data_type == TensorProto.FLOAT]
    assert all(name.endswith(".scales") for name in floats)


def test_the_squares_of_a_local_response_norm_stay_in_float32(tmp_path: Path) -> None:
    """onnx.reference takes another window of channels, so it is not compared."""
    inputs = uniform(0, 500, 8, 8, 6, 6)
    done = exported("input 8x6x6; lrn size=5; conv 2 k=1", tmp_path / "half.onnx", inputs)
    assert done.quality is not None
    assert done.quality.kept == ("lrn1",)


# --- conversion and emulation ----------------------------------------------------------------------------


def float32_model() -> onnx.ModelProto:
    """y = (x·x)·c, with c = 0.001 read by two nodes."""
    x, square, z, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", "s", "z", "y")
    )
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["s"], name="s"),
        helper.make_node("Mul", ["s", "c"], ["z"], name="z"),
        helper.make_node("Mul", ["z", "c"], ["y"], name="y"),
    ]
    c = onnx.numpy_helper.from_array(np.array(0.001, np.float32), "c")
    graph = helper.make_graph(nodes, "g", [x], [y], [c], value_info=[square, z])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, x: Array) -> Array:
    return Session(model.SerializeToString(), "the model", "cpu").run({"x": x})[0]


def test_the_emulation_overflows_where_onnxruntime_does_not() -> None:
    x = np.array([[300, 0.3]], np.float32)
    half = with_float16(float32_model(), ())
    onnx.checker.check_model(half, full_check=True)
    assert np.isinf(run(emulation(half), x)).tolist() == [[True, False]]
    with np.errstate(over="ignore"):
        (reference,) = ReferenceEvaluator(half).run(None, {"x": x})
    np.testing.assert_array_equal(run(emulation(half), x), reference)


def test_neighbours_in_float32_have_no_cast_between_them() -> None:
    half = with_float16(float32_model(), ("s", "z"))
    onnx.checker.check_model(half, full_check=True)
    assert [node.op_type for node in half.graph.node] == ["Mul", "Mul", "Cast", "Mul", "Cast"]
    assert sorted(t.name for t in half.graph.initializer) == ["c", "c.float16"]
    np.testing.assert_allclose(run(emulation(half), np.array([[300, 0.3]], np.float32)), [[0.09, 9e-8]], rtol=0.4)


REFUSED = {
    "unpool-conv": "deviates",  # a maximum that rounding moves
    "pad-pool-unpool": "deviates",
    **dict.fromkeys(  # onnxruntime has no float16 ScatterElements that adds
        (
            "unpool-overlapping",
            "unpool-overlapping-pad",
            "unpool-dilated",
            "unpool-dilated-pad",
            "unpool-sequence-overlapping",
            "unpool-volume-overlapping",
        ),
        "does not run",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_every_layer_in_float16(case: Case) -> None:
    """Its float32 model, which test_parity.py compares with the network, is converted and measured.

    Only a spectrogram stays in float32.
    """
    network = network_of_case(case)
    model = emit(*run_passes(network.require_graph(), random_weights(network.require_graph(), 0)), {})
    if case.id in REFUSED:
        with pytest.raises(CnncError, match=REFUSED[case.id]) as caught:
            to_float16(model, network, None)
        assert [d.code for d in caught.value.diagnostics] == ["E802"]
        return
    _, quality = to_float16(model, network, None)
    nodes = network.require_graph().nodes
    assert quality.kept == tuple(node.name for node in nodes if isinstance(node.op, Spectrogram))


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_example_network_in_float16(path: Path, tmp_path: Path) -> None:
    network = network_of(path)
    weights = random_weights(network.require_graph(), 0)
    if path.stem == "autoencoder_unpool":  # with random weights, maxima are so close that rounding moves them
        with pytest.raises(CnncError, match="deviates"):
            export(network, weights, tmp_path / "half.onnx", options=HALF)
        return
    done = export(network, weights, tmp_path / "half.onnx", options=HALF)
    assert done.quality is not None
    assert done.quality.kept == (("global_pool1",) if path.stem == "resnet50" else ())  # with these random weights
