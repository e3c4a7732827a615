"""What a network has learned, and why it answers as it does: `inspect`.

In: a model, inputs and what to show. Out: `Report`, which a notebook shows and `save` writes as a page.

    inspect("runs/lenet5", mistakes=True).save("lenet5.html")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from cnnc.api.arguments import checked
from cnnc.api.arrays import Data, as_test, data_source
from cnnc.api.inspect.options import InspectOptions
from cnnc.api.inspect.report import inspection_report
from cnnc.api.model import Model
from cnnc.api.progress import report_of
from cnnc.api.python_words import note_words
from cnnc.api.result import Result
from cnnc.api.subject import is_model, read_subject
from cnnc.core.files import with_suffix, write_atomic
from cnnc.diagnostics import CnncError
from cnnc.view.document import Document, Section
from cnnc.view.document_html import document_html


class Report:
    """Sections with text, tables and drawings; a notebook shows them, and `save` writes the page of `cnnc inspect`.

    `report["mistakes"]` are the numbers of a section, as `cnnc inspect --json` prints them.
    """

    def __init__(self, document: Document) -> None:
        self.document = document

    @property
    def sections(self) -> tuple[Section, ...]:
        """The sections, in the order of the page."""
        return self.document.sections

    @property
    def html(self) -> str:
        """The page as the text of an HTML file, which loads nothing."""
        return document_html(self.document)

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        found = next((section for section in self.sections if section.name == name), None)
        if found is None:
            names = ", ".join(section.name for section in self.sections)
            raise CnncError.of("E010", f"the report has no section {name!r}", help=f"sections: {names}")
        return found.numbers

    @checked('report.save("lenet5.html")', "report.")
    def save(self, path: Path | str) -> Path:
        """Writes the page. Raises CnncError E010 for a file that is not .html, E902 where it cannot be written.

        >>> import cnnc
        >>> cnnc.inspect(cnnc.Model(cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 10"))).save("small.html").name
        'small.html'
        """
        path = Path(path)
        if path.suffix.lower() != ".html":
            raise CnncError.of(
                "E010", f"the page is an .html file, not {path}", help=f"write {str(with_suffix(path, '.html'))!r}"
            )
        write_atomic(path, self.html.encode())
        return path

    def __repr__(self) -> str:
        return f"<Report {self.document.title}: {', '.join(section.name for section in self.sections)}>"

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its style and keys stay apart from those of the notebook."""
        return framed(self.html, 640)


def framed(html: str, height: int) -> str:
    """A page of its own within a notebook; it loads nothing, and reaches nothing of the notebook."""
    style = f"width:100%;height:{height}px;border:1px solid #8888"
    return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{escape(html)}"></iframe>'


@checked('cnnc.inspect("runs/lenet5", mistakes=True)')
def inspect(
    model: Model | Result | Path | str,
    *,
    images: Sequence[Path | str] = (),
    text: Sequence[str] = (),
    example: int | None = None,
    maximize: Sequence[str] = (),
    deconv: Sequence[str] = (),
    why: bool = False,
    label: int | None = None,
    mistakes: bool = False,
    shift: str | None = None,
    data: Data | None = None,
    last: bool = False,
    settings: Sequence[str] = (),
    progress: bool | Callable[[str], None] = True,
) -> Report:
    """Shows what a network has learned, and why it answers as it does, as `cnnc inspect` does.

    `model` is a model, a result, or the path of a run (the `last` weights, or the best), a checkpoint, a network file or an
    ONNX model. The kernels and histograms always show; `images` (files), sentences as `text` and `example` (a number of the
    test set) add the feature maps of these inputs. `maximize` and `deconv` name channels as `"conv2:3"` or layers: an input
    that maximizes them, and the largest activations projected back to the input. `why` shows what the answer depends on, for
    the class `label`; `mistakes` the most confident wrong answers; `shift`, such as `"-4..4"`, what a shift of the input from
    -4 to 4 pixels changes. `data` is that of `cnnc.evaluate`; `settings` are those of a network file.

    Raises CnncError E010 for what the network does not have, E605, E606 or E901 for what cannot be read, and those of the data.

    >>> import cnnc
    >>> report = cnnc.inspect(cnnc.Model(cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 10", name="small.cnn")))
    >>> report
    <Report small: untrained: network, kernels, histograms>
    """
    report = report_of(progress)
    if label is not None and not why:
        raise CnncError.of("E010", "label chooses the class that why explains", help="add why=True")
    if isinstance(model, Result):
        model = model.folder
    if isinstance(model, Path | str):
        source = Path(model)
        if last and is_model(source):
            raise CnncError.of("E010", f"{source} is a model: last applies to a run", help="leave last out")
        subject = read_subject(source, settings, last)
        if subject.untrained:
            report(f"{subject.network.name} is {subject.untrained}")
    else:
        if last or settings:
            raise CnncError.of("E010", "last and settings apply to a path, not to a model that is loaded")
        source, subject = Path(model.network.source.name), model.trained
    options = InspectOptions(
        source=source,
        images=tuple(map(Path, images)),
        sentences=tuple(text),
        example=example,
        maximize=tuple(maximize),
        deconv=tuple(deconv),
        why=why,
        label=label,
        mistakes=mistakes,
        shift=shift,
        data=as_test(data_source(data)),
        report=report,
    )
    return Report(inspection_report(options, subject).in_words(note_words()))
