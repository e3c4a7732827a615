"""`data shards "train-{000..099}.tar"`: images in tar archives, as WebDataset defines them.

    train-000.tar    cat/0001.jpg, cat/0001.cls, cat/0002.jpg, cat/0002.cls, ...
    val-000.tar      archives named val, valid or validation are the validation share, test or testing the test share

An example is the members of a shard that have the same key: the name up to its first dot. One of them is an image, one its
label: `.cls` a number from 0, `.txt` the name of the class, `.json` either, or an object with `label`, `cls` or `class`. A
pattern has ranges `{000..099}` and lists `{train,val}`; a folder stands for all .tar files in it.

In: a `Request` with the path and the type of the network's input. Out: a `Dataset` of uint8 images and labels; examples are in
the order of the shards and of their members. The headers are read once; every image is then read by its offset, so that
the order of an epoch is a permutation of all examples, not only of those of a few shards. Therefore a compressed archive
is refused. The library webdataset reads shards from front to back and shuffles within a buffer, which knows neither the
number of examples nor which one comes next after a resumption.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnc.data import Request
from cnnc.data.dataset import Dataset, Split
from cnnc.data.file_tree import bad_file, locate
from cnnc.data.image_column import load_images
from cnnc.data.image_decoder import ruled_files
from cnnc.data.image_file import require_pillow
from cnnc.data.images import (
    REPORT_FROM,
    image_shape,
    read_facts,
    report_conversions,
    report_skipped,
)
from cnnc.data.shard_index import HELP, Label, ShardFiles, ShardKeys, index_shards
from cnnc.data.shares import SHARES, TRAINING, named_shares, share_of, shares_of
from cnnc.data.splits import class_indices_of, report_classes, require_classes
from cnnc.diagnostics import CnncError

_MOST_SHARDS = 100_000
_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}|\{([^{}]*,[^{}]*)\}", re.ASCII)


def read(request: Request) -> Dataset:
    """Reads the examples of all shards. Raises CnncError E602, E603, and E906 without Pillow."""
    shape = image_shape(request)
    require_pillow()
    source, paths = _paths(request)
    paths, shares = _with_splits(request, source, paths)
    index = index_shards(paths)
    if not index.labels:
        raise bad_file(source, "expected examples, found none", HELP)
    request.report(f"{source}: {len(index.labels):,} examples in {len(paths):,} shard{'s' * (len(paths) != 1)}")
    if index.unread:
        counts = ", ".join(f"{count:,} .{suffix}" for suffix, count in sorted(index.unread.items()))
        request.report(f"{source}: not read: {counts}")
    classes, labels = _classes(request, source, index.labels)
    if len(labels) >= REPORT_FROM:
        request.report(f"{source}: decoding {len(labels):,} images")
    files = ShardFiles(paths)
    images, scan = load_images(ruled_files(files, request), index.keys, shape)
    names = _Names(files, index.keys)
    report_skipped(request, source, names, scan.skipped)
    report_conversions(request, source, scan, shape)
    good = np.setdiff1d(np.arange(len(labels)), list(scan.skipped))
    if not len(good):
        raise bad_file(source, f"no image can be decoded; the first is {names[0]} ({scan.skipped[0]})")
    report_classes(request, source, classes, labels[good])
    all_images = Split.of(images, labels).select(good)
    share_numbers = np.array([SHARES.index(share) for share in shares])[index.keys.shards][good]
    facts = read_facts(source, names, scan, [f"{count:,} .{suffix}" for suffix, count in sorted(index.unread.items())])
    if share_numbers.all():
        raise bad_file(source, "expected training images, found none")
    divided = shares_of(request, source, classes, all_images, labels[good], share_numbers)
    return divided.data_set("shards", classes, facts)


def image_files(request: Request) -> tuple[ShardFiles, ShardKeys]:
    """The images that `read` would decode, and their keys. Raises CnncError E602, E603, and E906 without Pillow."""
    require_pillow()
    source, paths = _paths(request)
    paths, _ = _with_splits(request, source, paths)
    return ShardFiles(paths), index_shards(paths).keys


# ---- paths


def expand(pattern: str) -> Iterator[str]:
    """The names that a pattern stands for: `{08..11}` is 08, 09, 10, 11, and `{train,val}` train, val."""
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last, words = found.groups()
    for word in words.split(",") if words is not None else _numbers(first, last):
        for rest in expand(pattern[found.end() :]):
            yield pattern[: found.start()] + word + rest


def _numbers(first: str, last: str) -> Iterator[str]:
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
    step = 1 if int(first) <= int(last) else -1
    return (str(n).zfill(width) for n in range(int(first), int(last) + step, step))


def _paths(request: Request) -> tuple[str, tuple[Path, ...]]:
    """The name of the data in messages, and the shards. Raises CnncError E602, E603."""
    example = "train-{000..099}.tar"
    if request.path is None or not _RANGE.search(request.path):
        path = locate(request, "shards", example)
        paths = tuple(sorted(path.glob("*.tar"))) if path.is_dir() else (path,)
        if not paths:
            raise bad_file(path, "expected .tar files, found none")
        return str(path), paths
    names: list[str] = []
    for name in expand(request.path):
        if len(names) == _MOST_SHARDS:
            raise bad_file(request.path, f"stands for more than {_MOST_SHARDS:,} shards")
        names.append(name)
    first = locate(Request(path=names[0], folder=request.folder), "shards", example)
    folder = str(first)[: -len(names[0])] if str(first).endswith(names[0]) else None
    paths = tuple(Path(folder + name) if folder is not None else first.parent / Path(name).name for name in names)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        more = f", nor do {len(missing) - 1:,} others" if len(missing) > 1 else ""
        message = f"{missing[0]} does not exist{more}; the pattern stands for {len(paths):,} shards"
        raise CnncError.of("E603", message, help=f"copy the shards there, or correct the pattern {request.path}")
    if len(set(paths)) < len(paths):
        raise bad_file(request.path, "stands for the same shard twice")
    return request.path, paths


def _with_splits(request: Request, source: str, paths: Sequence[Path]) -> tuple[tuple[Path, ...], list[str]]:
    """The shards that are read, and the share of each; training where all have the name of one other share."""
    words = [re.split(r"[^a-z]", path.name.lower(), maxsplit=1)[0] for path in paths]
    shares = [share_of(word) or TRAINING for word in words]
    if TRAINING not in shares and len(set(shares)) == 1:
        return tuple(paths), [TRAINING] * len(paths)
    named = named_shares(words)
    read = [n for n, word in enumerate(words) if share_of(word) in (None, TRAINING) or word == named[shares[n]]]
    for share in sorted({shares[n] for n in range(len(paths)) if n not in read}):
        others = " and ".join(sorted({w for w in words if share_of(w) == share and w != named[share]}))
        request.report(
            f"{source}: the shards named {others} are not read: those named {named[share]} are the {share} share"
        )
    return tuple(paths[n] for n in read), [shares[n] for n in read]


# ---- classes and names


def _classes(
    request: Request, source: str, labels: Sequence[Label]
) -> tuple[tuple[str, ...], np.ndarray[Any, np.dtype[np.int64]]]:
    """The classes, and the class of each example. Numbers are classes themselves; names are sorted. Raises CnncError E602."""
    if not all(isinstance(label, int) for label in labels):
        classes, indices = class_indices_of([str(label) for label in labels])
        require_classes(request, classes, source)
        return classes, indices
    numbers = np.array(labels, np.int64)
    count = int(numbers.max()) + 1
    if request.classes and count > request.classes:
        raise bad_file(
            source,
            f"found the label {count - 1}; the network's output has {request.classes} classes",
            f"labels count from 0; end with `fc {count}`",
        )
    return tuple(str(n) for n in range(request.classes or count)), numbers


class _Names(Sequence[str]):
    """The names of images in messages, which are read from the shards when they are needed."""

    def __init__(self, files: ShardFiles, keys: ShardKeys) -> None:
        self._files = files
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, n: Any) -> Any:
        return self._files.display_name(self._keys[n])
