"""`cnnc draw`: the structure of a network, its receptive fields, moving windows and activation functions as pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from cnnc.cli.console import print_result
from cnnc.cli.draw_options import DrawOptions, Style
from cnnc.cli.options import SETTINGS
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
) -> None:
    """Draw a network: its layers, feature maps, units, receptive fields, or a moving window."""
    typed = DrawOptions(
        source, "svg", style, depth, at, image, slide, coverage, activations, tuple(settings or ()), out
    )
    _require_one_mode(typed)
    name = "activations" if source is None else "window" if slide is not None else Path(source).stem or "network"
    usual = Path(f"{name}.svg")
    out = out if out is not None else usual
    is_plain = slide is None and not coverage and not activations
    kinds = ("svg", "png", "html", *(("mmd", "dot") if is_plain and style in (None, Style.graph) else ()))
    kind = picture_kind(out, kinds, usual, "a picture")
    inputs = [Path(path) for path in (source, image) if path is not None]
    require_outputs(inputs, [Output(out, "-o", kind)], force)
    from cnnc.core.files import write_atomic

    write_atomic(out, _content(typed._replace(kind=kind), style or Style.graph))
    print_result(f"wrote {out}")


def _require_one_mode(typed: DrawOptions) -> None:
    """Raises CnncError E010 for two modes at once, and for a mode without what it draws."""
    modes = {
        "slide": typed.slide is not None,
        "activations": typed.activations,
        "style": typed.style is not None,
        "coverage": typed.coverage and typed.slide is None,
    }
    given = [mode for mode, is_given in modes.items() if is_given]
    if len(given) > 1:
        kept, other = given[:2]
        without = typed.command(**dict.fromkeys(given[1:]))
        message = f"--{kept} and --{other} exclude each other"
        raise CnncError.of("E010", message, help=f"leave --{other} out: {without}")
    if typed.source is None and typed.slide is not None:
        from cnnc.cli.draw_window import working_command

        raise CnncError.of("E010", "--slide needs the size of its input", help=working_command(typed))
    if typed.source is None and not typed.activations:
        here = min((path.name for path in Path().glob("*.cnn")), default="NAME.cnn")
        raise CnncError.of("E010", "no network given", help=typed.command(source=here))
    is_size = typed.source is not None and re.fullmatch(r"\d+(x\d+)*", typed.source)
    if is_size and typed.slide is None and not Path(typed.source or "").exists():
        from cnnc.cli.draw_window import working_command

        help = working_command(DrawOptions(typed.source, slide="", coverage=typed.coverage, out=typed.out))
        raise CnncError.of("E010", f"{typed.source} is the size of an input, which goes with --slide", help=help)


def _content(options: DrawOptions, style: Style) -> bytes:
    """The content of the file."""
    if options.slide is not None:
        from cnnc.cli.draw_window import slide_file

        return slide_file(options)
    if options.coverage:
        from cnnc.cli.draw_window import coverage_file

        return coverage_file(options)
    if options.activations:
        from cnnc.cli.draw_activations import activations_file

        return activations_file(options)
    match style:
        case Style.volumes:
            from cnnc.cli.draw_volumes import volumes_file

            return volumes_file(options)
        case Style.edges:
            from cnnc.cli.draw_units import units_file

            return units_file(options)
        case Style.field:
            from cnnc.cli.draw_field import field_file

            return field_file(options)
        case Style.graph:
            from cnnc.cli.draw_graph import graph_file

            return graph_file(options)
