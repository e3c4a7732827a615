"""`cnnc data`: what training would see of a data set, without training.

In: a network file, whose train section names the data, or the kind of the data and their path. Out: text or JSON; cnnc.data.survey
reads the data, cnnc.report.data lays out what it found.
"""

from __future__ import annotations

from pathlib import Path
from shlex import join
from typing import Annotated

import typer

from cnnc.cli.console import layout, print_json, print_result, print_status
from cnnc.cli.options import DATA, MAX_MEMORY, MAX_PARAMETERS, OFFLINE, SETTINGS, json_option, parse_sizes, sizes_option
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.cli.picture_files import picture_kind, write_picture
from cnnc.cli.usage import load_network


def data(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|KIND", help="A network file, or a kind of data, e.g. images, npz, series, text, mnist."
        ),
    ],
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="With KIND: the file or folder of the data.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="CxHxW",
            help="With KIND: resize images to this input (default: the most frequent size of the files).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Also draw training examples by class: .html, .png or .svg."),
    ] = None,
    folder: DATA = None,
    offline: OFFLINE = False,
    at: Annotated[list[str] | None, sizes_option("Resize images to this size")] = None,
    settings: SETTINGS = None,
    json: Annotated[bool, json_option("all numbers as a JSON object")] = False,
    force: FORCE = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Show what training would see of a data set: shares, classes, value ranges, skipped files, duplicates."""
    if out is not None:
        kind_of_file = picture_kind(out, ("html", "png", "svg"), Path("data.html"), "a sheet")
        read = [Path(name) for name in (source, path) if name is not None]
        require_outputs(read, [Output(out, "-o", kind_of_file)], force)
    from cnnc.api.opened_data import require_no
    from cnnc.api.survey import data as survey_of
    from cnnc.cli.data_kind import kind_of

    if kind_of(source, path) is not None:
        require_no(at, "--at")
        surveyed = survey_of(source, path, data=folder, size=size, settings=settings or [], progress=print_status)
    else:
        require_no(size, "--input", "a KIND")
        require_no(path, "PATH", "a KIND", f"write `{join(['cnnc', 'data', source, '--data', path or ''])}`")
        network = load_network(Path(source), settings, parse_sizes(at))
        surveyed = survey_of(network, data=folder, progress=print_status)
    if out is not None:
        write_picture(out, surveyed.sheet)
        print_status(f"wrote {out}")
    if json:
        from cnnc.recipe.metrics import finite

        print_json(finite(surveyed.facts))
    else:
        print_result(surveyed.text(layout()))
