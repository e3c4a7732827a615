"""Numbers as short texts, as drawings and tables show them.

In: a number and how many of its digits count. Out: its text, with the sign − of typography.

    number_text(-0.41666, 3)     # "−0.417"
    number_text(1.5e-7, 4)       # "1.5e-7"
"""

from __future__ import annotations


def number_text(value: float, digits: int = 3) -> str:
    """A number rounded to this many significant digits, without zeros at the end; "nan", "inf" or "−inf" if it is not finite."""
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    return mantissa.replace("-", "−") + (f"e{int(exponent)}" if exponent else "")
