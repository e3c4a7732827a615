"""What every reader of data returns.

In: arrays that a reader has taken from its files. Out: `Split` (examples and their targets) and `Dataset` (a training
and a test split, with the names of the classes). `make_split` refuses arrays that do not belong together. Pixels stay
the bytes they are in the file: scaling belongs to training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cnnc.data.catalog import DataFacts
from cnnc.diagnostics import CnncError


class Column(Protocol):
    """N examples of one input, or N targets: an array, or something that makes one when it is indexed.

    Inputs are uint8 or float32 (N, C, *spatial), channels first, or int64 (N, T); targets int64 labels (N,), label
    maps (N, *spatial), or float32 values (N, *shape).
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        """The examples of an index array or slice, as an array."""
        ...


@dataclass(frozen=True, eq=False)
class Split:
    """Examples: a column for each input of the network, and one for each target."""

    inputs: tuple[Column, ...]
    targets: tuple[Column, ...]

    @classmethod
    def of(cls, images: Column, labels: Column) -> Split:
        """Examples of one input and one target."""
        return cls((images,), (labels,))

    @property
    def images(self) -> NDArray[Any]:
        """The first input, as a whole array."""
        return self.inputs[0][:]

    @property
    def labels(self) -> NDArray[Any]:
        """The first target, as a whole array."""
        return self.targets[0][:]

    def __len__(self) -> int:
        return len(self.inputs[0])

    def part(self, chosen: NDArray[np.int64]) -> Split:
        """The examples at these places; what is not in memory stays where it is."""
        return Split(tuple(_part(c, chosen) for c in self.inputs), tuple(_part(c, chosen) for c in self.targets))


class Part:
    """Some examples of a column that is not an array."""

    def __init__(self, whole: Column, chosen: NDArray[np.int64]) -> None:
        self._whole = whole
        self._chosen = chosen
        self.shape = (len(chosen), *whole.shape[1:])
        self.dtype = whole.dtype

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        return self._whole[self._chosen[chosen]]


def _part(column: Column, chosen: NDArray[np.int64]) -> Column:
    return column[chosen] if isinstance(column, np.ndarray) else Part(column, chosen)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: its name, the names of its classes in the order of their labels, and its two splits.

    `classes` is empty where targets are values, `vocabulary` where inputs are no words (word i + 2 of the text is
    entry i: 0 pads, 1 is a word unknown).
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    vocabulary: tuple[str, ...] = ()


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
    return Split.of(images, labels.astype(np.int64))


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
