"""Where the examples of shards lie, and their labels: `index_shards`; `ShardFiles` reads the images.

In: the paths of tar archives. Out: a `ShardIndex`, from the headers and the labels of all shards. Reading the headers of
a million examples takes minutes, so the index of many examples is kept in the user's cache, by the sizes and times of change of
the shards. Every error is an E602 that names shard and member.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, overload

import numpy as np

from cnnc.core.files import open_file, open_unbuffered, reason
from cnnc.data.decoded_cache import keep, read_kept
from cnnc.data.file_tree import bad_file, state_of
from cnnc.data.tar_index import TarMember, member_name, read_members

IMAGES = ("png", "jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp", "ppm", "pgm", "pbm", "pnm")
LABELS = ("cls", "txt", "json")
"""What the name of a member ends with after its key; of labels in the order in which they are preferred."""

KEPT_FROM = 5_000
"""The index of fewer examples is read sooner than it is worth keeping."""

_VERSION = 1
_LABEL_KEYS = ("label", "cls", "class")
_LARGEST_LABEL = 1 << 20
_LONGEST_NAME = 200
HELP = "an example is KEY.jpg (.png, ...) and KEY.cls, KEY.txt or KEY.json; the key ends at the first dot of the name"

Label = int | str
Key = tuple[int, int, int]
"""The number of a shard, and the offset and the size of an image in it."""


class ShardKeys(Sequence[Key]):
    """Where the images lie, in arrays: 20 bytes for each."""

    def __init__(self) -> None:
        self._shards, self._offsets, self._sizes = array("i"), array("q"), array("q")

    def add(self, shard: int, member: TarMember) -> None:
        """Appends an image."""
        self._shards.append(shard)
        self._offsets.append(member.offset)
        self._sizes.append(member.size)

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays by their names."""
        return {"shards": self.shards, "offsets": np.array(self._offsets), "sizes": np.array(self._sizes)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray[Any, Any]]) -> ShardKeys:
        """The keys that `arrays` gives."""
        keys = cls()
        keys._shards.frombytes(arrays["shards"].astype(np.int32).tobytes())
        keys._offsets.frombytes(arrays["offsets"].astype(np.int64).tobytes())
        keys._sizes.frombytes(arrays["sizes"].astype(np.int64).tobytes())
        if not len(keys._shards) == len(keys._offsets) == len(keys._sizes) == len(arrays["labels"]):
            raise ValueError
        return keys

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


class ShardIndex(NamedTuple):
    """All examples: where their images lie, and their labels; and how many members are not read, by suffix."""

    keys: ShardKeys
    labels: list[Label]
    unread: Counter[str]


def index_shards(paths: Sequence[Path]) -> ShardIndex:
    """The examples of all shards. Raises CnncError E602."""
    name = f"{hashlib.sha256(chr(10).join(map(state_of, paths)).encode(errors='surrogateescape')).hexdigest()[:32]}.npz"
    kept = read_kept(name)
    if kept is not None:
        with suppress(Exception):  # another version, or damaged: NumPy and zipfile raise many kinds
            return _unpacked(kept)
    index = _read_index(paths)
    if len(index.labels) >= KEPT_FROM:
        keep(name, _packed(index))
    return index


def _packed(index: ShardIndex) -> bytes:
    """The index as the content of a file."""
    distinct = list(dict.fromkeys(index.labels))
    number = {label: n for n, label in enumerate(distinct)}
    stream = io.BytesIO()
    facts = {"version": _VERSION, "labels": distinct, "unread": index.unread}
    arrays: dict[str, Any] = index.keys.arrays()
    arrays["labels"] = np.array([number[label] for label in index.labels], np.int32)
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    np.savez(stream, **arrays)
    return stream.getvalue()


def _unpacked(content: bytes) -> ShardIndex:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        facts = json.loads(arrays["facts"].tobytes())
        if facts["version"] != _VERSION:
            raise ValueError
        distinct = facts["labels"]
        labels = [distinct[n] for n in arrays["labels"].tolist()]
        return ShardIndex(ShardKeys.from_arrays(arrays), labels, Counter(facts["unread"]))


def _read_index(paths: Sequence[Path]) -> ShardIndex:
    index = ShardIndex(ShardKeys(), [], Counter())
    used = ""
    for shard, path in enumerate(paths):
        examples: dict[str, dict[str, TarMember]] = {}
        for member in read_members(path):
            key, suffix = _split_name(path, member.name)
            examples.setdefault(key, {})[suffix] = member
        try:
            with open_file(path) as file:
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
        raise bad_file(path, f"the member {name} is neither an image nor a label", HELP)
    return folder + slash + key, suffix


def _image(path: Path, key: str, members: dict[str, TarMember]) -> TarMember:
    images = [members[suffix] for suffix in members if suffix in IMAGES]
    if not images:
        raise bad_file(path, f"the key {key} has no image", HELP)
    if len(images) > 1:
        raise bad_file(path, f"the key {key} has two images, {images[0].name} and {images[1].name}", HELP)
    return images[0]


def _label_suffix(path: Path, key: str, members: dict[str, TarMember]) -> str:
    suffix = next((suffix for suffix in LABELS if suffix in members), None)
    if suffix is None:
        raise bad_file(path, f"the key {key} has no label", HELP)
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
            with open_unbuffered(self._paths[shard]) as file:
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
