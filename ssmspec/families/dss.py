"""DSS, the diagonal state spaces of Gupta, Gu and Berant: one Lambda shared by all channels.

======================================  ==============  ====================================
tensor                                  shape           meaning
======================================  ==============  ====================================
`log_dt`                                (H,)            dt = exp(log_dt)
`log_dt`                                (H, 2)          one step for the damping, one for the
                                                        frequency (sep_dt_re_im, the default)
`Lambda`                                (N, 2)          A as is (versions softmax and clip)
`Lambda_log_neg_re`                     (N,)            Re A = -exp(.) (versions exp)
`Lambda_im` or `Lambda_log_im`          (N,)            Im A, as is or its logarithm
`W`                                     (., H, N, 2)    weights: B and C in one
======================================  ==============  ====================================

dt A = dt_re Re A + i dt_im Im A, and pole_bar = exp(dt A). All N poles are stored, by default those
with a frequency above 0, and K = Re sum: a pole stands for itself. Without a frequency tensor the
poles are real (exp-no-scale-real).

Versions differ in what W is scaled by: exp (exp(dt A) - 1) / A, exp-no-scale 1, and softmax what
makes each mode's powers sum to 1 / A over the sequence, so its kernel depends on the length.
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
from ssmspec.families.catalog import Catalog, Module
from ssmspec.families.parts.diagonal import (
    choose_dt_transform,
    dt_for,
    exp,
    log_damping,
    read_real,
    require_dimensions,
    require_writable,
    to_complex,
    untie,
)
from ssmspec.families.parts.residues import read_complex
from ssmspec.kernel import LayerKernel
from ssmspec.naming import printable
from ssmspec.reading import DtTransform
from ssmspec.room import require_room
from ssmspec.spectrum import LayerSpectrum, Symmetry

LAYOUTS = (
    ("Lambda",),
    ("Lambda_log_neg_re", "Lambda_im"),
    ("Lambda_log_neg_re", "Lambda_log_im"),
    ("Lambda_log_neg_re",),
)
"""Tensors that hold A; the first that is complete is read."""

LOWEST_FREQUENCY = 1e-6
"""Written for a frequency of 0 where its logarithm is stored: rad/sample at a step size of 1."""

SEPARATE = (
    "DSS keeps one step size for damping and one for frequency (sep_dt_re_im); "
    "the step sizes reported are those of the frequency"
)
NO_SCALE, CLIPPED = "dss-no-scale", "dss-clip"
"""What `--assume` says of a DSS's version."""
SCALED = (
    "DSS does not store its version; its kernel is read as version exp scales it "
    f"(--assume {NO_SCALE} reads it without a scale)"
)
SOFTMAX = (
    "DSS does not store its version; its kernel is read as version softmax, the default "
    f"(--assume {CLIPPED} or {NO_SCALE} changes it)"
)
SMALLEST_SQUARE = 1e-7
"""What the code keeps a squared modulus above before it divides by it (`epsilon`)."""

GROWING = (
    "DSS does not store its version; real parts above 0 are taken as stored, while version clip "
    "lowers them to 1e-4 and version softmax scales such modes over the whole sequence "
    f"(--assume {CLIPPED})"
)
CLIP = 1e-4
"""Where versions clip and clip-no-scale cap Re A."""


def find(catalog: Catalog) -> Iterator[Found]:
    """Modules with output weights, step sizes and one of the layouts of A."""
    for module in catalog.having("W", "log_dt"):
        layout = next((names for names in LAYOUTS if module.has(*names)), None)
        if layout is not None and _is_real(module, layout[0]):
            names = (*layout, "log_dt", "W")
            yield LayerSite(module.name, {name: module.leaves[name] for name in names})


def _is_real(module: Module, leaf: str) -> bool:
    info = module.info(leaf)
    return info is not None and not info.dtype.startswith("complex")


