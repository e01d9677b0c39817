"""S4D of state-spaces/s4 version 4 (`...layer.kernel.*`), and the S4D of lrnnx.

===============  ===========  ===================================================
tensor           shape        meaning
===============  ===========  ===================================================
`inv_dt`         (H, 1)       dt = exp(inv_dt), or softplus where the model was built so
`inv_dt`         (H, N/2)     with dt_tie = False: one step size per mode
`A_real`         (S, N/2)     Re A = -exp(A_real)
`A_imag`         (S, N/2)     Im A = -A_imag: the opposite sign of every other S4D
`B`, `C`                      (1, S, N/2, 2) and (kernels, H, N/2, 2), real and imaginary parts
===============  ===========  ===================================================

S = n_ssm rows are shared: channel h uses row h mod S. One of each conjugate pair is stored and
K = 2 Re sum c l^k with c = C B_bar; a layer built with `bidirectional` holds twice the kernels, the
second half of which runs backward. Built with `is_real`, a layer has no `A_imag`, N real poles, and
real B and C without a last axis; the code doubles their sum too, so that c = 2 C B_bar. With `P` it
is S4 proper (DPLR), whose poles are not its diagonal: another family.

lrnnx keeps the parameters on the layer and registers them again on `layer.kernel`: one layer with
two names for each tensor, so both names are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

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
    require_shape,
)
from ssmspec.families.catalog import Catalog, Module
from ssmspec.families.dss import softmax_scale
from ssmspec.families.parts import diagonal, residues
from ssmspec.kernel import Kernel, LayerKernel, discretized_input
from ssmspec.naming import printable
from ssmspec.reading import Discretization, DtTransform
from ssmspec.spectrum import LayerSpectrum, Symmetry

ROLES = ("inv_dt", "A_real")
KERNEL = "layer.kernel"
"""Where lrnnx registers a layer's parameters a second time."""
DSS = "dss"
"""What `--assume` says of a model built with `disc="dss"`: ZOH poles, another scale of C."""
DISC = f"S4D v4 does not store its discretization (disc; --assume {DSS} is its third)"
DT_TRANSFORM = "S4D v4 does not store dt_transform"
ASSUMED = (
    "S4D v4 does not store real_transform, imag_transform and dt_fast; "
    "taken as exp, none and off, their defaults"
)


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with the diagonal kernel's parameters and no low-rank term beside them."""
    for module in catalog.having(*ROLES):
        if module.has("P") or is_second_name(module):
            continue
        names = (*ROLES, *(name for name in ("A_imag", "B", "C") if module.has(name)))
        names += tuple(f"{KERNEL}.{name}" for name in names if module.has(f"{KERNEL}.{name}"))
        found = {name: module.tensor(name) for name in names}
        yield LayerSite(module.name, {role: name for role, name in found.items() if name})


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(dt A), A = -exp(A_real) - i A_imag."""
    channels, _ = diagonal.require_dimensions(source, "inv_dt", "channels", "1 or modes")
    rows, modes = diagonal.require_dimensions(source, "A_real", "n_ssm", "modes")
    if source.shape("inv_dt")[1] != 1:
        require_shape(source, "inv_dt", (channels, modes))
    discretization, disc = choose_discretization(source, FAMILY.discretizations, DISC)
    transform, dt_told = diagonal.choose_dt_transform(source, FAMILY.dt_transforms, DT_TRANSFORM)
    dt = diagonal.stored_to_dt(diagonal.read_real(source, "inv_dt"), transform)
    real = -diagonal.exp(diagonal.read_real(source, "A_real"))
    imag = np.zeros((rows, modes))
    if source.has("A_imag"):
        require_shape(source, "A_imag", (rows, modes))
        imag = -diagonal.read_real(source, "A_imag")
    poles = diagonal.repeat_tied(
        diagonal.to_complex(real, imag), channels, source.site.tensors["A_real"]
    )
    spectrum = LayerSpectrum(
        name=source.name,
        family=FAMILY.id,
        discretization=discretization,
        symmetry=_symmetry(source),
        log_poles=diagonal.to_log_poles(poles, dt, discretization),
        dt=dt,
        assumptions=(*disc, *dt_told, ASSUMED),
    )
    extra = diagonal.bandlimit_assumption(spectrum, FAMILY.title)
    return replace(spectrum, assumptions=(*spectrum.assumptions, *extra))


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """A at the spectrum's own step sizes; channels that share a row must agree on it.

    Returns:
        inv_dt (H, 1) or (H, N/2), A_real and A_imag (S, N/2). Real poles: A_real alone, (S, N).
    """
    channels, steps = diagonal.require_dimensions(source, "inv_dt", "channels", "1 or modes")
    rows, modes = diagonal.require_dimensions(source, "A_real", "n_ssm", "modes")
    diagonal.require_writable(source.name, spectrum, (channels, modes), _symmetry(source))
    told = "one step size per channel" if steps == 1 else "one step size per mode"
    dt = diagonal.dt_for(source.name, spectrum, (channels, steps), told)
    discretization, _ = choose_discretization(source, FAMILY.discretizations, DISC)
    transform, _ = diagonal.choose_dt_transform(source, FAMILY.dt_transforms, DT_TRANSFORM)
    poles = diagonal.to_poles(source.name, spectrum.log_poles, dt, discretization)
    stored = {"inv_dt": diagonal.dt_to_stored(dt, transform), **_stored_poles(source, poles, rows)}
    stored |= {f"{KERNEL}.{role}": values for role, values in stored.items()}
    return {source.site.tensors[role]: stored[role] for role in stored if source.has(role)}


def _stored_poles(source: LayerSource, poles: Complexes, rows: int) -> dict[str, Array]:
    poles = diagonal.untie(source.name, poles, rows)
    return {"A_real": diagonal.log_damping(source.name, poles, FAMILY.title), "A_imag": -poles.imag}


def _symmetry(source: LayerSource) -> Symmetry:
    return Symmetry.HALF if source.has("A_imag") else Symmetry.REAL


def is_second_name(module: Module) -> bool:
    """Whether this is lrnnx's `layer.kernel`, whose parameters are those of the layer around it."""
    outer = module.path.removesuffix(KERNEL).removesuffix(".")
    return module.path.endswith(KERNEL) and module.catalog.module(outer).has(*ROLES)


