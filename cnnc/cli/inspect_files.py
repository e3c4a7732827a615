"""`cnnc inspect`: the page and the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Section


def write_document(subject: TrainedNetwork, sections: Sequence[Section], out: Path, folder: Path | None) -> None:
    """Writes the page, and into the folder its pictures."""
    raise NotImplementedError
