"""Examples that occur more than once, within a share of the data and across shares.

In: `ExampleDigests` of each share, to which batches of inputs are added in order. Out: `Duplicates`. Two examples are equal if
all their inputs are, byte for byte, as the network gets them: image files that differ may be equal once they are decoded and
resized. Memory grows by 16 bytes for each example.

    seen = [ExampleDigests(), ExampleDigests()]
    seen[0].add((train_images,)); seen[1].add((test_images,))
    find_duplicates(seen).across[0, 1]  # examples of share 1 that are also in share 0
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import combinations
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BYTES = 16


class ExampleDigests:
    """The digests of the examples of a share."""

    def __init__(self) -> None:
        self._digests = bytearray()

    def add(self, inputs: Sequence[NDArray[Any]]) -> None:
        """Adds a batch: one array (N, ...) for each input."""
        rows = [
            np.ascontiguousarray(column).reshape(len(column), prod(column.shape[1:])).view(np.uint8)
            for column in inputs
        ]
        for example in zip(*rows, strict=True):
            digest = blake2b(digest_size=_BYTES)
            for row in example:
                digest.update(row)
            self._digests += digest.digest()

    def numbers(self) -> NDArray[np.uint64]:
        """The digests as pairs of numbers (N, 2)."""
        return np.frombuffer(bytes(self._digests), np.uint64).reshape(-1, 2)


class ExampleId(NamedTuple):
    """An example: the index of its share, and its number within it, from 0."""

    share: int
    number: int


class Duplicates(NamedTuple):
    """How many examples repeat one of the same share (`within`), or one of another share (`across`).

    `across[a, b]` counts the examples of share b that are also in share a; `groups` are the examples that are equal, those
    that are in several shares first; `group_of` has the number of each example's content, over all shares in order.
    """

    within: tuple[int, ...]
    across: dict[tuple[int, int], int]
    groups: tuple[tuple[ExampleId, ...], ...]
    group_of: NDArray[np.int64]


def find_duplicates(shares: Sequence[ExampleDigests], most_groups: int = 100) -> Duplicates:
    """The duplicates of all shares; at most `most_groups` groups are listed."""
    numbers = [share.numbers() for share in shares]
    sizes = [len(each) for each in numbers]
    contents = _content_numbers(np.concatenate(numbers))
    parts = np.split(contents, np.cumsum(sizes)[:-1])
    within = tuple(len(part) - len(np.unique(part)) for part in parts)
    across = {(a, b): int(np.isin(parts[b], parts[a]).sum()) for a, b in combinations(range(len(shares)), 2)}
    groups = tuple(_groups(contents, np.repeat(np.arange(len(shares)), sizes), np.cumsum([0, *sizes]), most_groups))
    return Duplicates(within, across, groups, contents)


def _content_numbers(digests: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A number for each digest (N, 2), equal for equal ones."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    differs = np.ones(len(order), bool)
    differs[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    contents = np.empty(len(order), np.int64)
    contents[order] = np.cumsum(differs) - 1
    return contents


def _groups(
    contents: NDArray[np.int64], share_of: NDArray[np.int64], firsts: NDArray[np.int64], most: int
) -> Iterator[tuple[ExampleId, ...]]:
    """The groups of equal examples: those across shares first, then in order of their first examples."""
    order = np.argsort(contents, kind="stable")
    starts = np.flatnonzero(np.diff(contents[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    repeated = np.flatnonzero(ends - starts > 1)
    first, last = share_of[order[starts[repeated]]], share_of[order[ends[repeated] - 1]]
    ranked = repeated[np.lexsort((order[starts[repeated]], first == last))]
    for group in ranked[:most]:
        members = order[starts[group] : ends[group]]
        yield tuple(ExampleId(int(share_of[n]), int(n - firsts[share_of[n]])) for n in members)
