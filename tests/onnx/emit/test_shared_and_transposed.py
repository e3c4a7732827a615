"""Emission of flipped, transposed, shared and merged layers, and of int64 inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cnnc.core.arrays import Array
from cnnc.graph.analysis import vocabularies
from cnnc.network import check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import fold_scale, run_passes
from cnnc.onnx.emit.verify import sample_feeds, verify_model
from cnnc.onnx.export import export
from cnnc.onnx.run.session import Signature, open_model
from cnnc.reference.engine import forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_first
from tests.op_cases import random_weights

TOWERS = """block tower { embed 6 vocab=9; conv 5 k=3 p=1 flip=true; bn; relu; pool max k=7; fc 4 }
query: input 7 dtype=int64
left: tower
document: input 7 dtype=int64
right: tower share=left
sim: bilinear left right
joined: concat left sim right
score: fc 2; probability: softmax
output sim probability
"""

DECODER = """input 2x4x5
e: conv 4 k=3 p=1; relu
m: mul { } { crop 1x1; conv 4 k=1; sigmoid }
x: maximum { conv 4 k=1 } { conv 4 k=1 } { channel_shuffle 2 }
add e m x
a: pad 1 value=0.5; conv_transpose 6 k=4 s=2 p=1 groups=2 bias=false; bn
space_to_depth 2; depth_to_space 2
slice 1 5; slice -9 axis=2; select [0, 3, 3, 1]
sub { } { conv 1 k=1 flip=true }
"""


def exported(text: str, opset: int = 17) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The verified model of a network with random weights, and its initializers."""
    graph = check(text).require_graph()
    weights = random_weights(graph, 0)
    model = emit(*run_passes(graph, weights), {}, opset)
    verify_model(model, graph, weights, sample_feeds(graph, 3, 1)).require_within_tolerance(graph)
    return model, {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}


def kinds(model: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node]


def weights_of(text: str) -> dict[str, Array]:
    return random_weights(check(text).require_graph(), 0)


# --- weights -----------------------------------------------------------------------------------------------


def test_a_flipped_weight_is_stored_once() -> None:
    text = "input 2x6x6; a: conv 2 k=3 flip=true; relu; conv 2 k=3 flip=true share=a"
    model, stored = exported(text)
    assert stored.keys() == {"a.weight", "a.bias"}
    np.testing.assert_array_equal(stored["a.weight"], weights_of(text)["a.weight"][:, :, ::-1, ::-1])
    assert [list(n.input[1:]) for n in model.graph.node if n.op_type == "Conv"] == [["a.weight", "a.bias"]] * 2


@pytest.mark.parametrize(("first", "second"), [("", "flip=true"), ("flip=true", "")])
def test_a_weight_used_flipped_and_unflipped_is_stored_twice(first: str, second: str) -> None:
    text = f"input 2x7x7; a: conv 2 k=3 {first}; relu; b: conv 2 k=3 {second} share=a; conv 2 k=3 share=b"
    _, stored = exported(text)
    assert stored.keys() == {"a.weight", "a.bias", "a.weight.turned"}
    weight = weights_of(text)["a.weight"]
    np.testing.assert_array_equal(stored["a.weight"], weight)
    np.testing.assert_array_equal(stored["a.weight.turned"], weight[:, :, ::-1, ::-1])


def test_shared_weights_are_stored_once() -> None:
    model, stored = exported(TOWERS)
    own = {f"left.{n}" for n in ("embed1.weight", "conv1.weight", "conv1.bias", "fc1.weight", "fc1.bias")}
    statistics = {f"left.bn1.{n}" for n in ("scale", "shift", "mean", "var")}
    assert {n for n in stored if n.startswith(("left.", "right."))} == own | statistics
    assert sum("left.conv1.weight" in n.input for n in model.graph.node) == 2
    total = sum(stored[n].size for n in stored if n.split(".")[-1] in ("weight", "bias", "scale", "shift"))
    assert total == check(TOWERS).require_graph().total_parameters


# --- nodes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: input 4; b: input 4; add a", ["Add"]),
        ("a: input 4; b: input 4; add a b a", ["Sum"]),
        ("a: input 4; b: input 4; sub a", ["Sub"]),
        ("a: input 4; b: input 4; mul a b a b", ["Mul"] * 4),
        ("a: input 4; b: input 4; maximum a b a", ["Max"]),
        ("a: input 4; b: input 4; concat a", ["Concat"]),
        ("a: input 4; b: input 4; bilinear a b", ["Gemm", "Mul", "ReduceSum"]),
        (
            "a: input 2x2; b: input 4; bilinear a b out=3",
            ["Flatten", "Gemm", "Reshape", "Unsqueeze", "Mul", "ReduceSum"],
        ),
        ("input 4 dtype=int64; embed 3 vocab=5", ["Gather", "Transpose"]),
        ("input 2x4x5; pad 1", ["Pad"]),
        ("input 2x4x5; crop 2", ["Slice"]),
        ("input 2x4x5; slice 1", ["Slice"]),
        ("input 2x4x5; select [1, 0]", ["Gather"]),
        ("input 4x4x5; channel_shuffle 2", ["Gather"]),
        ("input 4x4x5; depth_to_space 2", ["DepthToSpace"]),
        ("input 4x4x6; space_to_depth 2", ["SpaceToDepth"]),
        ("input 4x4x6; conv_transpose 2 k=2 s=2", ["ConvTranspose"]),
    ],
)
def test_layer_becomes_these_operators(text: str, expected: list[str]) -> None:
    assert kinds(exported(text)[0]) == expected


