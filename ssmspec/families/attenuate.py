"""aTENNuate and PLEIADES-style layers, and the S5 of lrnnx: MIMO, A as (K, 2) real numbers.

============  ===========================  ===================================================
tensor        shape                        meaning
============  ===========================  ===================================================
`A`           (K, 2)                       Re A = -softplus(A[:, 0]), Im A = A[:, 1]
`log_dt`      (K,)                         dt = exp(log_dt), one a state
`B`           (K, c_in)                    input weights
`C`           (c_out, K)                   output weights: real in aTENNuate, whose kernel is
                                           dt C exp(dt Re A k) cos(dt Im A k) B
`C`           (c_out, K, 2)                complex in lrnnx: y = Re(C x), no factor 2
`B`, `A`      (K, c_in, 2), (K, 2)         lrnnx's time-varying S5: A = A[:, 0] + i A[:, 1]
============  ===========================  ===================================================

Which of the three it is shows in B and C. A pole of aTENNuate is a damped cosine and stands for a
conjugate pair. Layers of one model may run at different rates (`--layer-rate`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.errors import SchemeError
from ssmspec.families.base import (
    Family,
    Found,
    LayerSite,
    LayerSource,
    Parameters,
    choose_discretization,
    require_shape,
)
from ssmspec.families.catalog import Catalog, Module
from ssmspec.families.parts import diagonal
from ssmspec.families.parts.residues import mimo_kernel, read_matrix
from ssmspec.kernel import MimoKernel
from ssmspec.naming import printable
from ssmspec.reading import DtTransform
from ssmspec.spectrum import LayerSpectrum, Symmetry

ATTENUATE = "attenuate"
"""Variant: real B and C."""
LRNNX = "lrnnx"
"""Variant: real B, complex C."""
LRNNX_EVENTS = "lrnnx events"
"""Variant: complex B and C, for inputs that come at times of their own; Re A as stored."""

VARIANTS = {(2, 2): ATTENUATE, (2, 3): LRNNX, (3, 3): LRNNX_EVENTS}
"""By the number of dimensions of B and of C."""

ROLES = ("A", "log_dt", "B", "C")

DISC = (
    "lrnnx does not store the discretization of its S5; taken as zoh (dirac has the same poles and "
    "other residues, and the bilinear rule of its time-invariant S5 is inverted, so that all poles "
    "grow)"
)
CONJ_SYM = "lrnnx does not store conj_sym; all poles are taken as stored, its default"
TOLD = {LRNNX: (DISC,), LRNNX_EVENTS: (DISC, CONJ_SYM)}
"""What is taken for granted of each layout."""


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with `A` (K, 2), `log_dt` (K,), and a B and C that say which layout it is."""
    for module in catalog.having(*ROLES):
        variant = _variant(module)
        if variant is not None:
            yield LayerSite(module.name, {role: module.leaves[role] for role in ROLES}, variant)


def _variant(module: Module) -> str | None:
    A, steps, B, C = (module.shape(role) or () for role in ROLES)
    if len(steps) != 1 or (*steps, 2) != A or B[:1] != steps or C[1:2] != steps:
        return None
    return VARIANTS.get((len(B), len(C)))


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(dt A), one dt a state."""
    (states,) = diagonal.require_dimensions(source, "log_dt", "states")
    require_shape(source, "A", (states, 2))
    discretization, _ = choose_discretization(source, FAMILY.discretizations, "")
    diagonal.choose_dt_transform(source, (DtTransform.EXP,), "")
    stored = diagonal.read_real(source, "A")
    real = stored[:, 0] if source.site.variant == LRNNX_EVENTS else -diagonal.softplus(stored[:, 0])
    dt = diagonal.exp(diagonal.read_real(source, "log_dt"))[None]
    return LayerSpectrum(
        name=source.name,
        family=FAMILY.id,
        discretization=discretization,
        symmetry=_symmetry(source),
        log_poles=diagonal.to_log_poles(
            diagonal.to_complex(real, stored[:, 1])[None], dt, discretization
        ),
        dt=dt,
        assumptions=TOLD.get(source.site.variant, ()),
    )


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """A (K, 2) and log_dt (K,) at the spectrum's own step size per state."""
    (states,) = diagonal.require_dimensions(source, "log_dt", "states")
    diagonal.require_writable(source.name, spectrum, (1, states), _symmetry(source))
    dt = diagonal.dt_for(source.name, spectrum, (1, states), "one step size per state")
    poles = diagonal.to_poles(source.name, spectrum.log_poles, dt, spectrum.discretization)[0]
    tensors = source.site.tensors
    stored = np.stack([_stored_damping(source, poles), poles.imag], axis=-1)
    return {tensors["A"]: stored, tensors["log_dt"]: np.log(dt[0])}


def _stored_damping(source: LayerSource, poles: Complexes) -> Floats:
    if source.site.variant == LRNNX_EVENTS:
        return poles.real
    if not (poles.real < 0.0).all():
        raise SchemeError(
            f"{printable(source.name)}: {FAMILY.title} stores its damping through softplus, so a "
            f"mode without damping (or a growing one) cannot be written; "
            f"use a smallest damping above 0"
        )
    return diagonal.softplus_inverse(-poles.real)


def _symmetry(source: LayerSource) -> Symmetry:
    return Symmetry.HALF if source.site.variant == ATTENUATE else Symmetry.FULL


def read_kernel(source: LayerSource, spectrum: LayerSpectrum) -> MimoKernel:
    """C and B_bar; in aTENNuate C dt Re(pole_bar^k) B, so half of C for each pole of a pair."""
    if source.site.variant != ATTENUATE:
        is_real = source.site.variant == LRNNX
        inputs = _real_matrix(source, "B", 1.0) if is_real else read_matrix(source, "B")
        return mimo_kernel(source, spectrum, read_matrix(source, "C"), inputs)
    dt = diagonal.dt_for(source.name, spectrum, spectrum.shape, "one step size per state")
    outputs = _real_matrix(source, "C", 0.5)
    return MimoKernel(spectrum, outputs, _real_matrix(source, "B", dt.T))


def _real_matrix(source: LayerSource, role: str, scale: float | Floats) -> Complexes:
    return diagonal.to_complex(diagonal.read_real(source, role) * scale, np.zeros(1))


FAMILY = Family(
    id="attenuate",
    title="aTENNuate",
    summary="MIMO layer of aTENNuate and PLEIADES, and the S5 of lrnnx; one step size per state",
    formula="pole_bar = exp(dt A), dt = exp(log_dt), A = -softplus(A[:, 0]) + i A[:, 1]",
    source="Brainchip-Inc/aTENNuate 124786c, attenuate/model.py; SforAiDl/lrnnx 1e79400, "
    "lrnnx/models/lti/s5.py and ltv/s5.py",
    find=find,
    read=read,
    write=write,
    read_kernel=read_kernel,
    parameters=Parameters(decay=("A",), angle=("A",), step=("log_dt",)),
)
