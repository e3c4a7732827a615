"""Loads data sets by name: `load("mnist")`.

In: the name of a data set and, optionally, the folder given with `--data`; for user data (`images`, `shards`,
`npz`, `text`, `series`, `audio`) also the path in the source file and the types of the network's inputs. Out: a `Dataset`, whose columns are in
memory or read when they are indexed. `catalog` lists classes and shapes of the public data sets without opening them.
Importing this package loads neither NumPy nor any reader; each reader is imported on its first use. Scaling to floating
point, shuffling and batching are part of training.
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
"""Receives lines that describe what is read."""


def ignore_report(line: str) -> None:
    """A `Report` that drops every line."""


class Request(Record):
    """What a reader needs to know about the request and the network.

    `folder` is the argument of `--data`; `path` the file or folder in the source (`data images "photos"`), as written;
    `report` receives the lines that describe what was read. `inputs` are the types of the network's inputs, to whose
    size images are resized; `classes` is the network's number of classes, which must be that of the data (0: unknown,
    or not a classifier). `test` is the fraction of examples that becomes the test split where the data have none, drawn
    with `seed`.

    `input_names` and `output_names` are those of the network, by which `npz` selects arrays; `ignore` is a label that
    does not count (`loss cross_entropy ignore=255`); `vocabulary_size` is the `vocab` of the embed layer, padding and
    unknown words included (0: no limit). `vocabulary` holds the words of a network that was trained before, which replace those
    of the data; `columns` the names of the columns whose values it takes, in its order. Without `download` a public data set that is not on the disk is an error.

    `label`, `index`, `header` and `decimal` are what the source says about a table; `target_values` is how many numbers the network
    predicts for each example (0: it predicts a class, or its own input). `background` and `value_range` are what it says of how image
    files become pixels; `rate` is the sample rate of recordings in Hz (0: that of most files), and `seconds` their duration
    where there is no network (None: that of most files).

    Of images: `labels` is the table that names them; `masks` is the folder of masks, `colours` their colours and `class_names` the
    names of their classes, both by class. `output` is the type of the output that targets are compared with.
    """

    folder: Path | None = None
    report: Report = ignore_report
    path: str | None = None
    inputs: tuple[TensorType, ...] = ()
    classes: int = 0
    test: float = 0.1
    seed: int = 0
    vocabulary_size: int = 0
    vocabulary: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    ignore: int | None = None
    download: bool = True
    label: tuple[str | int, ...] = ()
    index: tuple[str | int, ...] = ()
    header: bool | None = None
    decimal: str | None = None
    target_values: int = 0
    rate: int = 0
    seconds: float | None = None
    background: str | None = None
    value_range: tuple[float, float] | None = None
    output: TensorType | None = None
    labels: str | None = None
    masks: str | None = None
    colours: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()


def _digits(request: Request) -> Dataset:
    from cnnc.data import digits

    if request.folder is not None:
        request.report(f"digits comes with cnnc; {request.folder} is not read")
    return digits.read()


def _mnist(request: Request) -> Dataset:
    from cnnc.data import mnist

    return mnist.read(request.folder, request.report, request.download)


def _fashion_mnist(request: Request) -> Dataset:
    from cnnc.data import fashion_mnist

    return fashion_mnist.read(request.folder, request.report, request.download)


def _cifar10(request: Request) -> Dataset:
    from cnnc.data import cifar10

    return cifar10.read(request.folder, request.report, request.download)


def _images(request: Request) -> Dataset:
    from cnnc.data import images, labelled_images, masked_images

    if request.labels is not None:
        return labelled_images.read(request)
    return images.read(request) if request.masks is None else masked_images.read(request)


def _shards(request: Request) -> Dataset:
    from cnnc.data import shards

    return shards.read(request)


def _npz(request: Request) -> Dataset:
    from cnnc.data import npz

    return npz.read(request)


def _text(request: Request) -> Dataset:
    from cnnc.data import text

    return text.read(request)


def _series(request: Request) -> Dataset:
    from cnnc.data import series

    return series.read(request)


def _audio(request: Request) -> Dataset:
    from cnnc.data import audio

    return audio.read(request)


READERS: dict[str, Callable[[Request], Dataset]] = {
    "digits": _digits,
    "mnist": _mnist,
    "fashion_mnist": _fashion_mnist,
    "cifar10": _cifar10,
    "images": _images,
    "shards": _shards,
    "npz": _npz,
    "text": _text,
    "series": _series,
    "audio": _audio,
}


def load(name: str, folder: Path | None = None, report: Report = ignore_report, **more: Any) -> Dataset:
    """Reads a data set; `more` are the other fields of `Request`.

    `folder` holds the files; without it they are searched for and, for public data sets, downloaded. `report` receives
    one line of text for each step that takes time. Raises CnncError E601 for an unknown name, E602 for invalid files,
    E603 where files are missing and cannot be downloaded.
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
    if folder is not None:
        _require_data_folder(name, folder, more.get("path"))
    return reader(Request(folder=folder, report=report, **more))


def require_existing(folder: Path) -> None:
    """Raises CnncError E603 if there is nothing at the path that `--data` names."""
    if not folder.exists():
        help = "name the folder that holds the data sets, or leave out --data"
        raise CnncError.of("E603", f"there is no folder {folder}", help=help)


def _require_data_folder(name: str, folder: Path, path: str | None) -> None:
    """Raises CnncError E603 if `--data` names no folder; a file may be an archive of CIFAR-10, or what the source names."""
    require_existing(folder)
    is_data = name == "cifar10" or (path is not None and Path(path).name == folder.name)
    if not folder.is_dir() and not is_data:
        from shlex import quote

        help = f"name the folder that holds the data sets, such as `--data {quote(str(folder.parent))}`, or leave out --data"
        raise CnncError.of("E603", f"{folder} is not a folder", help=help)
