"""Generates noisy measurements of a position, and the true position, for a network of a single kernel.

The position is a sum of three sines, s(t) = Σ a_i·sin(2π·f_i·t/256 + φ_i) for t = 0 ... 255, where a_i is
normal with standard deviation 1, f_i is uniform in 0.5 to 6, and φ_i is uniform. The measurement is s(t) + 0.5·n(t),
with n normal of standard deviation 1.

The script also prints what is achievable: the mean squared error of the measurement itself, of the mean of the last few
measurements, and of the best kernel over the last 16 measurements, found by least squares.

`python -m cnnc.models.scripts.positions` writes made/positions.npz.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .common import parser, write_arrays

LENGTH, NOISE, TAPS = 256, 0.5, 16
Floats = NDArray[np.float64]


def make(count: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Measurements and positions, both (count, 1, 256)."""
    a = random.normal(0, 1, (count, 3, 1))
    f = random.uniform(0.5, 6, (count, 3, 1))
    phase = random.uniform(0, 2 * np.pi, (count, 3, 1))
    position: Floats = (a * np.sin(2 * np.pi * f * np.arange(LENGTH) / LENGTH + phase)).sum(1, keepdims=True)
    return position + NOISE * random.normal(0, 1, position.shape), position


def past(measured: Floats, taps: int = TAPS) -> Floats:
    """The last measurements at each time step, newest first, zeros before the beginning: (count·256, taps)."""
    padded = np.pad(measured[:, 0], ((0, 0), (taps - 1, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=1)
    return windows[..., ::-1].reshape(-1, taps)


def best_kernel(measured: Floats, position: Floats) -> Floats:
    """The kernel over the last `TAPS` measurements with the least squared error."""
    kernel = np.linalg.lstsq(past(measured), position.reshape(-1), rcond=None)[0]
    return np.asarray(kernel, np.float64)


def main() -> None:
    given = parser(__doc__).parse_args()
    x, y = make(1_000, np.random.default_rng([given.seed, 0]))
    x_test, y_test = make(500, np.random.default_rng([given.seed, 1]))
    kernels = {"the measurement itself": np.eye(1, TAPS)[0]}
    for taps in (2, 4, 8):
        kernels[f"the mean of the last {taps}"] = (np.arange(TAPS) < taps) / taps
    kernels[f"the best kernel over the last {TAPS}"] = best_kernel(x, y)
    for name, kernel in kernels.items():
        print(f"test mse {np.square(past(x_test) @ kernel - y_test.reshape(-1)).mean():.5f}: {name}")
    arrays = {"x": x, "y": y, "x_test": x_test, "y_test": y_test}
    write_arrays(given.out / "positions.npz", **{name: array.astype(np.float32) for name, array in arrays.items()})


if __name__ == "__main__":
    main()
