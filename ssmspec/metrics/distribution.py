"""How evenly poles fill the band: flatness of their power, distance of their points from uniform.

`spectral_flatness` weighs a mode by how wide it rings. The others look at the folded frequencies
alone, as points x = f / pi in [0, 1]: DFouT puts them on one uniform grid.

References: Gray and Markel (1974) for flatness (the Wiener entropy); Vallender (1974) for the W1
distance on the line; Niederreiter (1992), theorem 2.6, for the star discrepancy.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Floats
from ssmspec.metrics.base import COMPLEX, STABLE_MODE, Aggregate, Context, Metric, share
from ssmspec.metrics.profiles import band_shares
from ssmspec.outcome import Direction
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import DIMENSIONLESS, FRACTION

LOW_BAND = 0.1
"""Share of the band that `low_frequency_share` calls low, by definition."""


def spectral_flatness(layer: LayerSpectrum, _: Context) -> float:
    """Geometric over arithmetic mean of the poles' power in 128 bins, in [0, 1]; 1 is flat."""
    shares = band_shares(layer)
    if not shares.all():
        return 0.0  # a bin that holds nothing: the geometric mean is exactly 0
    return min(1.0, float(np.exp(np.log(shares).mean()) / shares.mean()))


def frequency_w1(layer: LayerSpectrum, _: Context) -> float:
    """Wasserstein-1 distance of the points to the uniform law, in [0, 0.5].

    With x sorted, W1 = sum over i of the integral of |x_i - u| over the i-th of n equal parts of
    [0, 1], because on the line mass is carried in order. With D the distance from x_i to the middle
    of its part and w = 1 / 2n half its length, that integral is 2 w D outside of the part and
    D^2 + w^2 inside.
    """
    points = _points(layer)
    half = 0.5 / points.size
    distance = np.abs(points - _middles(points.size))
    inside = distance < half
    return float(
        2.0 * half * distance[~inside].sum() + (np.square(distance[inside]) + half**2).sum()
    )


def discrepancy(layer: LayerSpectrum, _: Context) -> float:
    """Star discrepancy of the points, in (0, 1]: 1/(2n) + max |x_i - (2i - 1)/(2n)|, x sorted."""
    points = _points(layer)
    return 0.5 / points.size + float(np.abs(points - _middles(points.size)).max())


def low_frequency_share(layer: LayerSpectrum, _: Context) -> float:
    """Share of modes in the lowest tenth of the band, in [0, 1]."""
    return share(layer.omega < LOW_BAND * np.pi)


def _points(layer: LayerSpectrum) -> Floats:
    """(H M,) folded frequencies over Nyquist, ascending."""
    return np.sort(layer.omega, axis=None) / np.pi


def _middles(count: int) -> Floats:
    """Middles of `count` equal parts of [0, 1]."""
    return (np.arange(count) + 0.5) / count


METRICS = (
    Metric(
        id="spectral_flatness",
        unit=DIMENSIONLESS,
        direction=Direction.HIGHER,
        aggregate=Aggregate.MEAN,
        summary="how evenly the poles' power fills the band; 1 is flat",
        formula="geometric / arithmetic mean of p_k, power of the stable modes in 128 bins",
        measure=spectral_flatness,
        needs=(COMPLEX, STABLE_MODE),
        source="Gray and Markel 1974, on Poisson kernels",
    ),
    Metric(
        id="frequency_w1",
        unit=DIMENSIONLESS,
        direction=Direction.LOWER,
        aggregate=Aggregate.MAX,
        summary="Wasserstein-1 distance of the frequencies to uniform; 0.5 is all at one end",
        formula="integral over u in [0, 1] of |quantile_u(f/pi) - u|",
        measure=frequency_w1,
        needs=(COMPLEX,),
        source="Vallender 1974",
    ),
    Metric(
        id="discrepancy",
        unit=DIMENSIONLESS,
        direction=Direction.LOWER,
        aggregate=Aggregate.MAX,
        summary="star discrepancy of the frequencies: largest excess or lack of points below one",
        formula="sup over u in [0, 1] of |share of f/pi < u, minus u|",
        measure=discrepancy,
        needs=(COMPLEX,),
        source="Niederreiter 1992, theorem 2.6",
    ),
    Metric(
        id="low_frequency_share",
        unit=FRACTION,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="share of modes in the lowest tenth of the band",
        formula="share of f < 0.1 pi",
        measure=low_frequency_share,
        needs=(COMPLEX,),
    ),
)
