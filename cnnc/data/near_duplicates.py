"""Images that look the same in two shares of the data: written anew, resized, or with another brightness or contrast.

In: `Fingerprints` of each share, to which batches of images are added in order, and a number for the content of each example, equal
for examples that are equal byte for byte. Out: `NearDuplicates`. A fingerprint holds the lowest frequencies of an image's
cosine transform, without the mean and scaled to length 1, so that brightness and contrast do not count; their signs
against the median are a hash of 64 bits (pHash, Zauner 2010). Two images are nearly equal if their hashes differ in at most
`MOST_BITS` bits and their frequencies correlate by `LEAST_LIKENESS` or more.

The time grows with N log N: hashes are sorted, each time beginning with another byte, and only neighbours are compared. Hashes
that differ in few bits share some of their bytes, so they are neighbours in some order. Memory grows by 300 bytes for each
image.

    seen = [Fingerprints(), Fingerprints()]
    seen[0].add(train_images); seen[1].add(test_images)
    find_near(seen, contents).across[0, 1]  # images of share 1 that look like one of share 0
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.data.duplicates import ExampleId

LEAST_SIDE = 16
"""Smaller images have too few pixels to tell whether two of them show the same."""

MOST_BITS = 6
LEAST_LIKENESS = 0.99

_HASHED = 8
_KEPT = 12
_NEIGHBOURS = 32
_GREY = (np.float32(0.299), np.float32(0.587), np.float32(0.114))
_ONE = (np.float32(1),)

Numbers = NDArray[Any]


class Fingerprints:
    """Fingerprints of the images of a share."""

    def __init__(self) -> None:
        self._hashes: list[NDArray[np.uint64]] = []
        self._frequencies: list[NDArray[np.float16]] = []

    @staticmethod
    def fit(shape: Sequence[int]) -> bool:
        """Whether examples of this shape are images that are large enough."""
        return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= LEAST_SIDE

    def add(self, images: Numbers) -> None:
        """Adds a batch of images (N, C, H, W)."""
        grey = np.zeros((len(images), *images.shape[2:]), np.float32)
        for channel, weight in enumerate(_GREY if images.shape[1] == 3 else _ONE):
            grey += images[:, channel] * weight
        # (12, H) (N, H, W) (W, 12) -> (N, 12, 12)
        frequencies = _cosines(grey.shape[1]) @ grey @ _cosines(grey.shape[2]).T
        self._hashes.append(_hashes(frequencies[:, :_HASHED, :_HASHED].reshape(len(images), -1)[:, 1:]))
        flat = frequencies.reshape(len(images), -1)[:, 1:]
        length = np.sqrt((flat**2).sum(axis=1, keepdims=True))
        is_plain = length < 1e-3 * grey[0].size  # one value throughout, up to rounding
        self._frequencies.append(np.where(is_plain, 0, flat / np.where(is_plain, 1, length)).astype(np.float16))

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """The hash of each image (N,)."""
        return np.concatenate(self._hashes) if self._hashes else np.empty(0, np.uint64)

    @property
    def frequencies(self) -> NDArray[np.float16]:
        """The scaled frequencies of each image (N, 143)."""
        return np.concatenate(self._frequencies) if self._frequencies else np.empty((0, _KEPT**2 - 1), np.float16)


def _cosines(size: int) -> NDArray[np.float32]:
    """The lowest cosines (12, size), each of length 1 up to a common factor."""
    cosines = np.cos(np.pi / size * np.arange(_KEPT)[:, None] * (np.arange(size) + 0.5)).astype(np.float32)
    cosines[0] /= np.float32(np.sqrt(2))
    return cosines


def _hashes(frequencies: NDArray[np.float32]) -> NDArray[np.uint64]:
    """64 bits for each row of 63 numbers: which are above their median."""
    bits = frequencies > np.median(frequencies, axis=1, keepdims=True)
    packed = np.packbits(np.pad(bits, ((0, 0), (0, 1))), axis=1)
    return packed.view(np.uint64).reshape(-1)


class NearPair(NamedTuple):
    """Two images of different shares that are nearly equal, that of the earlier share first, and how much they correlate."""

    first: ExampleId
    second: ExampleId
    likeness: float


class NearDuplicates(NamedTuple):
    """`across[a, b]` counts the images of share b that are nearly equal to one of share a, without being equal to it; `pairs` are
    the most similar ones, at most one for each image of the later share."""

    across: dict[tuple[int, int], int]
    pairs: tuple[NearPair, ...]


def find_near(shares: Sequence[Fingerprints], contents: NDArray[np.int64], most_pairs: int = 100) -> NearDuplicates:
    """The nearly equal images of different shares; at most `most_pairs` are listed. `contents` (N,) has a number for the content of each
    example of all shares in order."""
    parts = [share.hashes for share in shares]
    sizes = [len(part) for part in parts]
    share_of = np.repeat(np.arange(len(shares)), sizes)
    firsts = np.cumsum([0, *sizes])
    hashes, frequencies = np.concatenate(parts), np.concatenate([share.frequencies for share in shares])
    likeness = np.zeros((len(shares), len(hashes)), np.float32)  # of the most similar image in each share above
    partner = np.zeros((len(shares), len(hashes)), np.int64)
    mixed = np.random.default_rng(0).permutation(len(hashes))  # so that equal hashes of all shares are neighbours
    for byte in range(8):
        order = mixed[np.argsort(_rotated(hashes, 8 * byte)[mixed], kind="stable")]
        for step in range(1, _NEIGHBOURS + 1):
            left, right = order[:-step], order[step:]
            low, high = np.minimum(left, right), np.maximum(left, right)  # the earlier share comes first
            differs = (share_of[low] != share_of[high]) & (contents[low] != contents[high])
            low, high = low[differs], high[differs]
            is_close = _bit_count(hashes[low] ^ hashes[high]) <= MOST_BITS
            low, high = low[is_close], high[is_close]
            alike = np.einsum("nk,nk->n", frequencies[low].astype(np.float32), frequencies[high].astype(np.float32))
            better = np.flatnonzero((alike >= LEAST_LIKENESS) & (alike > likeness[share_of[low], high]))
            better = better[np.argsort(alike[better], kind="stable")]  # of several for one image the last stays
            places = share_of[low[better]], high[better]
            likeness[places], partner[places] = alike[better], low[better]
    across = {
        (a, b): int((likeness[a, firsts[b] : firsts[b + 1]] > 0).sum()) for a, b in combinations(range(len(shares)), 2)
    }
    return NearDuplicates(across, tuple(_pairs(likeness, partner, share_of, firsts, most_pairs)))


def _pairs(
    likeness: NDArray[np.float32], partner: Numbers, share_of: Numbers, firsts: Numbers, most: int
) -> list[NearPair]:
    """The most similar pairs, each image of a later share once."""
    best = likeness.argmax(axis=0)
    values = likeness[best, np.arange(likeness.shape[1])]
    ranked = np.argsort(-values, kind="stable")[:most]
    pairs = []
    for second in ranked[values[ranked] > 0].tolist():
        first = int(partner[best[second], second])
        left, right = (ExampleId(int(share_of[n]), int(n - firsts[share_of[n]])) for n in (first, second))
        pairs.append(NearPair(left, right, round(min(1.0, float(values[second])), 4)))
    return pairs


def _rotated(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    return hashes if not bits else (hashes << np.uint64(bits)) | (hashes >> np.uint64(64 - bits))


def _bit_count(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The number of bits that are set in each value."""
    counts: NDArray[np.int64] = _BITS_OF_BYTE[values.view(np.uint8).reshape(-1, 8)].sum(axis=1, dtype=np.int64)
    return counts


_BITS_OF_BYTE = np.array([byte.bit_count() for byte in range(256)], np.uint8)
