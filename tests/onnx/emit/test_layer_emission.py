"""Emission of activations, norms, pools and unpools: which operators at which opset."""

from __future__ import annotations

import onnx
import pytest

from cnnc.diagnostics import CnncError
from cnnc.network import check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import run_passes
from cnnc.onnx.emit.verify import verify_model
from tests.op_cases import Case, random_feeds, random_weights

BY_OPSET = """
input 4x8x8
a: gelu; b: mish; c: hard_swish; add a b
silu; selu; elu; softplus; hard_sigmoid; log_softmax
lrn size=3 alpha=1; lrn size=2 alpha=1; group_norm groups=2; layer_norm; instance_norm; affine; prelu
q: pool max k=2; tanh; unpool q; maxout 2
pool l2 k=3 s=2 p=1; pool lp k=2 s=1 d=2 norm=3; upsample 2 mode=bilinear; upsample 3x2
filter sobel_x; pool weighted k=3 s=2 p=1; local 3 k=2 p=same; relu6; clip -1 2; leaky_relu; abs; scale 2; identity; drop_path 0.2
l: global_pool l2; fc 6; layer_norm; gelu; group_norm groups=3; prelu
"""


@pytest.mark.long
@pytest.mark.parametrize("opset", range(13, 25))
def test_every_opset_computes_the_same(opset: int) -> None:
    graph = check(BY_OPSET).require_graph()
    weights = random_weights(graph, 0)
    model = emit(*run_passes(graph, weights), {}, opset)
    verify_model(model, graph, weights, random_feeds(Case("all", BY_OPSET), graph, 2, 0)).require_within_tolerance(
        graph
    )


def exported(text: str, opset: int = 17) -> onnx.ModelProto:
    graph = check(text).require_graph()
    return emit(*run_passes(graph, random_weights(graph, 0)), {}, opset)


@pytest.mark.parametrize(
    ("text", "opset", "kinds"),
    [
        ("input 3x4x4; gelu", 19, ["Div", "Erf", "Add", "Mul", "Mul"]),
        ("input 3x4x4; gelu", 20, ["Gelu"]),
        ("input 3x4x4; mish", 17, ["Softplus", "Tanh", "Mul"]),
        ("input 3x4x4; mish", 18, ["Mish"]),
        ("input 3x4x4; hard_swish", 13, ["HardSigmoid", "Mul"]),
        ("input 3x4x4; hard_swish", 14, ["HardSwish"]),
        ("input 6; layer_norm", 17, ["LayerNormalization"]),
        ("input 3x4x4; lrn", 17, ["LRN"]),
        ("input 3x4x4; lrn size=4", 17, ["Mul", "Conv", "Pow", "Div"]),
        ("input 3x4x4; pool l2 k=2", 17, ["LpPool"]),
        ("input 3x4x4; pool l2 k=3 s=1 p=1", 17, ["Pad", "LpPool"]),
        ("input 3x4x4; pool weighted k=2", 17, ["Conv"]),
        ("input 3x4x4; pool weighted k=3 s=1 p=1 count_pad=true", 17, ["Conv"]),
        ("input 3x4x4; pool avg k=2 s=1 d=2", 17, ["Conv"]),
        ("input 3x4x4; filter box", 17, ["Conv"]),
        ("input 3x4x4; local 2 k=3", 17, ["Flatten", "Transpose", "Gather", "Conv", "Reshape", "Transpose"]),
        ("input 3x4; local 2 k=3 p=1", 17, ["Pad", "Flatten", "Transpose", "Gather", "Conv", "Reshape", "Transpose"]),
        (
            "input 3x4x4; local 2 k=3 bias=false; bn",
            17,
            ["Flatten", "Transpose", "Gather", "Conv", "Reshape", "Transpose"],
        ),
        ("input 3x4x4; drop_path 0.1; identity; relu; dropout; tanh", 17, ["Relu", "Tanh"]),
        ("input 3x4x4; drop_path 0.1", 17, ["Identity"]),
    ],
)
def test_layer_becomes_these_operators(text: str, opset: int, kinds: list[str]) -> None:
    assert [node.op_type for node in exported(text, opset).graph.node] == kinds


def test_hard_sigmoid_has_an_explicit_slope() -> None:
    (node,) = exported("input 3; hard_sigmoid").graph.node
    assert {a.name: a.f for a in node.attribute} == {"alpha": pytest.approx(1 / 6), "beta": 0.5}


def test_an_unpool_reads_the_indices_of_its_own_pool() -> None:
    model = exported("input 2x4x4; a: pool max k=2; b: pool max k=2; unpool b; unpool a")
    pools = [node for node in model.graph.node if node.op_type == "MaxPool"]
    assert [list(node.output) for node in pools] == [["a", "a.indices"], ["b", "b.indices"]]
    assert [node.op_type for node in model.graph.node].count("ScatterElements") == 2


def test_overlapping_unpool_is_rejected_below_opset_16() -> None:
    """ScatterElements adds from opset 16 on."""
    text = "input 2x5x5; q: pool max k=3 s=2; u: unpool q"
    with pytest.raises(CnncError, match="u cannot be exported at opset 15") as caught:
        exported(text, 15)
    (found,) = caught.value.diagnostics
    assert found.code == "E805"
    assert found.span is not None
    assert found.span.text == "u: unpool q"
    exported(text, 16)
    exported("input 2x4x4; q: pool max k=2; u: unpool q", 13)


def test_a_slope_shared_by_layers_of_different_ranks_is_stored_in_two_shapes() -> None:
    text = "block b { prelu }; input 4x3x3; first: b; global_pool avg; reshape 4; b share=first"
    graph = check(text).require_graph()
    weights = random_weights(graph, 0)
    model = emit(*run_passes(graph, weights), {})
    verify_model(model, graph, weights, random_feeds(Case("shared", text), graph, 2, 0)).require_within_tolerance(graph)
