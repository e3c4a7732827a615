"""The rewritten training graph gives bit-identical outputs and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.graph.for_training import BatchNormRelu, for_training
from cnnc.reference.engine import backward, forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_first
from tests.reference.networks import graph

TEXTS = {
    "a relu after a norm": ("input 3x8x8; conv 6 k=3 p=1; bn; relu; conv 4 k=3; global_pool avg; fc 5", 1, 0),
    "a relu before a pool": ("input 3x9x9; conv 6 k=3 p=1; relu; pool max k=3 s=2 p=1; fc 5", 0, 1),
    "all three: the pool first": ("input 3x8x8; conv 6 k=3; bn; relu; pool max k=2; fc 5", 0, 1),
    "a residual": ("input 3x8x8; conv 4 k=3 p=1; a: bn; relu; conv 4 k=3 p=1; bn; add a; relu; fc 5", 0, 0),
    "a relu with two readers": ("input 3x8x8; conv 4 k=3 p=1; bn; a: relu; conv 4 k=3 p=1; add a; fc 5", 1, 0),
    "a relu before a global pool": ("input 3x6x6; conv 6 k=3; relu; global_pool max; fc 5", 0, 1),
    "far from zero": ("input 3x8x8; affine; bn; relu; fc 5", 1, 0),
    "two": ("input 3x8x8; conv 3 k=3 p=1; bn; relu; bn; relu; fc 5", 2, 0),
    "shared": ("input 3x8x8; a: bn; relu; bn share=a; relu; fc 5", 2, 0),
    "an average": ("input 3x8x8; relu; pool avg k=2; fc 5", 0, 0),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_outputs_and_gradients_are_bit_identical(name: str, dtype: Any) -> None:
    text, norms, pools = TEXTS[name]
    before = graph(text)
    after = for_training(before, before.outputs)
    assert sum(isinstance(node.op, BatchNormRelu) for node in after.nodes) == norms
    moved = [
        node
        for node in after.nodes
        if node.op.keyword == "relu" and after.by_name[node.inputs[0]].op.keyword.endswith("pool")
    ]
    assert len(moved) == pools
    random = np.random.default_rng(1)
    weights = {key: value.astype(dtype) for key, value in initialize(before, 0).items()}
    weights |= {
        key: random.standard_normal(w.shape).astype(dtype) for key, w in weights.items() if "bn" in key or key[0] == "a"
    }
    feeds: dict[str, Array] = {"input1": (random.standard_normal((7, *before.inputs[0].type.shape)) + 3).astype(dtype)}
    seed: Array = random.standard_normal((7, 5)).astype(dtype)
    found = []
    for made in (before, after):
        trace = forward(made, weights, feeds, training=True)
        value = to_channels_first(trace.values[made.outputs[0]])
        gradients, inputs = backward(made, weights, trace, {made.outputs[0]: seed}, needs_input_gradients=True)
        found.append((value, trace.buffers | gradients | inputs))
    (expected, others), (value, mine) = found
    np.testing.assert_array_equal(value, expected)
    assert mine.keys() == others.keys()
    for key in others:
        np.testing.assert_array_equal(mine[key], others[key], err_msg=key)


def test_named_layers_keep_their_outputs() -> None:
    before = graph("input 3x8x8; conv 6 k=3; bn; relu; conv 6 k=3; relu; pool max k=2; fc 5")
    wanted = ("bn1", "relu2", "fc1")
    after = for_training(before, wanted)
    assert after == before
    feeds = {"input1": np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)}
    assert set(forward(after, initialize(before, 0), feeds, outputs=wanted).values) == set(wanted)
