"""Whether two layers are the same layer: poles, residues and the skip, within a tolerance.

The default tolerance is what the rounding of the stored types can move. It is measured, not
derived: each tensor of a layer is moved by the unit roundoff of its type, the layer is read again,
and the largest changes add up over tensors and over both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from ssmspec.analysis.model import ModelLayer
from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.errors import SsmspecError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Module, bare_path
from ssmspec.families.precision import Beside
from ssmspec.kernel import Kernel, LayerKernel, impulse_response
from ssmspec.metrics.initialization import displacements
from ssmspec.outcome import NotApplicable
from ssmspec.results.comparison import Agreement
from ssmspec.spectrum import LayerSpectrum, Symmetry

ROUNDOFF = {
    "float64": 2.0**-53, "complex128": 2.0**-53, "float32": 2.0**-24, "complex64": 2.0**-24,
    "float16": 2.0**-11, "bfloat16": 2.0**-8, "float8_e4m3fn": 2.0**-4, "float8_e5m2": 2.0**-3,
}  # fmt: skip
"""Relative error of rounding to nearest, by stored type."""

SLACK = 2.0
"""Factor on the measured effect of rounding, whose signs are not known (heuristic)."""

FLOOR = 1e-6
"""Relative difference that is never counted: as for poles that moved."""

SKIPS = ("D", "D_skip", "Ds", "ssm_d")
"""What the skip beside a layer is called."""

LAGS = 256
"""Lags over which kernels are compared where residues of matched modes differ (heuristic)."""


def agreement(a: ModelLayer, b: ModelLayer, tolerance: float | None) -> Agreement:
    """How far B is from A, and how far it may be.

    Args:
        a: a layer of A.
        b: the one it is paired with.
        tolerance: half-widths for poles, relative for residues and the skip; None for the rounding
            of the stored types.
    """
    kernels = a.kernel(), b.kernel()
    if tolerance is None:
        one, other = (_rounding(each, k) for each, k in zip((a, b), kernels, strict=True))
        allowed_poles = FLOOR + SLACK * (one[0] + other[0])
        allowed_residues = FLOOR + SLACK * (one[1] + other[1])
        allowed_skip = FLOOR + _skip_roundoff(a) + _skip_roundoff(b)
    else:
        allowed_poles = allowed_residues = allowed_skip = tolerance
    return Agreement(
        poles=_poles(a.spectrum, b.spectrum),
        poles_allowed=allowed_poles,
        residues=_residues(*kernels),
        residues_allowed=allowed_residues,
        skip=_skips(a, b),
        skip_allowed=allowed_skip,
    )


def _poles(a: LayerSpectrum, b: LayerSpectrum) -> float:
    """The farthest pole, half-widths of A; infinite where the two cannot be compared."""
    if a.shape != b.shape or a.non_finite or b.non_finite:
        return math.inf
    moved = displacements(b, a)
    return math.inf if moved is None else float(moved.max(initial=0.0))


def _residues(a: Kernel | NotApplicable, b: Kernel | NotApplicable) -> float | None:
    """The farthest residue over the largest; None where neither side has them."""
    if isinstance(a, NotApplicable) or isinstance(b, NotApplicable):
        return None if isinstance(a, NotApplicable) and isinstance(b, NotApplicable) else math.inf
    if type(a) is not type(b) or a.spectrum.shape != b.spectrum.shape:
        return math.inf
    one, other = _matched(a), _matched(b)
    if one.shape != other.shape:
        return math.inf
    by_modes = _relative(one, other)
    if by_modes < FLOOR or (a.spectrum.decay < 0).any():
        return by_modes
    kernels = impulse_response(a, LAGS), impulse_response(b, LAGS)
    return min(by_modes, _relative(*kernels))


def _matched(kernel: Kernel) -> Complexes:
    """Residues by rank of frequency, conjugated to the upper half where one of a pair is stored."""
    spectrum = kernel.spectrum
    if isinstance(kernel, LayerKernel):
        residues = kernel.residues
    else:
        outer = kernel.output_matrix[:, None, :] * kernel.input_matrix.T[None]
        residues = outer.reshape(-1, 1, spectrum.modes)
    omega = spectrum.omega_unwrapped
    if spectrum.symmetry is Symmetry.HALF:
        residues = np.where(omega < 0, residues.conj(), residues)
        omega = np.abs(omega)
    order = np.lexsort((spectrum.decay, omega), axis=-1)
    return np.take_along_axis(residues, np.broadcast_to(order, residues.shape), axis=-1)


def _skips(a: ModelLayer, b: ModelLayer) -> float | None:
    """The farthest number of the skip D, over the largest; None where neither side has one."""
    one, other = _skip(a), _skip(b)
    if one is None or other is None:
        return None if one is None and other is None else math.inf
    left, right = (layer.model.checkpoint.read(name) for layer, name in ((a, one), (b, other)))
    if left.size != right.size:
        return math.inf
    return _relative(left.reshape(-1), right.reshape(-1))


def _skip(layer: ModelLayer) -> str | None:
    module = layer.model.catalog.module(bare_path(layer.found.site.name.partition(" (")[0]))
    places: Iterator[Module] = iter((module, module.parent) if module.path else (module,))
    return next(
        (place.leaves[name] for place in places for name in SKIPS if name in place.leaves), None
    )


def _skip_roundoff(layer: ModelLayer) -> float:
    name = _skip(layer)
    return ROUNDOFF.get(layer.model.checkpoint.info(name).dtype, 0.0) if name else 0.0


def _relative(one: Array, other: Array) -> float:
    with np.errstate(all="ignore"):
        difference = float(np.abs(other - one).max(initial=0.0))
        largest = float(np.abs(one).max(initial=0.0))
    if difference == 0.0:
        return 0.0
    ratio = difference / largest if largest else math.inf
    return ratio if math.isfinite(ratio) else math.inf


def _rounding(layer: ModelLayer, kernel: Kernel | NotApplicable) -> tuple[float, float]:
    """How far rounding to the stored types can move poles (half-widths) and residues."""
    poles = residues = 0.0
    for read_again in _perturbed(layer):
        spectrum, moved = read_again()
        if spectrum is None:
            continue
        distance = _poles(layer.spectrum, spectrum)
        poles += distance if math.isfinite(distance) else 0.0
        if isinstance(kernel, NotApplicable) or isinstance(moved, NotApplicable):
            continue
        change = _relative(_flat(kernel), _flat(moved))
        residues += change if math.isfinite(change) else 0.0
    return poles, residues


def _flat(kernel: Kernel) -> Complexes:
    if isinstance(kernel, LayerKernel):
        return kernel.residues
    return kernel.output_matrix[:, None, :] * kernel.input_matrix.T[None]


Reread = Callable[[], tuple[LayerSpectrum | None, "Kernel | NotApplicable"]]


def _perturbed(layer: ModelLayer) -> Iterator[Reread]:
    """The layer read with one tensor off by its type's roundoff, for each of its tensors."""
    checkpoint, reading, found = layer.model.checkpoint, layer.model.reading, layer.found
    rng = np.random.default_rng(0)  # signs of errors are arbitrary; the figure is to be stable
    for name in dict.fromkeys(found.site.tensors.values()):
        unit = ROUNDOFF.get(checkpoint.info(name).dtype)
        if unit is None:
            continue
        values = checkpoint.read(name)
        signs: Floats = rng.choice((-1.0, 1.0), values.shape)
        beside = Beside(checkpoint, name, values * (1.0 + unit * signs))

        def read_again(
            beside: Beside = beside,
        ) -> tuple[LayerSpectrum | None, Kernel | NotApplicable]:
            try:
                spectrum = found.family.read(LayerSource(beside, found.site, reading))
            except SsmspecError:
                return None, NotApplicable("not read")
            return spectrum, found.read_kernel(beside, reading, spectrum)

        yield read_again
