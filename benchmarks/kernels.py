"""Measures the convolution kernels on one core, compared with a matrix product.

In: shapes. Out: GFLOP/s of forward pass, input gradient and weight gradient, counting the operations of a direct
convolution whatever the algorithm; and the roofline: the rate of a large matrix product, and the bandwidth of a copy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cnnc.ops.window import Geometry
from cnnc.reference.conv import convolve, input_gradient, weight_gradient
from cnnc.reference.parallel.threads import keep_memory, one_blas_thread


class Shape(NamedTuple):
    """A convolution of square images: channels, image size, outputs, kernel, stride, padding, groups."""

    c: int
    m: int
    o: int
    k: int = 3
    s: int = 1
    p: int = 1
    groups: int = 1

    def __str__(self) -> str:
        groups = f" groups={self.groups}" if self.groups > 1 else ""
        return f"{self.c}x{self.m}x{self.m} to {self.o}, k={self.k} s={self.s} p={self.p}{groups}"


SHAPES = (
    Shape(1, 28, 6, 5, 1, 2),
    Shape(6, 14, 16, 5, 1, 0),
    Shape(3, 32, 16, 5, 1, 2),
    Shape(3, 32, 32),
    Shape(16, 32, 16),
    Shape(20, 16, 20, 5, 1, 2),
    Shape(32, 32, 32),
    Shape(64, 16, 64),
    Shape(128, 8, 128),
    Shape(64, 16, 128, 3, 2, 1),
    Shape(64, 16, 128, 1, 1, 0),
    Shape(64, 32, 64, 3, 1, 1, 64),
)
BATCH = 32


def best(work: Callable[[], object], rounds: int = 7) -> float:
    """The shortest of several measurements, in seconds."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def rates(shape: Shape) -> tuple[float, float, float]:
    """GFLOP/s of forward pass, input gradient and weight gradient."""
    out = (shape.m + 2 * shape.p - shape.k) // shape.s + 1
    g = Geometry((shape.k,) * 2, (shape.s,) * 2, (1, 1), ((shape.p,) * 2,) * 2, (out, out))
    random = np.random.default_rng(0)
    x = random.random((BATCH, shape.m, shape.m, shape.c), np.float32)
    w = random.random((shape.o, shape.c // shape.groups, shape.k, shape.k), np.float32)
    d = random.random((BATCH, out, out, shape.o), np.float32)
    flops = 2e-9 * BATCH * out * out * w.size
    return (
        flops / best(lambda: convolve(x, w, g, shape.groups)),
        flops / best(lambda: input_gradient(d, w, g, (shape.m, shape.m), shape.groups)),
        flops / best(lambda: weight_gradient(x, d, g, shape.groups)),
    )


def roofline() -> tuple[float, float]:
    """GFLOP/s of a product of 1024x1024 matrices, and GB/s (read plus written) of a copy of 64 MB."""
    a = np.random.default_rng(0).random((1024, 1024), np.float32)
    out, source = np.empty_like(a), np.zeros(1 << 24, np.float32)
    target = np.empty_like(source)
    product = best(lambda: np.matmul(a, a, out=out))
    copy = best(lambda: np.copyto(target, source))
    return 2e-9 * 1024**3 / product, 2e-9 * source.nbytes / copy


def measure() -> dict[str, object]:
    """All measurements, as JSON-compatible data."""
    keep_memory()
    with one_blas_thread():
        product, copy = roofline()
        kernels = {str(shape): [round(rate, 1) for rate in rates(shape)] for shape in SHAPES}
    return {"product": round(product, 1), "copy": round(copy, 1), "kernels": kernels}


def text(results: dict[str, object]) -> str:
    """The measurements as a Markdown table, with each rate relative to the matrix product."""
    product, kernels = results["product"], results["kernels"]
    assert isinstance(product, float)
    assert isinstance(kernels, dict)
    lines = [f"one core: product {product} GFLOP/s, copy {results['copy']} GB/s", ""]
    lines += ["| convolution | forward | input gradient | weight gradient |", "|---|---|---|---|"]
    for shape, values in kernels.items():
        cells = " | ".join(f"{value:.0f} ({value / product:.0%})" for value in values)
        lines.append(f"| {shape} | {cells} |")
    return "\n".join(lines)
