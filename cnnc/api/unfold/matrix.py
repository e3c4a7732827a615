"""What `cnnc unfold` shows of a matrix and a kernel.

In: `TypedMatrices`, the options as they were typed. Out: the layer with its numbers and the page of the requested view, or CnncError E010
in words of the options.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnc.api.python_words import note_words
from cnnc.api.unfold.matrix_options import TypedMatrices, typed_gradient, typed_index, typed_layer, usage_error
from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.view.page import Page
from cnnc.view.unfold.exact import is_symbolic
from cnnc.view.unfold.layer_numbers import LayerNumbers
from cnnc.view.unfold.terms import Product

EXAMPLE = 'cnnc unfold "1 3 -1; 2 1 0; 0 2 -1" --kernel "1 0; 2 -1"'

FEW = 16
"""Up to this many sums, all of them are printed."""


class MatrixPage(NamedTuple):
    """The layer, and the page that shows it; `gradient` is dL/dS for a page of gradients, which shows `weight_at` and `input_at`."""

    layer: LayerNumbers
    page: Page
    typed: TypedMatrices
    gradient: Array | None = None
    at: Axes | None = None
    weight_at: Axes | None = None
    input_at: Axes | None = None

    @property
    def inputs(self) -> list[Path]:
        """The files that were read."""
        texts = (self.typed.what, *self.typed.kernels, self.typed.gradient or "", self.typed.bias or "")
        return [Path(text[1:]) for text in texts if text.startswith("@")]

    def page_for_file(self) -> Page:
        """The page with a note if some positions are not among its steps."""
        total = math.prod(self.layer.output_shape)
        if self.gradient is not None:
            total = self.layer.x.size + (self.layer.weight.size if self.layer.weight is not None else 0)
        elif self.typed.im2col:
            total //= self.layer.output_shape[0]
        count = len(self.page.steps)
        note = note_words()(f"The steps are {count} of {total:,}, around the one that --at names.")
        return self.page._replace(notes=(*self.page.notes, note)) if count < total else self.page

    def printed_steps(self) -> list[int] | None:
        """The steps whose formulas are printed: all, if there are few; None for the current one, with its marks."""
        if self.input_at is not None and self.weight_at is not None and self.layer.weight is not None:
            weight = int(np.ravel_multi_index(self.weight_at, self.layer.weight.shape))
            element = self.layer.weight.size + int(np.ravel_multi_index(self.input_at, self.layer.x.shape))
            first = weight - self.page.current
            return [n - first for n in (weight, element) if n - first < len(self.page.steps)]
        if any(index is not None for index in (self.at, self.weight_at, self.input_at)):
            return None
        if self.gradient is None:
            return list(range(len(self.page.steps))) if len(self.page.steps) <= FEW else None
        weights = self.layer.weight.size if self.layer.weight is not None else 0
        groups = (range(weights), range(weights, len(self.page.steps)))
        return [n for group in groups for n in (group if len(group) <= FEW else group[:1])]

    def json(self) -> dict[str, Any]:
        """Everything on the page as JSON, with exact numbers."""
        from cnnc.view.unfold.json import backward_json, forward_json, matrices_json

        if self.gradient is not None:
            return backward_json(self.layer, self.gradient, self.weight_at, self.input_at)
        more = matrices_json(self.layer, self.typed.im2col, self.typed.toeplitz)
        return {**forward_json(self.layer, self.at), **more}


def matrix_page(typed: TypedMatrices) -> MatrixPage:
    """The page of what was typed. Raises CnncError E010."""
    _require_compatible(typed)
    layer = typed_layer(typed)
    at = typed_index(typed.at, "--at", layer.output_shape, "outputs") if typed.at is not None else None
    if typed.backward:
        return _backward_page(typed, layer, at)
    return MatrixPage(layer, _page(typed, layer, at), typed, at=at)


def _page(typed: TypedMatrices, layer: LayerNumbers, at: Axes | None) -> Page:
    from cnnc.view.unfold.forward_page import forward_page
    from cnnc.view.unfold.matrices import im2col_page, toeplitz_page
    from cnnc.view.unfold.transposed import transposed_page

    if typed.im2col:
        return im2col_page(layer, at)
    if typed.toeplitz:
        return toeplitz_page(layer, at)
    return transposed_page(layer, at) if typed.transposed else forward_page(layer, at)


def _backward_page(typed: TypedMatrices, layer: LayerNumbers, at: Axes | None) -> MatrixPage:
    """The gradients that --weight-at and --input-at name; with --at, those of the largest product of this output."""
    from cnnc.view.unfold.backward_page import backward_page

    weight_at, input_at = _largest_product(layer, at) if at is not None else (None, None)
    if typed.weight_at is not None:
        weights = layer.weight.shape if layer.weight is not None else ()
        weight_at = typed_index(typed.weight_at, "--weight-at", weights, "weights")
    if typed.input_at is not None:
        input_at = typed_index(typed.input_at, "--input-at", layer.x.shape, "input elements")
    gradient = typed_gradient(typed, layer.output_shape)
    page = backward_page(layer, gradient, weight_at, input_at)
    return MatrixPage(layer, page, typed, gradient, at, weight_at, input_at)


def _largest_product(layer: LayerNumbers, at: Axes) -> tuple[Axes | None, Axes | None]:
    """The weight and the input element of the largest product of an output; of products with letters, the first."""
    total = layer.sum_at(at)
    factors = {term: layer.weight_of(term) for term in total.terms} if total.kind == "sum" else {}
    terms = [term for term in total.terms if term.element is not None]
    if not terms:
        raise usage_error(
            f"--at {','.join(map(str, at[1:]))}: this output reads padding alone", "choose another with --at"
        )

    def size(term: Product) -> Any:
        product = layer.element(term) * factors.get(term, 1)
        if is_symbolic(product):
            return 0
        return product if total.kind == "max" else abs(product)

    largest = max(terms, key=size)
    return largest.weight, largest.element


# --- what goes together ----------------------------------------------------------------------------------------------


def _require_compatible(typed: TypedMatrices) -> None:
    """Raises CnncError E010 for options that do not go together."""
    if not typed.kernels and typed.pool is None:
        raise usage_error(
            "unfold needs a kernel, or a kind of pooling", f"for example `{EXAMPLE}`, or `--pool max -k 2`"
        )
    views = [name for name in ("im2col", "toeplitz", "backward") if getattr(typed, name)]
    if len(views) > 1:
        raise usage_error(f"--{views[0]} and --{views[1]} are two views", "give one of them")
    kind = "--pool" if typed.pool is not None else "--transposed" if typed.transposed else "a convolution"
    for option, given, goes_with in (
        ("--kernel", bool(typed.kernels), ("--transposed", "a convolution")),
        ("--bias", typed.bias is not None, ("--transposed", "a convolution")),
        ("-k", typed.k is not None, ("--pool",)),
        ("--norm", typed.norm is not None, ("--pool",)),
        ("--flip", typed.flip, ("a convolution",)),
        ("--circular", typed.circular, ("a convolution",)),
        ("--transposed", typed.transposed, ("--transposed",)),
        ("--im2col", typed.im2col, ("a convolution",)),
        ("--weight-at", typed.weight_at is not None, ("--transposed", "a convolution")),
    ):
        if given and kind not in goes_with:
            raise usage_error(f"{option} does not go with {kind}", f"leave out {option}")
    if typed.toeplitz and typed.pool not in (None, "avg", "weighted"):
        raise usage_error(
            f"--toeplitz shows a linear layer, and --pool {typed.pool} is not linear", "leave out --toeplitz"
        )
    of_backward = (("--gradient", typed.gradient), ("--weight-at", typed.weight_at), ("--input-at", typed.input_at))
    for option, text in of_backward:
        if text is not None and not typed.backward:
            raise usage_error(f"{option} belongs to --backward", "add `--backward`")
