"""What `cnnc inspect` and `cnnc.inspect` are asked to show, which every part of the report reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from cnnc.core.arrays import Array
from cnnc.data import ignore_report


class InspectOptions(NamedTuple):
    """The options, named as those of the command; `data` may also be arrays. `report` receives notes."""

    source: Path
    images: tuple[Path, ...] = ()
    sentences: tuple[str, ...] = ()
    example: int | None = None
    maximize: tuple[str, ...] = ()
    deconv: tuple[str, ...] = ()
    why: bool = False
    label: int | None = None
    mistakes: bool = False
    shift: str | None = None
    data: Path | Mapping[str, Array] | None = None
    report: Callable[[str], None] = ignore_report

    @property
    def needs_data(self) -> bool:
        """Whether an option asks for examples of the data set; others do without them."""
        explains_first = self.why and not self.images and not self.sentences
        return bool(self.deconv or self.mistakes or self.shift or self.example is not None or explains_first)
