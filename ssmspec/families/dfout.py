"""DFouT: the discrete layer that `ssmspec train` makes, poles per sample without a step size.

===============  ===========================  =====================================================
tensor           shape                        meaning
===============  ===========================  =====================================================
`log_xi`         (H,) or (H, M)               decay = exp(log_xi) / 2, one a channel or one a mode
`theta`          (H, M)                       angle in rad/sample, stored as is; training may take
                                              it anywhere
`C`              (H, M, 2) or (2, H, M, 2)    real and imaginary part; the second of two runs
                                              backward in time
`unit_energy`    ()                           which input gain C is multiplied by: 1 for
                                              sqrt(1 - r^2), 0 for |(pole_bar - 1) / log pole_bar|
===============  ===========================  =====================================================

One of each conjugate pair is stored and K = 2 Re sum. The gain follows the poles: with other poles
it is another. An angle beyond pi is the same pole as one within, so there is no aliasing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import (
    Family,
    Found,
    LayerSite,
    LayerSource,
    Parameters,
    choose_discretization,
    require_shape,
)
from ssmspec.families.catalog import Catalog
from ssmspec.families.parts.diagonal import (
    TIED_TOLERANCE,
    choose_dt_transform,
    exp,
    read_real,
    require_dimensions,
    require_writable,
    to_complex,
)
from ssmspec.families.parts.residues import (
    as_siso,
    as_stored,
    complex_normal,
    read_complex,
    siso_kernel,
    siso_outputs,
    under,
)
from ssmspec.kernel import Kernel, LayerKernel
from ssmspec.naming import printable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry
from ssmspec.units import TWO_PI

ROLES = ("log_xi", "theta")
OUTPUTS = ("C", "unit_energy")


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules that hold both pole parameters directly."""
    for module in catalog.having(*ROLES):
        roles = (*ROLES, *(role for role in OUTPUTS if module.has(role)))
        yield LayerSite(module.name, {role: module.leaves[role] for role in roles})


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(-exp(log_xi) / 2 + i theta), the angle brought into (-pi, pi]."""
    shape = require_dimensions(source, "theta", "channels", "modes")
    require_shape(source, "log_xi", shape if _per_mode(source) else shape[:1])
    discretization, _ = choose_discretization(source, FAMILY.discretizations, "")
    choose_dt_transform(source, FAMILY.dt_transforms, "")
    decay = exp(read_real(source, "log_xi")) / 2.0
    return LayerSpectrum(
        name=source.name,
        family=FAMILY.id,
        discretization=discretization,
        symmetry=Symmetry.HALF,
        log_poles=to_complex(
            -decay if _per_mode(source) else -decay[:, None], _wrapped(read_real(source, "theta"))
        ),
    )


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """log_xi, (H,) or (H, M), and theta (H, M).

    Raises:
        SchemeError: a decay is not positive, or differs within a channel where one is stored.
    """
    channels, modes = require_dimensions(source, "theta", "channels", "modes")
    require_writable(source.name, spectrum, (channels, modes), Symmetry.HALF)
    decay = spectrum.decay
    if not (decay > 0.0).all():
        raise SchemeError(
            f"{printable(source.name)}: {FAMILY.title} stores the logarithm of its damping, so a "
            f"mode without damping (or a growing one) cannot be written; "
            f"use a smallest damping above 0"
        )
    if not _per_mode(source):
        first = decay[:, :1]
        if not (np.abs(decay - first) <= TIED_TOLERANCE * first).all():
            raise SchemeError(
                f"{printable(source.name)} stores one damping for all modes of a channel, and the "
                f"scheme damps them differently"
            )
        decay = first[:, 0]
    tensors = source.site.tensors
    return {
        tensors["log_xi"]: np.log(2.0 * decay),
        tensors["theta"]: _wrapped(spectrum.omega_unwrapped),
    }


def _per_mode(source: LayerSource) -> bool:
    """Whether every mode has a damping of its own."""
    return len(source.shape("log_xi")) == 2


def _wrapped(angle: Floats) -> Floats:
    """Angles in (-pi, pi], untouched where they already are."""
    return np.where(
        (angle > -np.pi) & (angle <= np.pi),
        angle,
        angle - TWO_PI * np.ceil((angle - np.pi) / TWO_PI),
    )


def read_kernel(source: LayerSource, spectrum: LayerSpectrum) -> LayerKernel:
    """Residues C times the input gain at these poles."""
    return siso_kernel(source, spectrum, read_complex(source, "C"), _gain(source, spectrum))


def write_kernel(source: LayerSource, kernel: Kernel) -> Mapping[str, Array]:
    """C = c / gain, stored as pairs: (H, M, 2) or (2, H, M, 2)."""
    siso = as_siso(source, kernel)
    outputs = siso_outputs(source, siso, _gain(source, siso.spectrum))
    return under(source, {"C": as_stored(source, "C", outputs)})


def reset_kernel(
    source: LayerSource, spectrum: LayerSpectrum, rng: np.random.Generator
) -> Mapping[str, Array]:
    """C complex normal, of the variance at which the layer's kernels have energy 1 on average.

    Returns:
        Pairs (H, M, 2) or (2, H, M, 2), as stored.
    """
    deviation = np.sqrt(start_variance(spectrum.log_poles, _gain(source, spectrum)) / 2.0)
    drawn = complex_normal(rng, read_complex(source, "C").shape, deviation)
    return under(source, {"C": as_stored(source, "C", drawn)})


def start_variance(log_poles: Complexes, gain: Floats) -> float:
    """Variance of a complex normal C at which a layer's kernels have energy 1 on average.

    A kernel's expected energy is the variance times sum_n 2 gain_n^2 / (1 - r_n^2); with the
    unit-energy gain that is 1/N, N = 2M.

    Args:
        log_poles: (H, M), decaying.
        gain: (H, M), of the input.
    """
    energy = np.sum(2.0 * gain**2 / -np.expm1(2.0 * log_poles.real), axis=1)
    return float(1.0 / np.mean(energy))


def input_gain(log_poles: Complexes, *, unit_energy: bool) -> Floats:
    """(H, M), sqrt(1 - r^2), or |(pole_bar - 1) / log pole_bar| as zero-order hold at dt = 1."""
    with np.errstate(invalid="ignore", over="ignore"):
        if unit_energy:
            return np.sqrt(-np.expm1(2.0 * log_poles.real))
        ratio = np.ones(log_poles.shape, dtype=np.complex128)
        np.divide(np.expm1(log_poles), log_poles, out=ratio, where=log_poles != 0.0)
        return np.abs(ratio)


def _gain(source: LayerSource, spectrum: LayerSpectrum) -> Floats:
    """(H, M), what the input of each mode is multiplied by.

    Raises:
        LayoutError: the file does not tell which gain it is.
    """
    if not source.has("unit_energy"):
        raise LayoutError("unit_energy, which tells the gain of the input, is not in the file")
    stored = source.read("unit_energy")
    if stored.size != 1 or stored.item() not in (0.0, 1.0):
        raise LayoutError(
            f"{printable(source.site.tensors['unit_energy'])} must be a single 0 or 1"
        )
    return input_gain(spectrum.log_poles, unit_energy=stored.item() == 1.0)


FAMILY = Family(
    id="dfout",
    title="DFouT",
    summary="discrete layer of ssmspec train: angles and damping per sample, no step size",
    formula="pole_bar = exp(-exp(log_xi) / 2 + i theta)",
    source="ssmspec, training/layers.py; arXiv 2508.20441",
    find=find,
    read=read,
    write=write,
    known_inits=("dfout", "dfout-single", "dfout-batched", "dfout-token"),
    discretizations=(Discretization.NATIVE,),
    read_kernel=read_kernel,
    write_kernel=write_kernel,
    reset_kernel=reset_kernel,
    parameters=Parameters(decay=("log_xi",), angle=("theta",)),
)
