"""Stability: how far out the poles lie, and how many of them grow."""

from __future__ import annotations

import numpy as np

from ssmspec.metrics.base import Aggregate, Context, Metric, share
from ssmspec.outcome import Direction
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import DIMENSIONLESS, FRACTION


def max_radius(layer: LayerSpectrum, _: Context) -> float:
    """Radius of the outermost discrete pole; above 1 its mode grows."""
    return float(np.exp(-layer.decay.min()))


def unstable_fraction(layer: LayerSpectrum, _: Context) -> float:
    """Share of modes that grow, in [0, 1]."""
    return share(~layer.stable)


METRICS = (
    Metric(
        id="max_radius",
        unit=DIMENSIONLESS,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MAX,
        summary="radius of the outermost discrete pole; a mode beyond 1 grows",
        formula="max exp(-decay)",
        measure=max_radius,
    ),
    Metric(
        id="unstable_fraction",
        unit=FRACTION,
        direction=Direction.LOWER,
        aggregate=Aggregate.MAX,
        summary="share of modes that grow",
        formula="share of decay < 0",
        measure=unstable_fraction,
    ),
)
