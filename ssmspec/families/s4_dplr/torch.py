"""Where the torch versions of S4 keep D, P, Q and dt, as A = diag(D) - P Q^T, P and Q as columns.

=========  ===============================  ========================================================
version    tensors                          A and dt
=========  ===============================  ========================================================
v1         `w` `B` `C` `log_dt`             D = w, P = B[1:], Q = conj C[1:], dt = exp(log_dt)
v2         `w` `P` `Q` `log_dt`             D = w, Q as stored (it starts as conj P)
v2 tied    `log_w_real` `w_imag` `P`        D = -exp(log_w_real) + i w_imag, Q = conj P
v3         `inv_w_real` `w_imag` `P`        D = -exp(inv_w_real) + i w_imag, Q = conj P
v4         `A_real` `A_imag` `P` `inv_dt`   D = -exp(A_real) - i A_imag, Q = conj P
=========  ===============================  ========================================================

One of each conjugate pair is stored, complex numbers as pairs of reals, P as (R, S, N/2, 2) of any
rank R, and S = n_ssm rows that channels share: channel h uses row h mod S.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.families.base import LayerSource, require_shape
from ssmspec.families.parts.diagonal import (
    choose_dt_transform,
    dt_to_stored,
    exp,
    log_damping,
    read_real,
    require_dimensions,
    stored_to_dt,
    to_complex,
    untie,
)
from ssmspec.families.parts.dplr import DiagonalLowRank
from ssmspec.families.s4_dplr.stored import TITLE, Layout, Stored
from ssmspec.reading import DtTransform

DT_TRANSFORMS = (DtTransform.EXP, DtTransform.SOFTPLUS)
"""Of v4; all others store log dt."""
DT_TRANSFORM = "S4 v4 does not store dt_transform"
ASSUMED_V4 = (
    "S4 v4 does not store real_transform, imag_transform and dt_fast; "
    "taken as exp, none and off, their defaults"
)
ASSUMED_V2 = "S4 v2 does not store fast_gate; taken as off, its default"
ASSUMED_V3 = "S4 v3 does not store real_type; taken as exp, its default"


def _read_pairs(source: LayerSource, role: str, *dimensions: str) -> Complexes:
    """Complex numbers stored as pairs of reals in the last dimension; NaN where not finite."""
    shape = require_dimensions(source, role, *dimensions, "2")
    require_shape(source, role, (*shape[:-1], 2))
    pairs = read_real(source, role)
    return to_complex(pairs[..., 0], pairs[..., 1])


def _to_pairs(values: Complexes) -> Floats:
    return np.stack([values.real, values.imag], axis=-1)


def _columns(vectors: Complexes) -> Complexes:
    """(R, S, N) as (S, N, R)."""
    return np.ascontiguousarray(np.moveaxis(vectors, 0, -1))


def _read_vectors(source: LayerSource, role: str, rows: int, modes: int) -> Complexes:
    """(S, N, R) columns of a low-rank factor that is stored as (R, S, N, 2)."""
    rank = require_dimensions(source, role, "rank", "n_ssm", "modes", "2")[0]
    require_shape(source, role, (rank, rows, modes, 2))
    return _columns(_read_pairs(source, role, "rank", "n_ssm", "modes"))


def _half(diagonal: Complexes, left: Complexes, right: Complexes | None = None) -> DiagonalLowRank:
    return DiagonalLowRank(diagonal, left, left.conj() if right is None else right, is_half=True)


def _read_log_dt(source: LayerSource) -> Floats:
    require_dimensions(source, "log_dt", "channels")
    choose_dt_transform(source, (DtTransform.EXP,), "")
    return exp(read_real(source, "log_dt"))[:, None]


def _tied(version: str, real: str, imag: str, assumptions: tuple[str, ...]) -> Layout:
    """v3, and v2 where Q is tied to P: the same tensors under other names."""

    def read(source: LayerSource) -> Stored:
        shape = rows, modes = require_dimensions(source, real, "n_ssm", "modes")
        require_shape(source, imag, shape)
        diagonal = to_complex(-exp(read_real(source, real)), read_real(source, imag))
        matrix = _half(diagonal, _read_vectors(source, "P", rows, modes))
        return Stored(matrix, _read_log_dt(source), assumptions)

    def write(source: LayerSource, diagonal: Complexes, dt: Floats) -> dict[str, Array]:
        return {
            "log_dt": np.log(dt[:, 0]),
            real: log_damping(source.name, diagonal, TITLE),
            imag: diagonal.imag,
            "P": np.zeros(source.shape("P")),
        }

    return Layout(version, (real, imag, "P", "log_dt"), read, write)


def _read_v4(source: LayerSource) -> Stored:
    channels, _ = require_dimensions(source, "inv_dt", "channels", "1 or modes")
    rows, modes = require_dimensions(source, "A_real", "n_ssm", "modes")
    require_shape(source, "A_imag", (rows, modes))
    if source.shape("inv_dt")[1] != 1:
        require_shape(source, "inv_dt", (channels, modes))
    transform, told = choose_dt_transform(source, DT_TRANSFORMS, DT_TRANSFORM)
    dt = stored_to_dt(read_real(source, "inv_dt"), transform)
    diagonal = to_complex(-exp(read_real(source, "A_real")), -read_real(source, "A_imag"))
    matrix = _half(diagonal, _read_vectors(source, "P", rows, modes))
    return Stored(matrix, dt, (*told, ASSUMED_V4))


def _write_v4(source: LayerSource, diagonal: Complexes, dt: Floats) -> dict[str, Array]:
    transform, _ = choose_dt_transform(source, DT_TRANSFORMS, DT_TRANSFORM)
    return {
        "inv_dt": dt_to_stored(dt, transform),
        "A_real": log_damping(source.name, diagonal, TITLE),
        "A_imag": -diagonal.imag,
        "P": np.zeros(source.shape("P")),
    }


def _read_v2(source: LayerSource) -> Stored:
    diagonal = _read_pairs(source, "w", "n_ssm", "modes")
    left = _read_vectors(source, "P", *diagonal.shape)
    require_shape(source, "Q", source.shape("P"))
    right = _read_vectors(source, "Q", *diagonal.shape)
    return Stored(_half(diagonal, left, right), _read_log_dt(source))


def _write_v2(source: LayerSource, diagonal: Complexes, dt: Floats) -> dict[str, Array]:
    # both are zeroed: beside a Q, the gradient would bring P back
    return {
        "log_dt": np.log(dt[:, 0]),
        "w": _to_pairs(diagonal),
        "P": np.zeros(source.shape("P")),
        "Q": np.zeros(source.shape("Q")),
    }


def _read_v1(source: LayerSource) -> Stored:
    dt = _read_log_dt(source)
    inputs, outputs = (_read_stack(source, role, len(dt)) for role in ("B", "C"))
    if inputs.shape[1:] != outputs.shape[1:]:
        require_shape(source, "B", (*source.shape("C")[-3:],))
    modes = inputs.shape[-1]
    shared = len(source.shape("w")) == 2
    require_shape(source, "w", (modes, 2) if shared else (len(dt), modes, 2))
    rows = () if shared else ("channels",)
    diagonal = np.broadcast_to(_read_pairs(source, "w", *rows, "modes"), (len(dt), modes))
    left, right = (vectors[:, 1:].swapaxes(1, 2) for vectors in (inputs, outputs))
    return Stored(_half(diagonal, left, right.conj()), dt)


def _read_stack(source: LayerSource, role: str, channels: int) -> Complexes:
    """(H, 1 + R, N): a vector of B or C above the R of P or Q; B may be one for all channels."""
    shape = source.shape(role)
    if len(shape) == 3:
        one = _read_pairs(source, role, "1 + rank", "modes")
        return np.broadcast_to(one, (channels, *one.shape))
    require_dimensions(source, role, "channels", "1 + rank", "modes", "2")
    require_shape(source, role, (channels, *shape[1:]))
    return _read_pairs(source, role, "channels", "1 + rank", "modes")


def _write_v1(source: LayerSource, diagonal: Complexes, dt: Floats) -> dict[str, Array]:
    stacks = {role: source.read(role).copy() for role in ("B", "C")}
    for values in stacks.values():
        values[..., 1:, :, :] = 0.0
    if len(source.shape("w")) == 2:
        diagonal = untie(source.name, diagonal, 1)[0]
    return {"log_dt": np.log(dt[:, 0]), "w": _to_pairs(diagonal), **stacks}


LAYOUTS = (
    Layout("v4", ("A_real", "A_imag", "P", "inv_dt"), _read_v4, _write_v4),
    _tied("v3", "inv_w_real", "w_imag", (ASSUMED_V3,)),
    _tied("v2 tied", "log_w_real", "w_imag", (ASSUMED_V2,)),
    Layout("v2", ("w", "P", "Q", "log_dt"), _read_v2, _write_v2),
    Layout("v1", ("w", "B", "C", "log_dt"), _read_v1, _write_v1),
)
