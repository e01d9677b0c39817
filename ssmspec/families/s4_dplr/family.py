"""S4 proper, versions 1 to 4 and the JAX ports: a diagonal plus low-rank state matrix a channel.

Poles are the eigenvalues of the whole matrix diag(D) - P Q^T, completed by conjugates where a file
stores one of each pair, under the bilinear rule. Where training or the initialization left that
matrix far from normal, its eigenvalues hang on the last digits of the stored numbers: each has its
condition number, and an assumption of the report names the layers where rounding to float32 moves
poles by more than half a half-width.

Written back, a layer becomes diagonal: P and Q are set to zero, so that D is the spectrum. That is
a special case of the same parameterization, which then also stays so in training, because the
gradients of P and Q vanish with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ssmspec.arrays import Array, Bools, Complexes, Floats
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import (
    Family,
    Found,
    LayerSite,
    LayerSource,
    Parameters,
    choose_discretization,
)
from ssmspec.families.catalog import Catalog, Module
from ssmspec.families.parts.diagonal import dt_for, repeat_tied, require_writable, to_poles, untie
from ssmspec.families.parts.dplr import complete, spectrum_of, unreliable
from ssmspec.families.parts.residues import under
from ssmspec.families.s4_dplr import jax as s4_dplr_jax
from ssmspec.families.s4_dplr import kernel as s4_dplr_kernel
from ssmspec.families.s4_dplr import torch as s4_dplr_torch
from ssmspec.families.s4_dplr.stored import TITLE, Layout, Stored
from ssmspec.families.s4d_v4 import KERNEL, is_second_name
from ssmspec.kernel import Kernel, LayerKernel
from ssmspec.naming import printable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Structure, Symmetry

BILINEAR = Discretization.BILINEAR
LAYOUTS = {layout.version: layout for layout in (*s4_dplr_torch.LAYOUTS, s4_dplr_jax.LAYOUT)}
OPTIONAL = ("B", "C", "C_real_imag", "l_kernel", "L", "omega", "nodes")
"""What else a layer may hold: input and output vectors, and the length that C was made for."""
KRYLOV = "krylov"
"""The module of v1, whose names alone are too common."""
MAX_STATES = 1024
"""Largest matrix whose eigenvalues are computed, about a second each. Heuristic: published S4
layers have 64 to 256 states, and a small file could ask for hours."""
PAIRED = 1e-9
"""Relative difference up to which two log-poles count as conjugates. Heuristic: far above the
rounding of float64, far below any pole's width."""


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules that hold the parameters of one version; the first version that fits has them."""
    for module in catalog.having_any(layout.roles[0] for layout in LAYOUTS.values()):
        layout = next((layout for layout in LAYOUTS.values() if _fits(layout, module)), None)
        if layout is None or is_second_name(module):
            continue
        names = (*layout.roles, *OPTIONAL)
        names += tuple(f"{KERNEL}.{name}" for name in names)
        found = {name: module.tensor(name) for name in names}
        tensors = {role: name for role, name in found.items() if name is not None}
        yield LayerSite(module.name, tensors, layout.version)


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = (1 + dt l/2) / (1 - dt l/2), l the eigenvalues of diag(D) - P Q^T."""
    choose_discretization(source, FAMILY.discretizations, "")
    stored = _stored(source)
    found = spectrum_of(stored.solved)
    log_poles = stored.log_poles(found.poles)
    condition, shift = found.condition, found.shift
    if stored.dt.shape[1] == 1:
        condition, shift = (repeat_tied(v, len(stored.dt), "A") for v in (condition, shift))
        with np.errstate(over="ignore", invalid="ignore"):
            shift = shift * stored.dt
    doubtful = unreliable(log_poles, shift)
    return LayerSpectrum(
        name=source.name,
        family=FAMILY.id,
        discretization=BILINEAR,
        symmetry=Symmetry.FULL,
        log_poles=log_poles,
        dt=stored.steps,
        structure=Structure.DPLR,
        condition=condition,
        assumptions=(
            *stored.assumptions,
            *s4_dplr_kernel.length_assumption(source),
            *_warning(source.name, condition, doubtful),
        ),
    )


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """D from poles that come in conjugate pairs, mode N + n the conjugate of mode n; P = Q = 0.

    A spectrum that the layer has already leaves it as it is, its low-rank part included.

    Returns:
        All tensors of A and the step sizes, in their stored shapes.
    """
    stored = _stored(source)
    channels, modes = stored.shape
    require_writable(source.name, spectrum, stored.shape, Symmetry.FULL)
    layout = LAYOUTS[source.site.variant]
    if stored.has(stored.log_poles(spectrum_of(stored.solved).poles), spectrum):
        return under(source, {role: source.read(role) for role in layout.roles}, KERNEL)
    tied = stored.dt.shape[1] == 1
    told = "one step size per channel" if tied else "one step size per mode"
    dt = dt_for(source.name, spectrum, (channels, 1 if tied else modes), told)
    log_poles = spectrum.log_poles
    if stored.matrix.is_half:
        log_poles = _first_of_pairs(source.name, log_poles)
        dt = dt if tied else _first_of_pairs(source.name, dt.astype(np.complex128)).real
    poles = to_poles(source.name, log_poles, dt, BILINEAR)
    diagonal = untie(source.name, poles, len(stored.matrix.diagonal))
    return under(source, layout.write(source, diagonal, dt), KERNEL)


