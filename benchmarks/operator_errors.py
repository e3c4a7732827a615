"""Measures the errors of onnxruntime's operators: `python -m benchmarks.operator_errors`.

Each layer runs over a wide range of inputs, in tensors of several sizes (long ones take vectorized paths, short ones and
the ends of long ones do not), for one sample and for several, with and without onnxruntime's optimizations, at the default
opset and the newest. Out: a table with one line per layer.

The error is that of `cnnc.reference` in float64. `share` is the largest error relative to what
`cnnc.onnx.emit.operator_errors` and rounding (2e-6·|y|) allow together; the network tolerance and the noise come on top.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.network import check
from cnnc.onnx.emit.model import DEFAULT_OPSET, emit, newest_opset
from cnnc.onnx.emit.operator_errors import operator_error
from cnnc.onnx.emit.tolerance import LAYER_PART, NOISE, RTOL
from cnnc.onnx.emit.verify import random_weights
from cnnc.onnx.run.session import Session
from cnnc.reference.engine import forward, weights_of
from cnnc.reference.layout import to_channels_first, to_channels_last

ELEMENTWISE = (
    "sigmoid", "hard_sigmoid", "tanh", "softplus", "elu", "elu 3", "selu", "silu", "gelu", "hard_swish", "mish",
)  # fmt: skip
VECTORS = ("softmax", "log_softmax", "layer_norm")
IMAGES = (
    "layer_norm", "instance_norm", "group_norm groups=2", "lrn size=3 alpha=1", "lrn size=4 alpha=1", "global_pool avg",
    "global_pool l2", "pool l2 k=3", "pool lp k=3 norm=3", "pool avg k=5", "pool weighted k=5", "upsample 2 mode=bilinear",
)  # fmt: skip
WAVEFORMS = ("spectrogram window=64 hop=32", "spectrogram window=400 hop=160 mels=40")
MEANS_AND_DEVIATIONS = ((0, 1), (10, 1), (100, 1), (3, 0.01), (0, 1e-4), (0, 100), (0, 1e-25))
LENGTHS = (1, 3, 7, 16, 1003)


class Measured(NamedTuple):
    """The largest errors of a layer: absolute, and relative to the result; the share of what is allowed."""

    layer: str
    absolute: float
    relative: float
    share: float


def measure(layer: str, inputs: Sequence[Array], opsets: Sequence[int]) -> Measured:
    """Runs a layer on batches (N, ...) of float32."""
    worst = [0.0, 0.0, 0.0]
    for x in inputs:
        shape = "x".join(map(str, x.shape[1:]))
        graph = check(f"input {shape}; y: {layer}").require_graph()
        weights, node = random_weights(graph, 0), graph.by_name["y"]
        double = {name: array.astype(np.float64) for name, array in weights.items()}
        exact = forward(graph, double, {"input1": x.astype(np.float64)}).values["y"]
        single = forward(graph, weights, {"input1": x}).values["y"]
        entry = operator_error(node.op, weights_of(graph, node, double), to_channels_last(x.astype(np.float64)), exact)
        noise = np.sqrt(np.square(single - exact, dtype=np.float64).mean()) if layer not in ELEMENTWISE else 0
        allowed = entry + LAYER_PART * RTOL * np.abs(exact) + NOISE * noise
        allowed = to_channels_first(np.broadcast_to(allowed, exact.shape))
        exact = to_channels_first(exact)
        for opset in opsets:
            model = emit(graph, weights, {}, opset).SerializeToString()
            for optimize in (False, True):
                session = Session(model, layer, "cpu", optimize=optimize)
                for samples in {1, len(x)}:
                    (y,) = session.run({"input1": x[:samples]})
                    error = np.abs(y - exact[:samples])
                    large = np.abs(exact[:samples]) > 1e-3 * np.abs(exact).max()
                    relative = (error / np.abs(exact[:samples]).clip(1e-300))[large]
                    found = error.max(), relative.max(initial=0), (error / allowed[:samples]).max()
                    worst = [max(pair) for pair in zip(worst, map(float, found), strict=True)]
    return Measured(layer, *worst)


def elementwise_inputs(count: int) -> list[Array]:
    """Numbers of both signs: 1e-9 to 200 evenly in their logarithm, -120 to 120, and finely from -20 to 20."""
    random = np.random.default_rng(0)
    small = 10 ** random.uniform(-9, 2.3, count)
    x = np.concatenate([small, -small, random.uniform(-120, 120, count), np.linspace(-20, 20, count), [0.0]])
    x = random.permutation(x).astype(np.float32)
    rows = [x[: len(x) // n * n].reshape(-1, n) for n in LENGTHS]
    return [*(part[:: max(1, len(part) // 2000)] for part in rows[:-1]), rows[-1]]


def distributed_inputs(shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Batches of these shapes of normally distributed numbers, for each mean and standard deviation."""
    random = np.random.default_rng(0)
    draw = partial(random.standard_normal, dtype=np.float32)
    pairs = [(np.float32(mean), np.float32(std)) for mean, std in MEANS_AND_DEVIATIONS]
    return [np.asarray(mean + std * draw((2, *shape))) for shape in shapes for mean, std in pairs]


def all_measured(
    count: int = 100_000, image_shapes: Sequence[tuple[int, ...]] = ((4, 9, 9), (4, 100, 100), (2, 500, 500))
) -> Iterator[Measured]:
    """The errors of every layer; `count` numbers of each kind for the elementwise ones."""
    opsets = (DEFAULT_OPSET, newest_opset())
    inputs = elementwise_inputs(count)
    for layer in ELEMENTWISE:
        yield measure(layer, inputs, opsets)
    for layer in VECTORS:
        yield measure(layer, distributed_inputs([(3,), (64,), (1003,)]), opsets)
    for layer in IMAGES:
        yield measure(layer, distributed_inputs(image_shapes), opsets)
    for layer in WAVEFORMS:
        yield measure(layer, distributed_inputs([(1, 800), (2, 4000)]), opsets)


def main() -> None:
    print("| layer | largest error | relative | share of what is allowed |\n|---|---|---|---|")
    for m in all_measured():
        print(f"| `{m.layer}` | {m.absolute:.1e} | {m.relative:.1e} | {m.share:.0%} |", flush=True)


if __name__ == "__main__":
    main()
