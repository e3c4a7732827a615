"""What training would see of a data set: `data`, whose name in `cnnc` is that of the package cnnc.data as well.

In: a network, or the kind of the data and their path. Out: `DataSurvey`.

    data("models/lenet5.cnn").facts["targets"]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from cnnc.api.arguments import checked
from cnnc.api.arrays import Data, data_source, reading
from cnnc.api.opened_data import OpenedData, open_kind, open_network_data
from cnnc.api.progress import report_of
from cnnc.api.python_words import note_words
from cnnc.data import READERS
from cnnc.data.survey import survey
from cnnc.diagnostics import CnncError, render
from cnnc.network import Network, load
from cnnc.report.data import data_text, with_conclusions
from cnnc.report.layout import Layout
from cnnc.view.drawing import Drawing


class DataSurvey:
    """What training would see of a data set: shares, classes, value ranges, skipped files, duplicates.

    `facts` are the numbers that `cnnc data --json` prints; `print` shows them as text.
    """

    def __init__(self, opened: OpenedData, lines: Sequence[str]) -> None:
        surveyed = survey(opened.dataset, opened.shares, opened.input_names, opened.ignored_label)
        names = {"network": opened.network, "losses": list(opened.losses)}
        self.facts: dict[str, Any] = {**names, **with_conclusions(surveyed), "read": list(lines)}
        self._opened = opened

    @cached_property
    def sheet(self) -> Drawing:
        """Training examples by class, and the same after the augmentation. Raises CnncError E010 for words."""
        from cnnc.api.data_sheet import sheet

        return sheet(self._opened)

    def text(self, layout: Layout) -> str:
        """The survey as text that fits a layout."""
        return data_text(self.facts, layout)

    def __str__(self) -> str:
        return self.text(Layout())

    def __repr__(self) -> str:
        shares = ", ".join(f"{share['examples']:,} {name}" for name, share in self.facts["shares"].items())
        return f"<DataSurvey of {self.facts['data']}: {shares}>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


@checked('cnnc.data("images", "photos")')
def data(
    source: Network | Path | str,
    path: Path | str | None = None,
    *,
    data: Data | None = None,
    size: str | None = None,
    settings: Sequence[str] = (),
    at: Mapping[str, int] | None = None,
    progress: bool | Callable[[str], None] = True,
) -> DataSurvey:
    """Reads all examples that training would read, and measures them, as `cnnc data` does.

    `source` is a network, the path of a network file, or a kind of data, such as `images` or `mnist`, at `path`. `data` is the
    folder of the data sets, or for a network the examples themselves, in the forms that `cnnc.train` takes. `size`, such as
    `"3x64x64"`, is that to which images of a kind are resized (default: the most frequent one). `settings` and `at` are those
    of `cnnc.load`, for a network file; for a kind, settings add arguments of `data`: `train.data.label=last`.

    Raises CnncError E601 to E603 where the data are unknown, invalid or missing, E607 or E610 where they do not fit the
    network, E509 for a network without a train section, E010 for what does not go together.

    >>> import cnnc
    >>> cnnc.data("digits")
    <DataSurvey of digits: 1,293 training, 144 validation, 360 test>
    """
    lines: list[str] = []
    report = report_of(progress)

    words = note_words()

    def note(line: str) -> None:
        lines.append(words(line))
        report(line)

    where = data_source(data)
    if isinstance(source, str) and source in READERS:
        if isinstance(where, Mapping):
            raise CnncError.of("E010", "arrays are the data of a network, not of a kind", help="give a network first")
        return DataSurvey(open_kind(source, None if path is None else str(path), where, size, settings, note), lines)
    if path is not None or size is not None:
        raise CnncError.of(
            "E010", "`path` and `size` go with a kind of data", help=f"the kinds are: {', '.join(READERS)}"
        )
    network = source if isinstance(source, Network) else load(source, settings, at)
    network = reading(network, where)
    for diagnostic in network.diagnostics if not isinstance(source, Network) else ():
        report(render(diagnostic))
    return DataSurvey(open_network_data(network, where, note), lines)
