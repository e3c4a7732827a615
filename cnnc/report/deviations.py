"""What an export compared, in words, as a table and for JSON; the same for models, training steps and PyTorch source.

In: deviations, each the largest of a tensor relative to what is allowed there. Out: text, or plain data.

    print(f"12 tensors compared; {largest(worst)}")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cnnc.report.layout import ColumnLayout, Layout, fitted


class Compared(Protocol):
    """The deviation of one tensor or array, with further numbers of its kind."""

    @property
    def name(self) -> str: ...
    @property
    def difference(self) -> float: ...
    @property
    def allowed(self) -> float: ...
    @property
    def share(self) -> float: ...
    def _asdict(self) -> dict[str, Any]: ...


def largest(worst: Compared, more: str = "") -> str:
    """The deviation that is closest to its allowance."""
    return (
        f"the largest deviation is {worst.share:.1%} of what is allowed "
        f"({worst.name}: {worst.difference:.1e} of {worst.allowed:.1e}{more})"
    )


def deviation_table(deviations: Sequence[tuple[Compared, str]], titles: tuple[str, str], layout: Layout) -> str:
    """A line for each deviation, with a further number of its kind.

    `titles` are those of the first column, which has the names, and of the column of that number.
    """
    name, title = titles
    columns = (
        ColumnLayout(name, least=8, is_path=True),
        ColumnLayout("deviation", right=True, drop=1),
        ColumnLayout(title, right=True, drop=3),
        ColumnLayout("allowed", right=True, drop=2),
        ColumnLayout("share", right=True),
    )
    rows = [(d.name, f"{d.difference:.1e}", number, f"{d.allowed:.1e}", f"{d.share:.1%}") for d, number in deviations]
    return "\n".join(fitted(columns, rows, layout))


def deviation_dict(deviation: Compared) -> dict[str, Any]:
    """The deviation for JSON."""
    return {**deviation._asdict(), "share": deviation.share}
