"""S5: one MIMO system per layer, one step size per state.

========================  ==========  =======================================================
tensor                    shape       meaning
========================  ==========  =======================================================
`Lambda_re`, `Lambda_im`  (P,)        JAX: A as two real tensors
`Lambda`                  (P,)        torch, complex: A as s5-pytorch stores it
`Lambda`                  (P, 2)      torch, real: A as pairs, from ports that view it as real
`log_step`                (P, 1)      dt = exp(log_step); (P,) in torch
`B`, `C`                  (P, I, 2), (O, P, 2) or complex; C has 2P columns, or is C1 and C2, where
                          a second pass runs backward
`BP` `BH`, `CH` `CP`      (P, k) (I, k), (k, O) (k, P): B = BP BH^T and C = CH^T CP, factorized
========================  ==========  =======================================================

All three may hold unstable poles: nothing constrains Re A, and `clip_eigs`, which the JAX code
applies on use, is not in the file, so raw values are read. JAX S5 stores one of each conjugate pair
by default (`conj_sym`), the lower one, and K = 2 Re sum; the torch ports store all P and take
K = Re sum. `step_rescale` and `step_scale` belong to a run, not to a layer: dt is the step at the
rate the model was trained at. With `P` beside it this is annotated-S4, with a low-rank term, whose
poles are not its diagonal: another family.

The kernel is that of one system of I inputs: C diag(pole_bar^k) B_bar. The outputs of a backward
pass are counted as O more, with lags from their own start.
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
    require_shape,
)
from ssmspec.families.catalog import Catalog
from ssmspec.families.parts import diagonal, residues
from ssmspec.kernel import Kernel, MimoKernel
from ssmspec.naming import printable
from ssmspec.reading import Discretization, DtTransform
from ssmspec.spectrum import LayerSpectrum, Symmetry

JAX = "jax"
"""Variant: `Lambda_re` and `Lambda_im`."""
COMPLEX = "complex"
"""Variant: complex `Lambda`."""
PAIRS = "pairs"
"""Variant: real `Lambda` of shape (P, 2)."""

FORWARD_BACKWARD = ("C1", "C2")
FACTORS = ("BP", "BH", "CH", "CP")
MATRICES = ("B", "C", *FORWARD_BACKWARD, *FACTORS)

CLIP = -1e-4
"""Where `clip_eigs` caps Re A (lindermanlab/S5, s5/ssm.py)."""

DISC = "S5 does not store its discretization"
HALF = "S5 does not store conj_sym; one pole of each conjugate pair is taken as stored, its default"
FULL = (
    "S5 does not store conj_sym; all poles are taken as stored (conj_sym=False), "
    "because of the faster ones about as many lie above the real axis as below"
)
CLIP_EIGS = "clip-eigs"
"""What `--assume` says of a model built with `clip_eigs`."""
UNCLIPPED = (
    "S5 does not store clip_eigs; real parts above -1e-4 are taken as stored, "
    "while a model built with clip_eigs=True lowers them to -1e-4 on use "
    f"(--assume {CLIP_EIGS} reads them so)"
)


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with S5's eigenvalues and log step sizes; no low-rank term beside them."""
    for module in catalog.having("log_step"):
        if module.has("Lambda_re", "Lambda_im", "log_step"):
            names: tuple[str, ...] = ("Lambda_re", "Lambda_im", "log_step")
            variant = JAX
        elif module.has("Lambda", "log_step"):
            info = module.info("Lambda")
            is_complex = info is not None and info.dtype.startswith("complex")
            names = ("Lambda", "log_step")
            variant = COMPLEX if is_complex else PAIRS
        else:
            continue
        if not module.has("P"):
            names += tuple(name for name in MATRICES if module.has(name))
            yield LayerSite(module.name, {name: module.leaves[name] for name in names}, variant)


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(dt A) or (1 + dt A/2) / (1 - dt A/2), one dt per state."""
    poles = _poles(source)
    _require_steps(source, poles.shape[1])
    discretization, disc = choose_discretization(source, _discretizations(source), DISC)
    diagonal.choose_dt_transform(source, (DtTransform.EXP,), "")
    dt = diagonal.exp(diagonal.read_real(source, "log_step")).reshape(1, -1)
    symmetry, told = _symmetry(source, poles)
    if source.site.variant == JAX and not _clips(source) and (poles.real > CLIP).any():
        told = (*told, UNCLIPPED)
    return LayerSpectrum(
        name=source.name,
        family=FAMILY.id,
        discretization=discretization,
        symmetry=symmetry,
        log_poles=diagonal.to_log_poles(poles, dt, discretization),
        dt=dt,
        assumptions=(*disc, *told),
    )


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """A from log-poles at the spectrum's own step size per state; any damping can be held.

    Returns:
        Lambda (P,) or (P, 2), or its two parts (P,), and log_step (P, 1) or (P,), as stored.
    """
    states = source.shape("log_step")[0]
    is_jax = source.site.variant == JAX
    either = is_jax and spectrum.symmetry in (Symmetry.HALF, Symmetry.FULL)
    expected = spectrum.symmetry if either else Symmetry.HALF if is_jax else Symmetry.FULL
    diagonal.require_writable(source.name, spectrum, (1, states), expected)
    dt = diagonal.dt_for(source.name, spectrum, (1, states), "one step size per state")
    discretization, _ = choose_discretization(source, _discretizations(source), DISC)
    poles = diagonal.to_poles(source.name, spectrum.log_poles, dt, discretization)
    if _clips(source) and (poles.real > CLIP).any():
        raise SchemeError(
            f"{printable(source.name)}: with --assume {CLIP_EIGS} real parts above {CLIP:g} are "
            f"lowered on use, and the scheme has one of {float(poles.real.max()):.3g}; use more "
            f"damping or larger step sizes"
        )
    if _symmetry(source, poles)[0] is not expected:
        raise SchemeError(
            f"{printable(source.name)}: S5 does not store whether poles come in conjugate pairs, "
            f"and these {expected.value} poles would be read back as the other kind: full spectra "
            f"have as many poles above the real axis as below, half ones have not"
        )
    tensors = source.site.tensors
    return {
        **{tensors[role]: values for role, values in _stored_poles(source, poles[0]).items()},
        tensors["log_step"]: np.log(dt).reshape(source.shape("log_step")),
    }


def _poles(source: LayerSource) -> Complexes:
    """(1, P) continuous poles."""
    if source.site.variant == JAX:
        shape = diagonal.require_dimensions(source, "Lambda_re", "states")
        require_shape(source, "Lambda_im", shape)
        real = diagonal.read_real(source, "Lambda_re")
        real = np.minimum(real, CLIP) if _clips(source) else real
        return diagonal.to_complex(real, diagonal.read_real(source, "Lambda_im"))[None]
    if source.site.variant == COMPLEX:
        diagonal.require_dimensions(source, "Lambda", "states")
        values = source.read("Lambda")
        return np.where(np.isfinite(values), values, complex(np.nan, np.nan))[None]
    shape = diagonal.require_dimensions(source, "Lambda", "states", "2")
    if shape[1] != 2:
        raise LayoutError(
            f"{printable(source.site.tensors['Lambda'])} is real of shape {shape}, "
            f"expected (states, 2): a real and an imaginary part"
        )
    pairs = diagonal.read_real(source, "Lambda")
    return diagonal.to_complex(pairs[:, 0], pairs[:, 1])[None]


def _stored_poles(source: LayerSource, poles: Complexes) -> dict[str, Array]:
    if source.site.variant == JAX:
        return {"Lambda_re": poles.real, "Lambda_im": poles.imag}
    if source.site.variant == COMPLEX:
        return {"Lambda": poles}
    return {"Lambda": np.stack([poles.real, poles.imag], axis=-1)}


def _require_steps(source: LayerSource, states: int) -> None:
    if source.shape("log_step") not in ((states,), (states, 1)):
        require_shape(source, "log_step", (states, 1))


def _symmetry(source: LayerSource, poles: Complexes) -> tuple[Symmetry, tuple[str, ...]]:
    """What is stored: torch ports all poles; JAX half of them, or all where the signs balance.

    Training never ties the two poles of a pair, so balanced signs are the trace that conj_sym=False
    leaves, not equal pairs. Slow poles may cross the real axis on the way, fast ones hardly ever:
    where all do not balance, the faster half is looked at. Heuristic: a half spectrum whose signs
    balance by chance would pass for a full one.
    """
    if source.site.variant != JAX:
        return Symmetry.FULL, ()
    imag = poles.imag[0]
    count = 2 * -(-imag.size // 4)
    fastest = imag[np.argsort(-np.abs(imag), kind="stable")[:count]]
    above, below = np.count_nonzero(fastest > 0), np.count_nonzero(fastest < 0)
    is_full = min(above, below) > 0 and abs(above - below) <= fastest.size / 4
    above, below = np.count_nonzero(imag > 0), np.count_nonzero(imag < 0)
    is_full |= min(above, below) > 0 and abs(above - below) <= imag.size % 2
    return (Symmetry.FULL, (FULL,)) if is_full else (Symmetry.HALF, (HALF,))


def _clips(source: LayerSource) -> bool:
    return source.site.variant == JAX and CLIP_EIGS in source.reading.assume


def _discretizations(source: LayerSource) -> tuple[Discretization, ...]:
    """Default first. The port that stores pairs can only run the bilinear rule as published."""
    zoh, bilinear = FAMILY.discretizations
    return (bilinear, zoh) if source.site.variant == PAIRS else (zoh, bilinear)


def read_kernel(source: LayerSource, spectrum: LayerSpectrum) -> MimoKernel:
    """C and B_bar = B (exp(dt A) - 1) / A, or dt B / (1 - dt A / 2) if bilinear."""
    return residues.mimo_kernel(source, spectrum, _outputs(source), _inputs(source))


def write_kernel(source: LayerSource, kernel: Kernel) -> Mapping[str, Array]:
    """C in its stored shapes; B stays, and must be the one that the kernel was made with."""
    return _stored_outputs(
        source, residues.mimo_outputs(source, residues.as_mimo(source, kernel), _inputs(source))
    )


def reset_kernel(
    source: LayerSource, _: LayerSpectrum, rng: np.random.Generator
) -> Mapping[str, Array]:
    """C drawn as under `C_init = complex_normal`, the one that needs no HiPPO eigenvectors.

    JAX draws both parts with variance 1/2, s5-pytorch a complex normal of variance 1/2. C comes in
    its stored shapes, with those of a backward pass.
    """
    deviation = np.sqrt(0.5) if source.site.variant == JAX else 0.5
    return _stored_outputs(source, residues.complex_normal(rng, _outputs(source).shape, deviation))


def _inputs(source: LayerSource) -> Complexes:
    """(P, I), B."""
    if source.has("BP"):
        return _product(
            source, residues.read_matrix(source, "BP"), residues.read_matrix(source, "BH").T
        )
    return residues.read_matrix(source, "B")


def _outputs(source: LayerSource) -> Complexes:
    """(O, P), C; (2 O, P) with the backward pass below."""
    if source.has("C1"):
        forward, backward = (residues.read_matrix(source, role) for role in FORWARD_BACKWARD)
        if forward.shape != backward.shape:
            raise LayoutError(f"{printable(source.name)}: C1 and C2 do not have the same shape")
        return np.concatenate([forward, backward])
    if source.has("CP"):
        C = _product(
            source, residues.read_matrix(source, "CH").T, residues.read_matrix(source, "CP")
        )
    else:
        C = residues.read_matrix(source, "C")
    passes = 2 if C.shape[1] == 2 * source.shape("log_step")[0] else 1
    return np.concatenate(np.split(C, passes, axis=1))


def _product(source: LayerSource, left: Complexes, right: Complexes) -> Complexes:
    if left.shape[1] != right.shape[0]:
        raise LayoutError(f"{printable(source.name)}: the factors of B or C do not fit together")
    return left @ right


def _stored_outputs(source: LayerSource, outputs: Complexes) -> dict[str, Array]:
    if source.has("CP"):
        raise SchemeError(
            f"{printable(source.name)} stores C as a product of two factors, which is not written"
        )
    if source.has("C1"):
        halves = zip(FORWARD_BACKWARD, np.split(outputs, 2), strict=True)
        return residues.under(
            source, {role: residues.as_stored(source, role, half) for role, half in halves}
        )
    passes = outputs.shape[0] // source.shape("C")[0]
    C = np.concatenate(np.split(outputs, passes), axis=1)
    return residues.under(source, {"C": residues.as_stored(source, "C", C)})


FAMILY = Family(
    id="s5",
    title="S5",
    summary="MIMO layer of lindermanlab/S5 (JAX), s5-pytorch and ports; one step size per state",
    formula="pole_bar = exp(dt A), dt = exp(log_step), A = Lambda_re + i Lambda_im or Lambda; "
    "(1 + dt A/2) / (1 - dt A/2) with --discretization bilinear",
    source="lindermanlab/S5 3c18fdb, s5/ssm.py; i404788/s5-pytorch c74be72, s5/s5_model.py; "
    "uzh-rpg/ssms_event_cameras, RVT/models/layers/s5/s5_model.py",
    find=find,
    read=read,
    write=write,
    known_inits=("s5-hippo",),
    assumable=(CLIP_EIGS,),
    discretizations=(Discretization.ZOH, Discretization.BILINEAR),
    read_kernel=read_kernel,
    write_kernel=write_kernel,
    reset_kernel=reset_kernel,
    parameters=Parameters(
        decay=("Lambda_re", "Lambda"), angle=("Lambda_im", "Lambda"), step=("log_step",)
    ),
)
