"""Each pass switched on and off: the same outputs, and the operators that it removes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from cnnc.diagnostics import CnncError
from cnnc.network import check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import PASSES, fold_normalize, fold_scale, run_passes, select_passes, share_weights
from cnnc.onnx.emit.verify import sample_feeds, verify_model
from cnnc.reference.engine import forward
from tests.op_cases import Case, random_feeds, random_weights

TEXT = """input 4x9x8 dtype=uint8
normalize mean=[0.1, 0.4, 0.5, 0.6] std=[0.2, 0.3, 0.4, 0.5]
conv 6 k=3 groups=2 bias=false; bn; affine; relu; identity
conv 6 k=3 flip=true; dropout; affine; bn affine=false; tanh
unused: conv 3 k=2; from unused
from tanh1
conv_transpose 4 k=2 s=2 groups=2; bn; drop_path 0.2
fc 5 bias=false; bn; relu; fc 5; affine
output affine3
"""


def model_of(text: str, without: tuple[str, ...] = ()) -> onnx.ModelProto:
    """The verified model of a network with random weights."""
    graph = check(text).require_graph()
    weights = random_weights(graph, 0)
    model = emit(*run_passes(graph, weights, select_passes(without)), {})
    verify_model(model, graph, weights, sample_feeds(graph, 3, 1)).require_within_tolerance(graph)
    return model


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("name", PASSES)
def test_the_model_is_correct_without_one_pass(name: str) -> None:
    with_it, without = model_of(TEXT), model_of(TEXT, (name,))
    if name == "share-weights":  # nothing can be shared here
        assert with_it.SerializeToString() == without.SerializeToString()
    else:
        assert len(without.graph.node) > len(with_it.graph.node)


def test_the_model_is_correct_without_any_pass() -> None:
    found = kinds(model_of(TEXT, tuple(PASSES)))
    assert found.count("BatchNormalization") == 4
    assert "Identity" in found


def test_operators_left_by_all_passes() -> None:
    expected = ["Cast", "Div", "Conv", "Relu", "Conv", "Tanh", "ConvTranspose", "Flatten", "Gemm", "Relu", "Gemm"]
    assert kinds(model_of(TEXT)) == expected


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_changes_no_output_in_float64(name: str) -> None:
    graph = check(TEXT).require_graph()
    weights = random_weights(graph, 0, np.float64)
    feeds = random_feeds(Case("passes", TEXT), graph, 2, 0, np.float64)
    expected = forward(graph, weights, feeds).values["affine3"]
    smaller, folded = PASSES[name](graph, weights)
    np.testing.assert_allclose(forward(smaller, folded, feeds).values["affine3"], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "folds"),
    [
        ("input 2x5x5; normalize mean=0.5 std=0.2; conv 3 k=3", True),
        ("input 2x5x5; normalize mean=0.5 std=0.2; conv 3 k=3 p=valid bias=false", True),
        ("input 2x5x5; normalize mean=0.5 std=0.2; conv 2 k=3 groups=2", True),
        ("input 2x3x4; normalize mean=[0.5, 0.1] std=0.2; fc 3", True),
        ("input 2x5x5; normalize mean=0 std=0.2; conv 3 k=3 p=1", True),
        # the padding is zeros of the normalized image, which is the mean of the original one
        ("input 2x5x5; normalize mean=0.5 std=0.2; conv 3 k=3 p=1", False),
        ("input 2x6x6; normalize mean=0.5 std=0.2; conv 3 k=3 s=2 p=same", False),
        (
            "input 2xHxH; normalize mean=0.5 std=0.2; conv 3 k=2 s=2 p=same",
            False,
        ),  # no padding at the reference size only
        ("input 2x5x5; normalize mean=[0.5, 0.1] std=0.001; conv 3 k=3", False),  # would cost precision
        ("input 2x5x5; n: normalize mean=0.5 std=0.2; conv 3 k=3; output conv1 n", False),
        ("input 2x5x5; n: normalize mean=0.5 std=0.2; conv 3 k=3; from n; conv 2 k=2; output conv1 conv2", False),
        ("input 2x5x5; normalize mean=0.5 std=0.2; a: conv 2 k=3; conv 2 k=3 share=a", False),
        ("input 2x5x5; normalize mean=0.5 std=0.2; relu; conv 3 k=3", False),
    ],
)
def test_normalize_is_folded_where_padding_allows(text: str, folds: bool) -> None:
    graph = check(text).require_graph()
    weights = random_weights(graph, 0)
    smaller, _ = fold_normalize(graph, weights)
    assert (len(smaller.nodes) == len(graph.nodes) - 1) == folds
    if "H" not in text:
        model_of(text)


def test_layers_that_share_weights_are_not_folded() -> None:
    graph = check("input 2x6x6; a: conv 2 k=3 p=1; bn; conv 2 k=3 p=1 share=a; affine").require_graph()
    smaller, _ = fold_scale(graph, random_weights(graph, 0))
    assert len(smaller.nodes) == len(graph.nodes)


def test_identical_weights_are_stored_once() -> None:
    graph = check("input 3x6x6; a: conv 3 k=3 p=1; relu; b: conv 3 k=3 p=1; relu; c: conv 3 k=3 p=1").require_graph()
    weights = random_weights(graph, 0)
    weights |= {"b.weight": weights["a.weight"].copy(), "b.bias": weights["a.bias"].copy()}
    smaller, kept = share_weights(graph, weights)
    assert kept.keys() == {"a.weight", "a.bias", "c.weight", "c.bias"}
    model = emit(smaller, kept, {})
    assert [i.name for i in model.graph.initializer] == ["a.weight", "a.bias", "c.weight", "c.bias"]
    verify_model(model, graph, weights, sample_feeds(graph, 2)).require_within_tolerance(graph)


def test_weights_with_another_bias_are_not_shared() -> None:
    graph = check("input 3x6x6; a: conv 3 k=3 p=1; b: conv 3 k=3 p=1").require_graph()
    weights = random_weights(graph, 0)
    weights |= {"b.weight": weights["a.weight"]}
    assert len(share_weights(graph, weights)[1]) == 4


def test_an_unknown_pass_is_rejected() -> None:
    with pytest.raises(CnncError, match="there is no pass `fold-scales`") as caught:
        select_passes(["fold-scales"])
    assert caught.value.diagnostics[0].code == "E010"
    assert "`fold-scale`?" in caught.value.diagnostics[0].help
