"""Initialization: which known scheme a layer started from, and how far training moved it.

The reference is the scheme's layer at the measured layer's own step sizes, so that a step size that
trained does not count. Training may swap or negate frequencies without changing the layer: modes
are matched within a channel by rank of |omega_unwrapped|, and by decay where poles are real.
"""

from __future__ import annotations

import math

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.errors import SsmspecError
from ssmspec.metrics.base import KNOWN_INITIALIZATION, Aggregate, Context, Metric
from ssmspec.metrics.entanglement import ranked_modes
from ssmspec.outcome import Direction, NotApplicable
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import decay_to_half_width

UNMOVED = 1e-6
"""Relative distance within which a pole counts as where it began. Float32 files round poles and
constants (float32(pi) n for pi n), which is up to a few 1e-7 of a pole and, far from the origin,
much more than 1e-6 of a half-width."""

EIGENVALUE_ERROR = 2e-7
"""Likewise, as a share of the channel's largest pole: code that computes the spectrum of a matrix
in single precision errs by its rounding times the norm of the matrix, in every pole."""

FARTHEST = 10.0
"""Half-widths rms beyond which a layer resembles no initialization; by definition."""

HALF_WIDTHS = "half-widths"
NAME = "scheme"


def displacements(
    layer: LayerSpectrum, reference: LayerSpectrum, slack: Floats | None = None
) -> Floats | None:
    """Distance of every mode from the reference's mode it is matched with, in half-widths of that.

    The distance of two modes is hypot(difference of decay, difference of |omega_unwrapped|), and 0
    within the rounding of single precision.

    Args:
        layer: finite poles.
        reference: the layer it is measured from.
        slack: (H, M) distance within which a mode of `layer` counts as unmoved; None for none
            beyond that rounding.

    Returns:
        (H, M), each channel's modes by rank; None where a reference mode has no width (no damping)
        or no finite pole.

    Raises:
        SsmspecError: the layers differ in shape.
    """
    if reference.shape != layer.shape:
        raise SsmspecError(
            f"internal error: a reference of shape {reference.shape} for poles of {layer.shape}"
        )
    if reference.non_finite:
        return None
    is_complex = layer.is_complex or reference.is_complex
    ranked = ranked_modes if is_complex else _ranked_decays
    start = ranked(reference)
    half_width = decay_to_half_width(np.imag(start) if is_complex else np.real(start))
    if not half_width.all():
        return None
    moved: Floats = np.abs(ranked(layer) - start)
    size = np.abs(start)
    allowed = UNMOVED * size
    allowed += EIGENVALUE_ERROR * size.max(axis=1, keepdims=True)
    del size
    if slack is not None:
        allowed += np.take_along_axis(slack, _ranks(layer), axis=1)
    moved[moved < allowed] = 0.0
    with np.errstate(over="ignore"):  # beside a width of next to nothing
        moved /= half_width
    return moved


def _ranked_decays(layer: LayerSpectrum) -> Floats:
    """(H, M), `ranked_modes` of poles without frequencies, whose distances are those of decays."""
    return np.sort(layer.decay, axis=1)


def _ranks(layer: LayerSpectrum) -> Array:
    """(H, M), the order of each channel's modes in `ranked_modes`."""
    return np.lexsort((layer.decay, np.abs(layer.omega_unwrapped)), axis=1)


def drift(layer: LayerSpectrum, reference: LayerSpectrum, slack: Floats | None = None) -> float:
    """Root-mean-square of `displacements`, in half-widths; infinite where there are none.

    Args:
        layer: finite poles.
        reference: the layer it is measured from.
        slack: (H, M), as `displacements` takes it; None for none.
    """
    moved = displacements(layer, reference, slack)
    if moved is None:
        return math.inf
    with np.errstate(over="ignore"):
        return math.sqrt(np.square(moved, out=moved).mean())


def init_scheme(layer: LayerSpectrum, context: Context) -> str | NotApplicable:
    """Id of the nearest known initialization."""
    nearest = _nearest(layer, context)
    if isinstance(nearest, NotApplicable):
        return nearest
    away, scheme = nearest
    if away > FARTHEST:
        return NotApplicable(
            f"none lies within {FARTHEST:g} half-widths (the nearest, {scheme}, is {away:.3g} away)"
        )
    return scheme


def init_drift(layer: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Distance to the nearest known initialization, rms over modes; 0 was never trained."""
    nearest = _nearest(layer, context)
    return nearest if isinstance(nearest, NotApplicable) else nearest[0]


def _nearest(layer: LayerSpectrum, context: Context) -> tuple[float, str] | NotApplicable:
    """(drift, scheme id) of the nearest reference; the first of several equally near."""
    if layer not in context.nearest:
        drifts = [
            (drift(layer, start, context.slack), scheme)
            for scheme, start in context.references.items()
        ]
        context.nearest[layer] = min(drifts, key=lambda item: item[0])
    answer = context.nearest[layer]
    if math.isinf(answer[0]):
        return NotApplicable("no known initialization lies at a finite distance")
    return answer


METRICS = (
    Metric(
        id="init_scheme",
        unit=NAME,
        direction=Direction.NEITHER,
        aggregate=Aggregate.COMMON,
        summary="the known initialization nearest to the layer, at its own step sizes",
        formula="scheme with the smallest init_drift, up to 10 half-widths",
        measure=init_scheme,
        needs=(KNOWN_INITIALIZATION,),
    ),
    Metric(
        id="init_drift",
        unit=HALF_WIDTHS,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="distance of the poles to that initialization; 0 was never trained",
        formula="rms over modes of |log_pole - initial log_pole| / initial half_width",
        measure=init_drift,
        needs=(KNOWN_INITIALIZATION,),
        note=(
            "It tells of the poles at the layer's own step sizes. A layer whose step sizes, B, C "
            "or D alone were trained has a drift of 0; so has one whose poles were frozen. Poles "
            "within one unit in the last place of the stored type count as unmoved."
        ),
    ),
)
