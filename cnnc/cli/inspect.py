"""`cnnc inspect`: what a network has learned, and why it answers as it does, as one page and as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from warnings import catch_warnings, simplefilter

import typer

from cnnc.cli.console import print_diagnostics, print_json, print_result, print_status
from cnnc.cli.inspect_options import InspectOptions as InspectOptions
from cnnc.cli.options import DATA, SETTINGS, json_option
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.core.files import real_path
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.cli.inspect_data import Inspection
    from cnnc.graph.graph import Graph
    from cnnc.view.document import Section


def inspect(
    source: Annotated[Path, typer.Argument(metavar="RUN|MODEL", help="A run, a checkpoint, or an exported model.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The page (.html). Default: NAME-inspect.html here."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--files", metavar="FOLDER", help="Also write each drawing as an SVG file to this folder."),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option("--image", metavar="FILE", help="Show the feature maps of each layer for this input. Repeatable."),
    ] = None,
    sentences: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="SENTENCE", help="As --image, for a network of words. Repeatable."),
    ] = None,
    example: Annotated[
        int | None, typer.Option("--example", metavar="N", min=0, help="As --image, for this example of the test set.")
    ] = None,
    maximize: Annotated[
        list[str] | None,
        typer.Option(
            "--maximize", metavar="LAYER[:CHANNEL]", help="Compute an input that maximizes this channel. Repeatable."
        ),
    ] = None,
    deconv: Annotated[
        list[str] | None,
        typer.Option(
            "--deconv",
            metavar="LAYER[:CHANNEL]",
            help="Project the largest activations of the test set back to the input (Zeiler and Fergus 2013). Repeatable.",
        ),
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Show what the answer depends on: occlusion, gradient, integrated gradients.")
    ] = False,
    label: Annotated[
        int | None, typer.Option("--label", metavar="N", help="With --why: explain this class, not the predicted one.")
    ] = None,
    mistakes: Annotated[
        bool, typer.Option("--mistakes", help="Show the most confident wrong answers and the confusion matrix.")
    ] = False,
    shift: Annotated[
        str | None,
        typer.Option("--shift", metavar="A..B", help="Measure what a shift of the input by A to B pixels changes."),
    ] = None,
    data: DATA = None,
    last: Annotated[bool, typer.Option("--last", help="Take the last weights of the run instead of the best.")] = False,
    settings: SETTINGS = None,
    json: Annotated[bool, json_option("the numbers of all sections as a JSON object")] = False,
    force: FORCE = False,
) -> None:
    """Show what a network has learned: kernels, feature maps, mistakes, and what its answers depend on."""
    from cnnc.cli.inspect_data import open_inspection
    from cnnc.cli.subject import is_model, read_subject

    if label is not None and not why:
        raise CnncError.of("E010", "--label chooses the class that --why explains", help="add --why")
    if last and is_model(source):
        raise CnncError.of("E010", f"{source} is a model: --last applies to a run", help="leave --last out")
    out = out if out is not None else Path(f"{real_path(source).stem}-inspect.html")
    require_outputs([source, *(images or [])], [Output(out, "-o", "html")], force)
    if folder is not None:
        from cnnc.cli.inspect_files import require_folder

        require_folder(folder)
    options = InspectOptions(
        source,
        tuple(images or ()),
        tuple(sentences or ()),
        example,
        tuple(maximize or ()),
        tuple(deconv or ()),
        why,
        label,
        mistakes,
        shift,
        data,
    )
    subject = read_subject(source, settings or (), last)
    print_diagnostics(subject.network.diagnostics)
    if subject.untrained:
        print_status(f"{subject.network.name} is {subject.untrained}")
    with catch_warnings():
        simplefilter("ignore", RuntimeWarning)  # NumPy's, in any thread: the sections say what is NaN or infinite
        _require_options(options, subject.graph)
        inspection = open_inspection(options, subject)
        for note in filter(None, (example.note for example in inspection.examples)):
            print_status(note)
        sections = [section for part in _parts(options) for section in part(inspection)]
    from cnnc.cli.inspect_files import write_document

    drawings = write_document(inspection.subject, source, sections, out, folder, force)
    if json:
        from cnnc.recipe.metrics import finite

        print_json({section.name: finite(section.numbers) for section in sections})
    say = print_status if json else print_result
    say(f"wrote {out}")
    if folder is not None:
        say(f"wrote {drawings} drawings to {folder}")


def _require_options(options: InspectOptions, graph: Graph) -> None:
    """Checks, before any data are read, what the options name. Raises CnncError E010."""
    if options.maximize or options.deconv:
        from cnnc.cli.inspect_channel import require_channels, require_one_input, require_patches

        for text in options.maximize:
            require_one_input(graph, require_channels(graph, text, "--maximize").layer, "--maximize")
        for text in options.deconv:
            require_patches(graph, require_channels(graph, text, "--deconv"))
    if options.label is not None:
        from cnnc.cli.inspect_why import require_label

        require_label(graph, options.label)
    if options.shift is not None:
        from cnnc.cli.inspect_shift import require_shifts

        require_shifts(graph, options.shift)


Part = Callable[["Inspection"], "Iterator[Section]"]


def _parts(options: InspectOptions) -> Iterator[Part]:
    """The functions that compute the sections which the command line asks for, in their order on the page."""
    from cnnc.cli.inspect_learned import histograms, kernels, maps

    yield kernels
    if options.images or options.sentences or options.example is not None:
        yield maps
    if options.why:
        from cnnc.cli.inspect_why import why

        yield why
    if options.maximize:
        from cnnc.cli.inspect_maximize import maximize

        yield maximize
    if options.deconv:
        from cnnc.cli.inspect_deconv import deconv

        yield deconv
    if options.mistakes:
        from cnnc.cli.inspect_mistakes import mistakes

        yield mistakes
    if options.shift is not None:
        from cnnc.cli.inspect_shift import shift

        yield shift
    yield histograms
