"""Generates folders of images with tables of labels and pairs, and with masks, as people bring them.

The images are digits that come with cnnc: 600 of 8x8 pixels in photos/, and 300 of 20x20 with several digits on noise in
scenes/, as `segments` makes them. The script writes, in the folder own of the output folder:

    photos/0000.png ...   labels.csv  file,digit            the label of each image
                          ink.csv     file,ink,slant        its mean brightness, and how far it leans to the right
                          pairs.csv   left,right,different  3,000 pairs; the last 500, of images of their own, are the test share
    scenes/000.png ...    masks/000.png ...                 palette images: 0 is the background, 1 to 10 the digits

`python -m cnnc.models.scripts.own_images` writes made/own.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnc.core.files import make_folder
from cnnc.data import load
from cnnc.data.image_file import class_colours

from .common import parser, write
from .segments import make

PHOTOS, SCENES, PAIRS, TEST_PAIRS, TEST_PHOTOS = 600, 300, 3_000, 500, 150


def slant(image: NDArray[np.uint8]) -> float:
    """How far a digit leans to the right: the covariance of column and height, weighted by brightness."""
    weights = image / max(1, int(image.sum()))
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float64)
    return float((weights * (columns - (weights * columns).sum()) * ((weights * rows).sum() - rows)).sum())


def pairs(labels: NDArray[Any], random: np.random.Generator) -> list[tuple[int, int, int, str]]:
    """Two photos, whether their digits differ, and the share; half of the pairs differ."""
    rows = []
    for n in range(PAIRS):
        is_test = n >= PAIRS - TEST_PAIRS
        own = np.arange(PHOTOS - TEST_PHOTOS, PHOTOS) if is_test else np.arange(PHOTOS - TEST_PHOTOS)
        left, different = int(random.choice(own)), n % 2
        right = int(random.choice(own[(labels[own] != labels[left]) == bool(different)]))
        rows.append((left, right, different, "test" if is_test else "train"))
    return rows


def write_table(path: Path, header: str, rows: list[tuple[object, ...]]) -> None:
    """Writes a .csv with a header."""
    text = io.StringIO()
    print(header, *(",".join(map(str, row)) for row in rows), sep="\n", file=text)
    write(path, text.getvalue().encode())


def main() -> None:
    given = parser(__doc__).parse_args()
    folder = given.out / "own"
    random = np.random.default_rng(given.seed)
    digits = load("digits").train
    photos, labels = digits.images[:PHOTOS, 0], digits.labels[:PHOTOS]
    images, maps = make(digits.images, digits.labels, SCENES, random, 8, 10)
    for name in ("photos", "scenes", "masks"):
        make_folder(folder / name)
    for n, photo in enumerate(photos):
        Image.fromarray(photo).save(folder / "photos" / f"{n:04d}.png")
    for n, (image, labels_of_pixels) in enumerate(zip(images[:, 0], maps, strict=True)):
        Image.fromarray(image).save(folder / "scenes" / f"{n:03d}.png")
        mask = Image.fromarray(labels_of_pixels).convert("P")
        mask.putpalette(class_colours().tobytes())
        mask.save(folder / "masks" / f"{n:03d}.png")
    print(f"wrote {PHOTOS} images in {folder / 'photos'}, {SCENES} in {folder / 'scenes'} and their masks")
    names = [f"{n:04d}.png" for n in range(PHOTOS)]
    write_table(folder / "labels.csv", "file,digit", list(zip(names, labels.tolist(), strict=True)))
    ink = [
        (name, f"{image.mean() / 255:.4f}", f"{slant(image):.4f}") for name, image in zip(names, photos, strict=True)
    ]
    write_table(folder / "ink.csv", "file,ink,slant", [*ink])
    rows = [(names[a], names[b], different, share) for a, b, different, share in pairs(labels, random)]
    write_table(folder / "pairs.csv", "left,right,different,split", [*rows])


if __name__ == "__main__":
    main()
