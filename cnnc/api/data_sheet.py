"""`cnnc data -o`: training examples by class, and the same after the augmentation of the network file.

In: `OpenedData`. Out: a `Drawing`. The examples are the first of each class in the training share; the augmentation
is that of the first step of the first epoch, drawn for these examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnc.api.augmented_examples import AugmentedRow, augmented_rows
from cnnc.core.arrays import Array
from cnnc.core.caller import is_command_line
from cnnc.data.dataset import Column, Split, display_name
from cnnc.diagnostics import CnncError
from cnnc.view.drawing import Drawing
from cnnc.view.inspect.examples import example_pixels, overlaid_pixels, side_by_side
from cnnc.view.inspect.signed_maps import Image, picture_rows
from cnnc.view.inspect.tiles import SheetTile, scale_of, tile_sheet

if TYPE_CHECKING:
    from cnnc.api.opened_data import OpenedData

CLASSES, EXAMPLES = 20, 8
"""The most classes, and the most examples of each."""

_SIDE = 72


class _Row(NamedTuple):
    """The examples of one class, or some of all, by their numbers in the training share."""

    heading: str
    numbers: Sequence[int]


def sheet(opened: OpenedData) -> Drawing:
    """The drawing. Raises CnncError E010 for words, which are not drawn."""
    training = opened.training
    inputs = training.inputs[0]
    if opened.dataset.vocabulary:
        sheet, help = ("-o", "leave -o out") if is_command_line() else ("`sheet`", "")
        raise CnncError.of("E010", f"{sheet} draws images and series; these data are sentences", help=help)
    rows, left_out = _rows(training, opened.dataset.classes)
    title = f"Training examples of {opened.title}"
    parts = [
        f"The first {EXAMPLES} examples of each class" if _has_labels(training) else f"The first {EXAMPLES} examples"
    ]
    parts += [f" of {CLASSES} classes; {left_out:,} classes are left out"] if left_out else []
    parts += ["; below them the same after the augmentation of the file"] if opened.augmentation is not None else []
    shown = len(_image_columns(training))
    if len(training.inputs) > max(1, shown):
        parts.append(f"; {f'{shown} images' if shown > 1 else 'the first'} of {len(training.inputs)} inputs are shown")
    text = f"{''.join(parts)}."
    if len(inputs.shape) < 4:
        return _curves(title, text, opened, rows)
    images = list(_image_rows(opened, rows))
    return picture_rows(title, text, images, _SIDE)


def _has_labels(share: Split) -> bool:
    return bool(share.targets) and share.targets[0].dtype == np.int64 and len(share.targets[0].shape) == 1


def _rows(share: Split, classes: Sequence[str]) -> tuple[list[_Row], int]:
    """The rows of the sheet, and how many classes have none."""
    if not _has_labels(share):
        return [_Row("", range(min(EXAMPLES, len(share))))], 0
    labels = share.labels
    present = np.unique(labels)
    names = [classes[k] if k < len(classes) else str(k) for k in present.tolist()]
    rows = [
        _Row(f"{name}: {np.count_nonzero(labels == k):,}", np.flatnonzero(labels == k)[:EXAMPLES].tolist())
        for k, name in zip(present[:CLASSES], names, strict=False)
    ]
    return rows, max(0, len(present) - CLASSES)


def _image_rows(opened: OpenedData, rows: Sequence[_Row]) -> Iterator[tuple[str, list[Image]]]:
    training, maps = opened.training, _label_maps(opened)
    for (heading, numbers), changed in zip(rows, _augmented(opened, rows), strict=True):
        images, *others = (column[np.array(numbers, np.int64)] for column in _image_columns(training))
        labels = [_label(training.inputs[0], n) for n in numbers]
        yield heading, _images(labels, images, *others)
        if maps is not None:
            yield "masks laid over the images", _overlays(opened, labels, images, maps[np.array(numbers, np.int64)])
        if changed is not None:
            yield "after augmentation", _images(changed.captions or labels, changed.inputs, *others)
            if maps is not None and changed.target is not None:
                yield "masks after augmentation", _overlays(opened, labels, changed.inputs, changed.target)
    if maps is not None:
        yield "colours of the masks", list(_legend(opened))


def _augmented(opened: OpenedData, rows: Sequence[_Row]) -> Sequence[AugmentedRow | None]:
    """The examples of each row after augmentation; None without one."""
    if opened.augmentation is None:
        return [None] * len(rows)
    return augmented_rows(opened, opened.augmentation, [row.numbers for row in rows])


def _label_maps(opened: OpenedData) -> Column | None:
    """The first target where it is a label map in the plane, (N, H, W), or a mask of 0 and 1, (N, 1, H, W)."""
    targets = opened.training.targets
    if targets and targets[0].dtype == np.int64 and len(targets[0].shape) == 3:
        return targets[0]
    is_mask = bool(targets) and opened.dataset.name == "images" and len(targets[0].shape) == 4
    return targets[0] if is_mask else None


def _overlays(opened: OpenedData, labels: Sequence[str], images: Array, maps: Array) -> list[Image]:
    from cnnc.data.image_file import class_colours

    colours = class_colours()
    maps = np.rint(maps).astype(np.int64).reshape(len(images), *maps.shape[-2:])
    return [
        Image(label, overlaid_pixels(example_pixels(image), map_, colours, opened.ignored_label))
        for label, image, map_ in zip(labels, images, maps, strict=True)
    ]


def _legend(opened: OpenedData) -> Iterator[Image]:
    """A tile for each class but 0, whose pixels stay as they are, and for the ignored label."""
    from cnnc.data.image_file import class_colours

    colours, classes = class_colours(), opened.dataset.classes or ("0", "1")
    tile = np.ones((1, 4, 3), np.uint8)
    for n, name in enumerate(classes[: CLASSES + 1]):
        if n and n != opened.ignored_label:
            yield Image(name, tile * colours[n])
    if opened.ignored_label is not None:
        yield Image("ignored", tile * 255)


def _image_columns(share: Split) -> list[Column]:
    """The inputs that are images."""
    return [column for column in share.inputs if len(column.shape) == 4] or [share.inputs[0]]


def _images(labels: Sequence[str], *inputs: Array) -> list[Image]:
    """An image for each example; those of several inputs side by side."""
    pixels = [[example_pixels(image) for image in images] for images in zip(*inputs, strict=True)]
    return [Image(label, side_by_side(each)) for label, each in zip(labels, pixels, strict=True)]


def _label(column: Column, n: int) -> str:
    return PurePath(display_name(column, n)).name[-14:] or str(n)


def _outline(values: Array) -> Array:
    """A curve of a few hundred points: of a longer one the least and the largest value of each of 300 parts, in turn."""
    if len(values) <= 4 * _PARTS:
        return values
    parts = np.array_split(values, _PARTS)
    return np.array([bound for part in parts for bound in (part.min(), part.max())])


_PARTS = 300


def _curves(title: str, text: str, opened: OpenedData, rows: Sequence[_Row]) -> Drawing:
    """Series (C, T) as curves of their first channel, and vectors as curves of their elements."""
    inputs, tiles = opened.training.inputs[0], []
    for (heading, numbers), changed in zip(rows, _augmented(opened, rows), strict=True):
        name = heading.partition(":")[0]
        labels = [f"{name}: {_label(inputs, n)}" if name else _label(inputs, n) for n in numbers]
        tiles += _tiles(labels, inputs[np.array(numbers, np.int64)])
        if changed is not None:
            tiles += _tiles(changed.captions or [f"{label}, augmented" for label in labels], changed.inputs)
    notes = ["The first channel is shown."] if len(inputs.shape) == 3 and inputs.shape[1] > 1 else []
    scale = scale_of(np.concatenate([tile.values for tile in tiles]))
    return tile_sheet(title, text, tiles, scale, notes=notes)


def _tiles(labels: Sequence[str], examples: Array) -> list[SheetTile]:
    return [
        SheetTile(label, _outline(np.asarray(values, np.float64).reshape(-1, values.shape[-1])[0]))
        for label, values in zip(labels, examples, strict=True)
    ]
