"""S4D, standalone: the single-file layer of `models/s4/s4d.py`, the most common in the wild.

===============  ===========  ==========================================
tensor           shape        meaning
===============  ===========  ==========================================
`log_dt`         (H,)         dt = exp(log_dt)
`log_A_real`     (H, N/2)     Re A = -exp(log_A_real)
`A_imag`         (H, N/2)     Im A, stored as is; training may make it negative
`C`              (H, N/2, 2)  real and imaginary part; B is 1 and absorbed
===============  ===========  ==========================================

Always zero-order hold; one of each conjugate pair is stored and K = 2 Re sum, with residues
c = C (exp(dt A) - 1) / A.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ssmspec.arrays import Array
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
from ssmspec.families.parts import diagonal, residues
from ssmspec.kernel import Kernel, LayerKernel
from ssmspec.reading import Discretization, DtTransform
from ssmspec.spectrum import LayerSpectrum, Symmetry

ROLES = ("log_dt", "log_A_real", "A_imag")


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules that hold all three pole parameters directly."""
    for module in catalog.having(*ROLES):
        roles = (*ROLES, *(role for role in ("C",) if module.has(role)))
        yield LayerSite(module.name, {role: module.leaves[role] for role in roles})


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(dt A), A = -exp(log_A_real) + i A_imag."""
    channels, modes = diagonal.require_dimensions(source, "log_A_real", "channels", "modes")
    require_shape(source, "log_dt", (channels,))
    require_shape(source, "A_imag", (channels, modes))
    discretization, assumptions = choose_discretization(source, FAMILY.discretizations, "")
    transform, _ = diagonal.choose_dt_transform(source, (DtTransform.EXP,), "")
    dt = diagonal.stored_to_dt(diagonal.read_real(source, "log_dt"), transform)[:, None]
    poles = diagonal.to_complex(
        -diagonal.exp(diagonal.read_real(source, "log_A_real")),
        diagonal.read_real(source, "A_imag"),
    )
    return LayerSpectrum(
        name=source.name,
        family=FAMILY.id,
        discretization=discretization,
        symmetry=Symmetry.HALF,
        log_poles=diagonal.to_log_poles(poles, dt, discretization),
        dt=dt,
        assumptions=assumptions,
    )


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """log_dt (H,), log_A_real and A_imag (H, N/2): A = log_pole / dt at the spectrum's own dt.

    Raises:
        SchemeError: a decay is not positive, and it is stored as a logarithm.
    """
    channels, modes = diagonal.require_dimensions(source, "log_A_real", "channels", "modes")
    diagonal.require_writable(source.name, spectrum, (channels, modes), Symmetry.HALF)
    dt = diagonal.dt_for(source.name, spectrum, (channels, 1), "one step size per channel")
    poles = diagonal.to_poles(source.name, spectrum.log_poles, dt, Discretization.ZOH)
    tensors = source.site.tensors
    return {
        tensors["log_dt"]: np.log(dt[:, 0]),
        tensors["log_A_real"]: diagonal.log_damping(source.name, poles, FAMILY.title),
        tensors["A_imag"]: poles.imag,
    }


def read_kernel(source: LayerSource, spectrum: LayerSpectrum) -> LayerKernel:
    """Residues C B_bar with B = 1."""
    return residues.siso_kernel(
        source, spectrum, residues.read_complex(source, "C"), np.ones(spectrum.shape)
    )


def write_kernel(source: LayerSource, kernel: Kernel) -> Mapping[str, Array]:
    """C = c / B_bar, stored as pairs (H, N/2, 2)."""
    outputs = residues.siso_outputs(
        source, residues.as_siso(source, kernel), np.ones(kernel.spectrum.shape)
    )
    return residues.under(source, {"C": residues.as_stored(source, "C", outputs)})


def reset_kernel(
    source: LayerSource, _: LayerSpectrum, rng: np.random.Generator
) -> Mapping[str, Array]:
    """C complex normal of variance 1, as `torch.randn(H, N/2, dtype=torch.cfloat)` draws it.

    Returns:
        C as pairs (H, N/2, 2).
    """
    drawn = residues.complex_normal(rng, residues.read_complex(source, "C").shape, np.sqrt(0.5))
    return residues.under(source, {"C": residues.as_stored(source, "C", drawn)})


FAMILY = Family(
    id="s4d",
    title="S4D",
    summary="standalone S4D layer of state-spaces/s4 (models/s4/s4d.py)",
    formula="pole_bar = exp(dt A), dt = exp(log_dt), A = -exp(log_A_real) + i A_imag",
    source="state-spaces/s4 e757cef, models/s4/s4d.py",
    find=find,
    read=read,
    write=write,
    known_inits=("s4d-lin", "s4d-inv", "s4d-legs", "dfout", "dfout-single"),
    discretizations=(Discretization.ZOH,),
    read_kernel=read_kernel,
    write_kernel=write_kernel,
    reset_kernel=reset_kernel,
    parameters=Parameters(decay=("log_A_real",), angle=("A_imag",), step=("log_dt",)),
)
