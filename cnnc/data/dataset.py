"""What every data reader returns: `Dataset`, a training and a test `Split`, each of input and target `Column`s.

`make_split` checks that arrays of images and labels belong together. Pixels stay uint8 as in the file; training scales
them.
"""

from __future__ import annotations

import mmap
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cnnc.core.tensor import format_shape
from cnnc.data.catalog import DataFacts
from cnnc.diagnostics import CnncError


class Column(Protocol):
    """N examples of one input, or N targets: an array, or an object that reads an array when it is indexed.

    Inputs are uint8 or float32 (N, C, *spatial), channels first, or int64 (N, T); targets int64 labels (N,), label
    maps (N, *spatial), or float32 values (N, *shape).
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        """The examples at an index array or slice, as an array."""
        ...


Batch = tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]
"""Inputs and targets, an array (N, ...) for each column."""


@runtime_checkable
class ReadsAhead(Protocol):
    """A column that takes time to read."""

    def batches(self, parts: Sequence[Any]) -> Iterator[NDArray[Any]]:
        """The examples at each of the parts, index arrays or slices, in order; the next ones are read meanwhile."""
        ...


@dataclass(frozen=True, eq=False)
class Split:
    """Examples: one column for each input of the network, and one for each target."""

    inputs: tuple[Column, ...]
    targets: tuple[Column, ...]

    @classmethod
    def of(cls, images: Column, labels: Column) -> Split:
        """A split with one input and one target."""
        return cls((images,), (labels,))

    @property
    def images(self) -> NDArray[Any]:
        """All of the first input, as an array (N, ...)."""
        return self.inputs[0][:]

    @property
    def labels(self) -> NDArray[Any]:
        """All of the first target, as an array (N, ...)."""
        return self.targets[0][:]

    def __len__(self) -> int:
        return len(self.inputs[0])

    def batches(self, parts: Sequence[Any]) -> Generator[Batch, None, None]:
        """The inputs and targets at each of the parts, index arrays or slices, in order.

        Columns that are not in memory read ahead, in worker processes. Close the iterator if you leave off before its end.
        """
        columns = [_batches(column, parts) for column in (*self.inputs, *self.targets)]
        with ExitStack() as stack:
            for batches in columns:
                stack.enter_context(closing(batches))
            for arrays in zip(*columns, strict=True):
                yield arrays[: len(self.inputs)], arrays[len(self.inputs) :]

    def select(self, indices: NDArray[np.int64]) -> Split:
        """The examples at these indices; columns that are not in memory stay in their files."""
        inputs, targets = (tuple(_select(c, indices) for c in columns) for columns in (self.inputs, self.targets))
        return Split(inputs, targets)


class SelectedExamples:
    """Some examples of a column that is not an array in memory."""

    def __init__(self, column: Column, indices: NDArray[np.int64]) -> None:
        self._column = column
        self._indices = indices
        self.shape = (len(indices), *column.shape[1:])
        self.dtype = column.dtype

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        return self._column[self._indices[chosen]]

    @property
    def in_memory(self) -> NDArray[Any] | None:
        """The examples of the whole column, where it keeps them in memory."""
        return getattr(self._column, "in_memory", None)

    def display_name(self, n: int) -> str:
        """The file of example `n`, "" where examples have no files of their own."""
        return display_name(self._column, int(self._indices[n]))

    def batches(self, parts: Sequence[Any]) -> Iterator[NDArray[Any]]:
        """Those of the column, with its own way to read ahead."""
        return _batches(self._column, [self._indices[part] for part in parts])


def _batches(column: Column, parts: Sequence[Any]) -> Generator[NDArray[Any], None, None]:
    if isinstance(column, ReadsAhead):
        yield from column.batches(parts)
        return
    yield from (column[part] for part in parts)


def _select(column: Column, indices: NDArray[np.int64]) -> Column:
    return column[indices] if isinstance(column, np.ndarray) else SelectedExamples(column, indices)


def bytes_in_memory(data: Dataset) -> int:
    """The bytes that the examples of a data set take in memory; a memory map, and what is decoded when it is read, take none."""
    splits = [split for split in (data.train, data.test, data.validation) if split is not None]
    arrays = {id(array): array for s in splits for c in (*s.inputs, *s.targets) for array in _arrays_of(c)}
    return sum(array.nbytes for array in arrays.values())


def _arrays_of(column: Column) -> list[NDArray[Any]]:
    held = column if isinstance(column, np.ndarray) else getattr(column, "in_memory", None)
    if not isinstance(held, np.ndarray):
        return []
    base = held
    while isinstance(base.base, np.ndarray):
        base = base.base
    return [] if isinstance(base, np.memmap) or isinstance(base.base, mmap.mmap) else [base]


def display_name(column: Column, n: int) -> str:
    """The file of example `n` of a column, "" where examples have no files of their own."""
    name: str = column.display_name(n) if hasattr(column, "display_name") else ""
    return name


@dataclass(frozen=True, eq=False)
class ReadFacts:
    """What was read, and what was not: the file or folder `source`, and the names of what was not read.

    Of image files: those that were skipped, with the reasons; how many have each size (`64x48`, width first) and mode (`RGB`),
    how many were resized, and how many were converted in which way.
    """

    source: str = ""
    unread: Sequence[str] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)
    resized: int = 0
    conversions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: its name, the names of its classes in the order of their labels, and its splits.

    `validation` is None where the files have no such share: then it is drawn from the training examples. `test_is_drawn` says
    that the files have no test share, and that `test=` of the source sets its size.
    `classes` is empty where targets are not labels. `vocabulary` is empty where inputs are not words; the integer
    i + 2 stands for its word i, 0 for padding, 1 for an unknown word. `columns` are the names, from the header of a table, of the
    columns whose values are the input, in their order; empty where there are none.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    vocabulary: tuple[str, ...] = ()
    facts: ReadFacts = ReadFacts()
    validation: Split | None = None
    test_is_drawn: bool = False
    columns: tuple[str, ...] = ()


class InputNames(Protocol):
    """What the numbers of an input stand for, as a trained network knows it: `vocabulary` and `columns` as those of a `Dataset`."""

    @property
    def vocabulary(self) -> tuple[str, ...]: ...

    @property
    def columns(self) -> tuple[str, ...]: ...


def make_split(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], facts: DataFacts, images_name: str, labels_name: str
) -> Split:
    """A split of images (N, C, H, W) and labels (N,), checked against the facts of their data set.

    The two names are the files that errors cite. Raises CnncError E602.
    """
    _check_images(images, facts.shape, images_name)
    if len(images) != len(labels):
        counts = f"{images_name} holds {len(images):,} images, but {labels_name} holds {len(labels):,} labels"
        raise CnncError.of("E602", f"{counts}: expected as many labels as images")
    _check_labels(labels, len(facts.classes), labels_name)
    return Split.of(images, labels.astype(np.int64))


def _check_images(images: NDArray[np.uint8], shape: tuple[int, ...], name: str) -> None:
    if images.shape[1:] != shape:
        expected, found = format_shape(shape), format_shape(images.shape[1:])
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
