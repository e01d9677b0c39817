"""Aliasing: modes whose frequency lies beyond Nyquist and is heard as another one.

Only zero-order hold aliases: it maps a continuous frequency Im(A) to the angle Im(A) dt, which has
no upper end. The bilinear rule squeezes every frequency below Nyquist, and a family that stores
discrete poles has no frequency beyond it to begin with.

Reference: arXiv 2508.20441, Lemma 1: |dt Im(A_n)| < pi for every n keeps the poles free of aliases.
"""

from __future__ import annotations

import numpy as np

from ssmspec.metrics.base import ALIASABLE, COMPLEX, Aggregate, Context, Metric, share
from ssmspec.outcome import Direction, NotApplicable
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import DIMENSIONLESS, FRACTION

LEMMA = "arXiv 2508.20441, Lemma 1"
NEEDS = (COMPLEX, ALIASABLE)


def aliased_fraction(layer: LayerSpectrum, _: Context) -> float:
    """Share of modes beyond Nyquist, in [0, 1]."""
    return share(layer.aliased)


def aliased_channel_fraction(layer: LayerSpectrum, _: Context) -> float:
    """Share of channels with at least one mode beyond Nyquist, in [0, 1]."""
    return share(np.any(layer.aliased, axis=1, keepdims=True))


def nyquist_headroom(layer: LayerSpectrum, _: Context) -> float | NotApplicable:
    """Nyquist over the highest unwrapped frequency; below 1 a mode aliases."""
    highest = float(np.abs(layer.omega_unwrapped).max())
    return np.pi / highest if highest else NotApplicable("every mode is at zero frequency")


METRICS = (
    Metric(
        id="aliased_fraction",
        unit=FRACTION,
        direction=Direction.LOWER,
        aggregate=Aggregate.MAX,
        summary="share of modes beyond Nyquist, heard as another frequency",
        formula="share of |omega_unwrapped| > pi (1 + 1e-6)",
        measure=aliased_fraction,
        needs=NEEDS,
        source=LEMMA,
    ),
    Metric(
        id="aliased_channel_fraction",
        unit=FRACTION,
        direction=Direction.LOWER,
        aggregate=Aggregate.MAX,
        summary="share of channels with at least one aliased mode",
        formula="share of channels with any |omega_unwrapped| > pi (1 + 1e-6)",
        measure=aliased_channel_fraction,
        needs=NEEDS,
        source=LEMMA,
    ),
    Metric(
        id="nyquist_headroom",
        unit=DIMENSIONLESS,
        direction=Direction.HIGHER,
        aggregate=Aggregate.MIN,
        summary="Nyquist over the highest frequency before folding; below 1 a mode aliases",
        formula="pi / max |omega_unwrapped|",
        measure=nyquist_headroom,
        needs=NEEDS,
        source=LEMMA,
    ),
)
