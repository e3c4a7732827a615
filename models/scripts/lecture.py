"""Writes the images that docs/lecture.md works on, from the bundled digits and from simple shapes.

`digit-0.png` to `digit-9.png` are the first test image of each class, of 8x8 pixels, and `digit-0.csv` to `digit-9.csv`
the same as numbers, from 0 (paper) to 16 (ink). `page.png` holds these ten digits and ten of a second writer, each in a
cell of its own; `other-0.png` to `other-9.png` are those of a third writer. `shapes.png` has a disc, a square, a ramp of brightness, noise, and stripes in four directions.

`python -m cnnc.models.scripts.lecture` writes these files to the folder made.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import make_folder, write_atomic
from cnnc.data import load
from cnnc.data.image_file import write_png

from .common import parser

Bytes = NDArray[np.uint8]

CELL, COLUMNS, ROWS = 12, 5, 4
"""Side of a cell of the page in pixels, and the number of cells per row and column."""
LEVELS = 16
"""Grey levels of the bundled digits above 0."""
TILE = 48
"""Side of each shape in pixels."""


def first_of_each_class(images: Bytes, labels: NDArray[np.int64]) -> Bytes:
    """The first image of each of the classes 0 to 9: (10, H, W) from images (N, 1, H, W)."""
    return np.stack([images[np.flatnonzero(labels == digit)[0], 0] for digit in range(10)])


def page(digits: Bytes, random: np.random.Generator) -> Bytes:
    """One image with each of the digits (N, 8, 8) in a cell of its own, in a random order and position within the cell."""
    whole = np.zeros((ROWS * CELL, COLUMNS * CELL), np.uint8)
    side = digits.shape[-1]
    for cell, digit in zip(random.permutation(ROWS * COLUMNS), digits, strict=False):
        row, column = divmod(int(cell), COLUMNS)
        top, left = random.integers(0, CELL - side + 1, 2)
        whole[row * CELL + top :, column * CELL + left :][:side, :side] = digit
    return whole


def shapes(random: np.random.Generator) -> Bytes:
    """Two rows of four tiles: disc, square, ramp, noise; stripes that run in four directions."""
    y, x = np.mgrid[:TILE, :TILE] - (TILE - 1) / 2
    disc = np.hypot(x, y) < TILE / 3
    square = np.maximum(abs(x), abs(y)) < TILE / 3
    ramp = (x + TILE / 2) / TILE
    noise = 0.5 + 0.5 * square + random.normal(0, 0.1, (TILE, TILE)) - 0.25
    upper = [0.2 + 0.6 * disc, 0.2 + 0.6 * square, ramp, noise]
    lower = [0.5 + 0.4 * np.cos(2 * np.pi * (x * np.cos(a) + y * np.sin(a)) / 6) for a in np.radians((0, 45, 90, 135))]
    values = np.vstack([np.hstack(upper), np.hstack(lower)])
    pixels: Bytes = np.rint(255 * values.clip(0, 1)).astype(np.uint8)
    return pixels


def csv(pixels: Bytes) -> bytes:
    """A digit in its grey levels, one row of the image per line."""
    levels = np.rint(pixels * (LEVELS / 255)).astype(int)
    return "".join(f"{','.join(map(str, row))}\n" for row in levels.tolist()).encode()


def main() -> None:
    given = parser(__doc__).parse_args()
    folder: Path = given.out
    random = np.random.default_rng(given.seed)
    test = load("digits", None, print).test
    digits = first_of_each_class(test.images, test.labels)
    half = len(test.images) // 2
    second = test.images[half:, 0][: ROWS * COLUMNS - len(digits)]
    third = first_of_each_class(test.images[half + 20 :], test.labels[half + 20 :])
    images = {f"digit-{name}": digit for name, digit in enumerate(digits)}
    images |= {f"other-{name}": digit for name, digit in enumerate(third)}
    images["page"] = page(np.concatenate([digits, second]), random)
    images["shapes"] = shapes(random)
    make_folder(folder)
    for name, pixels in images.items():
        write_png(folder / f"{name}.png", pixels)
    for number, digit in enumerate(digits):
        write_atomic(folder / f"digit-{number}.csv", csv(digit))
    print(f"wrote {len(images)} images and {len(digits)} tables to {folder}")


if __name__ == "__main__":
    main()
