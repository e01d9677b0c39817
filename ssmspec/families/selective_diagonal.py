"""A selective diagonal SSM as plain numpy code writes it: `A_log`, `Wdelta`, `bdelta`.

==========  ===============  =====================================================
tensor      shape            meaning
==========  ===============  =====================================================
`A_log`     (H, N) or (N,)   A = -exp(A_log); (N,) is shared by all channels
`A_log`     (H,)             elementwise, one state a channel: A = -softplus(A_log)
`Wdelta`    (., H)           dt = softplus(x Wdelta + bdelta)
`bdelta`    (H,)             nominal dt = softplus(bdelta)
==========  ===============  =====================================================

The elementwise layer has as many poles as states, each with a step size of its own, and keeps
-softplus under the name of a logarithm. A file cannot say which of the two functions a layer uses:
`--assume exp-a` and `--assume softplus-a` do. With a `Wdelta` of zeros its step size is fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.families.base import Family, Found, LayerSite, LayerSource, Parameters, require_shape
from ssmspec.families.catalog import Catalog
from ssmspec.families.parts.diagonal import (
    exp,
    read_real,
    require_dimensions,
    softplus,
    softplus_inverse,
    untie,
)
from ssmspec.families.parts.gates import (
    nominal_assumption,
    real_poles_spectrum,
    real_poles_to_parameters,
)
from ssmspec.reading import DtTransform
from ssmspec.spectrum import LayerSpectrum

ROLES = ("A_log", "bdelta")

ELEMENTWISE = "elementwise"
"""Variant: one state a channel."""

EXP_A, SOFTPLUS_A = "exp-a", "softplus-a"
"""What `--assume` says of A."""

BY_NAME = (
    "the selective diagonal SSM is known by the names of its tensors: A is taken as "
    "-{taken}(A_log) (--assume {other} changes it) and dt as softplus(x Wdelta + bdelta)"
)
FIXED = "Wdelta is zero: the step sizes do not depend on the input"


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with `A_log` and both parameters of the step size."""
    for module in catalog.having(*ROLES, "Wdelta"):
        roles = (*ROLES, "Wdelta")
        one_each = module.shape("A_log") == module.shape("bdelta")
        tensors = {role: module.leaves[role] for role in roles}
        yield LayerSite(module.name, tensors, ELEMENTWISE if one_each else "")


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(dt A), A = -exp(A_log) or -softplus(A_log), at dt = softplus(bdelta)."""
    shape = _shape(source)
    stored = read_real(source, "A_log")
    stored = stored[:, None] if _is_elementwise(source) else np.broadcast_to(stored, shape)
    fixed = _is_elementwise(source) and not source.read("Wdelta").any()
    by_softplus = _by_softplus(source)
    A = -softplus(stored) if by_softplus else -exp(stored)
    names = ("softplus", EXP_A) if by_softplus else ("exp", SOFTPLUS_A)
    told = (
        FIXED if fixed else nominal_assumption(FAMILY.title),
        BY_NAME.format(taken=names[0], other=names[1]),
    )
    return real_poles_spectrum(source, FAMILY.id, A, _dt(source), told, selective=not fixed)


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """A_log = log(decay / dt); the bias only where the step size changes.

    Returns:
        A_log (H, N), (N,) or (H,), as stored, and bdelta (H,).
    """
    A_log, dt = real_poles_to_parameters(source.name, FAMILY.title, spectrum, _shape(source))
    A = -np.exp(A_log)
    if _is_elementwise(source):
        A = A[:, 0]
    elif len(source.shape("A_log")) == 1:
        A = untie(source.name, A + 0j, 1)[0].real
    A_log = softplus_inverse(-A) if _by_softplus(source) else np.log(-A)
    tensors = source.site.tensors
    written: dict[str, Array] = {tensors["A_log"]: A_log}
    if not np.array_equal(dt, _dt(source)):
        written[tensors["bdelta"]] = softplus_inverse(dt)[:, 0]
    return written


def _is_elementwise(source: LayerSource) -> bool:
    return source.site.variant == ELEMENTWISE


def _by_softplus(source: LayerSource) -> bool:
    """Whether A is -softplus(A_log), as asked for or as elementwise code has it."""
    assumed = source.reading.assume
    return SOFTPLUS_A in assumed or (_is_elementwise(source) and EXP_A not in assumed)


def _dt(source: LayerSource) -> Floats:
    return softplus(read_real(source, "bdelta"))[:, None]


def _shape(source: LayerSource) -> tuple[int, int]:
    (channels,) = require_dimensions(source, "bdelta", "channels")
    if _is_elementwise(source):
        require_shape(source, "A_log", (channels,))
        return channels, 1
    if len(source.shape("A_log")) == 1:
        return channels, source.shape("A_log")[0]
    _, states = require_dimensions(source, "A_log", "channels", "states")
    require_shape(source, "A_log", (channels, states))
    return channels, states


FAMILY = Family(
    id="selective-diagonal",
    title="selective diagonal SSM",
    summary="selective SSM of plain numpy code; real poles, nominal step sizes",
    formula="pole_bar = exp(dt A), A = -exp(A_log), nominal dt = softplus(bdelta); elementwise: "
    "A = -softplus(A_log)",
    source="A. Gu and T. Dao, Mamba (arXiv 2312.00752), algorithm 2",
    find=find,
    read=read,
    write=write,
    dt_transforms=(DtTransform.SOFTPLUS,),
    is_complex=False,
    assumable=(EXP_A, SOFTPLUS_A),
    parameters=Parameters(decay=("A_log",), step=("bdelta",)),
)
