"""Data sets by name.

In: the name of a data set and, if the user gave one, a folder; for data of the user's own (`images`, `npz`, `text`,
`series`) the path that the text names, and what the network takes. Out: a `Dataset`, whose columns are in memory or
read as they are indexed. `catalog` tells the classes and the shape of the public ones without opening them. Importing
this package loads neither NumPy nor any reader: each is imported when it is first called. Scaling to floating point,
shuffling and batches belong to training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnc.core.record import Record
from cnnc.core.tensor import TensorType
from cnnc.data.catalog import KNOWN, DataFacts
from cnnc.diagnostics import CnncError, nearest

if TYPE_CHECKING:
    from cnnc.data.dataset import Dataset

__all__ = ["KNOWN", "READERS", "DataFacts", "Request", "load"]

Report = Callable[[str], None]


def quiet(line: str) -> None:
    """Reports to nobody."""


class Request(Record):
    """What is to be read, and for whom.

    `folder` is what the user gave for `--data`; `path` the file or folder that the text names (`images "photos"`), as
    written; `inputs` the types of the network's inputs, which pictures are brought to the size of; `classes` the
    number of its classes, which must be that of the data (0: unknown, or it asks for none, as an autoencoder);
    `test` and `seed` say what share to hold back where the data has no test set.

    `input_names` and `output_names` are those of the network, by which `npz` finds its arrays; `ignore` is a label
    that does not count (`loss cross_entropy ignore=255`); `vocabulary_size` is how many integers the embed layer
    knows, the two of padding and of unknown words included (0: as many as there are words); `vocabulary` are the words
    of a network that was trained before, which then are those of the data.
    """

    folder: Path | None = None
    report: Report = quiet
    path: str | None = None
    inputs: tuple[TensorType, ...] = ()
    classes: int = 0
    test: float = 0.1
    seed: int = 0
    vocabulary_size: int = 0
    vocabulary: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    ignore: int | None = None


def _digits(request: Request) -> Dataset:
    from cnnc.data import digits

    if request.folder is not None:
        request.report(f"digits comes with cnnc; nothing is read from {request.folder}")
    return digits.read()


def _mnist(request: Request) -> Dataset:
    from cnnc.data import mnist

    return mnist.read(request.folder, request.report)


def _fashion_mnist(request: Request) -> Dataset:
    from cnnc.data import fashion_mnist

    return fashion_mnist.read(request.folder, request.report)


def _cifar10(request: Request) -> Dataset:
    from cnnc.data import cifar10

    return cifar10.read(request.folder, request.report)


def _images(request: Request) -> Dataset:
    from cnnc.data import images

    return images.read(request)


def _npz(request: Request) -> Dataset:
    from cnnc.data import npz

    return npz.read(request)


def _text(request: Request) -> Dataset:
    from cnnc.data import text

    return text.read(request)


def _series(request: Request) -> Dataset:
    from cnnc.data import series

    return series.read(request)


READERS: dict[str, Callable[[Request], Dataset]] = {
    "digits": _digits,
    "mnist": _mnist,
    "fashion_mnist": _fashion_mnist,
    "cifar10": _cifar10,
    "images": _images,
    "npz": _npz,
    "text": _text,
    "series": _series,
}


def load(name: str, folder: Path | None = None, report: Report = quiet, **more: Any) -> Dataset:
    """Reads a data set; `more` are the other fields of `Request`.

    `folder` is where the user says its files are; without it they are searched for, and fetched where they can be.
    `report` gets a line of text for each thing that takes time. Raises E601 for an unknown name, E602 for bad files,
    E603 where the files are not found and cannot be fetched.
    """
    reader = READERS.get(name)
    if reader is None:
        guess = nearest(name, READERS)
        known = ", ".join(READERS)
        raise CnncError.of(
            "E601",
            f"there is no data set called `{name}`",
            help=f"write `{guess}`" if guess else f"the data sets are: {known}",
        )
    return reader(Request(folder=folder, report=report, **more))
