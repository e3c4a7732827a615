"""CIFAR-10: 50,000 training and 10,000 test images in colour, 32x32, of ten classes (Krizhevsky 2009).

In: the folder given with `--data`, or None. Out: a `Dataset` of uint8 images (N, 3, 32, 32). Two forms are read: the
binary version (data_batch_1.bin to data_batch_5.bin and test_batch.bin, in a folder or in cifar-10-binary.tar.gz), and
image files `train/<class>/<file>` and `test/<class>/<file>`, in a folder or in a .zip whose name begins with cifar. The
python version is a pickle, which can run code, and is never read.

A given folder is the only one searched. Otherwise the folder CNNC_DATA is searched, then the user's cache, into which
the binary version is downloaded if it is nowhere. In each, a subfolder `cifar10`, `cifar-10-batches-bin` or `cifar-10`
may hold the files.

A record of the binary version is one byte for the label and 3,072 bytes for the pixels, channel by channel.
"""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import first_line, open_file, reason
from cnnc.data import Report, fetch, images
from cnnc.data.catalog import KNOWN
from cnnc.data.dataset import Dataset, ReadFacts, Split
from cnnc.data.download import RemoteFile
from cnnc.data.file_tree import FileTree, bad_file, open_tree
from cnnc.data.image_column import decode_all
from cnnc.data.image_file import require_pillow
from cnnc.diagnostics import CnncError

FILES = fetch.DataFiles(
    name="cifar10",
    files=(
        RemoteFile(
            "cifar-10-binary.tar.gz", 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
        ),
    ),
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    aliases=("cifar-10-batches-bin", "cifar-10"),
)

TRAIN = tuple(f"data_batch_{n}.bin" for n in range(1, 6))
TEST = "test_batch.bin"
META = "batches.meta.txt"

_FACTS = KNOWN["cifar10"]
_RECORD = 1 + 3 * 32 * 32
_MAX_BATCH_BYTES = 10_000 * _RECORD
_MAX_MEMBERS = 100
_FULL_SIZES = (50_000, 10_000)


def read(folder: Path | None, report: Report, download: bool = True) -> Dataset:
    """Reads CIFAR-10 from a folder or archive, or searches for it. Raises CnncError E602, E603."""
    searched = [folder] if folder is not None else fetch.search_folders(FILES.name)
    source = next((path for path in map(_find_in, searched) if path is not None), None)
    if source is None:
        if folder is not None:
            raise _not_in(folder)
        (source,) = fetch.fetch_missing(FILES, report, download)
    data = replace(_read(source), facts=ReadFacts(str(source)))
    sizes = (len(data.train), len(data.test))
    note = "" if sizes == _FULL_SIZES else f"; all of CIFAR-10 is {_FULL_SIZES[0]:,} and {_FULL_SIZES[1]:,}"
    report(f"cifar10: {sizes[0]:,} training and {sizes[1]:,} test examples from {source}{note}")
    return data


def _find_in(path: Path) -> Path | None:
    """The archive, or the folder of .bin or image files, in a folder or at a path; None where there is neither."""
    if path.is_file():
        return path
    for folder in FILES.folders(path):
        if all((folder / name).is_file() for name in (*TRAIN, TEST)):
            return folder
        archive = folder / FILES.files[0].name
        if archive.is_file():
            return archive
        if all((folder / split / _FACTS.classes[0]).is_dir() for split in ("train", "test")):
            return folder
        if folder.is_dir():
            zips = sorted(p for p in folder.iterdir() if p.name.lower().startswith("cifar") and p.suffix == ".zip")
            if zips:
                return zips[0]
    return None


def _not_in(folder: Path) -> CnncError:
    problem = f"there is no CIFAR-10 in {folder}" if folder.is_dir() else f"there is no folder {folder}"
    return CnncError.of(
        "E603",
        problem,
        help=f"download cifar-10-binary.tar.gz (the binary version) from {FILES.mirrors[0]}cifar.html into that folder, "
        "or leave out --data to search elsewhere and download it",
    )


def _read(source: Path) -> Dataset:
    if source.is_dir() and (source / TEST).is_file():
        return _from_records(
            {name: _file(source / name) for name in (*TRAIN, TEST, META) if _is_present(source / name)}, source
        )
    if source.is_dir() or source.suffix == ".zip":
        return _from_images(open_tree(source))
    return _from_records(_unpacked(source), source)


# ---- the binary version


def _is_present(path: Path) -> bool:
    return path.name != META or path.is_file()


