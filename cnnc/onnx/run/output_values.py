"""Outputs that are values: as text and for JSON.

In: the output of one example, an array of any shape and element type. Out: `values_text`, for people: numbers, or rows of
them; `range_text`, where there are too many: shape, range and mean; `values_json`: shape, element type, range and the exact
values. Example: the 1x2x2 map [[[4, 5], [0, 6]]] is

    1x2x2
      4 5
      0 6
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array

MAX_PRINTED = 64
"""The largest number of elements that are printed in full."""
_MAX_COLUMNS = 16  # numbers in one printed line
MAX_JSON = 65_536
"""The largest number of elements of one output whose values are in the JSON."""


def is_printed(values: Array) -> bool:
    """Whether the output is small enough to be printed in full."""
    columns = values.size if _is_vector(values) else values.shape[-1]
    return 0 < values.size <= MAX_PRINTED and columns <= _MAX_COLUMNS


def values_text(values: Array) -> str:
    """All numbers: those of a vector in one line; else the shape, and below it one line per row."""
    if _is_vector(values):
        return " ".join(number_text(value) for value in values.reshape(-1))
    return "\n".join([_shape(values), *(f"  {line}" for line in _rows(values))])


def _is_vector(values: Array) -> bool:
    """Whether at most the first axis has more than one element."""
    return values.ndim == 0 or values.size == values.shape[0]


def _rows(values: Array) -> Iterator[str]:
    """The lines of an output with two or more axes; each matrix but an only one below the indices that lead to it."""
    matrices = values.reshape(-1, *values.shape[-2:])
    leading = values.shape[:-2]
    for number, matrix in enumerate(matrices):
        indent = ""
        if len(matrices) > 1:
            channel, *others = (int(i) for i in np.unravel_index(number, leading))
            yield f"channel {channel}" + "".join(f", {i}" for i in others)
            indent = "  "
        cells = [[number_text(value) for value in row] for row in matrix]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            yield indent + " ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def number_text(value: Any) -> str:
    """A number with six digits; whole numbers as such."""
    number = value.item()
    if isinstance(number, float) and number.is_integer() and abs(number) < 1e9:
        number = int(number)
    return f"{number:.6g}" if isinstance(number, float) else str(number).lower()


def range_text(values: Array) -> str:
    """Shape, range and mean of an output; of values that are not finite, their number."""
    shape = f"{values.size:,} values" if values.ndim <= 1 else _shape(values)
    numbers = values[np.isfinite(values)]
    if not numbers.size:
        return f"{shape}, empty" if not values.size else f"{shape}, none of them finite"
    bounds = f"{number_text(numbers.min())} to {number_text(numbers.max())}"
    text = f"{shape}, {bounds}, mean {numbers.mean(dtype=np.float64):.4g}"
    return text if numbers.size == values.size else f"{text}; {values.size - numbers.size:,} are not finite"


def values_json(values: Array) -> dict[str, Any]:
    """Shape, element type, range, mean, and up to `MAX_JSON` values; null for what is not finite."""
    numbers: NDArray[Any] = values[np.isfinite(values)]
    result: dict[str, Any] = {"shape": list(values.shape), "dtype": str(values.dtype)}
    result["min"] = numbers.min().item() if numbers.size else None
    result["max"] = numbers.max().item() if numbers.size else None
    result["mean"] = float(numbers.mean(dtype=np.float64)) if numbers.size else None
    if values.size <= MAX_JSON:
        exact = values.astype(object)
        exact[~np.isfinite(values)] = None
        result["values"] = exact.tolist()
    return result


def _shape(values: Array) -> str:
    return "x".join(map(str, values.shape))
