"""What is done with the terms of an output: they are added up, or their mean, maximum or norm is taken; and the derivative of each.

In: a `Sum`, and the numbers of its terms: exact values (cnnc/view/unfold/exact.py) or floats. Out: a number of the same kind.

    combined(Sum((0,), terms, kind="mean", number=4), elements, factors)     # their mean
    added([0.1, 0.2, 0.3])                                                   # 0.6: rounded once
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from cnnc.view.unfold.exact import Polynomial, is_symbolic, text_of
from cnnc.view.unfold.terms import Sum


def combined(total: Sum, elements: Sequence[Any], factors: Sequence[Any], bias: Any = None) -> Any:
    """The output: the elements of the terms, those of padding 0, combined as `total.kind` says. `bias` is None for none."""
    if total.kind == "max":
        return maximum([x for x, term in zip(elements, total.terms, strict=True) if term.element is not None])
    if total.kind == "mean":
        return added(elements) / Fraction(total.number)
    if total.kind == "norm":
        return norm(elements, total.number)
    value = added(x * factor for x, factor in zip(elements, factors, strict=True))
    return value if bias is None else value + bias


def derivatives(total: Sum, elements: Sequence[Any], factors: Sequence[Any]) -> list[Any]:
    """The derivative of an output with respect to the element of each of its terms.

    Of a maximum it is 1 for the first of the largest elements, and 0 for the others.
    """
    if total.kind == "sum":
        return list(factors)
    if total.kind == "mean":
        return [Fraction(1, total.number) for _ in elements]
    value = combined(total, elements, factors)
    if total.kind == "max":
        largest = [n for n, term in enumerate(total.terms) if term.element is not None and elements[n] == value][:1]
        return [Fraction(int(n in largest)) for n in range(len(elements))]
    if value == 0:
        return [Fraction(0) for _ in elements]
    return [(1 if x > 0 else -1) * (abs(x) / value) ** (total.number - 1) if x else Fraction(0) for x in elements]


def added(values: Iterable[Any]) -> Any:
    """The sum of values: exact if they are; of floats exact but for its last rounding, or what it is if not finite."""
    listed = list(values)
    if listed and all(isinstance(value, float) for value in listed):
        try:
            return math.fsum(listed)
        except (OverflowError, ValueError):  # too large, or infinity - infinity
            return sum(listed)
    return sum(listed[1:], listed[0]) if listed else Fraction(0)


def maximum(values: Sequence[Any]) -> Any:
    """The largest value; of letters `max(a, b)`, as one symbol."""
    if not any(map(is_symbolic, values)):
        return max(values)
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else Polynomial.letter(f"max({', '.join(map(text_of, distinct))})")


def norm(values: Sequence[Any], order: int) -> Any:
    """(Σ |x|^order)^(1/order): exact where the root is, else a float."""
    total = added(power(value, order) for value in values)
    if order == 1:
        return total
    root = float(total) ** (1 / order)
    exact = Fraction(round(root * 1000), 1000) if isinstance(total, Fraction) else Fraction(0)
    return exact if isinstance(total, Fraction) and exact**order == total else root


def power(x: Any, n: int) -> Any:
    """|x|^n, infinite where float64 cannot hold it."""
    try:
        return abs(x) ** n
    except OverflowError:
        return math.inf
