"""Facts about data sets that are known without opening them: `KNOWN` and `READ_FROM_FILES`.

They let a network be compared with its data set before anything is read, without NumPy. The readers take their class
names from here. Of user data (`images`, `shards`, `npz`, `text`, `series`) only the kind is known; shapes and classes are in the files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
}

OPTIONS: dict[str, tuple[str, ...]] = {
    "label": ("series", "images"),
    "index": ("series", "images"),
    "header": ("series", "images"),
    "decimal": ("series", "images"),
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
    return {name: value for name, value in options.items() if value is not None and _is_option(name, value)}


def _is_option(name: str, value: Any) -> bool:
    if name in ("label", "index"):
        is_column = (
            [isinstance(v, str) or (type(v) is int and (v > 0 or v == -1)) for v in value]
            if isinstance(value, tuple)
            else []
        )
        return bool(is_column) and all(is_column)
    if name == "range":
        numbers = isinstance(value, tuple) and len(value) == 2 and all(type(v) in (int, float) for v in value)
        return numbers and -math.inf < value[0] < value[1] < math.inf
    if name == "background":
        return isinstance(value, str) and is_colour(value)
    if name in ("labels", "masks"):
        return isinstance(value, str)
    if name in ("colours", "classes"):
        return isinstance(value, tuple) and all(isinstance(v, str) for v in value)
    return isinstance(value, bool) if name == "header" else value in ("point", "comma")
