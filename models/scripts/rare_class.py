"""Takes two classes of CIFAR-10, automobiles and trucks, with five times as many of the first in training as of the second.

The test examples are balanced: as many of each class as the data set has.

`python -m cnnc.models.scripts.rare_class --data DIR` writes made/rare.npz, 2,000 automobiles and 400 trucks to train.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnc.data import load
from cnnc.data.dataset import Split

from .common import parser, write_arrays

CLASSES = ("automobile", "truck")


def part(split: Split, labels: tuple[int, ...], counts: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The first examples with each of the labels, so many of each, and their classes from 0."""
    chosen = [np.flatnonzero(split.labels == label)[:count] for label, count in zip(labels, counts, strict=True)]
    classes = np.repeat(np.arange(len(labels)), [len(rows) for rows in chosen])
    return split.inputs[0][np.concatenate(chosen)], classes


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, default=None, metavar="DIR", help="Folder with CIFAR-10.")
    options.add_argument("--count", type=int, default=2_000, metavar="N", help="Automobiles to train. Default: 2,000.")
    given = options.parse_args()
    data = load("cifar10", given.data, print)
    labels = tuple(data.classes.index(name) for name in CLASSES)
    x, y = part(data.train, labels, (given.count, given.count // 5))
    x_test, y_test = part(data.test, labels, (len(data.test),) * 2)
    write_arrays(given.out / "rare.npz", x=x, y=y, x_test=x_test, y_test=y_test)


if __name__ == "__main__":
    main()
