"""Facts about the public data sets that are known without opening them: `KNOWN`.

They let a network be compared with its data set before anything is read, without NumPy. The readers take their class
names from here. User data (`images`, `npz`, `text`, `series`) are not listed: their facts are known once they are read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DataFacts:
    """The names of the classes in the order of their labels, and the shape of one example, channels first."""

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
