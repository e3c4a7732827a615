"""How one number of a layer comes about: `unfold`.

In: a matrix and a kernel; or a model, one of its layers and an example. Out: `Unfolded`, with a step for each position.

    print(unfold("1 3 -1; 2 1 0; 0 2 -1", kernel="1 0; 2 -1"))
    unfold("runs/lenet5", "conv1", example=0, at="3,14,20")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cnnc.api.arguments import checked
from cnnc.api.arrays import Data, as_test, data_source
from cnnc.api.inspection import framed
from cnnc.api.model import Model
from cnnc.api.progress import report_of
from cnnc.api.result import Result
from cnnc.api.unfold.layer import Words, unfold_layer
from cnnc.api.unfold.matrix import matrix_page
from cnnc.api.unfold.matrix_options import TypedMatrices
from cnnc.core.files import write_atomic
from cnnc.diagnostics import CnncError
from cnnc.training.trained import Example, TrainedNetwork, read_trained
from cnnc.view.crop import cropped
from cnnc.view.files import picture_bytes
from cnnc.view.html import html_text
from cnnc.view.page import Page
from cnnc.view.terminal import terminal_text

Matrix = NDArray[Any]
MAX_SIDE = 20
"""The most rows and columns of a grid in a file."""


class Unfolded:
    """The sum behind one output, and the whole result; a notebook steps through all positions.

    `numbers` are exact numbers, indices and formulas, as `cnnc unfold --json` prints them; `str` is what the command prints.
    """

    def __init__(self, page: Page, text: str, numbers: Any) -> None:
        self._page = cropped(page, MAX_SIDE, MAX_SIDE)
        self._text = text
        self.numbers = numbers

    @property
    def html(self) -> str:
        """A page that steps through all positions by arrow keys, as the text of an HTML file."""
        return html_text(self._page)

    @property
    def svg(self) -> str:
        """The current step as the text of an SVG file."""
        return picture_bytes(self._page, "svg").decode()

    @checked('unfolded.save("sum.html")', "unfolded.")
    def save(self, path: Path | str) -> Path:
        """Writes the page (.html) or its current step (.svg). Raises CnncError E010 for another suffix, E902.

        >>> import cnnc
        >>> cnnc.unfold("1 2; 3 4", kernel="1 1").save("sum.svg").name
        'sum.svg'
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in ("html", "svg"):
            raise CnncError.of("E010", f"a page is an .html or .svg file, not {path}", help="write 'sum.html'")
        write_atomic(path, picture_bytes(self._page, kind))
        return path

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<Unfolded {self._page.title}>"

    def _repr_html_(self) -> str:
        return framed(self.html, 480)


