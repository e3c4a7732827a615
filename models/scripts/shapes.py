"""Draws photos of three shapes into a folder of classes, as people have images: in colour, of mixed sizes, with noise.

A disc, square or triangle of a bright colour lies on a dark one, at a random place, turned by up to 30 degrees, and takes 50
to 90 % of the shorter side. Images have 40 to 80 pixels a side. All numbers are drawn uniformly; the noise is Gaussian, with a standard deviation
of 20 of 255.

`python -m cnnc.models.scripts.shapes` writes made/shapes/disc/000.png and so on, 100 images for each class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import make_folder
from cnnc.data.image_file import write_png

from .common import parser

SHAPES = ("disc", "square", "triangle")
NOISE = 20.0
"""The standard deviation of the noise, in grey levels."""


def inside(shape: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points are in a shape around the origin that reaches to 1."""
    reach: NDArray[np.float64] = {
        "disc": np.hypot(x, y) / 0.85,
        "square": np.maximum(abs(x), abs(y)) / 0.75,
        "triangle": np.maximum(np.sqrt(3) * abs(x) - y, 2 * y),
    }[shape]
    return reach < 1


def photo(shape: str, random: np.random.Generator) -> NDArray[np.uint8]:
    """One image (H, W, 3) with the shape."""
    height, width = random.integers(40, 81, 2)
    half = random.uniform(0.5, 0.9) * min(height, width) / 2
    centre = [random.uniform(half, side - half) for side in (height, width)]
    dy, dx = (np.mgrid[:height, :width] - np.reshape(centre, (2, 1, 1))) / half
    angle = np.radians(random.uniform(-30, 30))
    x, y = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    ground, ink = random.uniform(0, 100, 3), random.uniform(120, 255, 3)
    pixels = np.where(inside(shape, x, y)[..., None], ink, ground) + random.normal(0, NOISE, (height, width, 3))
    rounded: NDArray[np.uint8] = np.rint(pixels.clip(0, 255)).astype(np.uint8)
    return rounded


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=100, metavar="N", help="Images of each class. Default: 100.")
    given = options.parse_args()
    random = np.random.default_rng(given.seed)
    for shape in SHAPES:
        folder = given.out / "shapes" / shape
        make_folder(folder)
        for number in range(given.count):
            write_png(folder / f"{number:03}.png", photo(shape, random))
    print(f"wrote {given.count * len(SHAPES):,} images to {given.out / 'shapes'}")


if __name__ == "__main__":
    main()
