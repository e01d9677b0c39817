"""Numbers as people read them in a table: short, aligned, and honest about what is not there."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ssmspec.outcome import Measured, NotApplicable, Outcome, shared_unit, subtract
from ssmspec.units import DIMENSIONLESS, SAMPLES

NOT_APPLICABLE = "-"
BLOCKS = "▁▂▃▄▅▆▇█"
SILENT = 0.02
"""Heuristic: below 2 % of the uniform density a band is shown as empty."""


def fixed(value: float | None, digits: int = 2) -> str:
    """A number near 1 with a fixed number of decimals; a tiny one is not rounded to nothing."""
    if value is None:
        return NOT_APPLICABLE
    smallest = 10.0**-digits
    if 0.0 < abs(value) < smallest / 2:
        return f"<{smallest:.{digits}f}"
    return f"{value:.{digits}f}"


def percent(share: float | None) -> str:
    """A share of 1 in percent; `<0.1 %` and `>99.9 %` where rounding would hide something."""
    if share is None:
        return NOT_APPLICABLE
    if 0.0 < share < 0.0005:
        return "<0.1 %"
    if 0.9995 < share < 1.0:
        return ">99.9 %"
    text = f"{100 * share:.1f}"
    return f"{text.removesuffix('.0')} %"


def significant(value: float | None, digits: int = 2) -> str:
    """A number of any size to some significant digits."""
    if value is None:
        return NOT_APPLICABLE
    return f"{value:.{digits}g}"


def near_one(value: float | None) -> str:
    """A number to six digits, or to as many as tell it from 1, as a pole's radius must be."""
    if value is None:
        return NOT_APPLICABLE
    digits = 6
    while value != 1.0 and float(f"{value:.{digits}g}") == 1.0:
        digits += 1
    return f"{value:.{digits}g}"


def span(low: float | None, high: float | None) -> str:
    """`0.001-0.1`: two ends, each in as few digits as keep it within 5 %; one where they agree."""
    if low is None or high is None:
        return NOT_APPLICABLE
    if significant(low) == significant(high):
        return significant(low)
    return "-".join(_short(end) for end in (low, high))


def _short(value: float) -> str:
    """One digit where it is within 5 % of the number, else two."""
    one = significant(value, 1)
    return one if abs(float(one) - value) <= 0.05 * abs(value) else significant(value)


def samples(value: float | None) -> str:
    """A number of samples: `0.7`, `140`, `12.3k`, `4.1M`."""
    if value is None:
        return NOT_APPLICABLE
    for limit, divisor, suffix in ((1e3, 1.0, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M")):
        if abs(value) < limit * 0.9995:
            scaled = value / divisor
            digits = 0 if scaled >= 99.95 or (not suffix and scaled >= 9.95) else 1
            return f"{scaled:.{digits}f}{suffix}"
    return f"{value:.1e}"


def time(value: float | None, sample_rate: float | None) -> str:
    """A duration: `0.21 s` or `4.1 ms` where the rate is known, else the number of samples."""
    if value is None or sample_rate is None:
        return samples(value)
    duration = value / sample_rate
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (1e4, 1.0, "s")):
        if abs(duration) < limit:
            return (
                f"{duration * factor:.2g} {unit}"
                if duration * factor < 100
                else (f"{duration * factor:.0f} {unit}")
            )
    return f"{duration:.1e} s"


def byte_size(size: int | None) -> str:
    """Bytes as `817 kB`, `12.0 GB`."""
    if size is None:
        return "in memory"
    scaled = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if scaled < 999.5:
            return f"{scaled:.0f} {unit}" if unit in ("B", "kB") else f"{scaled:.1f} {unit}"
        scaled /= 1000
    return f"{scaled:.1f} TB"


def rebin(shares: tuple[float, ...], bins: int) -> list[float]:
    """Shares of equal bins summed into fewer equal bins; `bins` divides their number."""
    width = len(shares) // bins
    return [sum(shares[i * width : (i + 1) * width]) for i in range(bins)]


def strip(densities: list[float], top: float) -> str:
    """Densities (1 = uniform) as block characters, `top` being a full block.

    Heights go with the square root, as amplitudes do: power spans decades, and a linear scale would
    show one peak and a flat line.
    """
    return "".join(
        " " if density < SILENT else BLOCKS[min(7, int(8 * math.sqrt(density / top)))]
        for density in densities
    )


HEADLINE = (
    "aliased_fraction", "coverage", "spectral_flatness", "frequency_w1", "low_frequency_share",
    "entanglement", "time_constant_median", "time_constant_p95", "memory_ratio",
    "memoryless_fraction", "step_size_median",
)  # fmt: skip
"""What discriminates, for tables that a person reads without asking for everything."""

_DIGITS = 3
_ROUNDING = 1e-6
_LONG = 9_999.5
"""Samples from which a number is written as `12.3k`, here where differences are looked at."""


def shown(outcome: Outcome) -> str:
    """A value to three digits, a name as it is, or a dash."""
    if not isinstance(outcome, Measured):
        return NOT_APPLICABLE
    if isinstance(outcome.value, str):
        return outcome.value
    return number(outcome.value, outcome.unit)


def number(value: float, unit: str | None) -> str:
    """One number in its unit."""
    if unit != SAMPLES:
        return near_one(value) if 0.99 < abs(value) < 1.01 else significant(value, _DIGITS)
    return samples(value) if abs(value) >= _LONG else significant(value, _DIGITS + 1)


def signed(minuend: Outcome, subtrahend: Outcome) -> str:
    """A difference with its sign; `~0` within what single precision rounds; a dash without one."""
    difference, unit = subtract(minuend, subtrahend), shared_unit(minuend, subtrahend)
    if difference is None:
        return NOT_APPLICABLE
    if difference == 0:
        return "0"
    if abs(difference) < _ROUNDING * _magnitude(minuend, subtrahend):
        return "~0"
    return f"{'-' if difference < 0 else '+'}{number(abs(difference), unit)}"


def compact(value: float | None) -> str:
    """A number of any size in a few characters: `0.45`, `13`, `1.5k`."""
    return significant(value) if value is None or abs(value) < 99.5 else samples(value)


def _magnitude(*outcomes: Outcome) -> float:
    values = [outcome.value for outcome in outcomes if isinstance(outcome, Measured)]
    return max(abs(value) for value in values if not isinstance(value, str))


def numeric(outcome: Outcome | None) -> float | None:
    """The number of an outcome that has one."""
    if isinstance(outcome, Measured) and not isinstance(outcome.value, str):
        return outcome.value
    return None


def tidy(outcome: Outcome | None) -> float | str | None:
    """A value with every digit, or nothing."""
    return outcome.value if isinstance(outcome, Measured) else None


def why_missing(sides: Mapping[str, Outcome]) -> str:
    """Why a side has no number, one reason for all where they share it; "" where all have one."""
    reasons = {k: o.reason for k, o in sides.items() if isinstance(o, NotApplicable)}
    if len(reasons) == len(sides) and len(set(reasons.values())) == 1:
        return f"not applicable: {next(iter(reasons.values()))}"
    return "; ".join(f"{side} not applicable: {reason}" for side, reason in reasons.items())


def count(number: int, noun: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def unit_label(unit: str | None) -> str:
    """A unit as a table shows it: nothing for a plain number."""
    return "" if unit in (None, DIMENSIONLESS) else str(unit)
