"""A document: sections of text, tables and pictures, without layout, so that a terminal, HTML and files show the same.

In: texts, tables, pages and drawings from whoever computes them. Out: a `Document`, which every face takes.

    table = Table(("layer", "dead"), (("conv1", "0 of 6"),), (False, True))
    section = Section("histograms", "Histograms", ("Activations of 256 examples of the test set.",), (table,))
    Document("lenet5", "What lenet5 learned", (("parameters", "61,706"),), (section,))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cnnc.view.drawing import Drawing
from cnnc.view.page import Page


class Table(NamedTuple):
    """Rows of texts below their heads; a column whose entry in `right` is true is aligned right, as numbers are."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...] = ()
    title: str = ""


Item = Table | Page | Drawing
"""What a section shows below its text."""


class Section(NamedTuple):
    """A part of a document. `name` is unique in it, and part of the names of its files: lower case, with hyphens.

    `lines` are paragraphs above the items, `notes` are below them. `numbers` is what `--json` says about this section.
    """

    name: str
    title: str
    lines: tuple[str, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    numbers: dict[str, Any] = {}  # noqa: RUF012  never changed


class Document(NamedTuple):
    """Sections in their order; `facts` are pairs of a name and what it is, above them all."""

    title: str
    description: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]

    def in_words(self, words: Callable[[str], str]) -> Document:
        """The document with each paragraph and note in other words."""
        return self._replace(
            sections=tuple(
                section._replace(lines=tuple(map(words, section.lines)), notes=tuple(map(words, section.notes)))
                for section in self.sections
            )
        )
