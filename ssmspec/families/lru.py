"""LRU, the linear recurrent unit: one MIMO system per layer, discrete poles as stored.

===============  ======  ==================================================================
tensor           shape   meaning
===============  ======  ==================================================================
`nu_log`         (N,)    decay = exp(nu_log) nat/sample: |pole_bar| < 1 by construction
`theta_log`      (N,)    angle = exp(theta_log) rad/sample, unbounded; drawn from [0, 2 pi)
`gamma_log`      (N,)    log of the input's normalization, sqrt(1 - |pole_bar|^2) at the start
`B`, `C`         (N, I)  and (O, N): complex, or two tensors `B_re` and `B_im` (`C_re`, `C_im`)
`Bp`             (N, I)  complex: B in a port
===============  ======  ==================================================================

The names are the same in JAX (minimal-LRU), torch (LRU-pytorch, lrnnx) and TensorFlow ports. All N
poles are stored, without conjugates, and y = Re(C x): an angle above pi is the frequency
2 pi - angle running the other way, not an alias. There is no step size. The kernel is that of one
system, Re(C diag(pole_bar^k) B_bar) with B_bar = exp(gamma_log) B.
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
from ssmspec.families.parts import diagonal, residues
from ssmspec.kernel import Kernel, MimoKernel
from ssmspec.naming import printable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry
from ssmspec.units import TWO_PI

ROLES = ("nu_log", "theta_log")
MATRICES = {
    "gamma_log": ("gamma_log",),
    "B": ("B", "Bp"),
    "B_re": ("B_re", "B_real"),
    "B_im": ("B_im", "B_imag"),
    "C": ("C",),
    "C_re": ("C_re", "C_real"),
    "C_im": ("C_im", "C_imag"),
}
"""Role -> names it goes by in public ports."""

SMALLEST_ANGLE = 1e-6
"""Angle 0 has no logarithm and is written as this, rad/sample: a period of 6 million samples."""


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules that hold both pole parameters directly."""
    for module in catalog.having(*ROLES):
        tensors = {role: module.leaves[role] for role in ROLES}
        for role, names in MATRICES.items():
            found = [module.leaves[name] for name in names if name in module.leaves]
            if found:
                tensors[role] = found[0]
        yield LayerSite(module.name, tensors)


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(-exp(nu_log) + i exp(theta_log)), the angle brought into (-pi, pi]."""
    shape = diagonal.require_dimensions(source, "nu_log", "states")
    require_shape(source, "theta_log", shape)
    discretization, _ = choose_discretization(source, FAMILY.discretizations, "")
    diagonal.choose_dt_transform(source, FAMILY.dt_transforms, "")
    decay = diagonal.exp(diagonal.read_real(source, "nu_log"))
    angle = _wrapped(diagonal.exp(diagonal.read_real(source, "theta_log")))
    return LayerSpectrum(
        name=source.name,
        family=FAMILY.id,
        discretization=discretization,
        symmetry=Symmetry.FULL,
        log_poles=diagonal.to_complex(-decay, angle)[None],
    )


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """nu_log, theta_log and the normalization gamma_log of the new radii, each (N,).

    Angle 0 becomes `SMALLEST_ANGLE`; a negative angle is stored as 2 pi more.
    """
    (states,) = diagonal.require_dimensions(source, "nu_log", "states")
    diagonal.require_writable(source.name, spectrum, (1, states), Symmetry.FULL)
    decay = spectrum.decay[0]
    if not (decay > 0).all():
        raise SchemeError(
            f"{printable(source.name)}: {FAMILY.title} stores the logarithm of its damping, so a "
            f"mode without damping (or a growing one) cannot be written; "
            f"use a smallest damping above 0"
        )
    angle = np.remainder(spectrum.omega_unwrapped[0], TWO_PI)
    angle = np.where(angle == 0.0, SMALLEST_ANGLE, angle)
    stored = {"nu_log": np.log(decay), "theta_log": np.log(angle)}
    if source.has("gamma_log"):
        stored["gamma_log"] = _normalization(source, decay)
    return {source.site.tensors[role]: values for role, values in stored.items()}


def _normalization(source: LayerSource, decay: Floats) -> Floats:
    """gamma_log = log sqrt(1 - r^2), where 1 - r^2 = -expm1(-2 decay) loses no digits near 1."""
    shape = source.shape("gamma_log")
    values: Floats = 0.5 * np.log(-np.expm1(-2.0 * decay))
    if int(np.prod(shape)) != values.size:
        raise LayoutError(
            f"{printable(source.site.tensors['gamma_log'])} has shape {shape}, "
            f"expected one value for each of {values.size} states"
        )
    return values.reshape(shape)


def _wrapped(angle: Floats) -> Floats:
    """An angle >= 0 in (-pi, pi], untouched where it already is."""
    with np.errstate(invalid="ignore"):  # an infinite angle has no place on the circle: NaN
        return np.where(angle <= np.pi, angle, angle - TWO_PI * np.ceil((angle - np.pi) / TWO_PI))


def read_kernel(source: LayerSource, spectrum: LayerSpectrum) -> MimoKernel:
    """C and B_bar = exp(gamma_log) B."""
    return residues.mimo_kernel(source, spectrum, _matrix(source, "C"), _inputs(source, spectrum))


def write_kernel(source: LayerSource, kernel: Kernel) -> Mapping[str, Array]:
    """C (O, N); B stays, and must be the one that the kernel was made with."""
    mimo = residues.as_mimo(source, kernel)
    outputs = residues.mimo_outputs(source, mimo, _inputs(source, mimo.spectrum))
    return _stored_outputs(source, outputs)


def reset_kernel(
    source: LayerSource, _: LayerSpectrum, rng: np.random.Generator
) -> Mapping[str, Array]:
    """C (O, N) with normal real and imaginary parts of variance 1/N each."""
    shape = _matrix(source, "C").shape
    return _stored_outputs(source, residues.complex_normal(rng, shape, 1.0 / np.sqrt(shape[1])))


def _inputs(source: LayerSource, spectrum: LayerSpectrum) -> Complexes:
    """(N, I), exp(gamma_log) B.

    With poles other than the stored ones, gamma_log is the one that `write` stores beside them.
    """
    B = _matrix(source, "B")
    if not source.has("gamma_log"):
        return B
    stored = diagonal.read_real(source, "gamma_log")
    if not np.array_equal(spectrum.log_poles, read(source).log_poles, equal_nan=True):
        stored = _normalization(source, spectrum.decay[0])
    if stored.size != B.shape[0]:
        raise LayoutError(
            f"{printable(source.name)}: B has {B.shape[0]} rows, gamma_log {stored.size} values"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return diagonal.exp(stored).reshape(-1, 1) * B


def _matrix(source: LayerSource, role: str) -> Complexes:
    """B or C, from one complex tensor or from its two parts."""
    parts = (f"{role}_re", f"{role}_im")
    if source.has(role) or not all(map(source.has, parts)):
        return residues.read_matrix(source, role)
    real, imag = (diagonal.read_real(source, part) for part in parts)
    if real.ndim != 2 or real.shape != imag.shape:
        raise LayoutError(
            f"{printable(source.name)}: {parts[0]} has shape {real.shape} and {parts[1]} "
            f"{imag.shape}, expected two matrices of one shape"
        )
    return diagonal.to_complex(real, imag)


def _stored_outputs(source: LayerSource, outputs: Complexes) -> dict[str, Array]:
    if source.has("C"):
        return residues.under(source, {"C": residues.as_stored(source, "C", outputs)})
    return residues.under(source, {"C_re": outputs.real, "C_im": outputs.imag})


FAMILY = Family(
    id="lru",
    title="LRU",
    summary="linear recurrent unit (minimal-LRU, LRU-pytorch, lrnnx and ports); discrete poles",
    formula="pole_bar = exp(-exp(nu_log) + i exp(theta_log))",
    source="NicolasZucchet/minimal-LRU bbd71b1, lru/model.py; Gothos/LRU-pytorch e250d5a, "
    "LRU_pytorch/LRU.py",
    find=find,
    read=read,
    write=write,
    discretizations=(Discretization.NATIVE,),
    read_kernel=read_kernel,
    write_kernel=write_kernel,
    reset_kernel=reset_kernel,
    parameters=Parameters(decay=("nu_log",), angle=("theta_log",)),
)