def _file(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            return file.read(_MAX_BATCH_BYTES + 1)
    except OSError as error:
        raise bad_file(path, f"cannot be read ({reason(error)})") from error


def _unpacked(archive: Path) -> dict[str, bytes]:
    """The content of the files of the binary version in their .tar.gz; no other member is read. Raises E602."""
    content: dict[str, bytes] = {}
    try:
        with open_file(archive) as file, tarfile.open(fileobj=file, mode="r|gz") as tar:
            for count, member in enumerate(tar):
                name = member.name.rpartition("/")[2]
                if count >= _MAX_MEMBERS or not 0 <= member.size <= 2 * _MAX_BATCH_BYTES:
                    raise bad_file(archive, f"expected the binary version of CIFAR-10, found {member.name} in it")
                if name in (*TRAIN, TEST, META) and member.isreg():
                    stream: IO[bytes] | None = tar.extractfile(member)
                    content[name] = stream.read(_MAX_BATCH_BYTES + 1) if stream is not None else b""
    except CnncError:
        raise
    except Exception as error:  # tarfile, gzip and zlib raise several kinds for damaged archives
        raise bad_file(archive, f"the archive is damaged ({first_line(error)})") from error
    missing = [name for name in (*TRAIN, TEST) if name not in content]
    if missing:
        hint = (
            "download the binary version: the python version is a pickle, which is never read"
            if "python" in archive.name
            else ""
        )
        raise bad_file(archive, f"expected the binary version of CIFAR-10, found no {', '.join(missing)}", hint)
    return content


def _from_records(files: dict[str, bytes], folder: Path) -> Dataset:
    if META in files:
        names = tuple(files[META].decode("latin-1").split())
        if names != _FACTS.classes:
            raise bad_file(
                _cite(folder, META), f"expected the names of CIFAR-10's classes, found {' '.join(names)[:100]}"
            )
    parts = [_records(files[name], _cite(folder, name)) for name in TRAIN]
    train = Split.of(np.concatenate([p for p, _ in parts]), np.concatenate([labels for _, labels in parts]))
    return Dataset("cifar10", _FACTS.classes, train, Split.of(*_records(files[TEST], _cite(folder, TEST))))


def _records(data: bytes, where: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not data or len(data) % _RECORD or len(data) > _MAX_BATCH_BYTES:
        count = f"{len(data):,}" if len(data) <= _MAX_BATCH_BYTES else f"more than {_MAX_BATCH_BYTES:,}"
        raise bad_file(where, f"expected up to 10,000 records of {_RECORD:,} bytes, found {count} bytes")
    # (N * 3073,) -> (N, 3073) -> (N,) and (N, 3, 32, 32)
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    wrong = np.flatnonzero(labels >= len(_FACTS.classes))
    if len(wrong):
        raise bad_file(where, f"expected labels 0 to 9, found {labels[wrong[0]]} in record {wrong[0]:,}")
    return records[:, 1:].reshape(-1, *_FACTS.shape), labels


def _cite(folder: Path, name: str) -> str:
    return str(folder / name) if folder.is_dir() else f"{folder}: {name}"


# ---- image files


def _from_images(tree: FileTree) -> Dataset:
    require_pillow()
    train, test = (_read_images(tree, split_name) for split_name in ("train", "test"))
    return Dataset("cifar10", _FACTS.classes, train, test)


def _read_images(tree: FileTree, split_name: str) -> Split:
    """All images of the train or test folder, class by class. Raises E602 for a file that is not a 32x32 image."""
    names: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(_FACTS.classes):
        files = images.files_below(tree, f"{split_name}/{name}")
        if not files:
            raise bad_file(tree.display_name(f"{split_name}/{name}"), "expected image files, found none")
        names += files
        labels += [label] * len(files)
    channels, height, width = _FACTS.shape
    pixels = np.empty((len(names), *_FACTS.shape), np.uint8)
    for first, decoded in decode_all(tree, names, (channels, height, width)):
        for name, facts in zip(names[first:], decoded.facts, strict=False):
            if isinstance(facts, str):
                raise bad_file(tree.display_name(name), f"cannot be read as an image ({facts})")
            if facts.size != (width, height):
                size = f"{facts.size[0]}x{facts.size[1]}"
                raise bad_file(tree.display_name(name), f"expected an image of 32x32, found {size}")
        pixels[first : first + len(decoded.facts)] = decoded.pixels
    return Split.of(pixels, np.array(labels, np.int64))
