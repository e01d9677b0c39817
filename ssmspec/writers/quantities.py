"""Metric values in tables of many metrics, where each is shown in its own unit."""

from __future__ import annotations

from ssmspec.outcome import Measured, Outcome, shared_unit, subtract
from ssmspec.units import DIMENSIONLESS, SAMPLES
from ssmspec.writers.parts.numbers import NOT_APPLICABLE, samples, significant

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
        near_one = 0.99 < abs(value) < 1.01  # a radius of 0.9996 is not 1
        return significant(value, 6 if near_one else _DIGITS)
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


def unit_label(unit: str | None) -> str:
    """A unit as a table shows it: nothing for a plain number."""
    return "" if unit in (None, DIMENSIONLESS) else str(unit)