def read_kernel(source: LayerSource, spectrum: LayerSpectrum) -> LayerKernel:
    """Residues C B_bar, B_bar = B (exp(dt A) - 1) / A, or dt B / (1 - dt A / 2) if bilinear."""
    kernel = residues.siso_kernel(source, spectrum, _read(source, "C"), _inputs(source, spectrum))
    if DSS not in source.reading.assume:
        return kernel
    return LayerKernel(spectrum, kernel.residues * _dss_over_zoh(source, spectrum))


def _dss_over_zoh(source: LayerSource, spectrum: LayerSpectrum) -> Complexes:
    """(H, M): the scale of `disc="dss"` over that of the zero-order hold.

    Raises:
        LayoutError: the length that it scales over is not known.
    """
    length = source.reading.seq_len
    if length is None or spectrum.dt is None:
        raise LayoutError(
            'disc="dss" scales the kernel over the sequence, whose length is not known '
            "(--seq-len gives it)"
        )
    scale = softmax_scale(spectrum.log_poles, spectrum.log_poles / spectrum.dt, length)
    return np.asarray(scale / discretized_input(spectrum))


def write_kernel(source: LayerSource, kernel: Kernel) -> Mapping[str, Array]:
    """C = c / B_bar, (kernels, H, N/2, 2), without the pairs where poles are real; B stays.

    Raises:
        SchemeError: residues that are not real, for a layer of real poles.
    """
    siso = residues.as_siso(source, kernel)
    if DSS in source.reading.assume:
        ratio = _dss_over_zoh(source, siso.spectrum)
        siso = LayerKernel(siso.spectrum, siso.residues / ratio)
    outputs = residues.siso_outputs(source, siso, _inputs(source, siso.spectrum))
    return residues.under(source, {"C": _stored(source, outputs)}, KERNEL)


def reset_kernel(
    source: LayerSource, _: LayerSpectrum, rng: np.random.Generator
) -> Mapping[str, Array]:
    """C complex normal of variance 1; a layer of real poles keeps the real part of such a draw.

    Returns:
        C as pairs (kernels, H, N/2, 2), or real (kernels, H, N).
    """
    drawn = residues.complex_normal(rng, _read(source, "C").shape, np.sqrt(0.5))
    if _symmetry(source) is Symmetry.REAL:
        drawn.imag = 0.0
    return residues.under(source, {"C": _stored(source, drawn)}, KERNEL)


def _read(source: LayerSource, role: str) -> Array:
    if _symmetry(source) is Symmetry.HALF:
        return residues.read_complex(source, role)
    if not source.has(role):
        raise LayoutError(f"{role} is not in the file")
    return diagonal.read_real(source, role)


def _stored(source: LayerSource, outputs: Complexes) -> Array:
    if _symmetry(source) is Symmetry.HALF:
        return residues.as_stored(source, "C", outputs)
    if (outputs.imag != 0.0).any():
        raise SchemeError(f"{printable(source.name)} stores a real C, which gives real residues")
    return residues.in_shape(source, "C", outputs.real)


def _inputs(source: LayerSource, spectrum: LayerSpectrum) -> Array:
    """(H, M), B; twice it for real poles, whose sum the code doubles without a conjugate."""
    inputs = residues.tied_inputs(source, _read(source, "B"), spectrum)
    if _symmetry(source) is Symmetry.HALF:
        return inputs
    with np.errstate(over="ignore"):
        return 2.0 * inputs


FAMILY = Family(
    id="s4d-v4",
    title="S4D v4",
    summary="diagonal kernel of state-spaces/s4 v4 (also lrnnx)",
    formula="pole_bar = exp(dt A), dt = exp(inv_dt) or softplus(inv_dt), "
    "A = -exp(A_real) - i A_imag; (1 + dt A/2) / (1 - dt A/2) with --discretization bilinear",
    source="state-spaces/s4 e757cef, models/s4/s4.py; lrnnx 1.0.0.post1, lrnnx/ops/s4_utils.py",
    find=find,
    read=read,
    write=write,
    known_inits=(
        "s4d-lin", "s4d-inv", "s4d-inv2", "s4d-quad", "s4d-legs", "dfout", "dfout-single",
    ),
    discretizations=(Discretization.ZOH, Discretization.BILINEAR),
    dt_transforms=(DtTransform.EXP, DtTransform.SOFTPLUS),
    assumable=(DSS,),
    read_kernel=read_kernel,
    write_kernel=write_kernel,
    reset_kernel=reset_kernel,
    parameters=Parameters(decay=("A_real",), angle=("A_imag",), step=("inv_dt",)),
)  # fmt: skip
