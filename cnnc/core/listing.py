"""A list within a sentence, of which the first items are shown.

listed(["a", "b", "c", "d"], 2)  # "a, b, and 2 more"
"""

from __future__ import annotations

from collections.abc import Iterable


def listed(items: Iterable[str], most: int, separator: str = ", ") -> str:
    """The first `most` items, and how many more there are."""
    texts = list(items)
    more = f"{separator}and {len(texts) - most:,} more" if len(texts) > most else ""
    return separator.join(texts[:most]) + more
