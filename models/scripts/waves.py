"""Waves of four forms under noise, and which form it is: data for a network that reads a series.

A series has 128 values, sin(φ(t)) or the square, triangle or sawtooth wave of the same phase φ(t) = 2π(f·t/128 + p), with
f uniform in 2 to 8, p in 0 to 1, times an amplitude of 0.5 to 1.5, and Gaussian noise of deviation 0.25. All four
forms swing between -1 and 1 before that.

`python -m models.scripts.waves` writes made/waves.csv, a line `form, v1, v2, ...` for each series.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.scripts.common import parser, write

LENGTH, NOISE = 128, 0.25
FORMS = ("sawtooth", "sine", "square", "triangle")


def wave(form: str, turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """The form at these phases, counted in whole turns."""
    rest = turns % 1
    return {
        "sawtooth": 2 * rest - 1,
        "sine": np.sin(2 * np.pi * rest),
        "square": np.where(rest < 0.5, 1.0, -1.0),
        "triangle": 1 - 4 * np.abs(rest - 0.5),
    }[form]


def make(count: int, random: np.random.Generator) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """So many series with their forms, the forms in turn."""
    for number in range(count):
        turns = random.uniform(2, 8) * np.arange(LENGTH) / LENGTH + random.random()
        form = FORMS[number % len(FORMS)]
        yield form, random.uniform(0.5, 1.5) * wave(form, turns) + random.normal(0, NOISE, LENGTH)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=6_000, metavar="N", help="series (6,000)")
    given = options.parse_args()
    lines = (
        ",".join([form, *(f"{value:.4f}" for value in values)])
        for form, values in make(given.count, np.random.default_rng(given.seed))
    )
    write(given.out / "waves.csv", "".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    main()
