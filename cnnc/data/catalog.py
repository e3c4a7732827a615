"""What is known of a data set before it is opened.

In: nothing. Out: `KNOWN`, the classes and the image shape of every public data set by name, so that a network can be
compared with its data set without reading it. It needs no NumPy. The readers take their class names from here. Data
of the user's own (`images`, `npz`, `text`, `series`) are known only once they are read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DataFacts:
    """The names of the classes, in the order of their labels, and the shape of one sample, channels first."""

    classes: tuple[str, ...]
    shape: tuple[int, ...]


_TEN_DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

KNOWN: dict[str, DataFacts] = {
    "digits": DataFacts(_TEN_DIGITS, (1, 8, 8)),
    "mnist": DataFacts(_TEN_DIGITS, (1, 28, 28)),
    "fashion_mnist": DataFacts(
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        (1, 28, 28),
    ),
    "cifar10": DataFacts(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"), (3, 32, 32)
    ),
}
