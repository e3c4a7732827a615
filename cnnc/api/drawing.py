"""Drawings of networks: `draw`, for programs, and `drawing_file`, for `cnnc draw` too.

In: a network and what to draw. Out: a `Figure`, which a notebook shows and `save` writes.

    draw("models/lenet5.cnn", style="volumes").save("lenet5.svg")
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from cnnc.api.arguments import checked
from cnnc.api.draw.options import DrawOptions, Style
from cnnc.api.python_words import note_words
from cnnc.core.files import write_atomic
from cnnc.diagnostics import CnncError
from cnnc.network import Network
from cnnc.report.html import figure

Kind = Literal["svg", "png", "html", "mmd", "dot"]
_KINDS = ("svg", "png", "html", "mmd", "dot")


class Figure:
    """A drawing: a notebook shows it, `save` writes it as .svg, .png or .html; the layers of a network also as .mmd or .dot."""

    def __init__(self, options: DrawOptions) -> None:
        self._options = options

    @cached_property
    def svg(self) -> str:
        """The drawing as the text of an SVG file."""
        return self.content("svg").decode()

    def content(self, kind: Kind) -> bytes:
        """The content of a file of this kind. Raises CnncError E010 for a kind that this drawing does not have, E906."""
        is_graph = not (self._options.slide or self._options.coverage or self._options.activations)
        kinds = _KINDS if is_graph and self._options.style in (None, Style.graph) else _KINDS[:3]
        if kind not in kinds:
            help = f"name a file with one of {', '.join(f'.{each}' for each in kinds)}"
            raise CnncError.of("E010", f"the drawing has no kind {kind!r}", help=help)
        if kind == "png":
            from cnnc.data.image_file import require_pillow

            require_pillow()
        return drawing_file(self._options._replace(kind=kind))

    @checked('picture.save("lenet5.svg")', "picture.")
    def save(self, path: Path | str) -> Path:
        """Writes the drawing; the suffix of the file says in which form. Raises CnncError E010, E902, E906.

        >>> import cnnc
        >>> cnnc.draw(cnnc.check("input 1x8x8; conv 4 k=3")).save("small.svg").read_text()[:4]
        '<svg'
        """
        path = Path(path)
        write_atomic(path, self.content(path.suffix.lower().removeprefix(".")))  # type: ignore[arg-type]
        return path

    def __repr__(self) -> str:
        return f"<Figure of {self._options.source or 'activation functions'}>"

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return figure(self.svg)


@checked('cnnc.draw("lenet5.cnn", style="volumes")')
def draw(
    network: Network | Path | str | None = None,
    *,
    style: Literal["graph", "volumes", "edges", "field"] | None = None,
    depth: int | None = None,
    at: str | None = None,
    image: Path | str | None = None,
    slide: str | None = None,
    coverage: bool = False,
    activations: bool = False,
    settings: Sequence[str] = (),
) -> Figure:
    """Draws a network, a receptive field, a moving window or activation functions, as `cnnc draw` does.

    `network` is a network, or the path of a network file, a run, a checkpoint or a model. `style` is `graph` (layers and
    edges, the default), `volumes` (feature maps to scale), `edges` (units of a small network) or `field` (the receptive
    field of the layer and position `at="conv2:3,4"`, over `image`). `depth` folds block calls at this nesting level, 0 none.
    With `slide`, a window such as `"k=3 s=2"` moves over an input whose size, such as `"5x5"`, takes the place of the
    network. `coverage` counts how often the layer `at` reads each element of its input; `activations` draws the functions
    of the network, or all of them. `settings` are `NAME=VALUE` as for `--set`, for a network file.

    Raises CnncError E010 for what does not go together, E602 where the image does not fit, and those of reading the network.

    >>> import cnnc
    >>> net = cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 10", name="small.cnn")
    >>> cnnc.draw(net)
    <Figure of small.cnn>
    >>> cnnc.draw(net, style="volumes").svg.count("<svg")
    1
    """
    is_given = isinstance(network, Network)
    options = DrawOptions(
        source=network.source.name if isinstance(network, Network) else None if network is None else str(network),
        style=Style(style) if style is not None else None,
        depth=depth,
        at=at,
        image=Path(image) if image is not None else None,
        slide=slide,
        coverage=coverage,
        activations=activations,
        settings=tuple(settings),
        network=network if isinstance(network, Network) else None,
        words=note_words(),
    )
    if is_given and settings:
        help = "give them to cnnc.load or cnnc.check"
        raise CnncError.of("E010", "settings apply to a network file, not to a network that is loaded", help=help)
    require_one_mode(options)
    picture = Figure(options)
    _ = picture.svg  # an error comes from here, not from the first display
    return picture


def require_one_mode(options: DrawOptions) -> None:
    """Raises CnncError E010 for two modes at once, and for a mode without what it draws."""
    modes = {
        "slide": options.slide is not None,
        "activations": options.activations,
        "style": options.style is not None,
        "coverage": options.coverage and options.slide is None,
    }
    given = [mode for mode, is_given in modes.items() if is_given]
    if len(given) > 1:
        kept, other = given[:2]
        without = options.command(**dict.fromkeys(given[1:]))
        message = f"--{kept} and --{other} exclude each other"
        raise CnncError.of("E010", message, help=f"leave --{other} out: {without}")
    if options.source is None and options.slide is not None:
        from cnnc.api.draw.window import working_command

        raise CnncError.of("E010", "--slide needs the size of its input", help=working_command(options))
    if options.source is None and not options.activations:
        here = min((path.name for path in Path().glob("*.cnn")), default="NAME.cnn")
        raise CnncError.of("E010", "no network given", help=options.command(source=here))
    is_size = options.source is not None and re.fullmatch(r"\d+(x\d+)*", options.source)
    if is_size and options.slide is None and not Path(options.source or "").exists():
        from cnnc.api.draw.window import working_command

        help = working_command(DrawOptions(options.source, slide="", coverage=options.coverage, out=options.out))
        raise CnncError.of("E010", f"{options.source} is the size of an input, which goes with --slide", help=help)


def drawing_file(options: DrawOptions) -> bytes:
    """The content of the file of kind `options.kind`. Raises CnncError."""
    if options.slide is not None:
        from cnnc.api.draw.window import slide_file

        return slide_file(options)
    if options.coverage:
        from cnnc.api.draw.window import coverage_file

        return coverage_file(options)
    if options.activations:
        from cnnc.api.draw.activations import activations_file

        return activations_file(options)
    match options.style or Style.graph:
        case Style.volumes:
            from cnnc.api.draw.volumes import volumes_file

            return volumes_file(options)
        case Style.edges:
            from cnnc.api.draw.units import units_file

            return units_file(options)
        case Style.field:
            from cnnc.api.draw.field import field_file

            return field_file(options)
        case Style.graph:
            from cnnc.api.draw.graph import graph_file

            return graph_file(options)
