"""The handwritten digits that come with cnnc: 1,797 grey images of 8x8 pixels.

In: the two IDX files in the folder `digits` of this package; its README.md gives their source and licence. Out: a
`Dataset`. The files hold 17 grey levels, 0 to 16; they are scaled to 0 to 255, so that pixel / 255 is 0 to 1 as in every
other data set.

The last 360 images, a fifth, are the test split. The images are ordered by writer, so most writers of the test split do
not occur in the training split. A random split would put digits of the same writer on both sides and report a better
accuracy than new writers would see.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from cnnc.data.catalog import KNOWN
from cnnc.data.dataset import Dataset, ReadFacts, make_split
from cnnc.data.idx import IMAGES, LABELS, decode_idx, with_channel

TEST_IMAGES = 360
_LEVELS = 16


def read() -> Dataset:
    """Reads the bundled digits: 1,437 training and 360 test images."""
    facts = KNOWN["digits"]
    names = ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
    images = with_channel(scale_levels(_read(names[0], IMAGES)))
    everything = make_split(images, _read(names[1], LABELS), facts, *names)
    indices = np.arange(len(everything))
    train, test = everything.select(indices[:-TEST_IMAGES]), everything.select(indices[-TEST_IMAGES:])
    return Dataset("digits", facts.classes, train, test, facts=ReadFacts("the installation of cnnc"))


def scale_levels(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scales grey levels 0 to 16 to 0 to 255."""
    scaled = (levels.astype(np.int64) * 255 + _LEVELS // 2) // _LEVELS  # level * 255 / 16, rounded
    return scaled.astype(np.uint8)


def _read(name: str, dimensions: int) -> NDArray[np.uint8]:
    with (files("cnnc.data") / "digits" / name).open("rb") as file:
        return decode_idx(file, name, dimensions)