@checked('cnnc.unfold("runs/lenet5", "conv1", example=0)')
def unfold(
    source: Model | Result | Path | str | Matrix,
    layer: str | None = None,
    input: Path | str | Matrix | None = None,
    *,
    text: str | None = None,
    example: int | None = None,
    kernel: str | Matrix | Sequence[str | Matrix] | None = None,
    bias: str | float | None = None,
    pool: Literal["max", "avg", "l2", "lp", "weighted"] | None = None,
    k: str | int | None = None,
    s: str | int | None = None,
    p: str | int | None = None,
    d: str | int | None = None,
    norm: float | None = None,
    flip: bool = False,
    circular: bool = False,
    transposed: bool = False,
    im2col: bool = False,
    toeplitz: bool = False,
    backward: bool = False,
    gradient: str | Matrix | None = None,
    at: str | None = None,
    weight_at: str | None = None,
    input_at: str | None = None,
    label: int | None = None,
    data: Data | None = None,
    last: bool = False,
    settings: Sequence[str] = (),
    progress: bool | Callable[[str], None] = True,
) -> Unfolded:
    """Shows how one number comes about: the sum behind an output of a layer, and the whole result, as `cnnc unfold` does.

    With a `layer`, `source` is a model, a result, or the path of a run (the `last` weights, or the best), a checkpoint or a
    network file. The example is a file or an array as `input`, a sentence as `text`, or number `example` of the test set (or of
    the file). With `backward`, gradients show instead; `label` differentiates the loss of this class. `data` is that of
    `cnnc.evaluate`.

    Without a layer, `source` is a matrix: `"1 2; 3 4"`, channels separated by `|`, or an array (H, W) or (C, H, W). It is
    convolved with a `kernel`, several for several output channels, and a `bias`; or pooled in windows of `k`. `s`, `p` and `d`
    are stride, padding and dilation, `norm` the exponent of the pool lp, `gradient` that of the output.

    `at`, `weight_at` and `input_at` are indices such as `"0,2,3"`; `im2col` and `toeplitz` show the layer as a matrix product.

    Raises CnncError E010 for what does not go together, and those of reading the model, the example and the data.

    >>> import cnnc, numpy as np
    >>> unfolded = cnnc.unfold(np.array([[1, 3], [2, 1]]), kernel="1 0; 2 -1")
    >>> unfolded.numbers["output"]
    [[[4]]]
    """
    is_array = isinstance(source, np.ndarray)
    of_model = layer is not None or not (
        is_array or ((isinstance(source, str) and kernel is not None) or pool is not None)
    )
    if not of_model:
        return _of_matrix(
            TypedMatrices(
                what=_text(source),
                kernels=tuple(
                    map(_text, kernel if isinstance(kernel, list | tuple) else [] if kernel is None else [kernel])
                ),
                bias=None if bias is None else str(bias),
                pool=pool,
                k=_word(k),
                s=_word(s),
                p=_word(p),
                d=_word(d),
                norm=_word(norm),
                flip=flip,
                circular=circular,
                transposed=transposed,
                im2col=im2col,
                toeplitz=toeplitz,
                backward=backward,
                gradient=None if gradient is None else _text(gradient),
                at=at,
                weight_at=weight_at,
                input_at=input_at,
            )
        )
    if is_array or kernel is not None or pool is not None:
        message = "a layer of a model has its own kernel; a matrix has no layers"
        raise CnncError.of("E010", message, help='cnnc.unfold("1 2; 3 4", kernel="1 0; 0 1")')
    if isinstance(source, Result):
        source = source.folder
    path = Path(source.network.source.name if isinstance(source, Model) else str(source))
    trained = source.trained if isinstance(source, Model) else read_trained(path, settings, last)
    words = Words(
        source=path,
        layer=layer,
        file=Path(input) if isinstance(input, str | Path) else None,
        at=at,
        text=text,
        example=example,
        data=as_test(data_source(data)),
        last=last,
        backward=backward,
        label=label,
        weight_at=weight_at,
        input_at=input_at,
        im2col=im2col,
        toeplitz=toeplitz,
        report=report_of(progress),
        given=_example(trained, input) if isinstance(input, np.ndarray) else None,
    )
    with np.errstate(all="ignore"):  # numbers that are not finite are shown
        view = unfold_layer(words, trained)
        return Unfolded(view.page(True), terminal_text(view.page(False)), view.numbers())


def _of_matrix(typed: TypedMatrices) -> Unfolded:
    matrices = matrix_page(typed)
    text = terminal_text(matrices.page, None, matrices.printed_steps())
    return Unfolded(matrices.page_for_file(), text, matrices.json())


def _example(trained: TrainedNetwork, array: Matrix) -> Example:
    """The array as an example. Raises CnncError E608 where it does not fit, or holds several."""
    feeds = Model.of(trained).feeds(array)
    count = len(next(iter(feeds.values())))
    if count != 1:
        raise CnncError.of("E608", f"the array holds {count} examples; one is unfolded", help="give array[0]")
    return Example(feeds, "an array")


def _text(matrix: Any) -> str:
    """A matrix as text, which has the exact numbers; a path stays a path."""
    return str(matrix.tolist()) if isinstance(matrix, np.ndarray) else str(matrix)


def _word(value: str | float | None) -> str | None:
    return None if value is None else str(value)
