"""Data sets by name.

In: the name of a data set and, if the user gave one, a folder. Out: a `Dataset` of uint8 images, whole in memory.
`catalog` tells the classes and the shape of each without opening it. Importing this package loads neither NumPy nor
any reader: each is imported when it is first called. Scaling to floating point, shuffling and batches belong to
training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cnnc.data.catalog import KNOWN, DataFacts
from cnnc.diagnostics import CnncError, nearest

if TYPE_CHECKING:
    from cnnc.data.dataset import Dataset

__all__ = ["KNOWN", "READERS", "DataFacts", "load"]

Report = Callable[[str], None]


def _digits(folder: Path | None, report: Report) -> Dataset:
    from cnnc.data import digits

    if folder is not None:
        report(f"digits comes with cnnc; nothing is read from {folder}")
    return digits.read()


def _mnist(folder: Path | None, report: Report) -> Dataset:
    from cnnc.data import mnist

    return mnist.read(folder, report)


READERS: dict[str, Callable[[Path | None, Report], Dataset]] = {
    "digits": _digits,
    "mnist": _mnist,
}


def quiet(line: str) -> None:
    """Reports to nobody."""


def load(name: str, folder: Path | None = None, report: Report = quiet) -> Dataset:
    """Reads a data set.

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
    return reader(folder, report)
