"""`cnnc inspect`: the page and the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cnnc.cli.outputs import Output, require_outputs
from cnnc.core.files import make_folder, safe_name, write_atomic
from cnnc.diagnostics import CnncError
from cnnc.view.document import Document, Section, Table
from cnnc.view.document_html import document_html
from cnnc.view.drawing import Drawing
from cnnc.view.files import picture_bytes
from cnnc.view.page import Page


def require_folder(folder: Path) -> None:
    """Checks the folder of the files before any work. Raises CnncError E902 for one that cannot be made."""
    if folder.exists() and not folder.is_dir():
        raise CnncError.of("E902", f"cannot write {folder}: it is not a folder", help="name a folder with --files")


def write_document(document: Document, source: Path, out: Path, folder: Path | None, force: bool) -> int:
    """Writes the page, and into the folder its drawings; returns their number. Raises CnncError E902 before it writes any."""
    pictures = dict(_pictures(document.sections, folder)) if folder is not None else {}
    if folder is not None:
        make_folder(folder)
        _require_files(source, pictures, force)
    write_atomic(out, document_html(document).encode())
    for path, picture in pictures.items():
        write_atomic(path, picture_bytes(picture, "svg"))
    return len(pictures)


def _require_files(source: Path, paths: Iterable[Path], force: bool) -> None:
    """Raises CnncError E902 for a file that these may not replace, with a help for the folder."""
    try:
        require_outputs([source], [Output(path, "--files", "svg") for path in paths], force)
    except CnncError as error:
        help = "name another folder with --files" + ("" if force else ", or replace the file with --force")
        raise CnncError.of("E902", error.diagnostics[0].message, help=help) from None


def _pictures(sections: Sequence[Section], folder: Path) -> Iterator[tuple[Path, Drawing | Page]]:
    """The drawings of all sections, with names such as `kernels-1-conv1.svg`."""
    for section in sections:
        pictures = [item for item in section.items if not isinstance(item, Table)]
        for number, picture in enumerate(pictures, 1):
            title = safe_name(picture.title.partition(":")[0], 40)
            yield folder / f"{safe_name(section.name)}-{number}-{title}.svg", picture
