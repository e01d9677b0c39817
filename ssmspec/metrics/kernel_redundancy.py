"""Modes that do nothing of their own: because another one does the same, or because B C is small.

Two poles are the same for most purposes when their pseudo-hyperbolic distance
|a - b| / |1 - a* b| is small: it measures how far apart two resonances are in units of their width.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Bools
from ssmspec.metrics.base import (
    DECAYING,
    KERNEL,
    TIME_INVARIANT,
    Aggregate,
    Context,
    Metric,
    share,
)
from ssmspec.outcome import Direction, NotApplicable
from ssmspec.spectrum import LayerSpectrum, Symmetry
from ssmspec.units import FRACTION

SAME = 0.05
"""Pseudo-hyperbolic distance below which two modes are one twice."""
INAUDIBLE = 1e-3
"""Share of the channel's largest peak below which a mode is dead."""

MOST_COMPARISONS = 2**31
"""Pairs of modes that are compared, for time: some seconds (heuristic)."""
_BLOCK = 2**17


def redundant_mode_fraction(layer: LayerSpectrum, _: Context) -> float | NotApplicable:
    """Share of modes with another mode of the same channel within distance 0.05, in [0, 1]."""
    pairs = layer.log_poles.size * layer.modes
    if pairs > MOST_COMPARISONS:
        return NotApplicable(f"{pairs:,} pairs of modes are too many to compare")
    return share(redundant_modes(layer))


def redundant_modes(layer: LayerSpectrum) -> Bools:
    """Which modes have another one beside them.

    Because |1 - a* b|^2 = |a - b|^2 + (1 - |a|^2)(1 - |b|^2), a distance below t says that
    |a - b|^2 < t^2 / (1 - t^2) (1 - |a|^2)(1 - |b|^2). Of a layer that stores one of each conjugate
    pair, a mode and its conjugate are the same mode. Of one that stores all poles, only those on
    the same side of the real axis are compared: the other half of a pair repeats nothing.

    Returns:
        (H, M)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _redundant_modes(layer)


def _redundant_modes(layer: LayerSpectrum) -> Bools:
    poles = np.exp(layer.log_poles)
    real, imag = poles.real, poles.imag
    if layer.symmetry is Symmetry.HALF:
        imag = np.abs(imag)
    both_sides = layer.symmetry is Symmetry.FULL
    room = -np.expm1(-2.0 * layer.decay) * (SAME / np.sqrt(1.0 - SAME**2))
    channels, modes = layer.shape
    found = np.zeros(layer.shape, dtype=np.bool_)
    rows = max(1, min(modes, _BLOCK // modes))
    group = max(1, _BLOCK // (modes * rows))
    for first in range(0, channels, group):
        some = slice(first, first + group)
        for start in range(0, modes, rows):
            part = slice(start, start + rows)
            distance = real[some, part, None] - real[some, None, :]  # (group, rows, M)
            distance *= distance
            apart = imag[some, part, None] - imag[some, None, :]
            distance += apart * apart
            same = distance <= room[some, part, None] * room[some, None, :]
            own = np.arange(start, min(start + rows, modes))
            same[:, own - start, own] = False
            if both_sides:
                same &= imag[some, part, None] * imag[some, None, :] >= 0.0
            found[some, part] = same.any(axis=2)
    return found


def dead_mode_fraction(_: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Share of modes whose own peak is below 1e-3 of their channel's largest, in [0, 1]."""
    kernel = context.known_kernel
    peaks = kernel.magnitude / -np.expm1(-kernel.spectrum.decay)
    if not peaks.any():
        return NotApplicable("the kernel is zero")
    largest = peaks.max(axis=1, keepdims=True)
    return share((peaks < INAUDIBLE * largest) | (largest == 0.0))


METRICS = (
    Metric(
        id="redundant_mode_fraction",
        unit=FRACTION,
        direction=Direction.LOWER,
        aggregate=Aggregate.MEAN,
        summary="share of modes with another mode of the same channel beside them",
        formula="share of modes a with a mode b: |a - b| / |1 - conj(a) b| < 0.05",
        measure=redundant_mode_fraction,
        needs=(TIME_INVARIANT,),
        source="pseudo-hyperbolic metric of the unit disk",
        note=(
            "It compares poles alone: two modes of one place can still add up to more than one can "
            "do (k r^k), and effective_order says how many states the kernel needs."
        ),
    ),
    Metric(
        id="dead_mode_fraction",
        unit=FRACTION,
        direction=Direction.LOWER,
        aggregate=Aggregate.MEAN,
        summary="share of modes whose peak is below 1e-3 of their channel's largest",
        formula="share of |c| / (1 - r) < 1e-3 of the channel's largest",
        measure=dead_mode_fraction,
        needs=(KERNEL, DECAYING),
    ),
)
