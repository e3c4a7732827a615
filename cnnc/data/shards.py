"""`data shards "train-{000..099}.tar"`: images in tar archives, as WebDataset defines them.

    train-000.tar    cat/0001.jpg, cat/0001.cls, cat/0002.jpg, cat/0002.cls, ...
    val-000.tar      archives named test, testing, val, valid or validation are the test split

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

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, overload

import numpy as np

from cnnc.core.files import reason
from cnnc.data import Request
from cnnc.data.dataset import Dataset, Split
from cnnc.data.file_tree import bad_file, locate, state_of
from cnnc.data.image_column import load_images
from cnnc.data.image_file import require_pillow
from cnnc.data.images import (
    REPORT_FROM,
    TEST_NAMES,
    image_shape,
    report_conversions,
    report_skipped,
    split_named,
)
from cnnc.data.splits import class_indices_of, report_classes, report_split, require_classes, split_off_test
from cnnc.data.tar_index import TarMember, member_name, read_members
from cnnc.diagnostics import CnncError

IMAGES = ("png", "jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp", "ppm", "pgm", "pbm", "pnm")
LABELS = ("cls", "txt", "json")
"""What the name of a member ends with after its key; of labels in the order in which they are preferred."""

_LABEL_KEYS = ("label", "cls", "class")
_LARGEST_LABEL = 1 << 20
_LONGEST_NAME = 200
_MOST_SHARDS = 100_000
_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}|\{([^{}]*,[^{}]*)\}", re.ASCII)
_HELP = "an example is KEY.jpg (.png, ...) and KEY.cls, KEY.txt or KEY.json; the key ends at the first dot of the name"

Label = int | str
Key = tuple[int, int, int]
"""The number of a shard, and the offset and the size of an image in it."""


def read(request: Request) -> Dataset:
    """Reads the examples of all shards. Raises CnncError E602, E603, and E906 without Pillow."""
    shape = image_shape(request)
    require_pillow()
    source, paths = _paths(request)
    testing = _testing(request, source, paths)
    index = _index(paths)
    if not index.labels:
        raise bad_file(source, "expected examples, found none", _HELP)
    request.report(f"{source}: {len(index.labels):,} examples in {len(paths):,} shard{'s' * (len(paths) != 1)}")
    if index.unread:
        counts = ", ".join(f"{count:,} .{suffix}" for suffix, count in sorted(index.unread.items()))
        request.report(f"{source}: not read: {counts}")
    classes, labels = _classes(request, source, index.labels)
    if len(labels) >= REPORT_FROM:
        request.report(f"{source}: decoding {len(labels):,} images")
    files = ShardFiles(paths)
    images, scan = load_images(files, index.keys, shape)
    names = _Names(files, index.keys)
    report_skipped(request, source, names, scan.skipped)
    report_conversions(request, source, scan, shape)
    good = np.setdiff1d(np.arange(len(labels)), list(scan.skipped))
    if not len(good):
        raise bad_file(source, f"no image can be decoded; the first is {names[0]} ({scan.skipped[0]})")
    report_classes(request, source, classes, labels[good])
    all_images = Split.of(images, labels).select(good)
    in_test = np.array(testing)[index.keys.shards][good]
    if not in_test.any():
        return Dataset("shards", classes, *split_off_test(request, source, all_images, labels[good]))
    if in_test.all():
        raise bad_file(source, "expected training images, found none")
    train, test = (all_images.select(np.flatnonzero(chosen)) for chosen in (~in_test, in_test))
    data = Dataset("shards", classes, train, test)
    report_split(request, source, data)
    return data


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


def _testing(request: Request, source: str, paths: Sequence[Path]) -> list[bool]:
    """Which shards are the test split; none where all of them have the name of one."""
    words = [re.split(r"[^a-z]", path.name.lower(), maxsplit=1)[0] for path in paths]
    name = split_named(TEST_NAMES, words)
    if all(word in TEST_NAMES for word in words):
        return [False] * len(paths)
    return [word == name for word in words]


# ---- the index


class ShardKeys(Sequence[Key]):
    """Where the images lie, in arrays: 20 bytes for each."""

    def __init__(self) -> None:
        self._shards, self._offsets, self._sizes = array("i"), array("q"), array("q")

    def add(self, shard: int, member: TarMember) -> None:
        """Appends an image."""
        self._shards.append(shard)
        self._offsets.append(member.offset)
        self._sizes.append(member.size)

    @property
    def shards(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """The number of the shard of each image."""
        return np.array(self._shards, np.int32)

    def __len__(self) -> int:
        return len(self._shards)

    @overload
    def __getitem__(self, n: SupportsIndex) -> Key: ...
    @overload
    def __getitem__(self, n: slice) -> list[Key]: ...
    def __getitem__(self, n: Any) -> Key | list[Key]:
        if isinstance(n, slice):
            return list(zip(self._shards[n], self._offsets[n], self._sizes[n], strict=True))
        return self._shards[n], self._offsets[n], self._sizes[n]


class _Index(NamedTuple):
    """All examples: where their images lie, and their labels; and how many members are not read, by suffix."""

    keys: ShardKeys
    labels: list[Label]
    unread: Counter[str]


def _index(paths: Sequence[Path]) -> _Index:
    """The examples of all shards. Raises CnncError E602."""
    index = _Index(ShardKeys(), [], Counter())
    used = ""
    for shard, path in enumerate(paths):
        examples: dict[str, dict[str, TarMember]] = {}
        for member in read_members(path):
            key, suffix = _split_name(path, member.name)
            examples.setdefault(key, {})[suffix] = member
        try:
            with path.open("rb") as file:
                for key, members in examples.items():
                    image, suffix = _image(path, key, members), _label_suffix(path, key, members)
                    used = used or suffix
                    if suffix != used:
                        problem = f"the label of {key} is a .{suffix}, those before are .{used}"
                        raise bad_file(path, problem, "write all labels in the same form")
                    index.keys.add(shard, image)
                    label = members[suffix]
                    if label.size > _LARGEST_LABEL:
                        raise bad_file(path, f"the label {label.name} is larger than {_LARGEST_LABEL:,} bytes")
                    file.seek(label.offset)
                    index.labels.append(_label(path, label.name, suffix, file.read(label.size)))
                    index.unread.update(other for other in members if other in LABELS and other != suffix)
        except OSError as error:
            raise bad_file(path, f"cannot be read ({reason(error)})") from error
    return index


def _split_name(path: Path, name: str) -> tuple[str, str]:
    """The key and the suffix of a member. Raises CnncError E602 for one that is neither an image nor a label."""
    folder, slash, base = name.rpartition("/")
    key, _, suffix = base.partition(".")
    suffix = suffix.lower()
    if not key or suffix not in (*IMAGES, *LABELS):
        raise bad_file(path, f"the member {name} is neither an image nor a label", _HELP)
    return folder + slash + key, suffix


def _image(path: Path, key: str, members: dict[str, TarMember]) -> TarMember:
    images = [members[suffix] for suffix in members if suffix in IMAGES]
    if not images:
        raise bad_file(path, f"the key {key} has no image", _HELP)
    if len(images) > 1:
        raise bad_file(path, f"the key {key} has two images, {images[0].name} and {images[1].name}", _HELP)
    return images[0]


def _label_suffix(path: Path, key: str, members: dict[str, TarMember]) -> str:
    suffix = next((suffix for suffix in LABELS if suffix in members), None)
    if suffix is None:
        raise bad_file(path, f"the key {key} has no label", _HELP)
    return suffix


def _label(path: Path, name: str, suffix: str, content: bytes) -> Label:
    """The number or name of a class. Raises CnncError E602."""
    try:
        text = content.decode().strip()
        value: Any = text if suffix != "json" else json.loads(text)
    except (ValueError, RecursionError):
        raise bad_file(path, f"the label {name} is not {'JSON' if suffix == 'json' else 'UTF-8'}") from None
    if isinstance(value, dict):
        value = next((value[key] for key in _LABEL_KEYS if key in value), None)
    if suffix == "cls":
        value = int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
    is_name = isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
    if not is_number and not is_name:
        forms = {
            "cls": "a whole number from 0",
            "txt": f"the name of a class, one line of at most {_LONGEST_NAME} characters",
            "json": f"a whole number from 0, a name, or an object with {', '.join(_LABEL_KEYS[:-1])} or {_LABEL_KEYS[-1]}",
        }
        raise bad_file(path, f"the label {name} is not {forms[suffix]}")
    label: Label = value
    return label


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


# ---- reading


class ShardFiles:
    """Reads the images of shards by their keys, in any process."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._paths = paths

    def display_name(self, key: Key) -> str:
        """The shard and the member, in messages."""
        shard, offset, _ = key
        return f"{self._paths[shard]}: {member_name(self._paths[shard], offset)}"

    def read(self, key: Key, limit: int) -> bytes:
        """The content of an image. Raises CnncError E602."""
        shard, offset, size = key
        if size > limit:
            raise bad_file(self.display_name(key), f"expected at most {limit:,} bytes")
        try:
            with self._paths[shard].open("rb", buffering=0) as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise bad_file(self.display_name(key), f"cannot be read ({reason(error)})") from error
        if len(data) != size:
            raise bad_file(self.display_name(key), f"expected {size:,} bytes, found {len(data):,}")
        return data

    def states(self, keys: Sequence[Key]) -> Iterator[str]:
        """The states of the shards, and the keys."""
        yield from map(state_of, self._paths)
        yield from map(str, keys)


class _Names(Sequence[str]):
    """The names of images in messages, which are read from the shards when they are needed."""

    def __init__(self, files: ShardFiles, keys: ShardKeys) -> None:
        self._files = files
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, n: Any) -> Any:
        return self._files.display_name(self._keys[n])
