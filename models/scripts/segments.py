"""Generates images of digits on noise with label maps, for a network that segments.

Each of the four quarters of an image holds, with a probability of 3/4, a digit at a random position: of 20x20 pixels in
an image of 48x48 (the central pixels of an MNIST digit), or of 8x8 in an image of 20x20 (a digit that comes with cnnc).
The background is uniform noise of up to half the brightness; each pixel is the maximum of digit and noise. The label map
is 0 for the background, and digit + 1 where the digit is brighter than half. Training images use the training digits of
the data set, test images its test digits.

`python -m cnnc.models.scripts.segments --data DIR` writes made/segments.npz, and `--data-set digits` writes
made/digit_segments.npz.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.data import load

from .common import parser, write_arrays

DIGIT, CELL = {"mnist": 20, "digits": 8}, {"mnist": 24, "digits": 10}
"""Sides of a digit and of a quarter of the image, in pixels, for each data set of digits."""
FILES = {"mnist": "segments.npz", "digits": "digit_segments.npz"}
Bytes = NDArray[np.uint8]


def make(
    digits: Bytes, classes: NDArray[Any], count: int, random: np.random.Generator, side: int, cell: int
) -> tuple[Bytes, Bytes]:
    """Images (count, 1, 2·cell, 2·cell) and label maps from the central `side` x `side` pixels of digits (N, 1, H, W).

    `classes` (N,) are the digits' labels.
    """
    images = random.integers(0, 128, (count, 1, 2 * cell, 2 * cell), np.uint8)
    maps = np.zeros((count, 2 * cell, 2 * cell), np.uint8)
    margin = (digits.shape[-1] - side) // 2
    for image, labels in zip(images[:, 0], maps, strict=True):
        for corner in ((0, 0), (0, cell), (cell, 0), (cell, cell)):
            if random.random() >= 0.75:
                continue
            chosen = int(random.integers(len(digits)))
            digit = digits[chosen, 0, margin : margin + side, margin : margin + side]
            top, left = corner + random.integers(0, cell - side + 1, 2)
            region = slice(top, top + side), slice(left, left + side)
            image[region] = np.maximum(image[region], digit)
            labels[region][digit > 127] = classes[chosen] + 1
    return images, maps


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data-set", choices=tuple(FILES), default="mnist", help="The digits to use. Default: mnist.")
    options.add_argument("--data", type=Path, metavar="DIR", help="Folder of the data set. Default: CNNC_DATA.")
    options.add_argument(
        "--train", type=int, default=10_000, metavar="N", help="Number of training images. Default: 10,000."
    )
    options.add_argument("--test", type=int, default=1_000, metavar="N", help="Number of test images. Default: 1,000.")
    given = options.parse_args()
    name = given.data_set
    digits = load(name, given.data, print)
    parts = (("x", "y", digits.train, given.train), ("x_test", "y_test", digits.test, given.test))
    arrays = {}
    for stream, (x, y, part, count) in enumerate(parts):
        random = np.random.default_rng([given.seed, stream])
        arrays[x], arrays[y] = make(part.images, part.labels, count, random, DIGIT[name], CELL[name])
    write_arrays(given.out / FILES[name], **arrays)


if __name__ == "__main__":
    main()
