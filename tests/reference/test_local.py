"""The unshared convolution against plain loops, against `conv` and PyTorch, and in blocks of rows and images."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.network import check
from cnnc.ops.local import Local
from cnnc.reference import local
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.registry import BACKWARD, FORWARD, Mode
from tests.op_cases import CASES, Case, graph_of, random_weights
from tests.reference import plain

ONE_LAYER = [case for case in CASES if case.id.startswith("local") and ";" not in case.text.partition("; ")[2]]


def one_layer(text: str, count: int, dtype: Any = np.float64) -> tuple[Local, Array, dict[str, Array]]:
    """The layer of a network `input ...; local ...`, an input (N, C, *spatial), and weights by short name."""
    graph = check(text).require_graph()
    source, node = graph.nodes
    assert isinstance(node.op, Local)
    weights = {name.split(".")[1]: array.astype(dtype) for name, array in random_weights(graph, 0).items()}
    x = np.random.default_rng(1).normal(size=(count, *source.type.shape)).astype(dtype)
    return node.op, x, weights


def run(op: Local, x: Array, weights: dict[str, Array]) -> tuple[Array, Array, Mapping[str, Array]]:
    """The output and the input gradient, channels first, and the weights' gradients; that of the output is a cosine."""
    outcome = FORWARD[Local](op, weights, (to_channels_last(x),), Mode(training=True))
    gradient = np.cos(np.arange(outcome.output.size)).reshape(outcome.output.shape).astype(x.dtype)
    (dx,), weight_gradients = BACKWARD[Local](op, weights, outcome.saved, gradient, True)
    assert dx is not None
    return to_channels_first(outcome.output), to_channels_first(dx), weight_gradients


@pytest.mark.parametrize("count", [2, 5], ids=["fewer images than outputs", "more"])
@pytest.mark.parametrize("case", ONE_LAYER, ids=[case.id for case in ONE_LAYER])
def test_local_is_its_formula(case: Case, count: int) -> None:
    op, x, weights = one_layer(case.text, count)
    pads = [(rule.begin, rule.end) for rule in op.rules(graph_of(case).nodes[0].type)]
    expected = plain.local(x, weights["weight"], weights.get("bias"), op.s, op.d, pads)
    np.testing.assert_allclose(run(op, x, weights)[0], expected, rtol=1e-12, atol=1e-12)


def test_one_window_at_all_positions_is_a_conv() -> None:
    """weight[i, j] is the weight of a conv at row i and column j of the output."""
    shared = check("input 3x7x6; conv 4 k=3 s=2x1 p=1").require_graph()
    unshared = check("input 3x7x6; local 4 k=3 s=2x1 p=1").require_graph()
    weights = random_weights(shared, 0)
    out = unshared.nodes[1].type.spatial
    bias = np.broadcast_to(weights["conv1.bias"][:, None, None], (4, *out))
    copied = {"local1.weight": np.broadcast_to(weights["conv1.weight"], (*out, 4, 3, 3, 3)), "local1.bias": bias}
    x = {"input1": np.random.default_rng(0).normal(size=(2, 3, 7, 6)).astype(np.float32)}
    found, expected = (
        forward(graph, arrays, x).values[name]
        for graph, arrays, name in ((unshared, copied, "local1"), (shared, weights, "conv1"))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "text", ["input 2x9; local 3 k=3 s=2 p=1", "input 3x9x8; local 4 k=3x2 s=2x1 p=1", "input 2x5x4x6; local 3 k=2"]
)
def test_blocks_of_rows_and_images_give_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    op, x, weights = one_layer(text, 7)
    y, dx, whole = run(op, x, weights)
    monkeypatch.setattr(local, "BLOCK_BYTES", 1)
    monkeypatch.setattr(local, "MIN_IMAGES", 2)
    y_in_blocks, dx_in_blocks, in_blocks = run(op, x, weights)
    np.testing.assert_allclose(y_in_blocks, y, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dx_in_blocks, dx, rtol=1e-12, atol=1e-12)
    for name in weights:
        np.testing.assert_allclose(in_blocks[name], whole[name], rtol=1e-12, atol=1e-12)


@pytest.mark.long
def test_memory_does_not_hold_the_patches_of_a_batch() -> None:
    """Of 1000 images of 4x16x16 the patches would take 102 MB, 25 times as much as the images."""
    op, x, weights = one_layer("input 4x16x16; local 8 k=5 p=same", 1000, np.float32)
    x = to_channels_last(x)
    tracemalloc.start()
    outcome = FORWARD[Local](op, weights, (x,), Mode(training=True))
    BACKWARD[Local](op, weights, outcome.saved, outcome.output, True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * x.nbytes


@pytest.mark.long
@pytest.mark.parametrize("case", ONE_LAYER, ids=[case.id for case in ONE_LAYER])
def test_output_and_gradients_are_those_of_pytorch(case: Case) -> None:
    """The windows as a view that `unfold` makes axis by axis, and one einsum with the weights of all positions."""
    torch = pytest.importorskip("torch")
    op, x, weights = one_layer(case.text, 4)
    y, dx, weight_gradients = run(op, x, weights)
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in {"x": x, **weights}.items()}
    rules = op.rules(graph_of(case).nodes[0].type)
    windows = torch.nn.functional.pad(leaves["x"], [n for rule in reversed(rules) for n in (rule.begin, rule.end)])
    for axis, rule in enumerate(rules, 2):
        windows = windows.unfold(axis, rule.e, rule.s)[..., :: rule.d]
    positions, taps = "ijk"[: len(rules)], "abd"[: len(rules)]
    expected = torch.einsum(f"nc{positions}{taps},{positions}oc{taps}->no{positions}", windows, leaves["weight"])
    expected = expected + leaves["bias"] if op.bias else expected
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-10, atol=1e-12)
    by_position = to_channels_last(y)
    gradient = np.cos(np.arange(y.size)).reshape(by_position.shape)
    expected.backward(torch.tensor(np.ascontiguousarray(to_channels_first(gradient))))
    found = {"x": dx, **weight_gradients}
    for name, leaf in leaves.items():
        np.testing.assert_allclose(found[name], leaf.grad, rtol=1e-10, atol=1e-12, err_msg=name)
