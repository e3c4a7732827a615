"""Lists within sentences: the first items, and how many more there are."""

from __future__ import annotations

from cnnc.core.listing import listed


def test_the_number_of_the_others_follows_the_first() -> None:
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(iter("abcd"), 2) == "a, b, and 2 more"
    assert listed(["x"] * 2_000, 1, "; ") == "x; and 1,999 more"
    assert listed([], 2) == ""
