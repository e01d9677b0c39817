"""VMamba: several selective scans over a plane, stacked in one tensor.

===================  ==============  =======================================================
tensor               shape           meaning
===================  ==============  =======================================================
`A_logs`             (K D, N)        A = -exp(A_logs); K scans of D = d_inner channels each
`dt_projs_bias`      (K, D)          dt = softplus(. + bias); nominal softplus(bias)
`A_logs`             (K, R)          built on Mamba-2: one pole a head, R heads a scan,
`dt_projs_bias`      (K, R)          shared by the states of the head
===================  ==============  =======================================================

K = 4 scans run over the pixels row by row, column by column and both ways back. A layer has K D
channels, scan by scan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.errors import LayoutError
from ssmspec.families.base import Family, Found, LayerSite, LayerSource, Parameters, require_shape
from ssmspec.families.catalog import Catalog
from ssmspec.families.parts.diagonal import (
    read_real,
    require_dimensions,
    softplus,
    softplus_inverse,
)
from ssmspec.families.parts.gates import nominal_assumption, real_poles_to_parameters, real_spectrum
from ssmspec.naming import printable
from ssmspec.reading import DtTransform
from ssmspec.spectrum import LayerSpectrum

ROLES = ("A_logs", "dt_projs_bias")

HEADS = "heads"
"""Variant: one pole a head, as in Mamba-2."""

ON_A_PLANE = (
    "VMamba scans a plane in several directions: one sample is one pixel along a scan, not a step "
    "in time"
)


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with stacked A and the biases of their dt projections."""
    for module in catalog.having(*ROLES):
        is_by_head = module.shape("A_logs") == module.shape("dt_projs_bias")
        tensors = {role: module.leaves[role] for role in ROLES}
        yield LayerSite(module.name, tensors, HEADS if is_by_head else "")


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(dt A), A = -exp(A_logs), at dt = softplus(bias)."""
    shape = _shape(source)
    told = (nominal_assumption(FAMILY.title), ON_A_PLANE)
    return real_spectrum(
        source, FAMILY.id, read_real(source, "A_logs").reshape(shape), _dt(source), told
    )


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """A_logs = log(decay / dt); the biases only where step sizes change.

    Returns:
        A_logs (K D, N) and biases (K, D), or both (K, R).
    """
    A_log, dt = real_poles_to_parameters(source.name, FAMILY.title, spectrum, _shape(source))
    tensors = source.site.tensors
    written: dict[str, Array] = {tensors["A_logs"]: A_log.reshape(source.shape("A_logs"))}
    if not np.array_equal(dt, _dt(source)):
        bias = softplus_inverse(dt).reshape(source.shape("dt_projs_bias"))
        written[tensors["dt_projs_bias"]] = bias
    return written


def _dt(source: LayerSource) -> Floats:
    return softplus(read_real(source, "dt_projs_bias")).reshape(-1, 1)


def _shape(source: LayerSource) -> tuple[int, int]:
    """(H, M): all channels of all scans."""
    biases = require_dimensions(source, "dt_projs_bias", "scans", "channels of a scan")
    channels = math.prod(biases)
    if source.site.variant == HEADS:
        require_shape(source, "A_logs", biases)
        return channels, 1
    rows, states = require_dimensions(source, "A_logs", "scans x channels", "states")
    if rows != channels:
        raise LayoutError(
            f"{printable(source.site.tensors['A_logs'])} has {rows} rows, expected {channels}, "
            f"one for each of the {biases[0]} x {biases[1]} step sizes"
        )
    return channels, states


FAMILY = Family(
    id="vmamba",
    title="VMamba",
    summary="2-D selective scans of VMamba and its ports; real poles, nominal step sizes",
    formula="pole_bar = exp(dt A), A = -exp(A_logs), nominal dt = softplus(dt_projs_bias)",
    source="MzeroMiko/VMamba 10a2e99, vmamba.py",
    find=find,
    read=read,
    write=write,
    known_inits=("s4d-real",),
    dt_transforms=(DtTransform.SOFTPLUS,),
    is_complex=False,
    parameters=Parameters(decay=("A_logs",), step=("dt_projs_bias",)),
)
