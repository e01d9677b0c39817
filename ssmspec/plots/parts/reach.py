"""What part of the band a layer reaches, and how its power is spread along it.

A stable mode reaches the band around its folded frequency up to the half-width of its resonance, or
to pi/L where L is known and that is wider, as for the metric `coverage`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Floats
from ssmspec.metrics.profiles import band_shares, energy_below
from ssmspec.plots.parts.points import thinned
from ssmspec.spectrum import LayerSpectrum

MOST_MODES = 65_536
"""Modes whose power is summed along the octaves; the spread of more is the same to the eye."""

LEVELS = 4
"""Steps in which a stretch that is reached in part is shown."""


def covered_intervals(spectrum: LayerSpectrum, sequence_length: int | None) -> Floats:
    """The union of what the stable modes reach.

    Args:
        spectrum: finite complex poles.
        sequence_length: L, or None.

    Returns:
        (n, 2) rad/sample in [0, pi], ascending, none touching the next.
    """
    stable = spectrum.stable
    narrowest = np.pi / sequence_length if sequence_length else 0.0
    reach = np.maximum(spectrum.half_width[stable], narrowest)
    lower = np.maximum(spectrum.omega[stable] - reach, 0.0)
    upper = np.minimum(spectrum.omega[stable] + reach, np.pi)
    order = np.argsort(lower)  # (stable modes,)
    lower, upper = lower[order], np.maximum.accumulate(upper[order])
    begins = np.ones(lower.size, dtype=bool)
    begins[1:] = lower[1:] > upper[:-1]
    ends = np.roll(begins, -1)
    return np.stack([lower[begins], upper[ends]], axis=1)


def covered_shares(intervals: Floats, edges: Floats) -> Floats:
    """The share of each bin that lies in one of the intervals.

    Args:
        intervals: (n, 2) ascending and disjoint.
        edges: (k + 1,) ascending, within [0, pi].

    Returns:
        (k,) in [0, 1].
    """
    if not intervals.size:
        return np.zeros(edges.size - 1)
    places = intervals.reshape(-1)
    lengths = np.repeat(np.cumsum(intervals[:, 1] - intervals[:, 0]), 2)
    lengths[0::2] -= intervals[:, 1] - intervals[:, 0]
    covered = np.diff(np.interp(edges, places, lengths))
    return np.clip(covered / np.diff(edges), 0.0, 1.0)


def largest_gap(intervals: Floats) -> tuple[float, float]:
    """The longest stretch of [0, pi] between the intervals, rad/sample; empty where there is none.

    Args:
        intervals: (n, 2) ascending and disjoint.
    """
    begin = np.concatenate([[0.0], intervals[:, 1]])
    end = np.concatenate([intervals[:, 0], [np.pi]])
    widest = int(np.argmax(end - begin))
    return float(begin[widest]), float(end[widest])


def runs(shares: Floats, edges: Floats) -> list[tuple[float, Floats, Floats]]:
    """Stretches of neighboring bins that are covered alike.

    A bin that is covered in part is never shown as covered or as a gap: its share is rounded to a
    step strictly between the two.

    Args:
        shares: (k,) in [0, 1].
        edges: (k + 1,) ascending.

    Returns:
        For each level above 0: the level, in (0, 1], and where its stretches begin and end, (n,).
    """
    levels = np.clip(np.round(shares * LEVELS), 1, LEVELS - 1)
    levels[shares <= 0.0] = 0
    levels[shares >= 1.0 - 1e-9] = LEVELS
    starts = np.concatenate([[0], np.flatnonzero(np.diff(levels)) + 1])
    stops = np.append(starts[1:], levels.size)
    return [
        (level / LEVELS, edges[starts[at]], edges[stops[at]])
        for level in range(1, LEVELS + 1)
        if (at := np.flatnonzero(levels[starts] == level)).size
    ]


@dataclass(frozen=True, eq=False)
class Density:
    """Power along the band, over that of a flat spectrum: 1 is as much as everywhere.

    Attributes:
        edges: (k + 1,) rad/sample, ascending.
        values: (k,) one for each bin.
    """

    edges: Floats
    values: Floats


def linear_density(spectrum: LayerSpectrum) -> Density:
    """Power in the equal bins that `spectral_flatness` is defined on.

    Args:
        spectrum: finite complex poles, one of them stable.
    """
    shares = band_shares(spectrum)
    return Density(np.linspace(0.0, np.pi, shares.size + 1), shares * shares.size)


def octave_density(spectrum: LayerSpectrum, octaves: int, bins_an_octave: int = 8) -> Density:
    """Power in bins of equal ratio, so many octaves down from Nyquist.

    Args:
        spectrum: finite complex poles, one of them stable.
        octaves: how many.
        bins_an_octave: into how many bins each is cut.
    """
    edges = octave_edges(octaves, octaves * bins_an_octave)
    stable = np.flatnonzero(spectrum.stable)
    chosen = stable[thinned(stable.size, MOST_MODES)]
    decay, omega = spectrum.decay.reshape(-1)[chosen], spectrum.omega.reshape(-1)[chosen]
    below = np.append(energy_below(decay, omega, edges[:-1]), 1.0)
    return Density(edges, np.maximum(np.diff(below), 0.0) * math.pi / np.diff(edges))


def octave_edges(octaves: int, bins: int) -> Floats:
    """Edges (bins + 1,) of bins of equal ratio from pi / 2^octaves to pi, rad/sample."""
    edges = np.pi * 2.0 ** np.linspace(-octaves, 0.0, bins + 1)
    edges[-1] = np.pi
    return edges
