"""What `cnnc draw` and `cnnc.draw` are asked to draw, which every mode reads."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnc.api.subject import read_network
from cnnc.data import ignore_report
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.network import Network


class Style(StrEnum):
    """The values of --style."""

    graph = "graph"
    volumes = "volumes"
    edges = "edges"
    field = "field"


class DrawOptions(NamedTuple):
    """The command line of `cnnc draw`, as typed. `kind` is that of the file to write: svg, png, html, mmd or dot.

    A program gives the `network` itself, which `source` then only names. `report` receives notes; `words` puts those in the
    drawing into the words of the caller.
    """

    source: str | None
    kind: str = "svg"
    style: Style | None = None
    depth: int | None = None
    at: str | None = None
    image: Path | None = None
    slide: str | None = None
    coverage: bool = False
    activations: bool = False
    settings: tuple[str, ...] = ()
    out: Path | None = None
    network: Network | None = None
    report: Callable[[str], None] = ignore_report
    words: Callable[[str], str] = str

    def read(self) -> Network:
        """The network to draw. Raises CnncError as `read_network` does."""
        assert self.source is not None
        return self.network if self.network is not None else read_network(Path(self.source), self.settings)

    def command(self, **changes: Any) -> str:
        """The command line with some options changed, as a help names it: `` `cnnc draw --slide k=3 5x5` ``."""
        typed = self._replace(**changes)
        flags = [f"--{name}" for name in ("coverage", "activations") if getattr(typed, name)]
        values = [
            *((f"--{name}", getattr(typed, name)) for name in ("slide", "style", "depth", "at", "image")),
            *(("--set", setting) for setting in typed.settings),
            ("-o", typed.out),
        ]
        options = [word for name, value in values if value is not None for word in (name, str(value))]
        sized = typed.slide is not None  # reads best as `--slide k=3 5x5`
        source = [] if typed.source is None else [typed.source]
        words = [*options[:2], *source, *flags, *options[2:]] if sized else [*source, *flags, *options]
        return f"`{join(['cnnc', 'draw', *words])}`"


def require_absent(options: DrawOptions, mode: str, *names: str) -> None:
    """Raises CnncError E010 for an option that a mode of `draw` does not take; `mode` names it in the message."""
    for name in names:
        if getattr(options, name) not in (None, (), False):
            option = "--set" if name == "settings" else f"--{name}"
            without = options.command(**{name: () if name == "settings" else None})
            help = f"leave {option} out: {without}"
            if name == "at" and mode in ("--style graph", "--style volumes"):
                help += f", or draw the field of the layer: {options.command(style=Style.field, depth=None)}"
            raise CnncError.of("E010", f"{option} does not go with {mode}", help=help)
