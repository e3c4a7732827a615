"""Random numbers of a step graph: a hash of the seed, the layer and the position, in int32 operators.

In: `train.seed`, a number that the host changes at each step. Out: a mask. No operator of ONNX draws random numbers from
a seed that is an input, and none below opset 18 combines bits; so the hash multiplies, adds, and divides by 2^16. Products
wrap around at 2^32, as int32 does on every provider. A round is that of the cipher RC6 (Rivest et al. 1998): x·(2x + 1),
in which low bits change high ones, then the two halves change places. `hashed` computes the same with NumPy, so that
`StepMasks` gives the NumPy trainer the masks of the graph:

    key  = mixed(mixed(seed) + layer)                 one number per step and layer
    bits = mixed(mixed(position·ODD + key) + key)     one number per element; position counts channels first
"""

from __future__ import annotations

import math
from typing import Any
from zlib import crc32

import numpy as np
from onnx import TensorProto

from cnnc.core.arrays import Array
from cnnc.onnx.train_step.step_emitter import StepEmitter
from cnnc.reference.engine import PositionalRandom

SEED = "train.seed"
ODD = -1640531527  # 2^32 divided by the golden ratio
_ROUNDS, _HALF = 2, 1 << 16


def layer_key(layer: str) -> int:
    """The number of a layer, from its name."""
    return crc32(layer.encode()) - 2**31


def threshold(p: float) -> int:
    """The least int32 number that counts as a uniform number of at least p."""
    return min(math.ceil(p * 2**32) - 2**31, 2**31 - 1)


def uniform_at_least(e: StepEmitter, shape: str, p: float) -> str:
    """A tensor of bool of this shape: true with probability 1 - p."""
    assert e.node is not None
    if SEED not in {info.name for info in e.inputs}:
        e.add_input(SEED, (), TensorProto.INT32)
    int32 = np.int32
    key = _mixed(e, e.new("Add", _mixed(e, SEED), e.number(layer_key(e.node.name), int32)))
    count = e.new("ReduceProd", shape, keepdims=0)
    positions = e.new("Range", e.number(0, np.int64), count, e.number(1, np.int64))
    spread = e.new("Mul", e.new("Cast", positions, to=TensorProto.INT32), e.number(ODD, int32))
    bits = _mixed(e, e.new("Add", _mixed(e, e.new("Add", spread, key)), key))
    return e.new("Reshape", e.new("GreaterOrEqual", bits, e.number(threshold(p), int32)), shape)


def _mixed(e: StepEmitter, x: str) -> str:
    half = e.number(_HALF, np.int32)
    for _ in range(_ROUNDS):
        x = e.new("Mul", x, e.new("Add", e.new("Add", x, x), e.number(1, np.int32)))
        x = e.new("Add", e.new("Mul", x, half), e.new("Div", x, half))
    return x


# --- the same with NumPy -------------------------------------------------------------------------------------------


def mixed(x: Array) -> Array:
    """`_mixed` of an array of int32."""
    with np.errstate(over="ignore"):
        for _ in range(_ROUNDS):
            x = x * (x + x + np.int32(1))
            x = x * np.int32(_HALF) + _divided(x)
    return x


def _divided(x: Array) -> Array:
    """x/2^16, rounded towards 0 as in ONNX."""
    return np.asarray(np.sign(x) * (np.abs(x.astype(np.int64)) // _HALF)).astype(np.int32)


def hashed(seed: int, layer: str, count: int) -> Array:
    """The bits of the first `count` elements of a layer, int32."""
    with np.errstate(over="ignore"):
        key = mixed(mixed(np.array([seed], np.int32)) + np.int32(layer_key(layer)))
        spread = np.arange(count, dtype=np.int32) * np.int32(ODD)
        return mixed(mixed(spread + key) + key)


class StepMasks(PositionalRandom):
    """The random numbers of the NumPy trainer, by layer, such that it draws the masks of the step graph."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, layer: str) -> Any:
        return _LayerNumbers(self.seed, layer, self.first)


class _LayerNumbers:
    """In place of a NumPy generator: `random` gives the layer's uniform numbers, channels last as in the engine."""

    def __init__(self, seed: int, layer: str, first: int) -> None:
        self.seed, self.layer, self.first = seed, layer, first

    def random(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Uniform numbers (N, *spatial, C) from 0 to 1."""
        batch, *spatial, channels = shape
        size = math.prod(shape[1:])
        bits = hashed(self.seed, self.layer, (self.first + batch) * size)[self.first * size :].astype(np.float64)
        uniform = ((bits + 2**31) / 2**32).reshape(batch, channels, *spatial)
        return np.moveaxis(uniform, 1, -1)
