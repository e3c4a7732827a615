"""The random numbers of the step graph: the same from NumPy and onnxruntime, and random enough for masks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper

from cnnc.core.arrays import Array
from cnnc.network import check
from cnnc.onnx.emit.model import DEFAULT_OPSET, OLDEST_OPSET, assemble
from cnnc.onnx.run.session import Session
from cnnc.onnx.train_step.random_bits import SEED, StepMasks, hashed, threshold, uniform_at_least
from cnnc.onnx.train_step.step_emitter import StepEmitter

COUNT = 100_000
SEEDS = [0, 1, 2, 3, -1, 12345, 2**31 - 1, -(2**31)]


def masks_of_onnxruntime(p: float, shape: list[int], seed: int, opset: int) -> Array:
    e = StepEmitter(check("input 4; a: dropout 0.5").require_graph(), opset)
    with e.stage(e.graph.by_name["a"]):
        mask = uniform_at_least(e, e.sizes(*shape), p)
    outputs = [helper.make_tensor_value_info(mask, TensorProto.BOOL, shape)]
    session = Session(assemble(e, outputs, [], {}).SerializeToString(), "mask", "cpu", threads=1)
    (array,) = session.run({SEED: np.array(seed, np.int32)})
    return array


@pytest.mark.parametrize("opset", [OLDEST_OPSET, DEFAULT_OPSET])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.999])
def test_onnxruntime_and_numpy_draw_the_same(p: float, seed: int, opset: int) -> None:
    bits = hashed(seed, "a", 6 * 5 * 700)
    mask = masks_of_onnxruntime(p, [6, 5, 700], seed, opset)
    np.testing.assert_array_equal(mask.ravel(), bits >= threshold(p))
    numbers = StepMasks(seed)("a").random((6, 700, 5), np.float32)
    np.testing.assert_array_equal(np.moveaxis(mask, 1, -1), numbers >= p)


def test_a_shard_gets_its_part_of_the_batch() -> None:
    whole = StepMasks(3)("a").random((6, 4, 5), np.float32)
    np.testing.assert_array_equal(StepMasks(3).from_sample(2)("a").random((4, 4, 5), np.float32), whole[2:])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_numbers_are_uniform(seed: int) -> None:
    """Sixteen bins by the high bits, and sixteen by lower ones: no bin is off by six standard deviations."""
    bits = hashed(seed, "dropout1", COUNT)
    for shift in (28, 24, 16, 8):
        counts = np.bincount((bits >> shift) & 15, minlength=16)
        assert np.abs(counts - COUNT / 16).max() < 6 * (COUNT / 16) ** 0.5


def correlation(a: Array, b: Array) -> float:
    return float(abs(np.corrcoef(a, b)[0, 1]))


def test_neighbours_steps_and_layers_are_independent() -> None:
    """Masks at a threshold, which is what a network sees; 5 standard deviations of a correlation are 5/√COUNT."""
    limit = 5 / COUNT**0.5
    masks = {seed: hashed(seed, "dropout1", COUNT) >= threshold(0.5) for seed in range(40)}
    for distance in (1, 2, 3, 8, 28, 32, 64, 784, 4096):
        assert correlation(masks[0][:-distance], masks[0][distance:]) < 5 / (COUNT - distance) ** 0.5, distance
    assert all(correlation(masks[a], masks[b]) < limit for a, b in pairwise(masks))
    assert len({mask.tobytes() for mask in masks.values()}) == len(masks)
    others = [hashed(0, f"dropout{number}", COUNT) >= threshold(0.5) for number in range(2, 12)]
    assert all(correlation(masks[0], other) < limit for other in others)
