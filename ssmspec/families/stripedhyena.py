"""StripedHyena 1 and 2 (Evo 1 and 2): modal filters, discrete poles as stored.

============  ========================  ====================================================
tensor        shape                     meaning
============  ========================  ====================================================
`poles`       (systems, states, 1, 2)   version 1: pole_bar as real and imaginary part
`log_poles`   (systems, states, 1)      version 2: log of a real pole_bar
`residues`    (systems, states, 1, 2)   version 1: h[k] = Re sum residues pole_bar^k
`residues`    (systems, states)         version 2
============  ========================  ====================================================

Nothing bounds either kind: training may leave a pole that grows. Layers with a short explicit
filter `h` (version 2) have no poles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ssmspec.arrays import Array, Complexes
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import (
    Family,
    Found,
    LayerSite,
    LayerSource,
    Parameters,
    choose_discretization,
)
from ssmspec.families.catalog import Catalog
from ssmspec.families.parts.diagonal import (
    choose_dt_transform,
    read_real,
    require_dimensions,
    require_writable,
    to_complex,
)
from ssmspec.kernel import LayerKernel
from ssmspec.naming import printable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry

CARTESIAN = "1"
"""Variant: complex poles as pairs."""
LOGARITHMIC = "2"
"""Variant: logarithms of real poles."""

SMALLEST_RADIUS = np.finfo(np.float64).tiny
"""A pole at 0 answers at once and never again; its logarithm is taken of this instead."""


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with poles and residues."""
    for module in catalog.having("residues"):
        for leaf, variant in (("poles", CARTESIAN), ("log_poles", LOGARITHMIC)):
            if leaf in module.leaves:
                names = {"poles": module.leaves[leaf], "residues": module.leaves["residues"]}
                yield LayerSite(module.name, names, variant)
                break


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = poles[..., 0] + i poles[..., 1], or exp(log_poles)."""
    _require_shape(source)
    discretization, _ = choose_discretization(source, FAMILY.discretizations, "")
    choose_dt_transform(source, FAMILY.dt_transforms, "")
    return LayerSpectrum(
        name=source.name,
        family=FAMILY.id,
        discretization=discretization,
        symmetry=_symmetry(source),
        log_poles=_log_poles(source),
    )


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """The poles alone: any damping can be held, and in version 1 any angle on the circle.

    Returns:
        Poles of shape (H, M, 1, 2) in version 1, their logarithms (H, M, 1) in version 2.
    """
    shape = _require_shape(source)
    require_writable(source.name, spectrum, shape, _symmetry(source))
    if source.site.variant == CARTESIAN:
        poles = np.exp(spectrum.log_poles)
        stored = np.stack([poles.real, poles.imag], axis=-1)
    elif (spectrum.omega_unwrapped != 0.0).any():
        raise SchemeError(
            f"{printable(source.name)}: StripedHyena 2 stores logarithms of positive poles and "
            f"cannot hold an oscillating scheme; s4d-real is one it can hold"
        )
    else:
        stored = -spectrum.decay
    return {source.site.tensors["poles"]: stored.reshape(source.shape("poles"))}


def _log_poles(source: LayerSource) -> Complexes:
    stored = read_real(source, "poles")
    if source.site.variant == LOGARITHMIC:
        return to_complex(stored[:, :, 0], np.zeros(1))
    poles = to_complex(stored[:, :, 0, 0], stored[:, :, 0, 1])
    radius = np.maximum(np.abs(poles), SMALLEST_RADIUS)
    return to_complex(np.log(radius), np.angle(poles) + 0.0 * radius)


def read_kernel(source: LayerSource, spectrum: LayerSpectrum) -> LayerKernel:
    """The residues as they are stored."""
    stored = read_real(source, "residues")
    is_cartesian = source.site.variant == CARTESIAN
    if stored.shape != ((*spectrum.shape, 1, 2) if is_cartesian else spectrum.shape):
        raise LayoutError(
            f"{printable(source.site.tensors['residues'])} has shape {stored.shape}, which does "
            f"not fit {spectrum.channels} systems of {spectrum.modes} states"
        )
    pairs = (stored[:, :, 0, 0], stored[:, :, 0, 1]) if is_cartesian else (stored, np.zeros(1))
    return LayerKernel(spectrum, to_complex(*pairs)[None])


def _symmetry(source: LayerSource) -> Symmetry:
    return Symmetry.FULL if source.site.variant == CARTESIAN else Symmetry.REAL


def _require_shape(source: LayerSource) -> tuple[int, int]:
    """(systems, states), equal in poles and residues."""
    is_cartesian = source.site.variant == CARTESIAN
    expected = ("systems", "states", "1", "2") if is_cartesian else ("systems", "states", "1")
    shape = require_dimensions(source, "poles", *expected)
    if shape[2:] != ((1, 2) if is_cartesian else (1,)) or source.shape("residues")[:2] != shape[:2]:
        raise LayoutError(
            f"{printable(source.site.tensors['poles'])} has shape {shape} beside residues of "
            f"{source.shape('residues')}, expected ({', '.join(expected)}) and as many residues"
        )
    return shape[0], shape[1]


FAMILY = Family(
    id="stripedhyena",
    title="StripedHyena",
    summary="modal filters of StripedHyena 1 and 2 (Evo 1 and 2); discrete poles",
    formula="pole_bar = poles[..., 0] + i poles[..., 1] (version 1), exp(log_poles) (version 2)",
    source="togethercomputer/stripedhyena 7e13f61, src/model.py; Zymrael/vortex 350fbb0, "
    "vortex/model/model.py",
    find=find,
    read=read,
    write=write,
    discretizations=(Discretization.NATIVE,),
    read_kernel=read_kernel,
    parameters=Parameters(decay=("poles",), angle=("poles",)),
)
