"""Entanglement: whether decay and frequency of a mode can move apart.

Under zero-order hold the step size scales both, -decay + i omega_unwrapped = dt A: across channels
that differ in dt only, the logarithms of the two move in step. `entanglement` measures how much of
that is left; it describes the parameterization and what training made of it.

Reference: the effect is named in arXiv 2508.20441, the index is our own.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Complexes, quantile
from ssmspec.metrics.base import COMPLEX, DIAGONAL, SEVERAL_CHANNELS, Aggregate, Context, Metric
from ssmspec.outcome import Direction, NotApplicable
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import DIMENSIONLESS

CONSTANT = 1e-6
"""Standard deviation of a logarithm below which it counts as the same in all channels."""


def ranked_modes(layer: LayerSpectrum) -> Complexes:
    """Each channel's modes by ascending |omega_unwrapped|, and by decay where that is equal.

    Returns:
        (H, M) of |omega_unwrapped| + i decay: complex numbers sort by real, then imaginary part.
    """
    modes = np.empty(layer.shape, dtype=np.complex128)
    np.abs(layer.omega_unwrapped, out=modes.real)
    modes.imag = layer.decay
    modes.sort(axis=1)
    return modes


def entanglement(layer: LayerSpectrum, _: Context) -> float | NotApplicable:
    """Median over ranks of the R^2 between log decay and log frequency, in [0, 1]."""
    modes = ranked_modes(layer)
    usable = ((modes.real > 0.0) & (modes.imag > 0.0)).all(axis=0)  # (M,)
    if not usable.any():
        return NotApplicable(
            "every rank has a zero frequency or a decay that is not positive in some channel"
        )
    omega, decay = np.log(modes.real[:, usable]), np.log(modes.imag[:, usable])
    del modes
    omega -= omega.mean(axis=0)
    decay -= decay.mean(axis=0)
    covariance = (omega * decay).mean(axis=0)  # (usable ranks,)
    spread_omega = np.sqrt(np.square(omega, out=omega).mean(axis=0))
    spread_decay = np.sqrt(np.square(decay, out=decay).mean(axis=0))
    varies = (spread_omega >= CONSTANT) & (spread_decay >= CONSTANT)
    correlation = np.zeros(covariance.shape)
    np.divide(covariance, spread_omega * spread_decay, out=correlation, where=varies)
    return quantile(np.minimum(np.square(correlation), 1.0), 0.5)


def damping_ratio_median(layer: LayerSpectrum, _: Context) -> float | NotApplicable:
    """Median damping ratio, in [-1, 1]: 0 rings on, 1 does not oscillate, negative grows.

    A mode at decay 0 and frequency 0, an integrator, has no damping ratio and is left out.
    """
    natural = np.abs(layer.log_poles)
    moving = natural > 0.0
    if not moving.any():
        return NotApplicable("every mode is an integrator, which has no damping ratio")
    return quantile(layer.decay[moving] / natural[moving], 0.5)


METRICS = (
    Metric(
        id="damping_ratio_median",
        unit=DIMENSIONLESS,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="median damping ratio; 0 rings on, 1 does not oscillate",
        formula="median of decay / sqrt(decay^2 + omega_unwrapped^2)",
        measure=damping_ratio_median,
        needs=(COMPLEX,),
    ),
    Metric(
        id="entanglement",
        unit=DIMENSIONLESS,
        direction=Direction.LOWER,
        aggregate=Aggregate.MAX,
        summary="how far one knob moves both decay and frequency; 0 is independent",
        formula="median over ranks of R^2 across channels of log decay and log |omega_unwrapped|",
        measure=entanglement,
        needs=(COMPLEX, SEVERAL_CHANNELS, DIAGONAL),
        source="ssmspec, after arXiv 2508.20441",
    ),
)
