"""S4D of state-spaces/s4 version 3, also in liquid-s4, safari and H3 (`...kernel.kernel.*`).

===============  ===========  ===================================================
tensor           shape        meaning
===============  ===========  ===================================================
`log_dt`         (H,)         dt = exp(log_dt)
`inv_A_real`     (S, N/2)     Re A = -exp(inv_A_real)
`A_imag`         (S, N/2)     Im A, stored as is
`A`              (S, N/2, 2)  stale copy of the initial A that nothing reads: ignored
`B`, `C`                      (S, N/2, 2) and (kernels, H, N/2, 2), real and imaginary parts
===============  ===========  ===================================================

S = n_ssm rows are shared: channel h uses row h mod S. The code's default is the bilinear rule; one
of each conjugate pair is stored and K = 2 Re sum. With `inv_w_real`, `w_imag` and `P` the same code
is S4 proper (NPLR), whose poles are not its diagonal: another family. Residues are C B_bar, however
C was made at the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

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

ROLES = ("log_dt", "inv_A_real", "A_imag")
ASSUMED = "S4D v3 does not store real_type; taken as exp, its default"
DISC = "S4D v3 does not store its discretization (disc)"


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with the diagonal kernel's parameters and no low-rank term beside them."""
    for module in catalog.having(*ROLES):
        if not module.has("P"):
            roles = (*ROLES, *(role for role in ("B", "C") if module.has(role)))
            yield LayerSite(module.name, {role: module.leaves[role] for role in roles})


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = (1 + dt A/2) / (1 - dt A/2), A = -exp(inv_A_real) + i A_imag."""
    (channels,) = diagonal.require_dimensions(source, "log_dt", "channels")
    rows, modes = diagonal.require_dimensions(source, "inv_A_real", "n_ssm", "modes")
    require_shape(source, "A_imag", (rows, modes))
    discretization, disc = choose_discretization(source, FAMILY.discretizations, DISC)
    transform, _ = diagonal.choose_dt_transform(source, (DtTransform.EXP,), "")
    dt = diagonal.stored_to_dt(diagonal.read_real(source, "log_dt"), transform)[:, None]
    poles = diagonal.to_complex(
        -diagonal.exp(diagonal.read_real(source, "inv_A_real")),
        diagonal.read_real(source, "A_imag"),
    )
    poles = diagonal.repeat_tied(poles, channels, source.site.tensors["inv_A_real"])
    spectrum = LayerSpectrum(
        name=source.name,
        family=FAMILY.id,
        discretization=discretization,
        symmetry=Symmetry.HALF,
        log_poles=diagonal.to_log_poles(poles, dt, discretization),
        dt=dt,
        assumptions=(*disc, ASSUMED),
    )
    extra = diagonal.bandlimit_assumption(spectrum, FAMILY.title)
    return replace(spectrum, assumptions=(*spectrum.assumptions, *extra))


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """log_dt (H,), inv_A_real and A_imag (S, N/2); channels that share a row must agree on it."""
    (channels,) = diagonal.require_dimensions(source, "log_dt", "channels")
    rows, modes = diagonal.require_dimensions(source, "inv_A_real", "n_ssm", "modes")
    diagonal.require_writable(source.name, spectrum, (channels, modes), Symmetry.HALF)
    dt = diagonal.dt_for(source.name, spectrum, (channels, 1), "one step size per channel")
    discretization, _ = choose_discretization(source, FAMILY.discretizations, DISC)
    poles = diagonal.to_poles(source.name, spectrum.log_poles, dt, discretization)
    poles = diagonal.untie(source.name, poles, rows)
    tensors = source.site.tensors
    return {
        tensors["log_dt"]: np.log(dt[:, 0]),
        tensors["inv_A_real"]: diagonal.log_damping(source.name, poles, FAMILY.title),
        tensors["A_imag"]: poles.imag,
    }


def read_kernel(source: LayerSource, spectrum: LayerSpectrum) -> LayerKernel:
    """Residues C B_bar, B_bar = dt B / (1 - dt A / 2), or B (exp(dt A) - 1) / A under ZOH."""
    return residues.siso_kernel(
        source, spectrum, residues.read_complex(source, "C"), _inputs(source, spectrum)
    )


def write_kernel(source: LayerSource, kernel: Kernel) -> Mapping[str, Array]:
    """C = c / B_bar, stored as pairs (kernels, H, N/2, 2); B stays."""
    siso = residues.as_siso(source, kernel)
    outputs = residues.siso_outputs(source, siso, _inputs(source, siso.spectrum))
    return residues.under(source, {"C": residues.as_stored(source, "C", outputs)})


def reset_kernel(
    source: LayerSource, spectrum: LayerSpectrum, rng: np.random.Generator
) -> Mapping[str, Array]:
    """A complex normal C of variance 1 times B, which the code folds into C at the start.

    Returns:
        C as pairs (kernels, H, N/2, 2).
    """
    drawn = residues.complex_normal(rng, residues.read_complex(source, "C").shape, np.sqrt(0.5))
    return residues.under(
        source, {"C": residues.as_stored(source, "C", drawn * _inputs(source, spectrum))}
    )


def _inputs(source: LayerSource, spectrum: LayerSpectrum) -> Array:
    """(H, M), B."""
    return residues.tied_inputs(source, residues.read_complex(source, "B"), spectrum)


FAMILY = Family(
    id="s4d-v3",
    title="S4D v3",
    summary="diagonal kernel of state-spaces/s4 v3 (also liquid-s4, safari, H3)",
    formula="pole_bar = (1 + dt A/2) / (1 - dt A/2), dt = exp(log_dt), "
    "A = -exp(inv_A_real) + i A_imag; exp(dt A) with --discretization zoh",
    source="state-spaces/s4 v3.0.0 ab287c6, src/models/sequence/ss/kernel.py",
    find=find,
    read=read,
    write=write,
    known_inits=(
        "s4d-lin", "s4d-inv", "s4d-inv2", "s4d-quad", "s4d-legs", "dfout", "dfout-single",
    ),
    discretizations=(Discretization.BILINEAR, Discretization.ZOH),
    read_kernel=read_kernel,
    write_kernel=write_kernel,
    reset_kernel=reset_kernel,
    parameters=Parameters(decay=("inv_A_real",), angle=("A_imag",), step=("log_dt",)),
)  # fmt: skip
