"""Numbers that the source gives: the initial weights, what training does with them, and what `Op.make` accepts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.core.arguments import BadValue, NumberLists
from cnnc.network import check
from cnnc.ops.conv import Conv
from cnnc.reference.engine import backward, forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_last
from tests.reference.networks import graph, normal

KERNEL = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("text", "weight", "bias"),
    [
        ("input 1x5x5; a: conv 1 k=3 weights=[[0, 1, 0], [1, -4, 1], [0, 1, 0]]", [[KERNEL]], [0]),
        ("input 1x5x5; a: conv 1 k=3 weights=[[[0, 1, 0], [1, -4, 1], [0, 1, 0]]] biases=2", [[KERNEL]], [2]),
        ("input 1x5x5; a: conv 1 k=3 weights=[[[[0, 1, 0], [1, -4, 1], [0, 1, 0]]]] biases=[2]", [[KERNEL]], [2]),
        ("let k = [[1, 1/4]]; input 1x5x5; a: conv 1 k=1x2 weights=k", [[[[1, 0.25]]]], [0]),
        ("input 1x5x5; a: conv 1 k=1 weights=3", [[[[3]]]], [0]),
        (
            "input 2x3x3; a: conv 2 k=1x2 weights=[[[[1, 2]], [[3, 4]]], [[[5, 6]], [[7, 8]]]] biases=1e-3",
            [[[[1, 2]], [[3, 4]]], [[[5, 6]], [[7, 8]]]],
            [0.001, 0.001],
        ),
        ("input 1x5; a: conv 2 k=2 weights=[[[1, 2]], [[3, 4]]] biases=[1, -1]", [[[1, 2]], [[3, 4]]], [1, -1]),
        ("input 1x2x3x3; a: conv 1 k=2x1x2 weights=[[[1, 2]], [[3, 4]]]", [[[[[1, 2]], [[3, 4]]]]], [0]),
        ("input 2x3x3; a: conv 2 k=1 groups=2 weights=[[[[1]]], [[[2]]]]", [[[[1]]], [[[2]]]], [0, 0]),
        (
            "input 2x3x3; a: conv_transpose 3 k=1 weights=[[[[1]], [[2]], [[3]]], [[[4]], [[5]], [[6]]]] biases=[1, 2, 3]",
            [[[[1]], [[2]], [[3]]], [[[4]], [[5]], [[6]]]],
            [1, 2, 3],
        ),
        ("input 1x3; a: local 1 k=2 weights=[[1, -1], [2, 0]]", [[[[1, -1]]], [[[2, 0]]]], [[0, 0]]),
        (
            "input 1x3; a: local 1 k=2 weights=[[[[1, -1]]], [[[2, 0]]]] biases=[3, 4]",
            [[[[1, -1]]], [[[2, 0]]]],
            [[3, 4]],
        ),
        (
            "input 1x1x2; a: local 1 k=1 weights=[[[[5]], [[6]]]] biases=[[[1, 2]]]",
            [[[[[[5]]]], [[[[6]]]]]],
            [[[1, 2]]],
        ),
        (
            "input 2x2; a: local 2 k=1 weights=[[[[1], [2]], [[3], [4]]], [[[5], [6]], [[7], [8]]]] biases=1e-3",
            [[[[1], [2]], [[3], [4]]], [[[5], [6]], [[7], [8]]]],
            [[0.001, 0.001], [0.001, 0.001]],
        ),
        ("input 2; a: fc 2 weights=[[1, 0.1], [-3, 4]] biases=[0, -1]", [[1, 0.1], [-3, 4]], [0, -1]),
        ("input 2; a: fc 1 weights=[1, -2]", [[1, -2]], [0]),
        ("input 2; a: fc 1 weights=[1, -2] bias=false", [[1, -2]], None),
        ("x: input 2; y: input 1; a: bilinear x y weights=[[1], [2]]", [[[1], [2]]], None),
        ("input 3 dtype=int64; a: embed 2 vocab=3 weights=[[1, 2], [3, 4], [5, 6]]", [[1, 2], [3, 4], [5, 6]], None),
    ],
)
def test_the_weights_begin_as_given(text: str, weight: Any, bias: Any) -> None:
    weights = initialize(graph(text), 7)
    np.testing.assert_array_equal(weights["a.weight"], np.array(weight, np.float32), strict=True)
    if bias is None:
        assert weights.keys() == {"a.weight"}
    else:
        np.testing.assert_array_equal(weights["a.bias"], np.array(bias, np.float32), strict=True)


def test_only_biases_given_leaves_the_weights_to_init() -> None:
    given, drawn = (initialize(graph(f"input 4; a: fc 3 {rest}"), 1) for rest in ("biases=[1, 2, 3]", ""))
    np.testing.assert_array_equal(given["a.weight"], drawn["a.weight"])
    assert given["a.bias"].tolist() == [1, 2, 3]


def test_layers_that_share_and_calls_of_a_block_use_the_numbers_of_the_owner() -> None:
    net = graph("input 2; a: fc 2 weights=[[1, 2], [3, 4]]; relu; fc 2 share=a")
    assert {name: w.tolist() for name, w in initialize(net, 0).items()} == {
        "a.weight": [[1, 2], [3, 4]],
        "a.bias": [0, 0],
    }
    net = graph("block b { fc 2 weights=[[1, 2], [3, 4]] }; input 2; l: b; tanh; b share=l")
    assert initialize(net, 0).keys() == {"l.fc1.weight", "l.fc1.bias"}


def test_a_network_is_random_only_if_a_weight_is() -> None:
    random = {
        "input 2; fc 1": True,
        "input 2; fc 1 biases=1": True,
        "input 2; fc 1 weights=[1, 2]; bn": False,
        "input 1x8x8; filter sobel_x; abs": False,
        "input 2; fc 2 weights=[[1, 2], [3, 4]]; fc 1": True,
        "input 2; fc 2 init=zeros": False,
    }
    assert {text: graph(text).starts_at_random for text in random} == random


def test_flip_rotates_the_given_kernel() -> None:
    x = np.zeros((1, 1, 3, 3), np.float32)
    x[0, 0, 1, 1] = 1
    net = graph("input 1x3x3; a: conv 1 k=2 p=[0, 0, 1, 1] flip=true weights=[[1, 2], [3, 4]]")
    y = forward(net, initialize(net, 0), {"input1": x}).values["a"][0, :, :, 0]
    np.testing.assert_array_equal(y, [[1, 2, 0], [3, 4, 0], [0, 0, 0]])


def test_frozen_bilinear_passes_gradients_on_and_has_none() -> None:
    """The gradients of the layers below are those with trainable weights."""
    text = "input 3; a: fc 2; from input1; b: fc 2; bilinear a b weights=[[1, 2], [3, 4]]"
    gradients = []
    for frozen in ("", " frozen=true"):
        net = graph(text + frozen)
        weights = initialize(net, 0)
        trace = forward(net, weights, {"input1": normal(4, 3)}, training=True)
        seeds = {"bilinear1": to_channels_last(np.ones((4, 1), np.float32))}
        gradients.append(backward(net, weights, trace, seeds)[0])
    trained, frozen_gradients = gradients
    assert trained.keys() - frozen_gradients.keys() == {"bilinear1.weight"}
    for name, gradient in frozen_gradients.items():
        np.testing.assert_array_equal(gradient, trained[name])


def test_equal_numbers_make_equal_networks() -> None:
    """However the lists are written: settings and line breaks do not matter, the numbers do."""
    one, same, other = (
        check(f"input 2\nfc 2 weights={lists}", name="n").require_graph()
        for lists in ("[[1, 2], [3, 4]]", "[[1.0, 4/2],\n  [3,4]]", "[[1, 2], [3, 5]]")
    )
    assert one == same
    assert hash(one.nodes[1].op) == hash(same.nodes[1].op)
    assert one != other


def test_make_refuses_what_is_no_number() -> None:
    for value in (
        ((1.0, True),),
        ((1.0, "2"),),
        ((1.0, float("inf")),),
        ((1.0, float("nan")),),
        ((1.0, 1e39),),
        ((),),
        (),
    ):
        with pytest.raises(BadValue):
            Conv.make(out=1, k=1, weights=value)


@pytest.mark.parametrize(
    ("lists", "ragged"),
    [
        (((1, 2), (3,)), "[1] has 1 item, but [0] has 2 items"),
        (((1, 2), 3), "[1] is a number, but [0] is a list"),
        ((1, ((2, 3),)), "[1] is a list, but [0] is a number"),
        ((((1,), (2,)), ((3,), (4, 5))), "[1][1] has 2 items, but [0][0] has 1 item"),
        ((((1, 2),),), ""),
        (3, ""),
    ],
)
def test_where_lists_have_different_lengths_is_said(lists: Any, ragged: str) -> None:
    assert NumberLists().take(lists, 2).ragged == ragged
