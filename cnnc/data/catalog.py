"""What is known of each data set before it is opened.

In: nothing. Out: `KNOWN`, the classes and the image shape of every data set by name, so that a network can be
compared with its data set without reading it. It needs no NumPy. The readers take their class names from here.
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
}
