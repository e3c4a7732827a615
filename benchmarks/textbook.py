"""A textbook implementation for comparison: LeNet-5 in NumPy, with im2col of the whole batch, channels first.

Fancy indexing gathers the columns (C·k·k, OH·OW·N), one matrix product computes all outputs, and np.add.at scatters the
gradients back. It is what users of NumPy typically write themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Conv:
    """A convolution of stride 1."""

    def __init__(self, channels: int, outputs: int, k: int, p: int, random: np.random.Generator) -> None:
        self.w = random.normal(0, (2 / (channels * k * k)) ** 0.5, (outputs, channels * k * k)).astype(np.float32)
        self.b = np.zeros((outputs, 1), np.float32)
        self.k, self.p = k, p

    def indices(self, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], ...]:
        """The channel, row and column in the padded image of each element of the columns, for one image."""
        channels, k = shape[1], self.k
        high, wide = (m + 2 * self.p - k + 1 for m in shape[2:])
        c, a, b = (axis.reshape(-1, 1) for axis in np.mgrid[:channels, :k, :k])
        i, j = (axis.reshape(1, -1) for axis in np.mgrid[:high, :wide])
        return c, a + i, b + j

    def forward(self, x: Array) -> Array:
        n, _, h, w = self.shape = x.shape
        padded = np.pad(x, ((0, 0), (0, 0), (self.p, self.p), (self.p, self.p)))
        c, i, j = self.indices(x.shape)
        self.columns = padded[:, c, i, j].transpose(1, 2, 0).reshape(len(self.w[0]), -1)
        y = self.w @ self.columns + self.b
        high, wide = (m + 2 * self.p - self.k + 1 for m in (h, w))
        return y.reshape(-1, high, wide, n).transpose(3, 0, 1, 2)

    def backward(self, g: Array, needs_dx: bool) -> Array | None:
        flat = g.transpose(1, 2, 3, 0).reshape(len(self.w), -1)
        self.dw, self.db = flat @ self.columns.T, flat.sum(1, keepdims=True)
        if not needs_dx:
            return None
        n, channels, h, w = self.shape
        back = (self.w.T @ flat).reshape(len(self.w[0]), -1, n).transpose(2, 0, 1)
        padded = np.zeros((n, channels, h + 2 * self.p, w + 2 * self.p), np.float32)
        index: Any = (slice(None), *self.indices(self.shape))
        np.add.at(padded, index, back)
        return padded[:, :, self.p : self.p + h, self.p : self.p + w]


def pool(x: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Max pooling by 2, and the mask of the maxima."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
    y = blocks.max((3, 5))
    return y, blocks == y[:, :, :, None, :, None]


def unpool(g: Array, mask: NDArray[np.bool_]) -> Array:
    """The gradient of `pool`."""
    n, c, h, _, w, _ = mask.shape
    return (mask * g[:, :, :, None, :, None]).reshape(n, c, 2 * h, 2 * w)


def measure(name: str, seconds: float, timed: Callable[[Callable[[], object], float], float]) -> dict[str, float]:
    """Examples per second with batches of 64, and peak memory in bytes. Raises ValueError for networks but LeNet-5."""
    from cnnc.core.process_memory import MemoryMeter

    if name != "lenet5":
        raise ValueError(name)
    random = np.random.default_rng(0)
    convs = [Conv(1, 6, 5, 2, random), Conv(6, 16, 5, 0, random)]
    sizes = [(400, 120), (120, 84), (84, 10)]
    dense = [random.normal(0, (2 / i) ** 0.5, (i, o)).astype(np.float32) for i, o in sizes]
    biases = [np.zeros(o, np.float32) for _, o in sizes]
    x, labels = random.random((64, 1, 28, 28), np.float32), random.integers(0, 10, 64)
    parameters = [*(c.w for c in convs), *(c.b for c in convs), *dense, *biases]
    velocities = [np.zeros_like(p) for p in parameters]

    def step() -> None:
        saved, value = [], x
        for conv in convs:
            active = np.maximum(conv.forward(value), 0)
            value, mask = pool(active)
            saved.append((active, mask))
        flat = [value.reshape(64, -1)]
        for w, b in zip(dense, biases, strict=True):
            y = flat[-1] @ w + b
            flat.append(np.maximum(y, 0) if w is not dense[-1] else y)
        e = np.exp(flat[-1] - flat[-1].max(1, keepdims=True))
        g = e / e.sum(1, keepdims=True)
        g[np.arange(64), labels] -= 1
        g /= 64
        dw: list[Array] = []
        db: list[Array] = []
        for inputs, w in zip(reversed(flat[:-1]), reversed(dense), strict=True):
            dw.insert(0, inputs.T @ g)
            db.insert(0, g.sum(0))
            g = (g @ w.T) * (inputs > 0)
        back = g.reshape(value.shape)
        for conv, (active, mask) in zip(reversed(convs), reversed(saved), strict=True):
            back = conv.backward(unpool(back, mask) * (active > 0), conv is not convs[0])
        gradients = [*(c.dw for c in convs), *(c.db for c in convs), *dw, *db]
        for p, v, d in zip(parameters, velocities, gradients, strict=True):
            v *= 0.9
            v += d
            p -= np.float32(1e-3) * v

    return {"rate": 64 / timed(step, seconds), "memory": MemoryMeter().process_peak}
