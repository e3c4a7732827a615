"""Generates images of digits on noise with label maps, for a network that segments.

An image is 48x48. Each of its four quarters holds, with a probability of 3/4, an MNIST digit (its central 20x20 pixels)
at a random position. The background is uniform noise of up to half the brightness; each pixel is the maximum of digit
and noise. The label map is 0 for the background, and digit + 1 where the digit is brighter than half. Training images
use MNIST's training digits, test images its test digits.

`python -m models.scripts.segments --data DIR` writes made/segments.npz.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.data import load
from models.scripts.common import parser, write_arrays

SIDE, CELL, DIGIT = 48, 24, 20
Bytes = NDArray[np.uint8]


def make(digits: Bytes, classes: NDArray[Any], count: int, random: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Images (count, 1, 48, 48) and label maps (count, 48, 48) from digits (N, 1, 28, 28) and their classes (N,)."""
    images = random.integers(0, 128, (count, 1, SIDE, SIDE), np.uint8)
    maps = np.zeros((count, SIDE, SIDE), np.uint8)
    margin = (digits.shape[-1] - DIGIT) // 2
    for image, labels in zip(images[:, 0], maps, strict=True):
        for corner in ((0, 0), (0, CELL), (CELL, 0), (CELL, CELL)):
            if random.random() >= 0.75:
                continue
            chosen = int(random.integers(len(digits)))
            digit = digits[chosen, 0, margin : margin + DIGIT, margin : margin + DIGIT]
            top, left = corner + random.integers(0, CELL - DIGIT + 1, 2)
            region = slice(top, top + DIGIT), slice(left, left + DIGIT)
            image[region] = np.maximum(image[region], digit)
            labels[region][digit > 127] = classes[chosen] + 1
    return images, maps


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, metavar="DIR", help="Folder of MNIST. Default: CNNC_DATA.")
    options.add_argument(
        "--train", type=int, default=10_000, metavar="N", help="Number of training images. Default: 10,000."
    )
    options.add_argument("--test", type=int, default=1_000, metavar="N", help="Number of test images. Default: 1,000.")
    given = options.parse_args()
    mnist = load("mnist", given.data, print)
    x, y = make(mnist.train.images, mnist.train.labels, given.train, np.random.default_rng([given.seed, 0]))
    x_test, y_test = make(mnist.test.images, mnist.test.labels, given.test, np.random.default_rng([given.seed, 1]))
    write_arrays(given.out / "segments.npz", x=x, y=y, x_test=x_test, y_test=y_test)


if __name__ == "__main__":
    main()
