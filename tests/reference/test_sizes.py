"""The engine on networks with symbols: every legal size runs, and every other is an error."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.diagnostics import CnncError
from cnnc.network import check
from cnnc.reference.engine import backward, forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_first

TEXT = "input 3xHxW; conv 4 k=3 s=2 p=same; relu; a: conv 4 k=3 p=1; pool max k=2; upsample 2; concat a; global_pool avg; fc 2"


@pytest.mark.parametrize("size", [(3, 4), (4, 3), (7, 8), (31, 12), (40, 63)])
def test_every_legal_size_runs_as_a_network_of_that_size_does(size: tuple[int, int]) -> None:
    graph = check(TEXT).require_graph()
    fixed = check(TEXT.replace("HxW", f"{size[0]}x{size[1]}")).require_graph()
    weights = initialize(graph, 0)
    feeds = {"input1": np.random.default_rng(0).random((2, 3, *size), np.float32)}
    found, expected = (forward(each, weights, feeds, keep_all=True).values for each in (graph, fixed))
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_gradients_of_another_size() -> None:
    graph = check(TEXT).require_graph()
    weights = initialize(graph, 0)
    feeds = {"input1": np.random.default_rng(0).random((2, 3, 8, 12), np.float32)}
    trace = forward(graph, weights, feeds, training=True)
    gradients, _ = backward(graph, weights, trace, {"fc1": np.ones((2, 2), np.float32)})
    assert {n: g.shape for n, g in gradients.items()} == {n: w.shape for n, w in weights.items()}
    assert to_channels_first(forward(graph, weights, feeds).values["fc1"]).shape == (2, 2)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        (TEXT, (3, 6, 8), "H = 6 and W = 8 does not fit: concat1: concat needs equal sizes"),
        (TEXT, (3, 1, 4), "H = 1 and W = 4 does not fit: pool1: the 2x2 kernel does not fit into the 1x2 input"),
        (TEXT, (4, 8, 8), "the input input1 takes 3xHxW, not 4x8x8"),
        (TEXT, (3, 8), "the input input1 takes 3xHxW, not 3x8"),
        ("input 1xHxH; conv 2 k=3", (1, 8, 9), "the input input1 takes 1xHxH, not 1x8x9"),
        ("input 1x8x8; conv 2 k=3", (1, 8, 9), "the input input1 takes 1x8x8, not 1x8x9"),
        ("input 1xHxH; conv 2 k=3; expect 2x6x6; fc 2", (1, 9, 9), "H = 9 does not fit: fc1.weight"),
        ("input 1xHxH; crop [H - 1, 2]; tanh", (1, 9, 9), "this graph was built for another size than H = 9"),
    ],
)
def test_a_size_that_is_not_legal_is_an_error(text: str, shape: tuple[int, ...], message: str) -> None:
    graph = check(text).require_graph()
    with pytest.raises(CnncError) as caught:
        forward(graph, initialize(graph, 0), {"input1": np.zeros((1, *shape), np.float32)})
    (found,) = caught.value.diagnostics
    assert found.code == "E602"
    assert message in found.message
