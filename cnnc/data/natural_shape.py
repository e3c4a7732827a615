"""The shape of a network's input that image files suggest, where no network is given.

In: image files. Out: (C, H, W): the most frequent size of a sample of the files, spread over all of them, and one channel if
all of those are grey. A larger image than `LARGEST_SIDE` is taken smaller, with the same ratio of its sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnc.data.image_decoder import ImageFacts, ImageFiles, Shape, decode_each

LARGEST_SIDE = 256

_SAMPLE = 200
_GREY = ("1", "L", "LA", "I", "F")
"""The beginnings of Pillow's modes of grey images; those of 16 bits begin with I."""


def natural_shape(files: ImageFiles, keys: Sequence[Any]) -> Shape | None:
    """The shape that fits most of the files; None where no file of the sample is an image."""
    chosen = [keys[n] for n in range(0, len(keys), max(1, len(keys) // _SAMPLE))]
    decoded = decode_each(np.empty((len(chosen), 3, 1, 1), np.uint8), files, chosen)
    images = [facts for facts in decoded if isinstance(facts, ImageFacts)]
    if not images:
        return None
    (width, height), _ = Counter(image.size for image in images).most_common(1)[0]
    shrink = min(1.0, LARGEST_SIDE / max(width, height))
    is_grey = all(image.mode.split(";")[0] in _GREY for image in images)
    return 1 if is_grey else 3, max(1, round(height * shrink)), max(1, round(width * shrink))
