"""`cnnc draw`: the structure of a network, its receptive fields, moving windows and activation functions as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnnc.api.draw.options import DrawOptions, Style
from cnnc.cli.console import print_result, print_status
from cnnc.cli.options import MAX_MEMORY, MAX_PARAMETERS, SETTINGS
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.cli.picture_files import picture_kind
from cnnc.diagnostics import CnncError


def draw(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|MODEL|RUN|SIZE]",
            help="A network file, an exported model, or a run; with --slide the size of the input, such as 5x5.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="The picture: .svg, .png or .html; of the style graph also .mmd (Mermaid) or .dot (Graphviz). "
            "Default: NAME.svg here.",
        ),
    ] = None,
    style: Annotated[
        Style | None,
        typer.Option(
            "--style",
            help="graph: layers and edges (default); volumes: feature maps to scale; edges: the units of a small network; "
            "field: the receptive field of --at.",
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            min=0,
            metavar="N",
            help="With --style graph or volumes: fold block calls at nesting level N into one box each; 0 folds none (default: the "
            "level with at most 40 boxes).",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="LAYER[:Y,X]",
            help="The layer, and the position in it, that is drawn; with --style edges its unit: LAYER:UNIT.",
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="IMAGE", help="With --style field: the image below the field.")
    ] = None,
    slide: Annotated[
        str | None,
        typer.Option(
            "--slide",
            metavar="WINDOW",
            help='Animate a window that moves over an input of SIZE: "k=3 s=2 p=1 d=1", "maxpool k=2", '
            '"conv_transpose k=3 s=2".',
        ),
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Draw how often each element of the input is read.")
    ] = False,
    activations: Annotated[
        bool, typer.Option("--activations", help="Draw activation functions with their derivatives.")
    ] = False,
    settings: SETTINGS = None,
    force: FORCE = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Draw a network: its layers, feature maps, units, receptive fields, or a moving window."""
    from cnnc.api.drawing import drawing_file, require_one_mode

    typed = DrawOptions(
        source,
        "svg",
        style,
        depth,
        at,
        image,
        slide,
        coverage,
        activations,
        tuple(settings or ()),
        out,
        None,
        print_status,
    )
    require_one_mode(typed)
    name = "activations" if source is None else "window" if slide is not None else Path(source).stem or "network"
    usual = Path(f"{name}.svg")
    out = out if out is not None else usual
    is_plain = slide is None and not coverage and not activations
    kinds = ("svg", "png", "html", *(("mmd", "dot") if is_plain and style in (None, Style.graph) else ()))
    kind = picture_kind(out, kinds, usual, "a picture")
    inputs = [Path(path) for path in (source, image) if path is not None]
    require_outputs(inputs, [Output(out, "-o", kind)], force)
    from cnnc.cli.usage import with_published_network
    from cnnc.core.files import write_atomic

    try:
        content = drawing_file(typed._replace(kind=kind))
    except CnncError as error:
        raise with_published_network(error, Path(source or "")) from None
    write_atomic(out, content)
    print_result(f"wrote {out}")
