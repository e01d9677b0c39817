"""Where JAX versions of S4 (annotated-S4, s4-nnx) keep D, P and dt, as A = diag(D) - P P^*.

====================================  ==============================================
`Lambda_re`, `Lambda_im`              D = min(Lambda_re, -1e-4) + i Lambda_im
`P`                                   complex, of rank one
`log_step`                            dt = exp(log_step), which s4-nnx clips to [1e-3, 1]
====================================  ==============================================

All N states are stored, of both signs; training does not tie them in pairs, and the kernel is the
real part of the sum. annotated-S4 maps a layer of one channel over the last axis, so that D is
(N, H) beside a log_step of (1, H); s4-nnx stores (H, N) beside (H, 1). Its `C_real_imag` tells it.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import LayerSource, require_shape
from ssmspec.families.parts.diagonal import choose_dt_transform, exp, read_real, to_complex
from ssmspec.families.parts.dplr import DiagonalLowRank
from ssmspec.families.s4_dplr.stored import Layout, Stored
from ssmspec.naming import printable
from ssmspec.reading import DtTransform

DAMPED = -1e-4
"""Where JAX versions cap Re D on use (annotated-S4 f19e246, s4/s4.py)."""
NNX_STEPS = (1e-3, 1.0)
"""Where s4-nnx clips dt on use (s4-nnx 3651128, src/s4_nnx/s4.py)."""
NNX_OUTPUT = "C_real_imag"


def _read_jax(source: LayerSource) -> Stored:
    is_last = channels_last(source)
    require_shape(source, "Lambda_im", source.shape("Lambda_re"))
    require_shape(source, "P", source.shape("Lambda_re"))
    choose_dt_transform(source, (DtTransform.EXP,), "")
    real = np.minimum(read_real(source, "Lambda_re"), DAMPED)
    diagonal = to_complex(real, read_real(source, "Lambda_im"))
    left = source.read("P").astype(np.complex128)
    left = np.where(np.isfinite(left), left, complex(np.nan, np.nan))
    dt = exp(read_real(source, "log_step"))
    if source.has(NNX_OUTPUT):
        dt = np.clip(dt, *NNX_STEPS)
    if is_last:
        diagonal, left, dt = diagonal.T, left.T, dt.T
    diagonal, left, dt = np.atleast_2d(diagonal), np.atleast_2d(left)[..., None], np.atleast_2d(dt)
    return Stored(DiagonalLowRank(diagonal, left, left.conj(), is_half=False), dt)


def _write_jax(source: LayerSource, diagonal: Complexes, dt: Floats) -> dict[str, Array]:
    if (diagonal.real > DAMPED).any():
        raise SchemeError(
            f"{printable(source.name)}: the layer caps the real part of its poles at {DAMPED:g} "
            f"per unit of time, and the scheme has a mode with less damping (or a growing one)"
        )
    if source.has(NNX_OUTPUT) and not ((dt >= NNX_STEPS[0]) & (dt <= NNX_STEPS[1])).all():
        raise SchemeError(
            f"{printable(source.name)}: the layer clips step sizes to [{NNX_STEPS[0]:g}, "
            f"{NNX_STEPS[1]:g}], and the scheme has one beyond them"
        )
    is_last = channels_last(source)
    arrays = {"Lambda_re": diagonal.real, "Lambda_im": diagonal.imag, "log_step": np.log(dt)}
    stored: dict[str, Array] = {
        role: (values.T if is_last else values).reshape(source.shape(role))
        for role, values in arrays.items()
    }
    return stored | {"P": np.zeros(source.shape("P"), dtype=np.complex128)}


def channels_last(source: LayerSource) -> bool:
    """Whether D is (N, H); one channel may also be stored as (N,) beside (1,).

    Raises:
        LayoutError: D and log_step do not fit together.
    """
    shape, steps = source.shape("Lambda_re"), source.shape("log_step")
    if len(shape) == 1 and steps == (1,):
        return False
    if len(shape) == 2 and steps == (shape[0], 1):
        return False
    if len(shape) == 2 and steps == (1, shape[1]):
        return True
    raise LayoutError(
        f"{printable(source.site.tensors['log_step'])} has shape {steps}, expected one step size "
        f"for each channel of {printable(source.site.tensors['Lambda_re'])} {shape}"
    )


LAYOUT = Layout("jax", ("Lambda_re", "Lambda_im", "P", "log_step"), _read_jax, _write_jax)
