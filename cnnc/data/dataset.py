"""What every reader of data returns.

In: arrays that a reader has taken from its files. Out: `Split` (images and their labels) and `Dataset` (a training
and a test split, with the names of the classes). `make_split` refuses arrays that do not belong together. Pixels stay
the bytes they are in the file: scaling belongs to training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnc.data.catalog import DataFacts
from cnnc.diagnostics import CnncError


@dataclass(frozen=True, eq=False)
class Split:
    """Images, uint8 (N, C, H, W), channels first, and their labels, int64 (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: its name, the names of its classes in the order of their labels, and its two splits."""

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split


def make_split(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], facts: DataFacts, images_name: str, labels_name: str
) -> Split:
    """A split of images (N, C, H, W) and labels (N,) that were checked against the facts of their data set.

    The two names are the files that errors cite. Raises E602.
    """
    _check_images(images, facts.shape, images_name)
    if len(images) != len(labels):
        found = f"{images_name} holds {len(images):,} images, but {labels_name} holds {len(labels):,} labels"
        raise CnncError.of("E602", f"{found}: expected as many labels as images")
    _check_labels(labels, len(facts.classes), labels_name)
    return Split(images, labels.astype(np.int64))


def _check_images(images: NDArray[np.uint8], shape: tuple[int, ...], name: str) -> None:
    if images.shape[1:] != shape:
        expected, found = by(shape), by(images.shape[1:])
        raise CnncError.of("E602", f"{name}: expected images of {expected} (channels x height x width), found {found}")
    if len(images) == 0:
        raise CnncError.of("E602", f"{name}: expected at least one image, found none")


def _check_labels(labels: NDArray[np.uint8], classes: int, name: str) -> None:
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        first = int(wrong[0])
        raise CnncError.of(
            "E602", f"{name}: expected labels 0 to {classes - 1}, found {int(labels[first])} at position {first:,}"
        )


def by(shape: tuple[int, ...]) -> str:
    """A shape as messages write it: `1x28x28`."""
    return "x".join(str(size) for size in shape)
