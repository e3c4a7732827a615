"""The handwritten digits that come with cnnc: 1,797 grey images of 8x8 pixels.

In: the two IDX files in the folder `digits` of this package; its README.md gives their source and licence. Out: a
`Dataset`. The files hold 17 grey levels, 0 to 16; they are spread over 0 to 255, so that pixel / 255 is 0 to 1 as it
is for every other data set.

The last 360 images, a fifth, are the test split. The images stand in the order in which their writers gave them, so
most of the writers in the test split wrote nothing in the training split. A random split would put digits of one hand
on both sides and report a better accuracy than new writers would see.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from cnnc.data.catalog import KNOWN
from cnnc.data.dataset import Dataset, make_split
from cnnc.data.idx import IMAGES, LABELS, decode_idx, with_channel

TEST_IMAGES = 360
_LEVELS = 16


def read() -> Dataset:
    """The bundled digits: 1,437 for training and 360 for the test."""
    facts = KNOWN["digits"]
    names = ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
    images = with_channel(spread(_read(names[0], IMAGES)))
    everything = make_split(images, _read(names[1], LABELS), facts, *names)
    places = np.arange(len(everything))
    train, test = everything.part(places[:-TEST_IMAGES]), everything.part(places[-TEST_IMAGES:])
    return Dataset("digits", facts.classes, train, test)


def spread(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey levels 0 to 16 as 0 to 255."""
    scaled = (levels.astype(np.int64) * 255 + _LEVELS // 2) // _LEVELS  # level * 255 / 16, rounded
    return scaled.astype(np.uint8)


def _read(name: str, dimensions: int) -> NDArray[np.uint8]:
    with (files("cnnc.data") / "digits" / name).open("rb") as file:
        return decode_idx(file, name, dimensions)
