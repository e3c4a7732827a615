"""`cnnc unfold`: how one number of a layer comes about."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import layout, print_diagnostics, print_document, print_json, print_result, print_status
from cnnc.cli.options import DATA, MAX_MEMORY, MAX_PARAMETERS, OFFLINE, SETTINGS, json_option
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.cli.unfold_form import is_layer_form
from cnnc.core.terminal import width_of

if TYPE_CHECKING:
    from cnnc.view.page import Page

MAX_SIDE = 20
"""The most rows and columns of a grid in a file."""


class PoolChoice(StrEnum):
    """The values of --pool."""

    max = "max"
    avg = "avg"
    l2 = "l2"
    lp = "lp"
    weighted = "weighted"


def unfold(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="MATRIX|RUN",
            help='The input: "1 2; 3 4", channels separated by `|`; or @FILE, or - for standard input. '
            "Or a run folder, a checkpoint or a network file (.cnn).",
        ),
    ],
    layer: Annotated[
        str | None, typer.Argument(metavar="[LAYER]", help="A layer of the network, such as conv1.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The example: an image, an array, a series, or text, as in predict."),
    ] = None,
    kernel: Annotated[
        list[str] | None,
        typer.Option(
            "--kernel",
            metavar="MATRIX",
            help="Convolve with this kernel, or a named one such as sobel_x. Repeat it for each output channel.",
        ),
    ] = None,
    bias: Annotated[
        str | None, typer.Option("--bias", metavar="B", help="Add a bias: one number, or one per output channel.")
    ] = None,
    pool: Annotated[PoolChoice | None, typer.Option("--pool", help="Pool over windows of size -k.")] = None,
    k: Annotated[str | None, typer.Option("-k", "--size", metavar="N", help="Window size of --pool: 2, 2x3.")] = None,
    s: Annotated[
        str | None,
        typer.Option("-s", "--stride", metavar="N", help="Step between windows: 2, 2x1 (default: 1; of --pool, -k)."),
    ] = None,
    p: Annotated[
        str | None,
        typer.Option("-p", "--pad", metavar="N", help="Padding: 1, 2x1, [0,1] or a word such as same, full, causal."),
    ] = None,
    d: Annotated[
        str | None, typer.Option("-d", "--dilation", metavar="N", help="Spacing of the window's elements (default: 1).")
    ] = None,
    norm: Annotated[str | None, typer.Option("--norm", metavar="N", help="Exponent of --pool lp (default: 2).")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="True convolution: turn the kernel by 180° first.")] = False,
    circular: Annotated[
        bool, typer.Option("--circular", help="Repeat the input beyond its borders instead of padding with zeros.")
    ] = False,
    transposed: Annotated[
        bool, typer.Option("--transposed", help="Transposed convolution: each input element stamps the kernel.")
    ] = False,
    im2col: Annotated[
        bool, typer.Option("--im2col", help="Show the windows as columns of a matrix, and the matrix product.")
    ] = False,
    toeplitz: Annotated[
        bool, typer.Option("--toeplitz", help="Show the matrix W with h = W·x, where x is the flattened input.")
    ] = False,
    backward: Annotated[
        bool, typer.Option("--backward", help="Show the gradients of weights and input as sums.")
    ] = False,
    gradient: Annotated[
        str | None,
        typer.Option(
            "--gradient",
            metavar="MATRIX",
            help="Gradient of the loss with respect to the output, for --backward (default: all 1).",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="I,J",
            help="Show the sum of this output; with --backward the gradients of its largest product.",
        ),
    ] = None,
    weight_at: Annotated[
        str | None,
        typer.Option("--weight-at", metavar="I,J", help="With --backward: the weight whose dL/dw is shown."),
    ] = None,
    input_at: Annotated[
        str | None,
        typer.Option("--input-at", metavar="I,J", help="With --backward: the input element whose dL/dx is shown."),
    ] = None,
    label: Annotated[
        int | None,
        typer.Option("--label", metavar="N", help="With --backward on a layer: differentiate the loss of this class."),
    ] = None,
    example: Annotated[
        int | None,
        typer.Option(
            "--example", metavar="N", min=0, help="Unfold a layer on this example of the test set, or of FILE."
        ),
    ] = None,
    sentence: Annotated[
        str | None, typer.Option("--text", metavar="SENTENCE", help="Unfold a layer on this sentence.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=FILE", help="File for one input of a network with several. Repeatable."),
    ] = None,
    data: DATA = None,
    offline: OFFLINE = False,
    last: Annotated[bool, typer.Option("--last", help="Take the last weights of the run instead of the best.")] = False,
    settings: SETTINGS = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the current step as an SVG image.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page that steps through all positions by arrow keys."),
    ] = None,
    json: Annotated[bool, json_option("exact numbers, indices and formulas as a JSON object")] = False,
    force: FORCE = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Show how one number comes about: the sum behind an output of a layer, and the whole result."""
    from cnnc.view.terminal import terminal_text

    outputs = [
        Output(path, option, kind) for path, option, kind in ((svg, "--svg", "svg"), (html, "--html", "html")) if path
    ]
    if is_layer_form(context, what, layer):
        from cnnc.api.unfold.layer import Words, unfold_layer
        from cnnc.training.trained import read_trained

        words = Words(
            source=Path(what),
            layer=layer,
            file=file,
            at=at,
            text=sentence,
            example=example,
            inputs=inputs or (),
            data=data,
            last=last,
            settings=settings or (),
            backward=backward,
            label=label,
            weight_at=weight_at,
            input_at=input_at,
            im2col=im2col,
            toeplitz=toeplitz,
            report=print_status,
        )
        require_outputs([Path(what), *([file] if file is not None else [])], outputs, force)
        import numpy as np

        with np.errstate(all="ignore"):  # numbers that are not finite are shown
            trained = read_trained(words.source, words.settings, words.last)
            print_diagnostics(trained.network.diagnostics)
            view = unfold_layer(words, trained)
            _show(
                outputs,
                view.numbers if json else None,
                lambda: view.page(True),
                lambda width: terminal_text(view.page(False), width, shown=layout().shown),
            )
        return
    from cnnc.api.unfold.matrix import matrix_page
    from cnnc.api.unfold.matrix_options import TypedMatrices

    request = TypedMatrices(
        what=what,
        kernels=tuple(kernel or ()),
        bias=bias,
        pool=pool and str(pool),
        k=k,
        s=s,
        p=p,
        d=d,
        norm=norm,
        flip=flip,
        circular=circular,
        transposed=transposed,
        im2col=im2col,
        toeplitz=toeplitz,
        backward=backward,
        gradient=gradient,
        at=at,
        weight_at=weight_at,
        input_at=input_at,
    )
    matrices = matrix_page(request)
    require_outputs(matrices.inputs, outputs, force)

    def text(width: int | None) -> str:
        return terminal_text(matrices.page, width, matrices.printed_steps(), layout().shown)

    _show(outputs, matrices.json if json else None, matrices.page_for_file, text)


def _show(
    outputs: list[Output],
    json: Callable[[], Any] | None,
    page: Callable[[], Page],
    text: Callable[[int | None], str],
) -> None:
    """Prints JSON, or without files the text, and writes the page to the files."""
    if json is not None:
        print_json(json())
    elif not outputs:
        print_document(text(width_of(sys.stdout)))
    page_once = cache(page)
    for output in outputs:
        _write(page_once(), output)
        (print_status if json is not None else print_result)(f"wrote {output.path}")


def _write(page: Page, output: Output) -> None:
    """Writes a page as a file, large grids in part; the option, not the suffix, says which kind."""
    from cnnc.core.files import write_atomic
    from cnnc.view.crop import cropped
    from cnnc.view.files import picture_bytes

    write_atomic(output.path, picture_bytes(cropped(page, MAX_SIDE, MAX_SIDE), output.kind))
