"""Decodes image files, one after the other: what each process that decodes images does.

In: `ImageFiles` and a file's key in them. Out: uint8 pixels (C, H, W) in the shape of the network's input, with what was
changed on the way; or why the file is not an image. `decode_each` of the keys of a batch fills the rows of an array.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cnnc.data import Request
from cnnc.data.image_file import DEFAULT_RULE, DecodedImage, NotAnImage, PixelRule, decode_image
from cnnc.diagnostics import CnncError

LARGEST = 2**27
"""The most bytes of one image file."""

MOST_BYTES_AHEAD = 2**28
"""The most bytes of images that are decoded and not yet asked for, unless one batch has more."""

Shape = tuple[int, int, int]


class ImageFiles(Protocol):
    """Files that are read by their keys: names in a folder or .zip, positions in shards. Can be sent to other processes."""

    def display_name(self, key: Any) -> str:
        """The name of a file in messages."""
        ...

    def read(self, key: Any, limit: int) -> bytes:
        """The content of a file. Thread-safe. Raises CnncError E602, also for more than `limit` bytes."""
        ...

    def states(self, keys: Sequence[Any]) -> Iterator[str]:
        """What changes when one of these files changes: their paths, sizes and times of change."""
        ...


@runtime_checkable
class DecodesItself(Protocol):
    """Files whose pixels are not colours or grey values, such as masks."""

    def decode(self, data: bytes, shape: tuple[int, ...]) -> DecodedImage:
        """A file in a shape (C, H, W). Raises NotAnImage."""
        ...


@dataclass(frozen=True)
class RuledFiles:
    """Image files that are decoded by a rule of the source, where `decode_image` alone would follow its own."""

    files: ImageFiles
    rule: PixelRule

    def display_name(self, key: Any) -> str:
        return self.files.display_name(key)

    def read(self, key: Any, limit: int) -> bytes:
        return self.files.read(key, limit)

    def states(self, keys: Sequence[Any]) -> Iterator[str]:
        yield repr(self.rule)
        yield from self.files.states(keys)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> DecodedImage:
        return decode_image(data, shape, self.rule)


def ruled_files(files: ImageFiles, request: Request) -> ImageFiles:
    """The files, decoded as the source says: `background=`, `range=`."""
    rule = PixelRule(request.background, request.value_range)
    return files if rule == DEFAULT_RULE else RuledFiles(files, rule)


class ImageFacts(NamedTuple):
    """What decoding did: the original width and height, which conversions changed values, separated by `; `, else "", the file's mode, and
    its least and largest value, where they do not have 8 bits."""

    size: tuple[int, int]
    conversion: str
    mode: str
    values: tuple[float, float] | None = None


@dataclass
class Scan:
    """What decoding found: why each skipped file is not an image, by its index, and counts of the others.

    The counts are of those that were resized, and of each conversion, size (`64x48`, width first) and mode (`RGB`); `values` are the least
    and the largest value of images that do not have 8 bits.
    """

    skipped: dict[int, str] = field(default_factory=dict)
    resized: int = 0
    conversions: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    values: tuple[float, float] | None = None

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Scan:
        """The scan that `as_dict` describes."""
        skipped = {int(n): str(why) for n, why in facts["skipped"].items()}
        conversions, sizes, modes = (
            Counter({str(k): int(v) for k, v in facts[name].items()}) for name in ("conversions", "sizes", "modes")
        )
        low, high = facts["values"] or (None, None)
        values = (float(low), float(high)) if low is not None and high is not None else None
        return cls(skipped, int(facts["resized"]), conversions, sizes, modes, values)

    def as_dict(self) -> dict[str, Any]:
        """The scan for JSON."""
        return dict(vars(self))

    def add(self, first: int, of_each: Sequence[ImageFacts | str], shape: Shape) -> None:
        """Adds what decoding said of the files from index `first` on."""
        for n, facts in enumerate(of_each, first):
            if isinstance(facts, str):
                self.skipped[n] = facts
                continue
            self.resized += facts.size != (shape[2], shape[1])
            self.conversions.update(facts.conversion.split("; ") if facts.conversion else ())
            if facts.values is not None:
                low, high = self.values or facts.values
                self.values = min(low, facts.values[0]), max(high, facts.values[1])
            self.sizes[f"{facts.size[0]}x{facts.size[1]}"] += 1
            self.modes[facts.mode] += 1


def batches_ahead(batch_bytes: int) -> int:
    """The number of batches that are read ahead of the reader: 4, or fewer large ones, but at least 2."""
    return max(2, min(4, MOST_BYTES_AHEAD // max(1, batch_bytes)))


def decode_into(pixels: NDArray[np.uint8], files: ImageFiles, key: Any) -> ImageFacts | str:
    """Decodes a file into an array (C, H, W); a text says why it is not an image, and leaves the array as it is.

    Call it inside `ignore_pillow_warnings`.
    """
    decode = files.decode if isinstance(files, DecodesItself) else decode_image
    try:
        image = decode(files.read(key, LARGEST), pixels.shape)
    except NotAnImage as error:
        return str(error)
    except CnncError as error:  # the caller names the file too
        return error.diagnostics[0].message.removeprefix(f"{files.display_name(key)}: ")
    pixels[...] = image.pixels
    return ImageFacts(image.size, image.conversion, image.mode, image.values)


def decode_each(pixels: NDArray[np.uint8], files: ImageFiles, keys: Sequence[Any]) -> list[ImageFacts | str]:
    """Decodes files into the rows of an array (N, C, H, W), with `decode_into`."""
    with ignore_pillow_warnings():
        return [decode_into(row, files, key) for row, key in zip(pixels, keys, strict=True)]


@contextmanager
def ignore_pillow_warnings() -> Iterator[None]:
    """Suppresses Pillow's warnings (damaged EXIF, many pixels): problems that matter are checked and reported here.

    Enter it in one thread only: warning filters are shared by all threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
