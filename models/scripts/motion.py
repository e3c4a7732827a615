"""Generates clips of moving digits, labelled by direction, for a network with 3D convolutions.

A clip has 8 frames of 16x16. One of the digits that come with cnnc (8x8) starts at a random position and moves one
pixel per frame in one of eight directions, wrapping around at the borders; Gaussian noise with a standard deviation of
an eighth of the brightness is added. A single frame does not show the direction. Class 0 is right, and each following
class is an eighth of a turn further, clockwise. Training and test clips use the training and test digits.

`python -m cnnc.models.scripts.motion` writes made/motion.npz.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnnc.data import load

from .common import parser, write_arrays

FRAMES, SIDE = 8, 16
DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
"""Rows down and columns right per frame."""


def make(
    digits: NDArray[np.uint8], count: int, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Clips (count, 1, 8, 16, 16) of digits (N, 1, 8, 8), and their directions (count,)."""
    directions = random.integers(0, len(DIRECTIONS), count)
    clips = random.normal(0, 32, (count, 1, FRAMES, SIDE, SIDE))
    for clip, direction in zip(clips[:, 0], directions, strict=True):
        digit = digits[random.integers(len(digits)), 0]
        start = np.zeros((SIDE, SIDE))
        start[: len(digit), : len(digit)] = digit
        start = np.roll(start, random.integers(0, SIDE, 2), (0, 1))
        for time, frame in enumerate(clip):
            frame += np.roll(start, np.multiply(DIRECTIONS[direction], time), (0, 1))
    return np.clip(np.rint(clips), 0, 255).astype(np.uint8), directions


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--train", type=int, default=4_000, metavar="N", help="Number of training clips. Default: 4,000."
    )
    options.add_argument("--test", type=int, default=1_000, metavar="N", help="Number of test clips. Default: 1,000.")
    given = options.parse_args()
    data = load("digits")
    x, y = make(data.train.images, given.train, np.random.default_rng([given.seed, 0]))
    x_test, y_test = make(data.test.images, given.test, np.random.default_rng([given.seed, 1]))
    write_arrays(given.out / "motion.npz", x=x, y=y, x_test=x_test, y_test=y_test)


if __name__ == "__main__":
    main()
