"""How formulas are written: numbers and factors, the names of elements, and an equation in lines of at most 78 characters.

In: numbers, exact or floats, and formulas of them. Out: text. Every page of `cnnc unfold` writes its lines with it.

    equation("S(0,1)", "3·1 + 1·2", "5")      # ("S(0,1) = 3·1 + 1·2 = 5",)
    summed([0.5, -0.2])                       # 0.5 + (-0.2)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence

from cnnc.core.arguments import Axes
from cnnc.view.unfold.exact import factor_text, text_of

MAX_LINE = 78
"""The length above which a formula is broken, so that it fits into 80 columns."""

MAX_INDENT = 24
"""The most columns by which the following lines of a formula are indented."""


def index_text(index: Axes, has_channels: bool) -> str:
    """`0,1`, with the channel first if there are several: `2,0,1`."""
    return ",".join(map(str, index if has_channels or len(index) == 1 else index[1:]))


def label_of(name: str, index: Iterable[int]) -> str:
    """`conv1(3,14,20)`."""
    return f"{name}({','.join(map(str, index))})"


# --- numbers ---------------------------------------------------------------------------------------------------------


def digits(values: Sequence[float]) -> Callable[[float], str]:
    """Writes numbers of one grid with the same number of decimals, three digits for the largest."""
    largest = max((abs(value) for value in values), default=0.0)
    if not all(map(math.isfinite, values)) or largest >= 1e5 or 0 < largest < 1e-3:
        return short
    places = max(0, 2 - math.floor(math.log10(largest))) if largest else 0
    if all(value == round(value) for value in values):
        places = 0
    return lambda value: f"{value:.{places}f}" if value else "0"


def short(value: float) -> str:
    """A number with three digits."""
    return f"{value + 0.0:.3g}"  # which turns -0.0 into 0.0


def number(value: float) -> str:
    """A number with four digits, and no sign on a zero."""
    return text_of(value + 0.0)


def factor(value: float) -> str:
    """A number with four digits as a factor: in parentheses where it is negative."""
    return factor_text(value + 0.0)


def summed(parts: Sequence[float]) -> str:
    """`0.5 + (-0.2)`, or the one number."""
    return " + ".join(map(factor, parts)) if len(parts) > 1 else number(sum(parts))


# --- lines -----------------------------------------------------------------------------------------------------------


def equation(left: str, formula: str, result: str, equal: str = " =", is_close: bool = False) -> tuple[str, ...]:
    """`left = formula = result`, without the result where it reads like the formula, and broken where it is long.

    With `is_close` the result is the nearest float: `left = formula ≈ result`.
    """
    close = "≈" if is_close else "="
    return broken(f"{left}{equal} {formula}" + (f" {close} {result}" if result != formula else ""), len(left) + 1)


def broken(formula: str, indent: int) -> tuple[str, ...]:
    """A long formula in several lines; the following ones begin below its first `=`, with the operator."""
    lines = [""]
    for part in re.split(r"(?= [+=≈] )|(?<=, )", formula):
        if lines[-1].strip() and len(lines[-1]) + len(part) > MAX_LINE:
            lines[-1] = lines[-1].rstrip()
            lines.append(" " * min(indent, MAX_INDENT) + part.lstrip())
        else:
            lines[-1] += part
    return tuple(lines)


def engine_line(engine: float, difference: float, rounding: float | None = None) -> str:
    """The engine's number, and its difference from the sum in float64, beside what rounding can explain."""
    if not difference:
        return f"engine: {engine:.7g}, the same number"
    if not math.isfinite(difference):
        return f"engine: {engine:.7g}"
    explained = f" (float32 rounding: up to about {rounding:.0e})" if rounding else ""
    return f"engine: {engine:.7g}, difference {difference:.1e}{explained}"
