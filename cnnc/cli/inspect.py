"""`cnnc inspect`: what a network has learned, and why it answers as it does, as one page and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnnc.api.inspect.options import InspectOptions
from cnnc.cli.console import print_diagnostics, print_json, print_result, print_status
from cnnc.cli.options import DATA, MAX_MEMORY, MAX_PARAMETERS, OFFLINE, SETTINGS, json_option
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.core.files import real_path
from cnnc.diagnostics import CnncError


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
    offline: OFFLINE = False,
    last: Annotated[bool, typer.Option("--last", help="Take the last weights of the run instead of the best.")] = False,
    settings: SETTINGS = None,
    json: Annotated[bool, json_option("the numbers of all sections as a JSON object")] = False,
    force: FORCE = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Show what a network has learned: kernels, feature maps, mistakes, and what its answers depend on."""
    from cnnc.api.inspect.report import inspection_report
    from cnnc.api.subject import is_model, read_subject

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
        print_status,
    )
    subject = read_subject(source, settings or (), last)
    print_diagnostics(subject.network.diagnostics)
    if subject.untrained:
        print_status(f"{subject.network.name} is {subject.untrained}")
    document = inspection_report(options, subject)
    from cnnc.cli.inspect_files import write_document

    drawings = write_document(document, source, out, folder, force)
    if json:
        from cnnc.recipe.metrics import finite

        print_json({section.name: finite(section.numbers) for section in document.sections[1:]})
    say = print_status if json else print_result
    say(f"wrote {out}")
    if folder is not None:
        say(f"wrote {drawings} drawings to {folder}")
