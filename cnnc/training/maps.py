"""Moves targets that are maps as the images of their batch were moved: label maps, masks, heat maps, images to compare with.

In: a map for each image, and the `sources` of the steps that moved the images, in order (see augment.py). Out: maps of the
same shape and type. A map may have another size than the images; it covers the same area.

Positions are followed through all steps before the map is read once, so that rounding does not add up: labels are those
of the nearest position, and `fill` where it lies outside the image; numbers are interpolated bilinearly, with zeros outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.recipe.augmentation import Augment
from cnnc.training.augment import ImageRandom, apply_steps, as_images, positions_before, sampled

Matrices = NDArray[np.float64]


class TargetColumn(NamedTuple):
    """What augmentation needs to know of a column of targets.

    `classes` is the number of classes of labels, one for each example or a map of them, and 0 for numbers. `is_map` says that
    the targets have positions as the input has. `ignored` is the label that does not count. What no loss compares with is
    not `used`, and stays as it is.
    """

    classes: int = 0
    is_map: bool = False
    ignored: int | None = None
    used: bool = True


def augment_batch(
    inputs: Array,
    targets: Sequence[Array],
    columns: Sequence[TargetColumn],
    statement: Augment,
    random: ImageRandom,
) -> tuple[Array, tuple[Array, ...]]:
    """The inputs after the steps that do not mix them, and the targets, of which maps have moved with them.

    Labels from outside an image are those that do not count, or class 0 where all labels count.
    """
    size = as_images(inputs).shape[2:]
    augmented, moves = apply_steps(inputs, statement, random)
    moved = [
        target
        if not column.is_map
        else move_labels(target, moves, (size[0], size[1]), column.ignored or 0)
        if column.classes
        else move_values(target, moves, (size[0], size[1]))
        for target, column in zip(targets, columns, strict=True)
    ]
    return augmented, tuple(moved)


def move_labels(
    labels: NDArray[np.int64], moves: Sequence[Matrices], size: tuple[int, int], fill: int
) -> NDArray[np.int64]:
    """Label maps (N, h, w) or (N, t), moved as images of `size`: height and width."""
    if not moves:
        return labels
    height, width = _size(labels)
    x, y, is_inside = _sources((height, width), moves, size)
    columns, rows = np.rint(x).clip(0, width - 1), np.rint(y).clip(0, height - 1)
    grid = labels.reshape(len(labels), height, width)
    moved = grid[np.arange(len(labels))[:, None, None], rows.astype(np.int64), columns.astype(np.int64)]
    return np.where(is_inside, moved, fill).reshape(labels.shape)


def move_values(values: NDArray[Any], moves: Sequence[Matrices], size: tuple[int, int]) -> NDArray[Any]:
    """Maps of numbers (N, C, h, w) or (N, C, t), moved as images of `size`: height and width."""
    if not moves:
        return values
    x, y, is_inside = _sources(_size(values), moves, size)
    outside = -1.0  # there bilinear interpolation gives zeros
    return sampled(as_images(values), np.where(is_inside, y, outside), np.where(is_inside, x, outside)).reshape(
        values.shape
    )


def _size(maps: NDArray[Any]) -> tuple[int, int]:
    """Height and width; series have one row. Label maps (N, h, w) and numbers (N, C, t) are told apart by their type."""
    has_rows = maps.ndim == (3 if maps.dtype == np.int64 else 4)
    return (maps.shape[-2] if has_rows else 1), maps.shape[-1]


def _sources(
    size: tuple[int, int], moves: Sequence[Matrices], image_size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """For each position of a map of `size` the column and row that it came from, and whether that lies inside the image."""
    (height, width), (image_height, image_width) = size, image_size
    scale_y, scale_x = image_height / height, image_width / width
    # the centers of the map's positions in pixels of the image
    x = np.broadcast_to(((np.arange(width) + 0.5) * scale_x - 0.5)[None, None], (1, height, width))
    y = np.broadcast_to(((np.arange(height) + 0.5) * scale_y - 0.5)[None, :, None], (1, height, width))
    is_inside = np.ones((1, height, width), np.bool_)
    for sources in reversed(moves):
        x, y = positions_before(sources, x, y)
        is_inside = is_inside & (abs(x - (image_width - 1) / 2) <= image_width / 2)
        is_inside &= abs(y - (image_height - 1) / 2) <= image_height / 2
    return (x + 0.5) / scale_x - 0.5, (y + 0.5) / scale_y - 0.5, is_inside
