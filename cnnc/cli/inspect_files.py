"""`cnnc inspect`: the page and the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cnnc.cli.outputs import Output, require_outputs
from cnnc.cli.picture_files import picture_bytes
from cnnc.core.files import make_folder, safe_name, write_atomic
from cnnc.core.tensor import format_shape
from cnnc.diagnostics import CnncError
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Document, Section, Table
from cnnc.view.document_html import document_html
from cnnc.view.drawing import Drawing
from cnnc.view.page import Page


def require_folder(folder: Path) -> None:
    """Checks the folder of the files before any work. Raises CnncError E902 for one that cannot be made."""
    if folder.exists() and not folder.is_dir():
        raise CnncError.of("E902", f"cannot write {folder}: it is not a folder", help="name a folder with --files")


def write_document(
    subject: TrainedNetwork, source: Path, sections: Sequence[Section], out: Path, folder: Path | None, force: bool
) -> int:
    """Writes the page, and into the folder its drawings; returns their number. Raises CnncError E902 before it writes any."""
    sections = [_network(subject), *sections]
    pictures = dict(_pictures(sections, folder)) if folder is not None else {}
    if folder is not None:
        make_folder(folder)
        _require_files(source, pictures, force)
    write_atomic(out, document_html(_document(subject, source, sections)).encode())
    for path, picture in pictures.items():
        write_atomic(path, picture_bytes(picture, "svg"))
    return len(pictures)


def _network(subject: TrainedNetwork) -> Section:
    """The drawing of the network, and the table of its layers."""
    from cnnc.view.diagram.diagram import diagram_of, usual_depth
    from cnnc.view.diagram.drawn import diagram_drawing

    graph = subject.graph
    drawing = diagram_drawing(diagram_of(graph, usual_depth(graph)))
    rows = tuple(
        (
            node.name,
            f"{node.op.keyword} {node.op.brief()}".strip(),
            ", ".join(node.inputs),
            format_shape(node.type.shape),
            f"{sum(p.size for p in graph.parameters(node) if p.trainable):,}",
            f"{graph.macs(node):,}",
        )
        for node in graph.nodes
    )
    heads = ("layer", "operation", "reads", "output", "parameters", "multiply-adds")
    table = Table(heads, rows, (False, False, False, True, True, True))
    return Section("network", "Network", (), (drawing, table))


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


def _document(subject: TrainedNetwork, source: Path, sections: Sequence[Section]) -> Document:
    graph, recipe = subject.graph, subject.network.recipe
    name = subject.network.name
    facts = [
        ("source", source.name or str(source)),
        ("layers", f"{len(graph.nodes):,}"),
        ("parameters", f"{graph.total_parameters:,}"),
        ("input", ", ".join(f"{node.name} {format_shape(node.type.shape)}" for node in graph.inputs)),
        ("output", ", ".join(f"{each} {format_shape(graph.by_name[each].type.shape)}" for each in graph.outputs)),
    ]
    if recipe is not None:
        facts.append(("data", " ".join(filter(None, [recipe.data.name, recipe.data.path]))))
    if len(subject.classes) == graph.by_name[graph.outputs[0]].type.channels:
        facts.append(("classes", ", ".join(subject.classes[:20]) + (", …" if len(subject.classes) > 20 else "")))
    if subject.untrained:
        facts.append(("weights", subject.untrained))
    title = f"{name}: what it has learned" if not subject.untrained else f"{name}: untrained"
    text = "Made by cnnc inspect. Everything is in this file; it loads nothing."
    return Document(title, text, tuple(facts), tuple(sections))
