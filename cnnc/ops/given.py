"""Numbers that the source gives for the weights and biases of a layer: their declaration, rules, and text in reports.

In: an op with the arguments `weights` and `biases`, and the shapes that its parameters have. Out: a ShapeError where they
do not fit, or their text. `weight_and_bias` (base.py) makes them the initial elements of the parameters.

A layer declares them with `weights_of` and `BIASES`, and calls `require_given_numbers_fit` in `output`. Example:
`conv 1 k=3 weights=[[0, 1, 0], [1, -4, 1], [0, 1, 0]]` on one channel, for a weight of 1x1x3x3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cnnc.core.arguments import NumberLists, arg
from cnnc.core.tensor import GivenNumbers, format_shape
from cnnc.ops import window
from cnnc.ops.base import Fix, Op, ShapeError

SHOWN = 40  # characters of given numbers in a table; of larger ones it shows the shape
EXPLAINED = 160  # characters of given numbers in `--explain`; of larger ones it shows the range
REWRITTEN = 64  # numbers that an edit writes in other lists

BIASES: Any = arg(
    NumberLists("a list of numbers, or one for all"), default=None, help="initial biases, one per output channel"
)


def weights_of(layout: str) -> Any:
    """The declaration of the initial weights of a layer; `layout` says what the axes are: `OUT x C x k`."""
    rule = "leading axes of size 1 may be left out"
    return arg(NumberLists(), default=None, help=f"initial weights: lists of {layout}; {rule}")


def require_given_numbers_fit(
    op: Op, shape: tuple[int, ...], biases: int | tuple[int, ...], layout: str, axes: Sequence[str], factor: int = 1
) -> None:
    """Raises ShapeError E313, E326 or E327 unless the `weights` and `biases` of an op fit.

    `shape` is that of the weight, `biases` the number of biases or their shape, 0 without any. `axes` names for each axis of the weight
    the argument that sets its size ("" for none); a positional one is `factor` times that size.
    """
    weights, given_biases = getattr(op, "weights", None), getattr(op, "biases", None)
    for key, given in (("weights", weights), ("biases", given_biases)):
        if given is not None:
            _require_no_contradiction(op, key)
    if weights is not None:
        _require_shape(op, weights, shape, layout, axes, factor)
    bias_shape = (biases,) if isinstance(biases, int) else biases
    if given_biases is not None and not _fits(given_biases, bias_shape) and given_biases.shape != ():
        _refuse_biases(op, given_biases, bias_shape)


def _require_no_contradiction(op: Op, key: str) -> None:
    """Raises ShapeError for `share` beside given numbers (E313), `init` beside weights or `bias=false` beside biases (E327)."""
    share = getattr(op, "share", None)
    if share is not None:
        raise ShapeError(
            "E313",
            f"{key} cannot be combined with share: the parameters belong to {share}",
            argument=key,
            fixes=(Fix(key, "", f"leave {key} out here; set them at {share}"),),
        )
    if key == "weights" and getattr(op, "init", None) is not None:
        raise ShapeError(
            "E327",
            "init cannot be combined with weights, which give the initial weights",
            argument="init",
            fixes=(Fix("init", "", "leave init out"),),
        )
    if key == "biases" and not getattr(op, "bias", True):
        raise ShapeError(
            "E327",
            "biases cannot be combined with bias=false",
            argument="biases",
            fixes=(Fix("bias", "", "leave bias=false out, or remove the biases"),),
        )


def _fits(given: GivenNumbers, shape: tuple[int, ...]) -> bool:
    """Whether given numbers have this shape, except for leading axes of size 1."""
    missing = len(shape) - len(given.shape)
    return not given.ragged and missing >= 0 and (1,) * missing + given.shape == shape


def _require_shape(
    op: Op, given: GivenNumbers, shape: tuple[int, ...], layout: str, axes: Sequence[str], factor: int
) -> None:
    """Raises ShapeError E326 unless the given weights have this shape."""
    if _fits(given, shape):
        return
    needed = f"{format_shape(shape)} ({layout})"
    if given.ragged:
        message = f"weights are lists of different lengths: {given.ragged}; this layer needs {needed}"
        raise ShapeError("E326", message, help=_advice(shape), argument="weights")
    found = f"of shape {format_shape(given.shape)}" if given.shape else "a single number"
    fixes = _other_lists(given, shape, layout) or _other_arguments(op, given, shape, axes, factor)
    message = f"weights are {found}, but this layer needs {needed}"
    raise ShapeError("E326", message, help=_advice(shape), argument="weights", fixes=fixes)


def _advice(shape: tuple[int, ...]) -> str:
    """What lists to write for a weight of this shape."""
    most = next((i for i, size in enumerate(shape) if size != 1), len(shape) - 1)
    least = format_shape(shape[most:])
    return f"write lists of {format_shape(shape)} numbers" + (f"; {least} is enough" if most else "")


def _other_lists(given: GivenNumbers, shape: tuple[int, ...], layout: str) -> tuple[Fix, ...]:
    """The same numbers in lists that fit: transposed if the weight is a matrix, else in the order of the source."""
    if not math.prod(shape) == given.size <= REWRITTEN:
        return ()
    first = next((i for i, axis in enumerate(shape) if axis != 1), len(shape) - 1)
    if len(shape) == 2 and given.shape == shape[::-1]:
        columns = tuple(given.values[i :: given.shape[1]] for i in range(given.shape[1]))
        turned = GivenNumbers(shape, tuple(value for column in columns for value in column))
        return (Fix("weights", turned.text(shape[first:]), f"write the transpose, {layout}: `{{}}`"),)
    return (Fix("weights", given.text(shape[first:]), "write `{}`"),)


def _other_arguments(
    op: Op, given: GivenNumbers, shape: tuple[int, ...], axes: Sequence[str], factor: int
) -> tuple[Fix, ...]:
    """A change of the arguments with which the weight has the shape of the given numbers; () if there is none.

    If several arguments must change, the first one does, and the error that then remains changes the next.
    """
    missing = len(shape) - len(given.shape)
    found = (1,) * missing + given.shape
    differing = {name for name, size, needed in zip(axes, found, shape, strict=False) if size != needed}
    if missing < 0 or "" in differing or not given.shape:
        return ()
    changes = []
    for spec in op.arguments:
        if spec.name in differing:
            sizes = tuple(size for name, size in zip(axes, found, strict=True) if name == spec.name)
            changes.append((spec, str(sizes[0] * factor) if spec.positional else window.short(sizes)))
    (first, text), *others = changes
    help = f"write {first.name.upper()} as `{{}}` to fit them" if first.positional else "write `{}` to fit them"
    if others:
        words = [f"{spec.name.upper()} {t}" if spec.positional else f"{spec.name}={t}" for spec, t in changes]
        help = f"{' and '.join(words)} fit them"
    return (Fix(first.name, text, help, first.positional),)


def _refuse_biases(op: Op, given: GivenNumbers, shape: tuple[int, ...]) -> None:
    """Raises ShapeError E326 for biases of another shape than those of the layer."""
    if len(shape) > 1:
        fixes = (Fix("biases", given.text(shape)),) if given.size == math.prod(shape) <= REWRITTEN else ()
        found = (
            f"lists of different lengths: {given.ragged}" if given.ragged else f"of shape {format_shape(given.shape)}"
        )
        message = f"biases are {found}, but this layer needs {format_shape(shape)} (OUT x positions)"
        help = f"write lists of {format_shape(shape)} numbers, or one number for all"
        raise ShapeError("E326", message, help=help, argument="biases", fixes=fixes)
    (count,) = shape
    if given.ragged or len(given.shape) > 1:
        fixes = (Fix("biases", given.text((count,))),) if given.size == count and not given.ragged else ()
        message = f"biases are lists in a list, but this layer needs one list of {count} or one number"
        raise ShapeError("E326", message, help=f"write a list of {count}", argument="biases", fixes=fixes)
    weights_fit = (
        getattr(op, "weights", None) is not None
    )  # they were judged before, and another OUT would not fit them
    out = next((spec for spec in op.arguments if spec.name == "out" and not weights_fit), None)
    name = "OUT as " if out is not None and out.positional else ""
    help = f"write a list of {count}, or one number for all"
    raise ShapeError(
        "E326",
        f"{given.size} biases, but this layer has {count} output{'s' if count != 1 else ''}",
        help=help,
        argument="biases",
        fixes=(Fix("out", str(given.size), f"{help}, or {name}`{{}}`", bool(name)),) if out is not None else (),
    )


def given_options(op: Op) -> str:
    """` weights=[[1, 0], [0, -1]] biases=0.5`, as a table shows them: of many numbers the shape, ` weights=[4x3x3x3]`."""
    text = ""
    for key in ("weights", "biases"):
        given = getattr(op, key, None)
        if given is not None:
            numbers = _short_text(given, SHOWN) or f"[{format_shape(given.shape)}]"
            text += f" {key}={numbers}"
    return text


def given_formulas(op: Op) -> list[str]:
    """The given numbers for `--explain`, one line per parameter; of many the smallest and the largest."""
    lines = []
    for key in ("weights", "biases"):
        given = getattr(op, key, None)
        if given is None:
            continue
        span = f"{format_shape(given.shape)} numbers from {min(given.values):g} to {max(given.values):g}"
        lines.append(f"{key} given: {_short_text(given, EXPLAINED) or span}")
    return lines


def _short_text(given: GivenNumbers, most: int) -> str:
    """The numbers as the language writes them; "" if that takes more characters."""
    text = given.text() if given.size <= most else ""
    return text if len(text) <= most else ""
