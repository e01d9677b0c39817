"""Strips: a profile as a small inline SVG that takes its color from the text around it.

One path of bars, and a thin line for the DFouT layer of the same shape. Heights go with the square
root, as in the terminal's strips: power spans decades, and a linear scale would show one peak and a
flat line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ssmspec.results.report import LayerReport
from ssmspec.writers.parts.numbers import rebin

BINS = 32
HEIGHT = 20
"""Units of the drawing from the bottom to the top of a strip; the page scales it."""


@dataclass(frozen=True)
class Strip:
    """One strip.

    Attributes:
        bars: SVG path of the bars, in a box of `width` x `HEIGHT`.
        reference: SVG path of the DFouT line; empty where there is none.
        width: bars, one unit each.
        label: what it shows, for those who do not see it.
    """

    bars: str
    reference: str
    width: int
    label: str

    @property
    def box(self) -> str:
        """The SVG view box."""
        return f"0 0 {self.width} {HEIGHT}"


def power_strips(
    layers: Sequence[LayerReport], reference: LayerReport | None
) -> list[Strip | None]:
    """Power of the poles from 0 to Nyquist, on one scale; None for a layer without a profile."""
    profiles = [_densities(layer.power) for layer in layers]
    even = _densities(reference.power) if reference else []
    top = max((density for profile in (*profiles, even) for density in profile), default=1.0)
    line, beside = _steps(even, top), "; the line is DFouT" if even else ""
    return [
        Strip(_bars(profile, top), line, BINS, _power_label(profile) + beside) if profile else None
        for profile in profiles
    ]


def octave_strips(profiles: Sequence[Sequence[float]], what: str) -> list[Strip | None]:
    """Shares by octave of time or lag, on one scale; None for an empty profile.

    Args:
        profiles: shares; entry 0 is below one sample (or lag 0), entry j the octave from 2^(j-1).
        what: what is shared out, for the label.
    """
    longest = max((_last(profile) for profile in profiles), default=1)
    top = max((share for profile in profiles for share in profile), default=1.0) or 1.0
    return [
        Strip(_bars(profile[:longest], top), "", longest, _octave_label(profile, what))
        if profile
        else None
        for profile in profiles
    ]


def octave_end(profiles: Sequence[Sequence[float]]) -> int:
    """Samples at which the last octave shown ends."""
    end: int = 2 ** (max((_last(profile) for profile in profiles), default=1) - 1)
    return end


def _densities(power: tuple[float, ...]) -> list[float]:
    return [share * BINS for share in rebin(power, BINS)] if power else []


def _bars(values: Sequence[float], top: float) -> str:
    """Adjacent bars as one outline: up, along and down, with equal neighbors joined."""
    tops = [HEIGHT - _height(value, top) for value in values]
    path = f"M0 {HEIGHT}V{_short(tops[0])}"
    for i, y in enumerate(tops[1:], start=1):
        if _short(y) != _short(tops[i - 1]):
            path += f"H{i}V{_short(y)}"
    return f"{path}H{len(tops)}V{HEIGHT}z"


def _steps(values: Sequence[float], top: float) -> str:
    if not values:
        return ""
    levels = [_short(HEIGHT - _height(value, top)) for value in values]
    path = f"M0 {levels[0]}"
    for i in range(1, len(levels)):
        if levels[i] != levels[i - 1]:
            path += f"H{i}V{levels[i]}"
    return f"{path}H{len(levels)}"


def _height(value: float, top: float) -> float:
    return HEIGHT * math.sqrt(max(0.0, value) / top)


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _last(profile: Sequence[float]) -> int:
    return max((i + 1 for i, share in enumerate(profile) if share > 0), default=1)


def _power_label(densities: Sequence[float]) -> str:
    peak = max(range(len(densities)), key=densities.__getitem__)
    return (
        f"power of the poles from 0 to Nyquist: most at {100 * peak // BINS} to "
        f"{100 * (peak + 1) // BINS} %, {densities[peak]:.1f} times even"
    )


def _octave_label(profile: Sequence[float], what: str) -> str:
    peak = max(range(len(profile)), key=profile.__getitem__)
    where = "below 1 sample" if peak == 0 else f"from {2 ** (peak - 1)} to {2**peak} samples"
    return f"{what}: most, {100 * profile[peak]:.0f} %, {where}"
