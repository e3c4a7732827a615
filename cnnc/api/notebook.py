"""Notebooks: the cell magic `%%cnn`, which checks a network that is written in a cell, and shows it or its errors.

In: `%load_ext cnnc`, then a cell that begins with `%%cnn [NAME] [NAME=VALUE ...]`. Out: the network in the variable NAME.

    %%cnn lenet width=8
    input 1x28x28
    conv width k=5
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnnc.core.terminal import coloured
from cnnc.diagnostics import CnncError, Diagnostic, render
from cnnc.network import Network, check
from cnnc.report.html import diagnostics_html


class CellError(CnncError):
    """The errors of a cell, which a notebook shows with their colours."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the errors, in the colours of a terminal."""
        return [render(each, coloured) for each in self.diagnostics]


class Warned:
    """A network and the warnings about it, as a cell shows them."""

    def __init__(self, network: Network, warnings: tuple[Diagnostic, ...]) -> None:
        self._network = network
        self._warnings = warnings

    def __repr__(self) -> str:
        return "\n\n".join([*map(render, self._warnings), str(self._network)])

    def _repr_html_(self) -> str:
        return f"{diagnostics_html(self._warnings)}{self._network._repr_html_()}"


def cell_network(line: str, cell: str) -> tuple[str, Network, tuple[Diagnostic, ...]]:
    """The name of the variable, the network and the warnings of a cell: `%%cnn NAME width=8`, the name `network` by default.

    Raises CellError with the errors of the cell, and E010 for words that are neither a name nor a setting.
    """
    words = line.split()
    name = words.pop(0) if words and "=" not in words[0] else "network"
    wrong = [word for word in words if "=" not in word] + ([] if name.isidentifier() else [name])
    if wrong:
        error = CnncError.of(
            "E010", f"%%cnn: {wrong[0]!r} is neither a name nor NAME=VALUE", help="write `%%cnn lenet width=8`"
        )
        raise CellError(*error.diagnostics)
    try:
        shown = check(
            f"\n{cell}", f"{name}.cnn", words, root=Path()
        )  # lines are counted as in the cell, from `%%cnn` on
    except CnncError as error:
        raise CellError(*error.diagnostics) from None
    if not shown.ok:
        raise CellError(*shown.diagnostics)
    network = check(cell, f"{name}.cnn", words, root=Path())
    return name, network, shown.diagnostics


def load_ipython_extension(shell: Any) -> None:
    """Registers `%%cnn` in a shell of IPython, which calls this for `%load_ext cnnc`."""

    def cnn(line: str, cell: str) -> Any:
        """%%cnn [NAME] [SETTING=VALUE ...]: checks the network in the cell, and puts it into the variable NAME."""
        name, network, warnings = cell_network(line, cell)
        shell.user_ns[name] = network
        return Warned(network, warnings) if warnings else network

    shell.register_magic_function(cnn, "cell", "cnn")
