"""A position measured with noise, and the true one: data for a network that is one kernel.

The position is a sum of three sines, s(t) = Σ a_i·sin(2π·f_i·t/256 + φ_i) for t = 0 ... 255, with a_i normal of
deviation 1, f_i uniform in 0.5 to 6, φ_i uniform; the measurement is s(t) + 0.5·n(t), n normal of deviation 1.

The script also says what can be reached: the mean squared error of the measurement itself, of the mean of the last
few measurements, and of the best kernel of all over the last 16, which least squares finds.

`python -m models.scripts.positions` writes made/positions.npz.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.scripts.common import parser, write_arrays

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
    """The last measurements at each moment, the newest first, zeros before the first: (count·256, taps)."""
    padded = np.pad(measured[:, 0], ((0, 0), (taps - 1, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=1)
    return windows[..., ::-1].reshape(-1, taps)


def best_kernel(measured: Floats, position: Floats) -> Floats:
    """The kernel over the last `TAPS` measurements with the least squared error."""
    found = np.linalg.lstsq(past(measured), position.reshape(-1), rcond=None)[0]
    return np.asarray(found, np.float64)


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
