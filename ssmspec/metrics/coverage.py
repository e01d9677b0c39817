"""Coverage: how much of the band [0, pi] the resonances of a layer reach.

A stable mode that outlasts a sample (decay <= 1) reaches from f - b to f + b, with f its folded
frequency and b the half-power half-width of its resonance; where the sequence length L is known, b
is at least pi/L, because no sequence of L samples tells frequencies apart that are closer. What no
mode reaches is a gap. A mode that grows has no resonance, and one that is gone within a sample has
no frequency: neither counts.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Bools, Floats
from ssmspec.metrics.base import (
    ALIASABLE,
    COMPLEX,
    RESONANT_MODE,
    Aggregate,
    Context,
    Metric,
    resonant,
)
from ssmspec.outcome import Direction
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import CYCLES_PER_SAMPLE, FRACTION, omega_to_freq

REACH_ONLY = (
    "A gap says that no pole resonates there, not that the layer is deaf to it: heard_coverage "
    "says what B and C let through."
)


def gaps(layer: LayerSpectrum, context: Context, heard: Bools, channels: int = 1) -> Floats:
    """The stretches of [0, pi] that modes leave uncovered.

    With the lower ends of n intervals sorted, and their upper ends sorted separately, the union has
    a gap between the k-th upper and the (k+1)-th lower end exactly where that is an ascent: then as
    many intervals have ended as have begun. Two plain sorts are enough; no interval has to keep its
    two ends together.

    Args:
        layer: the poles.
        context: L, if known, widens every interval to the resolution of the sequence.
        heard: (H, M), the modes that count.
        channels: in how many equal groups of channels gaps are looked for; 1 takes the union over
            the whole layer, H treats every channel on its own.

    Returns:
        (channels, H M / channels + 1) rad/sample, 0 where neighboring intervals touch or overlap.
    """
    narrowest = np.pi / context.sequence_length if context.sequence_length else 0.0
    reach = np.maximum(layer.half_width, narrowest)
    # An empty interval [pi, pi] at the end of every row closes the last gap; an empty interval
    # [0, 0] stands for a mode that does not count.
    lower = np.full((channels, layer.log_poles.size // channels + 1), np.pi)
    upper = lower.copy()
    begin = np.where(heard, np.maximum(layer.omega - reach, 0.0), 0.0)
    lower[:, :-1] = begin.reshape(channels, -1)
    end = np.where(heard, np.minimum(layer.omega + reach, np.pi), 0.0)
    upper[:, :-1] = end.reshape(channels, -1)
    lower.sort(axis=1)
    upper.sort(axis=1)
    uncovered = lower
    uncovered[:, 1:] -= upper[:, :-1]
    uncovered[uncovered < 0.0] = 0.0
    return uncovered


def coverage(layer: LayerSpectrum, context: Context) -> float:
    """Share of the band within reach of a stable mode, in [0, 1]."""
    return _covered(gaps(layer, context, resonant(layer)))


def alias_free_coverage(layer: LayerSpectrum, context: Context) -> float:
    """Share of the band within reach of a stable mode that is not an alias, in [0, 1]."""
    return _covered(gaps(layer, context, resonant(layer) & ~layer.aliased))


def channel_coverage(layer: LayerSpectrum, context: Context) -> float:
    """Share of the band that one channel reaches, averaged over channels, in [0, 1]."""
    return _covered(gaps(layer, context, resonant(layer), layer.channels))


def largest_gap(layer: LayerSpectrum, context: Context) -> float:
    """Longest stretch of the band out of reach, cycles/sample, in [0, 0.5]."""
    return float(omega_to_freq(gaps(layer, context, resonant(layer)).max()))


def _covered(uncovered: Floats) -> float:
    """1 - (sum of gaps) / pi, averaged over rows."""
    return max(0.0, 1.0 - float(uncovered.sum(axis=1).mean()) / np.pi)


METRICS = (
    Metric(
        id="coverage",
        unit=FRACTION,
        direction=Direction.HIGHER,
        aggregate=Aggregate.MEAN,
        summary="share of the band from 0 to Nyquist within reach of a mode",
        formula="|union of [f - b, f + b] in [0, pi]| / pi, decay <= 1, b = max(half_width, pi/L)",
        measure=coverage,
        needs=(COMPLEX, RESONANT_MODE),
        note=REACH_ONLY,
    ),
    Metric(
        id="alias_free_coverage",
        unit=FRACTION,
        direction=Direction.HIGHER,
        aggregate=Aggregate.MEAN,
        summary="coverage by the modes that are not aliased",
        formula="coverage over |omega_unwrapped| <= pi (1 + 1e-6)",
        measure=alias_free_coverage,
        needs=(COMPLEX, ALIASABLE, RESONANT_MODE),
    ),
    Metric(
        id="channel_coverage",
        unit=FRACTION,
        direction=Direction.HIGHER,
        aggregate=Aggregate.MEAN,
        summary="coverage of one channel alone, averaged over channels",
        formula="mean over channels of coverage",
        measure=channel_coverage,
        needs=(COMPLEX, RESONANT_MODE),
    ),
    Metric(
        id="largest_gap",
        unit=CYCLES_PER_SAMPLE,
        direction=Direction.LOWER,
        aggregate=Aggregate.MAX,
        summary="longest stretch of the band that no mode reaches",
        formula="max gap of the union of [f - b, f + b] in [0, pi], decay <= 1, over 2 pi",
        measure=largest_gap,
        needs=(COMPLEX, RESONANT_MODE),
        note=REACH_ONLY,
    ),
)
