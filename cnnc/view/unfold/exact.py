"""Exact values: whole numbers, decimals and letters, as a textbook writes them.

In: the text of an entry. Out: a `Fraction`, or a `Polynomial` where there are letters; `text_of` writes either of them.
Sums and products of both are exact: 0.1 + 0.2 is 0.3, and 2·x + x·y + x is 3·x + x·y.

    text_of(parse_entry("0.1") + parse_entry("0.2"))    # 0.3
    text_of(parse_entry("-a") * parse_entry("2"))       # -2·a
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from cnnc.core.arrays import Array

MAX_DIGITS = 40
"""The most digits of one entry."""

_ENTRY = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<number>\d+/\d+|\d+\.?\d*(?:[eE][+-]?\d{1,2})?|\.\d+(?:[eE][+-]?\d{1,2})?)[·*]?)?"
    r"(?P<letters>(?!(?i:nan|inf|infinity)$)[^\W\d_]\w*'*)?"
)

_BEYOND = re.compile(r"[\d.][eE][+-]?\d{3}")
"""An exponent of three digits, which is not the letter e."""

_LONG = 20
"""From this length on, zeros at the end of a whole number are an exponent."""


class Polynomial:
    """A sum of products of letters, each with an exact coefficient.

    `terms` maps the letters of a product, sorted, to its coefficient and to the letters in the order in which they
    are written. The constant term has no letters.
    """

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[tuple[str, ...], tuple[Fraction, tuple[str, ...]]]) -> None:
        self.terms = {key: term for key, term in terms.items() if term[0]}

    @classmethod
    def of(cls, value: Any) -> Polynomial:
        """A number as a polynomial, a float with four digits; a polynomial as it is."""
        if isinstance(value, Polynomial):
            return value
        number = Fraction(f"{value:.4g}") if isinstance(value, float) else Fraction(value)
        return cls({(): (number, ())})

    @classmethod
    def letter(cls, name: str) -> Polynomial:
        """One letter."""
        return cls({(name,): (Fraction(1), (name,))})

    def __add__(self, other: Any) -> Polynomial:
        terms = dict(self.terms)
        for key, (coefficient, shown) in Polynomial.of(other).terms.items():
            before, shown = terms.get(key, (Fraction(0), shown))
            terms[key] = before + coefficient, shown
        return Polynomial(terms)

    def __radd__(self, other: Any) -> Polynomial:
        return Polynomial.of(other) + self

    def __mul__(self, other: Any) -> Polynomial:
        product = Polynomial({})
        for a, left in self.terms.values():
            for b, right in Polynomial.of(other).terms.values():
                letters = left + right
                product += Polynomial({tuple(sorted(letters)): (a * b, letters)})
        return product

    def __rmul__(self, other: Any) -> Polynomial:
        return Polynomial.of(other) * self

    def __truediv__(self, other: Any) -> Polynomial:
        return self * (1 / Fraction(other))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Polynomial | int | Fraction):
            return NotImplemented
        mine, theirs = ({key: a for key, (a, _) in p.terms.items()} for p in (self, Polynomial.of(other)))
        return mine == theirs

    def __hash__(self) -> int:
        return hash(frozenset((key, a) for key, (a, _) in self.terms.items()))

    def __str__(self) -> str:
        denominators = {abs(a.denominator) for a, _ in self.terms.values()}
        common = denominators.pop() if len(denominators) == 1 else 1
        if common > 1 and len(self.terms) > 1:
            return f"({self * common})/{common}"
        parts: list[str] = []
        for coefficient, letters in self.terms.values():
            size = abs(coefficient)
            factors = ([text_of(size)] if size != 1 or not letters else []) + _powers(letters)
            sign = "-" if coefficient < 0 else "+"
            parts.append(f" {sign} {'·'.join(factors)}" if parts else f"{sign}{'·'.join(factors)}".lstrip("+"))
        return "".join(parts) or "0"

    __repr__ = __str__


def _powers(letters: tuple[str, ...]) -> list[str]:
    """`a`, `b`, `a` as `a²`, `b`."""
    counts = {letter: letters.count(letter) for letter in dict.fromkeys(letters)}
    return [letter if n == 1 else f"{letter}^{n}" if n > 3 else letter + " ²³"[n - 1] for letter, n in counts.items()]


def parse_entry(text: str) -> Fraction | Polynomial | None:
    """The value of `3`, `-0.5`, `1/9`, `a`, `-2·x` or `w11`; None for anything else."""
    match = _ENTRY.fullmatch(text.replace("−", "-"))
    if not match or not (match["number"] or match["letters"]) or len(text) > MAX_DIGITS or _BEYOND.search(text):
        return None
    try:
        number = Fraction(f"{match['sign']}{match['number'] or 1}")
    except ZeroDivisionError:
        return None
    return number * Polynomial.letter(match["letters"]) if match["letters"] else number


def text_of(value: Any) -> str:
    """The shortest exact text: `3`, `0.3`, `7/3`, `2·a + b`. A float, which is not exact, has four digits: `3.742`."""
    if isinstance(value, Polynomial):
        return str(value)
    if isinstance(value, Fraction):
        return _decimal(value) if _is_decimal(value) else f"{value.numerator}/{value.denominator}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def factor_text(value: Any) -> str:
    """The value as a factor of a product: in parentheses where it has a sign or is a sum."""
    text = text_of(value)
    return f"({text})" if text.startswith("-") or " " in text or "/" in text else text


def json_of(value: Any) -> int | float | str | None:
    """The exact value in JSON: a number where JSON has it, else text; null for a float that is not finite."""
    if isinstance(value, Polynomial):
        return str(value)
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return value.numerator
        return float(value) if Fraction(repr(float(value))) == value else text_of(value)
    return float(value) if math.isfinite(value) else None


def is_symbolic(value: Any) -> bool:
    """Whether a value contains letters."""
    return isinstance(value, Polynomial)


def _is_decimal(value: Fraction) -> bool:
    """Whether the value has a finite and short decimal notation."""
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return value.denominator == 1 or (denominator == 1 and len(_decimal(value)) <= 20)


def _decimal(value: Fraction) -> str:
    if value.denominator == 1:
        digits = str(value.numerator)
        zeros = len(digits) - len(digits.rstrip("0"))
        return f"{digits[:-zeros]}e{zeros}" if zeros and len(digits) > _LONG else digits
    places = 1
    while (value * 10**places).denominator != 1 and places < 40:
        places += 1
    digits = str(abs(value) * 10**places).zfill(places + 1)
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def exact(values: Array) -> Array:
    """The numbers of an array as exact values, 0.1111... as 1/9; one that is not a short fraction stays a float."""
    result = np.empty(values.shape, object)
    for index in np.ndindex(*values.shape):
        value = float(values[index])
        fraction = Fraction(value).limit_denominator(10_000)
        result[index] = fraction if abs(fraction - value) < 1e-12 else value
    return result
