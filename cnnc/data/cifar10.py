"""CIFAR-10: 50,000 + 10,000 colour pictures, 32x32, of ten classes (Krizhevsky 2009).

In: a folder that the user gave, or none. Out: a `Dataset` of uint8 pictures. It is read from the binary version
(data_batch_1.bin to data_batch_5.bin and test_batch.bin, in a folder or in cifar-10-binary.tar.gz), or from pictures
as `train/<class>/<file>` and `test/<class>/<file>`, in a folder or in a .zip whose name begins with cifar. The python
version is a pickle, which can run programs, and is never read. A given folder is the only place searched; else it is
the folder of CNNC_DATA, then the user's cache, into which the binary version is fetched in the end. Each of these may
hold it in a subfolder `cifar10` or `cifar-10-batches-bin`. The split is the data set's own.

A record of the binary version is a byte for the label and 3072 for the pixels, channel after channel.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from cnnc.data import fetch, images
from cnnc.data.catalog import KNOWN
from cnnc.data.dataset import Dataset, Split
from cnnc.data.image_file import require
from cnnc.data.sources import Tree, bad, open_tree
from cnnc.diagnostics import CnncError

FILES = fetch.Files(
    name="cifar10",
    files=(
        fetch.File(
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
_MOST = 10_000 * _RECORD
_MOST_MEMBERS = 100
_WHOLE = (50_000, 10_000)

Report = Callable[[str], None]


def read(folder: Path | None, report: Report) -> Dataset:
    """CIFAR-10 from a folder (or the archive itself), or from wherever it is found. Raises E602, E603."""
    found = next((f for place in _places(folder) if (f := _find(place)) is not None), None)
    if found is None:
        if folder is not None:
            raise _not_in(folder)
        (found,) = fetch.fetch_all(FILES, report)
    data = _read(found)
    sizes = (len(data.train), len(data.test))
    part = "" if sizes == _WHOLE else f"; the whole of CIFAR-10 has {_WHOLE[0]:,} and {_WHOLE[1]:,}"
    report(f"cifar10: {sizes[0]:,} to train, {sizes[1]:,} to test from {found}{part}")
    return data


def _places(folder: Path | None) -> list[Path]:
    return [folder] if folder is not None else fetch.places(FILES.name)


def _find(place: Path) -> Path | None:
    """The archive, or the folder of .bin files or of pictures, that a place holds."""
    if place.is_file():
        return place
    for folder in FILES.folders(place):
        if all((folder / name).is_file() for name in (*TRAIN, TEST)):
            return folder
        archive = folder / FILES.files[0].name
        if archive.is_file():
            return archive
        if all((folder / part / _FACTS.classes[0]).is_dir() for part in ("train", "test")):
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
        help=f"put cifar-10-binary.tar.gz from {FILES.mirrors[0]}cifar.html into it (the binary version: the python "
        "version is a pickle, which is never read), or leave out --data to search elsewhere and fetch it",
    )


def _read(found: Path) -> Dataset:
    if found.is_dir() and (found / TEST).is_file():
        return _from_records(
            {name: _file(found / name) for name in (*TRAIN, TEST, META) if _there(found / name)}, found
        )
    if found.is_dir() or found.suffix == ".zip":
        return _from_pictures(open_tree(found))
    return _from_records(_unpacked(found), found)


# ---- the binary version


def _there(path: Path) -> bool:
    return path.name != META or path.is_file()


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST + 1)
    except OSError as error:
        raise bad(path, f"cannot be read ({(error.strerror or 'no reason given').lower()})") from error


def _unpacked(archive: Path) -> dict[str, bytes]:
    """The files of the binary version in its .tar.gz, in memory; no other member is unpacked."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for count, member in enumerate(tar):
                name = member.name.rpartition("/")[2]
                if count >= _MOST_MEMBERS or not 0 <= member.size <= 2 * _MOST:
                    raise bad(archive, f"expected the binary version of CIFAR-10, found {member.name} in it")
                if name in (*TRAIN, TEST, META) and member.isreg():
                    stream: IO[bytes] | None = tar.extractfile(member)
                    found[name] = stream.read(_MOST + 1) if stream is not None else b""
    except CnncError:
        raise
    except Exception as error:  # tarfile, gzip and zlib raise several kinds for a stranger's bytes
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise bad(archive, f"expected a sound .tar.gz, found a damaged one ({reason})") from error
    lacking = [name for name in (*TRAIN, TEST) if name not in found]
    if lacking:
        hint = "it may be the python version, a pickle, which is never read" if "python" in archive.name else ""
        raise bad(archive, f"expected the binary version of CIFAR-10, found no {', '.join(lacking)}", hint)
    return found


def _from_records(files: dict[str, bytes], place: Path) -> Dataset:
    if META in files:
        names = tuple(files[META].decode("latin-1").split())
        if names != _FACTS.classes:
            raise bad(_cite(place, META), f"expected the names of CIFAR-10's classes, found {' '.join(names)[:100]}")
    parts = [_records(files[name], _cite(place, name)) for name in TRAIN]
    train = Split.of(np.concatenate([p for p, _ in parts]), np.concatenate([labels for _, labels in parts]))
    return Dataset("cifar10", _FACTS.classes, train, Split.of(*_records(files[TEST], _cite(place, TEST))))


def _records(data: bytes, where: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not data or len(data) % _RECORD or len(data) > _MOST:
        count = f"{len(data):,}" if len(data) <= _MOST else f"more than {_MOST:,}"
        raise bad(where, f"expected up to 10,000 records of {_RECORD:,} bytes, found {count} bytes")
    # (N * 3073,) -> (N, 3073) -> (N,) and (N, 3, 32, 32)
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    wrong = np.flatnonzero(labels >= len(_FACTS.classes))
    if len(wrong):
        raise bad(where, f"expected labels 0 to 9, found {labels[wrong[0]]} in record {wrong[0]:,}")
    return records[:, 1:].reshape(-1, *_FACTS.shape), labels


def _cite(place: Path, name: str) -> str:
    return str(place / name) if place.is_dir() else f"{place}: {name}"


# ---- pictures


def _from_pictures(tree: Tree) -> Dataset:
    require()
    train, test = (_pictures(tree, part) for part in ("train", "test"))
    return Dataset("cifar10", _FACTS.classes, train, test)


def _pictures(tree: Tree, part: str) -> Split:
    """All pictures of a part, class by class. A file that is no picture of 32x32 is a defect here."""
    names: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(_FACTS.classes):
        files = images.below(tree, f"{part}/{name}")
        if not files:
            raise bad(tree.where(f"{part}/{name}"), "expected pictures, found none")
        names += files
        labels += [label] * len(files)
    pixels = np.empty((len(names), *_FACTS.shape), np.uint8)
    channels, height, width = _FACTS.shape
    with images.quiet():
        for n, picture, outcome in images.decode_all(tree, names, (channels, height, width)):
            if picture is None:
                raise bad(tree.where(names[n]), f"expected a picture, found none ({outcome})")
            if outcome != (width, height):
                raise bad(tree.where(names[n]), f"expected a picture of 32x32, found {outcome[0]}x{outcome[1]}")
            pixels[n] = picture
    return Split.of(pixels, np.array(labels, np.int64))
