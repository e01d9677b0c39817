"""Numbers as they stand in a finding's message: few digits, but enough to tell them apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ssmspec.naming import printable

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


def hertz(rate: float) -> str:
    """A frequency: 440 Hz, 8 kHz."""
    return f"{number(rate / 1e3)} kHz" if rate >= 1e3 else f"{number(rate)} Hz"


def seconds(samples: float, rate: float) -> str:
    """A duration in seconds or milliseconds."""
    duration = samples / rate
    return f"{number(duration * 1e3)} ms" if duration < 1.0 else f"{number(duration)} s"


def short_name(tensor: str, layer: str) -> str:
    """A tensor's name below its layer's module, printable: `A_log`, `dt_proj.bias`."""
    dotted = tensor.replace("/", ".").replace("__", ".")
    module = layer.partition(" (")[0]
    return printable(dotted.removeprefix(f"{module}."))


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names as an enumeration: `A_log`, `w and P`, `a, b and c`."""
    *others, final = names
    return f"{', '.join(others)} {last} {final}" if others else final


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
