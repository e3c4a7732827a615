"""What is known about data without opening them: `KNOWN`, `READ_FROM_FILES`, and the arguments of `data` by kind, `OPTIONS`.

They let a network be compared with its data set before anything is read, without NumPy. The readers take their class
names from here. Of user data (`images`, `shards`, `npz`, `text`, `series`, `audio`) only the kind is known; shapes and
classes are in the files. `checked_options` reads the arguments from the metadata of a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cnnc.core.arguments import is_colour


class DataFacts(NamedTuple):
    """The names of the classes in the order of their labels, the shape of one example, channels first, and the number of
    training examples."""

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    training: int


class DataKind(NamedTuple):
    """A kind of user data: what one example is called, and the most inputs that it has (None: any number)."""

    item: str
    inputs: int | None


_TEN_DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

KNOWN: dict[str, DataFacts] = {
    "digits": DataFacts(_TEN_DIGITS, (1, 8, 8), 1437),
    "mnist": DataFacts(_TEN_DIGITS, (1, 28, 28), 60_000),
    "fashion_mnist": DataFacts(
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        (1, 28, 28),
        60_000,
    ),
    "cifar10": DataFacts(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"), (3, 32, 32), 50_000
    ),
}

READ_FROM_FILES: dict[str, DataKind] = {
    "images": DataKind("image", 1),
    "shards": DataKind("image", 1),
    "npz": DataKind("example", None),
    "text": DataKind("sentence", 2),
    "series": DataKind("series", 1),
    "audio": DataKind("recording", 1),
}

RATE, MAX_RATE = 16_000, 1_000_000
"""The sample rate of `data audio` in Hz where none is given, and the highest."""

MAX_SECONDS = 1_000_000
"""The longest duration of a recording."""

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".w64")
"""Names that end so are recordings, where a file may be anything."""

OPTIONS: dict[str, tuple[str, ...]] = {
    "label": ("series", "images"),
    "index": ("series", "images"),
    "header": ("series", "images"),
    "decimal": ("series", "images"),
    "rate": ("audio",),
    "seconds": ("audio",),
    "background": ("images", "shards"),
    "range": ("images", "shards"),
    "labels": ("images",),
    "masks": ("images",),
    "colours": ("images",),
    "classes": ("images",),
}
"""The arguments of `data` that only some kinds take, with those kinds."""

DESCRIBES: dict[str, str] = {
    **dict.fromkeys(("label", "index", "header", "decimal"), "labels"),
    **dict.fromkeys(("colours", "classes"), "masks"),
}
"""The arguments of `data images` that describe another one further, with that one."""


def checked_options(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments above in an untrusted object, as the statement stores them; those of another type are left out."""
    options = {name: tuple(v) if isinstance(v := facts.get(name), list) else v for name in OPTIONS}
    return {name: value for name, value in options.items() if value is not None and _VALID[name](value)}


def _is_columns(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(_is_column, value))


def _is_column(value: Any) -> bool:
    return isinstance(value, str) or (type(value) is int and (value > 0 or value == -1))


def _is_rate(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_RATE


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= MAX_SECONDS


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, tuple) and len(value) == 2 and all(type(v) in (int, float) for v in value)
    return numbers and -math.inf < value[0] < value[1] < math.inf


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_is_text, value))


_VALID: dict[str, Callable[[Any], bool]] = {
    "label": _is_columns,
    "index": _is_columns,
    "header": lambda value: isinstance(value, bool),
    "decimal": lambda value: value in ("point", "comma"),
    "rate": _is_rate,
    "seconds": _is_duration,
    "background": lambda value: isinstance(value, str) and is_colour(value),
    "range": _is_range,
    "labels": _is_text,
    "masks": _is_text,
    "colours": _is_texts,
    "classes": _is_texts,
}
"""Whether a value is of the type that the statement stores, for each of the arguments in `OPTIONS`."""
