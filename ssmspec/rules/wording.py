"""Numbers as they stand in a finding's message: few digits, but enough to tell them apart."""

from __future__ import annotations

import math
from collections.abc import Callable

LARGEST_SHOWN = 300
"""Powers of e whose decimal exponent is beyond this are shown as a bound, not as a number."""


def number(value: float, digits: int = 3) -> str:
    """A number with `digits` significant digits: 0.00451, 1.38, 20,480, 1.3e+08."""
    if not math.isfinite(value):
        return "infinite" if value > 0 else str(value)
    if round(abs(value)) >= 10**digits and abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def percent(value: float, digits: int = 3) -> str:
    """A share as a percentage: 10.8 %."""
    return f"{100.0 * value:.{digits}g} %"


def power_of_e(exponent: float) -> str:
    """exp(exponent) without overflow: 12.9, 1.3e+08, "more than 1e+300"."""
    if exponent > LARGEST_SHOWN * math.log(10.0):
        return f"more than 1e+{LARGEST_SHOWN}"
    return number(math.exp(exponent))


def compared(
    value: float, threshold: float, form: Callable[[float, int], str] = number
) -> tuple[str, str]:
    """A value and its threshold, with as many digits as it takes to see that they differ."""
    shown, limit = form(value, 3), form(threshold, 3)
    digits = 4
    while shown == limit and digits <= 17:  # 17 digits tell any two float64 apart
        shown, limit = form(value, digits), form(threshold, digits)
        digits += 1
    return shown, limit
