"""`cnnc unfold`: how one number of a layer comes about."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import print_document, width_of
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.core.arguments import Axes
    from cnnc.view.unfold.layer_numbers import LayerNumbers

FEW = 9
"""Up to this many outputs, all sums are printed."""


def unfold(
    what: Annotated[
        str,
        typer.Argument(metavar="MATRIX", help='The input: rows separated by `;`, channels by `|`, e.g. "1 2; 3 4".'),
    ],
    kernel: Annotated[
        list[str] | None,
        typer.Option("--kernel", metavar="MATRIX", help="The kernel, written as the input. One per output channel."),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="I,J", help="The output whose sum is shown.")] = None,
    s: Annotated[str, typer.Option("-s", "--stride", help="Step between windows, e.g. 2 or 2x1.")] = "1",
    p: Annotated[str, typer.Option("-p", "--pad", help="Padding, e.g. 1, 2x1, same, full.")] = "0",
    d: Annotated[str, typer.Option("-d", "--dilation", help="Spacing of the window's elements.")] = "1",
) -> None:
    """Show how one number comes about: the sum behind an output of a layer, and the whole result."""
    from cnnc.view.terminal import terminal_text
    from cnnc.view.unfold.pages import forward_page

    layer = _literal_layer(what, kernel or [], {"s": s, "p": p, "d": d})
    position = _position(at, layer.output_shape) if at is not None else None
    page = forward_page(layer, position)
    print_document(terminal_text(page, width_of(sys.stdout), at is None and len(page.steps) <= FEW))


def _literal_layer(text: str, kernels: list[str], options: dict[str, str]) -> LayerNumbers:
    import numpy as np

    from cnnc.ops.conv import Conv
    from cnnc.view.unfold.layer_numbers import LayerNumbers
    from cnnc.view.unfold.literals import matrix

    x = matrix(text, "the input")
    weight = np.stack([matrix(kernel, "the kernel") for kernel in kernels])
    if x.shape[1] == weight.shape[2] == 1:
        x, weight = x[:, 0], weight[:, :, 0]
    rank = x.ndim - 1
    values = {name: _value(text) for name, text in options.items()}
    op = Conv.make(rank, out=len(weight), k=weight.shape[2:], bias=False, **values)
    return LayerNumbers(op, x, weight)


def _value(text: str) -> Any:
    from cnnc.core.arguments import Extents, WordValue

    parts = text.split("x")
    if all(part.isdigit() for part in parts):
        return int(text) if len(parts) == 1 else Extents(map(int, parts))
    return WordValue(text)


def _position(text: str, shape: Axes) -> Axes:
    try:
        index = tuple(int(part) for part in text.split(","))
    except ValueError:
        index = ()
    index = (0, *index) if shape[0] == 1 and len(index) == len(shape) - 1 else index
    if len(index) != len(shape) or not all(0 <= i < m for i, m in zip(index, shape, strict=True)):
        raise CnncError.of("E010", f"--at {text} is not an output")
    return index
