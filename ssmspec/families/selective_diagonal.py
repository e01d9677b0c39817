"""A selective diagonal SSM as plain numpy code writes it: `A_log`, `Wdelta`, `bdelta`.

==========  ===============  =====================================================
tensor      shape            meaning
==========  ===============  =====================================================
`A_log`     (H, N) or (N,)   A = -exp(A_log); (N,) is shared by all channels
`Wdelta`    (., H)           dt = softplus(x Wdelta + bdelta)
`bdelta`    (H,)             nominal dt = softplus(bdelta)
==========  ===============  =====================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.families.base import Family, Found, LayerSite, LayerSource, require_shape
from ssmspec.families.catalog import Catalog
from ssmspec.families.parts.diagonal import (
    read_real,
    require_dimensions,
    softplus,
    softplus_inverse,
    untie,
)
from ssmspec.families.parts.gates import nominal_assumption, real_poles_to_parameters, real_spectrum
from ssmspec.reading import DtTransform
from ssmspec.spectrum import LayerSpectrum

ROLES = ("A_log", "bdelta")

BY_NAME = (
    "the selective diagonal SSM is known by the names of its tensors: A is taken as -exp(A_log) "
    "and dt as softplus(x Wdelta + bdelta)"
)


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with `A_log` and both parameters of the step size."""
    for module in catalog.having(*ROLES, "Wdelta"):
        yield LayerSite(module.name, {role: module.leaves[role] for role in ROLES})


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(dt A), A = -exp(A_log), at dt = softplus(bdelta)."""
    shape = _shape(source)
    A_log = np.broadcast_to(read_real(source, "A_log"), shape)
    told = (nominal_assumption(FAMILY.title), BY_NAME)
    return real_spectrum(source, FAMILY.id, A_log, _dt(source), told)


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """A_log = log(decay / dt); the bias only where the step size changes."""
    A_log, dt = real_poles_to_parameters(source.name, FAMILY.title, spectrum, _shape(source))
    if len(source.shape("A_log")) == 1:
        A_log = np.log(-untie(source.name, -np.exp(A_log) + 0j, 1)[0].real)
    tensors = source.site.tensors
    written: dict[str, Array] = {tensors["A_log"]: A_log}
    if not np.array_equal(dt, _dt(source)):
        written[tensors["bdelta"]] = softplus_inverse(dt)[:, 0]
    return written


def _dt(source: LayerSource) -> Floats:
    return softplus(read_real(source, "bdelta"))[:, None]


def _shape(source: LayerSource) -> tuple[int, int]:
    (channels,) = require_dimensions(source, "bdelta", "channels")
    if len(source.shape("A_log")) == 1:
        return channels, source.shape("A_log")[0]
    _, states = require_dimensions(source, "A_log", "channels", "states")
    require_shape(source, "A_log", (channels, states))
    return channels, states


FAMILY = Family(
    id="selective-diagonal",
    title="selective diagonal SSM",
    summary="selective SSM of plain numpy code; real poles, nominal step sizes",
    formula="pole_bar = exp(dt A), A = -exp(A_log), nominal dt = softplus(bdelta)",
    source="A. Gu and T. Dao, Mamba (arXiv 2312.00752), algorithm 2",
    find=find,
    read=read,
    write=write,
    dt_transforms=(DtTransform.SOFTPLUS,),
    is_complex=False,
)
