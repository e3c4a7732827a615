"""Generates noisy waves of four forms, labelled by form, for a network that classifies series.

A series has 128 values: a sine, square, triangle or sawtooth wave between -1 and 1 with the phase
φ(t) = 2π(f·t/128 + p), f uniform in 2 to 8 and p in 0 to 1, times an amplitude of 0.5 to 1.5, plus Gaussian noise with a
standard deviation of 0.25.

`python -m cnnc.models.scripts.waves` writes made/waves.csv, one line `form, v1, v2, ...` per series.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .common import parser, write

LENGTH, NOISE = 128, 0.25
FORMS = ("sawtooth", "sine", "square", "triangle")


def wave(form: str, turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """The wave of a form at these phases, in turns."""
    phase = turns % 1
    return {
        "sawtooth": 2 * phase - 1,
        "sine": np.sin(2 * np.pi * phase),
        "square": np.where(phase < 0.5, 1.0, -1.0),
        "triangle": 1 - 4 * np.abs(phase - 0.5),
    }[form]


def make(count: int, random: np.random.Generator) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """`count` series with their forms, which alternate."""
    for number in range(count):
        turns = random.uniform(2, 8) * np.arange(LENGTH) / LENGTH + random.random()
        form = FORMS[number % len(FORMS)]
        yield form, random.uniform(0.5, 1.5) * wave(form, turns) + random.normal(0, NOISE, LENGTH)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=6_000, metavar="N", help="Number of series. Default: 6,000.")
    given = options.parse_args()
    lines = (
        ",".join([form, *(f"{value:.4f}" for value in values)])
        for form, values in make(given.count, np.random.default_rng(given.seed))
    )
    write(given.out / "waves.csv", "".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    main()