@pytest.mark.long
@pytest.mark.parametrize("opset", range(13, 27))
@pytest.mark.parametrize("text", [TOWERS, DECODER], ids=["towers", "decoder"])
def test_every_opset_computes_the_same(text: str, opset: int) -> None:
    model, _ = exported(text, opset)
    assert [(i.domain, i.version) for i in model.opset_import] == [("", opset)]


@pytest.mark.parametrize(
    "layer",
    [
        "slice 1 4",
        "slice -4 -1 axis=1",
        "slice 2 axis=2",
        "select [-1, 0] axis=1",
        "crop 3x4 offset=1x0",
        "pad [0, 1, 2, 0] value=3",
        "channel_shuffle 2",
        "depth_to_space 2",
        "conv_transpose 3 k=3 s=2 p=same",
        "conv_transpose 3 k=3 s=2 p=[1,0,0,1] output_pad=1",
        "conv 3 k=3x2 flip=true",
        "add { conv 1 k=1 } { }",
    ],
)
def test_spatial_sizes_are_not_constants_of_the_model(layer: str) -> None:
    """Nodes and constants are the same for another height and width, so that these can be symbols."""
    found = []
    for size in ("6x8", "10x14"):
        model, stored = exported(f"input 8x{size}; {layer}")
        found.append(([n.SerializeToString() for n in model.graph.node], {k: v.tolist() for k, v in stored.items()}))
    (nodes, constants), (others, other_constants) = found
    assert nodes == others
    assert constants == other_constants


# --- batch norm into transposed convolution ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input 2x5x5; conv_transpose 3 k=2; bn", ["ConvTranspose"]),
        ("input 4x5x5; conv_transpose 6 k=2 s=2 groups=2 bias=false; bn", ["ConvTranspose"]),
        ("input 3x5; conv_transpose 3 k=2 groups=c_in; bn affine=false", ["ConvTranspose"]),
        ("input 2x5x5; conv 3 k=2 flip=true; bn", ["Conv"]),
        ("input 2x5x5; conv 3 k=2 frozen=true; bn", ["Conv"]),
        # another layer shares its weights
        (
            "input 2x5x5; a: conv_transpose 2 k=2; bn; conv_transpose 2 k=2 share=a",
            ["ConvTranspose", "BatchNormalization", "ConvTranspose"],
        ),
        # unless that layer is dropped
        ("input 2x5x5; a: conv 2 k=2; from input1; conv 2 k=2 share=a; b: bn; output b", ["Conv"]),
    ],
)
def test_batch_norm_is_folded_into_transposed_and_flipped_convolutions(text: str, expected: list[str]) -> None:
    assert kinds(exported(text)[0]) == expected


def test_folding_multiplies_the_outputs_of_each_group() -> None:
    """Weight (C, O/groups, k): outputs 0 and 1 come from inputs 0 and 1, outputs 2 and 3 from inputs 2 and 3."""
    graph = check("input 4x2; conv_transpose 4 k=1 groups=2 bias=false; bn eps=0.1").require_graph()
    weights = {
        "conv_transpose1.weight": np.ones((4, 2, 1)),
        "bn1.scale": np.array([1.0, 2.0, 3.0, 4.0]),
        "bn1.shift": np.array([5.0, 6.0, 7.0, 8.0]),
        "bn1.mean": np.array([1.0, 1.0, 0.0, 2.0]),
        "bn1.var": np.full(4, 0.9),
    }
    _, folded = fold_scale(graph, weights)
    assert folded.keys() == {"conv_transpose1.weight", "conv_transpose1.bias"}
    np.testing.assert_allclose(folded["conv_transpose1.weight"][..., 0], [[1, 2], [1, 2], [3, 4], [3, 4]])
    np.testing.assert_allclose(folded["conv_transpose1.bias"], [4, 4, 7, 0])


# --- integers, several inputs and outputs ------------------------------------------------------------------


def test_random_integers_are_within_the_vocabulary() -> None:
    text = (
        "a: input 6 dtype=int64; select [5, 0]; slice 1; embed 3 vocab=50; "
        "from a; embed 3 vocab=4; from a; reshape 2x3; identity; flatten; embed 3 vocab=7; "
        "b: input 4 dtype=int64; c: input 3 dtype=int64; concat b c; embed 2 vocab=5"
    )
    graph = check(text).require_graph()
    known = vocabularies(graph)
    assert (known["a"], known["b"], known["c"], known["reshape1"]) == (4, 5, 5, 7)
    feeds = sample_feeds(graph, 200)
    assert all(feed.dtype == np.int64 for feed in feeds.values())
    assert {n: (int(feed.min()), int(feed.max())) for n, feed in feeds.items()} == {
        "a": (0, 3),
        "b": (0, 4),
        "c": (0, 4),
    }


def test_two_inputs_and_two_outputs(tmp_path: Path) -> None:
    network = check(TOWERS, name="towers.cnn")
    graph = network.require_graph()
    weights = initialize(graph, 0)
    done = export(network, weights, tmp_path / "towers.onnx")
    session = open_model(done.path, "cpu")
    assert session.inputs == dict.fromkeys(("query", "document"), Signature((7,), np.dtype(np.int64)))
    assert session.outputs == ["sim", "probability"]
    feeds = sample_feeds(graph, 4, 9)
    values = forward(graph, weights, feeds).values
    for name, found in zip(session.outputs, session.run(feeds), strict=True):
        np.testing.assert_allclose(found, to_channels_first(values[name]), rtol=1e-4, atol=1e-5)


def test_an_int64_output_has_its_type() -> None:
    model, _ = exported("i: input 5 dtype=int64; a: slice 1 3; from i; b: embed 2 vocab=4; output a b")
    assert [o.type.tensor_type.elem_type for o in model.graph.output] == [
        onnx.TensorProto.INT64,
        onnx.TensorProto.FLOAT,
    ]