def read_kernel(source: LayerSource, spectrum: LayerSpectrum) -> LayerKernel:
    """Residues in the basis of eigenvectors, C undone."""
    return s4_dplr_kernel.read_kernel(source, _stored(source), spectrum)


def write_kernel(source: LayerSource, kernel: Kernel) -> Mapping[str, Array]:
    """C in its stored shape, multiplied by I - A_bar^L; B stays."""
    return s4_dplr_kernel.write_kernel(source, _stored(source), kernel)


def reset_kernel(
    source: LayerSource, spectrum: LayerSpectrum, rng: np.random.Generator
) -> Mapping[str, Array]:
    """C complex normal of variance 1, in its stored shape."""
    return s4_dplr_kernel.reset_kernel(source, _stored(source), spectrum, rng)


def _fits(layout: Layout, module: Module) -> bool:
    if layout.version == "v1" and module.path.rpartition(".")[2] != KRYLOV:
        return False
    return module.has(*layout.roles)


def _stored(source: LayerSource) -> Stored:
    stored = LAYOUTS[source.site.variant].read(source)
    states = stored.matrix.states
    first = source.site.tensors[LAYOUTS[source.site.variant].roles[0]]
    repeat_tied(
        stored.matrix.diagonal[:, :0], len(stored.dt), first
    )  # whether rows divide channels
    if states > MAX_STATES:
        raise LayoutError(
            f"its matrices have {states:,} states, and eigenvalues are computed of up to "
            f"{MAX_STATES:,}"
        )
    return stored


def _warning(name: str, condition: Floats, doubtful: Bools) -> tuple[str, ...]:
    """The sentence that says which poles to distrust, if any."""
    if not doubtful.any():
        return ()
    heads = np.count_nonzero(doubtful.any(axis=1))
    worst = condition[doubtful].max()
    return (
        f"{printable(name)}: {np.count_nonzero(doubtful):,} of {doubtful.size:,} poles, in "
        f"{heads:,} of {len(doubtful):,} heads, are unreliable: they are eigenvalues with "
        f"condition numbers up to {worst:.1e}, and rounding the stored numbers to float32 moves "
        f"them by more than half their half-width",
    )


def _first_of_pairs(name: str, values: Complexes) -> Complexes:
    """The first of each pair of values.

    Raises:
        SchemeError: mode N + n is not the conjugate of mode n.
    """
    first = values[:, : values.shape[1] // 2]
    if not (np.abs(values - complete(first)) <= PAIRED * np.abs(values)).all():
        raise SchemeError(
            f"{printable(name)} stores one of each conjugate pair: of a scheme's {values.shape[1]} "
            f"poles the second half must be the conjugates of the first, in the same order"
        )
    return first


FAMILY = Family(
    id="s4-dplr",
    title=TITLE,
    summary="diagonal plus low-rank kernel of state-spaces/s4 v1 to v4, liquid-s4, annotated-S4",
    formula="pole_bar = (1 + dt l/2) / (1 - dt l/2), l the eigenvalues of diag(D) - P Q^T, "
    "completed by conjugates where half of them are stored",
    source="state-spaces/s4 v1 cfb6a06, v2 2af1261, v3.0.0 ab287c6, e757cef models/s4/s4.py; "
    "srush/annotated-s4 f19e246, s4/s4.py; s4-nnx 3651128",
    find=find,
    read=read,
    write=write,
    discretizations=(BILINEAR,),
    dt_transforms=s4_dplr_torch.DT_TRANSFORMS,
    read_kernel=read_kernel,
    write_kernel=write_kernel,
    reset_kernel=reset_kernel,
    parameters=Parameters(
        decay=("A_real", "inv_w_real", "log_w_real", "Lambda_re", "w", "P", "Q"),
        angle=("A_imag", "w_imag", "Lambda_im", "w"),
        step=("inv_dt", "log_dt", "log_step"),
    ),
)