def read(source: LayerSource) -> LayerSpectrum:
    """pole_bar = exp(dt_re Re A + i dt_im Im A)."""
    _require_shapes(source)
    discretization, _ = choose_discretization(source, FAMILY.discretizations, "")
    choose_dt_transform(source, (DtTransform.EXP,), "")
    A = _poles(source)
    dt_re, dt_im = _steps(source)
    require_room((dt_re.size, A.size))
    with np.errstate(over="ignore", invalid="ignore"):
        log_poles = to_complex(dt_re * A.real, dt_im * A.imag)
    told: tuple[str, ...] = ()
    if not _assumed(source):
        told += (SOFTMAX if source.has("Lambda") else SCALED,)
    if _is_separate(source):
        told += (SEPARATE,)
    if source.has("Lambda") and not _assumed(source) and (A.real > 0.0).any():
        told += (GROWING,)
    return LayerSpectrum(
        name=source.name,
        family=FAMILY.id,
        discretization=discretization,
        symmetry=_symmetry(source),
        log_poles=log_poles,
        dt=dt_im,
        assumptions=told,
    )


def write(source: LayerSource, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """A and the step sizes; every channel has to agree on the one A that they share.

    Returns:
        log_dt (H,) or (H, 2), and Lambda (N, 2) or its parts (N,), as stored.
    """
    channels, modes = _require_shapes(source)
    require_writable(source.name, spectrum, (channels, modes), _symmetry(source))
    dt_im = dt_for(source.name, spectrum, (channels, 1), "one step size per channel")
    dt_re = _damping_steps(source, spectrum.decay) if _is_separate(source) else dt_im
    A = untie(source.name, _by_channel(spectrum, dt_re, dt_im), 1)
    steps = np.log(np.hstack([dt_re, dt_im]) if _is_separate(source) else dt_im[:, 0])
    stored = {"log_dt": steps, **_stored_poles(source, A)}
    return {source.site.tensors[role]: values for role, values in stored.items()}


@np.errstate(all="ignore")  # a pole that is not finite has a residue that is not
def read_kernel(source: LayerSource, spectrum: LayerSpectrum) -> LayerKernel:
    """W, scaled as version exp or softmax does.

    Raises:
        LayoutError: softmax scales over the sequence, whose length is not known.
    """
    dt_im = dt_for(source.name, spectrum, (spectrum.channels, 1), "one step size per channel")
    dt_re = _damping_steps(source, spectrum.decay) if _is_separate(source) else dt_im
    A = _by_channel(spectrum, dt_re, dt_im)  # (H, N)
    length = source.reading.seq_len
    scale: Complexes
    if NO_SCALE in source.reading.assume:
        scale = np.ones(spectrum.shape, dtype=np.complex128)
    elif not source.has("Lambda") or CLIPPED in source.reading.assume:
        squares = np.maximum(np.abs(A) ** 2, SMALLEST_SQUARE)
        scale = np.expm1(spectrum.log_poles) * A.conj() / squares
    elif length is None:
        raise LayoutError(
            f"{printable(source.name)}: version softmax scales its kernel over the sequence, whose "
            f"length is not known (--seq-len gives it)"
        )
    else:
        scale = softmax_scale(spectrum.log_poles, A, length)
    weights = read_complex(source, "W")  # (H, N) or (S, H, N)
    if weights.shape[-2:] != spectrum.shape:
        raise LayoutError(f"{printable(source.site.tensors['W'])} is complex already, not in pairs")
    residues = (weights if weights.ndim == 3 else weights[None]) * scale
    return LayerKernel(spectrum, np.asarray(residues, dtype=np.complex128))


def _assumed(source: LayerSource) -> bool:
    return not {NO_SCALE, CLIPPED}.isdisjoint(source.reading.assume)


def softmax_scale(log_poles: Complexes, A: Complexes, length: int) -> Complexes:
    """1 / A over the sum of a mode's powers; growing modes are scaled to 1 at the last lag.

    Args:
        log_poles: (H, N).
        A: continuous poles (H, N), or of a shape that broadcasts to it.
        length: lags in the sum, L.

    Returns:
        complex128 (H, N).
    """
    grows = A.real > 0.0
    falling = np.where(grows, -log_poles, log_poles)
    rest = np.expm1(falling * length) * A
    scale = np.expm1(falling) * rest.conj() / (np.abs(rest) ** 2 + SMALLEST_SQUARE)
    return np.asarray(np.where(grows, scale * np.exp(falling * (length - 1)), scale))


def _by_channel(spectrum: LayerSpectrum, dt_re: Floats, dt_im: Floats) -> Complexes:
    """(H, N) continuous poles of each channel at its two step sizes, (H, 1)."""
    with np.errstate(all="ignore"):  # what is not finite is for whoever writes it to refuse
        return to_complex(-spectrum.decay / dt_re, spectrum.omega_unwrapped / dt_im)


def _damping_steps(source: LayerSource, decay: Floats) -> Floats:
    """(H, 1) steps of the damping: that of the first channel stays, the others follow the decays.

    Only the products of step and Re A matter, so one step is free.

    Raises:
        SchemeError: a channel without damping beside channels with some.
    """
    dt_re, _ = _steps(source)
    total = np.abs(decay).sum(axis=1, keepdims=True)
    if not total.any():
        return dt_re
    if not total.all():
        raise SchemeError(
            f"{printable(source.name)}: DSS shares Re A among all channels, so either all of them "
            f"are damped or none; use one decay for all"
        )
    ratio: Floats = total / total[0]
    return dt_re[:1] * ratio


def _stored_poles(source: LayerSource, A: Complexes) -> dict[str, Array]:
    """A of shape (1, N) as the file's layout holds it."""
    if source.has("Lambda"):
        return {"Lambda": np.stack([A[0].real, A[0].imag], axis=-1)}
    stored: dict[str, Array] = {"Lambda_log_neg_re": log_damping(source.name, A, FAMILY.title)[0]}
    if source.has("Lambda_im"):
        stored["Lambda_im"] = A[0].imag
    elif source.has("Lambda_log_im"):
        if (A.imag < 0.0).any():
            raise SchemeError(
                f"{printable(source.name)}: this DSS stores the logarithm of its frequencies and "
                f"cannot hold a negative one; use the conjugate pole"
            )
        stored["Lambda_log_im"] = np.log(np.maximum(A[0].imag, LOWEST_FREQUENCY))
    return stored


def _poles(source: LayerSource) -> Complexes:
    """(1, N) continuous poles."""
    if source.has("Lambda"):
        pairs = read_real(source, "Lambda")
        real = pairs[:, 0]
        real = np.minimum(real, CLIP) if CLIPPED in source.reading.assume else real
        return to_complex(real, pairs[:, 1])[None]
    imag = np.zeros(1)
    if source.has("Lambda_im"):
        imag = read_real(source, "Lambda_im")
    elif source.has("Lambda_log_im"):
        imag = exp(read_real(source, "Lambda_log_im"))
    return to_complex(-exp(read_real(source, "Lambda_log_neg_re")), imag)[None]


def _steps(source: LayerSource) -> tuple[Floats, Floats]:
    """(H, 1) step sizes of the damping and of the frequency."""
    dt = exp(read_real(source, "log_dt")).reshape(source.shape("log_dt")[0], -1)
    return dt[:, :1], dt[:, -1:]


def _is_separate(source: LayerSource) -> bool:
    return len(source.shape("log_dt")) == 2


def _symmetry(source: LayerSource) -> Symmetry:
    is_complex = any(source.has(role) for role in ("Lambda", "Lambda_im", "Lambda_log_im"))
    return Symmetry.FULL if is_complex else Symmetry.REAL


def _require_shapes(source: LayerSource) -> tuple[int, int]:
    """(channels, modes), as `W` has them."""
    weights = source.shape("W")
    if len(weights) == 3:
        channels, modes, _ = require_dimensions(source, "W", "channels", "modes", "2")
    else:
        _, channels, modes, _ = require_dimensions(source, "W", "heads", "channels", "modes", "2")
    if source.shape("log_dt") != (channels, 2):
        require_shape(source, "log_dt", (channels,))
    for role in source.site.tensors:
        if role.startswith("Lambda"):
            require_shape(source, role, (modes, 2) if role == "Lambda" else (modes,))
    return channels, modes


FAMILY = Family(
    id="dss",
    title="DSS",
    summary="diagonal state spaces (ag1988/dss and forks); one A shared by all channels",
    formula="pole_bar = exp(dt_re Re A + i dt_im Im A), A = Lambda or "
    "-exp(Lambda_log_neg_re) + i Lambda_im",
    source="ag1988/dss 777084e, src/models/sequence/ss/standalone/dss.py; "
    "ag1988/dlr e0bc148, src/models/sequence/ss/dss.py",
    find=find,
    read=read,
    write=write,
    known_inits=("s4d-legs", "s4d-lin"),
    assumable=(NO_SCALE, CLIPPED),
    read_kernel=read_kernel,
    parameters=Parameters(
        decay=("Lambda_log_neg_re", "Lambda"),
        angle=("Lambda_im", "Lambda_log_im", "Lambda"),
        step=("log_dt",),
    ),
)
