"""The words of a sweep: its title, its settings, and what moved."""

from __future__ import annotations

from fractions import Fraction

from ssmspec.choices import Knob
from ssmspec.outcome import Measured
from ssmspec.results.sweep import Sweep, SweepPoint

_TITLES = {
    Knob.DT: "step sizes scaled by {}",
    Knob.XI: "decays scaled by {}, angles kept",
}
_SUMMARIZED = (
    ("aliased_fraction", "aliased share"),
    ("coverage", "coverage"),
    ("spectral_flatness", "flatness"),
    ("frequency_w1", "W1"),
    ("entanglement", "entanglement"),
)


def title(sweep: Sweep) -> str:
    """`step sizes scaled by 1/16 to 16`."""
    ends = f"{factor_label(sweep.factors[0])} to {factor_label(sweep.factors[-1])}"
    return _TITLES[sweep.knob].format(ends)


def factor_label(factor: float) -> str:
    """`1/16` where a factor is one over a whole number, else the number."""
    inverse = Fraction(1) / Fraction(factor)
    if factor < 1 and inverse.denominator == 1:
        return f"1/{inverse.numerator}"
    return f"{factor:g}"


def summary(sweep: Sweep) -> str:
    """What every frequency metric went through: `coverage 0.06 to 1; flatness 0.002 to 0.99`."""
    clauses = []
    for metric, name in _SUMMARIZED:
        values = numbers(sweep.model, metric)
        if not values:
            continue
        low, high = f"{min(values):.2g}", f"{max(values):.2g}"
        clauses.append(f"{name} stays at {low}" if low == high else f"{name} {low} to {high}")
    return "; ".join(clauses)


def numbers(points: tuple[SweepPoint, ...], metric: str) -> list[float]:
    """A metric's numbers at the factors where it has one."""
    outcomes = [point.metrics[metric] for point in points if metric in point.metrics]
    return [
        outcome.value
        for outcome in outcomes
        if isinstance(outcome, Measured) and not isinstance(outcome.value, str)
    ]
