"""Finds files by what people write for them in tables: with another separator, without suffix, from the folder above.

In: a `FileTree` and a text. Out: the name of the file in the tree. `photos/cat/1.jpg`, `cat\\1.jpg`, `1.jpg`, `1` and `1.JPG`
may all be `cat/1.jpg`; a text that could be several files is none of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from cnnc.data.file_tree import FileTree


class FileFinder:
    """The files of a tree by their paths, else by their names alone, else by their names without suffix in any case."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
        self._paths = set(tree.files)

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        """Files by their paths and by their names, both without suffix; "" where several have the same."""
        return _unique((without_suffix(key).casefold(), n) for n in self._tree.files for key in {n, _last(n)})

    @cached_property
    def _by_name(self) -> dict[str, str]:
        """Files by their names; "" where several have the same."""
        return _unique((_last(name), name) for name in self._tree.files)

    def find(self, written: str) -> str | None:
        """The file that a text names, None where there is none, or more than one."""
        path = written.strip().replace("\\", "/")
        if path in self._paths:
            return path
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for skipped in range(len(parts)):
            if skipped and not self._is_above(parts[:skipped]):
                continue
            inner = "/".join(parts[skipped:])
            if inner in self._paths:
                return inner
            if found := self._by_stem.get(inner.casefold()) or self._by_stem.get(without_suffix(inner).casefold()):
                return found
        if not parts:
            return None
        return self._by_name.get(parts[-1]) or None

    def _is_above(self, parts: list[str]) -> bool:
        """Whether these folders end with that of the tree, as in `photos/cat/1.jpg` or a path from the root."""
        return parts[-1] in (self._tree.path.name, self._tree.path.stem) and parts[-1] != ""


def without_suffix(name: str) -> str:
    """The path of a file without its suffix: `cat/1` of `cat/1.jpg`."""
    folder, slash, last = name.rpartition("/")
    stem, dot, _ = last.rpartition(".")
    return f"{folder}{slash}{stem}" if dot and stem else name


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The values by key; "" where a key has several."""
    found: dict[str, str] = {}
    for key, value in pairs:
        found[key] = value if found.get(key, value) == value else ""
    return found
