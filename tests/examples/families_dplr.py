"""A realistic checkpoint for every layout of S4 (DPLR), with its poles worked out here.

As in `families.py`: keys are family ids, or "id/layout". The expected poles are those of
the dense discretized matrix, built entry by entry from the formulas of the original code and solved
by scipy; the package never forms it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.linalg

from ssmspec.reading import DtTransform, Reading
from tests.examples.families import Example, Tensors, drawn_dt, log_uniform, oscillating

CHANNELS, MODES = 6, 4


def completed(values):
    return np.concatenate([values, values.conj()])


def dense(diagonal, left, right):
    """diag(D) - sum of P_r Q_r^T; `left` and `right` are (rank, states), Q is not conjugated."""
    states = len(diagonal)
    A = np.zeros((states, states), dtype=np.complex128)
    for i in range(states):
        A[i, i] += diagonal[i]
        for j in range(states):
            for P, Q in zip(left, right, strict=True):
                A[i, j] -= P[i] * Q[j]
    return A


def discretized(A, dt):
    """(I - dt A / 2)^-1 (I + dt A / 2); `dt` is a number, or one for each state."""
    eye = np.eye(len(A))
    half = np.reshape(dt, (-1, 1)) * A / 2.0
    return np.linalg.solve(eye - half, eye + half)


def log_poles_of(A_bar):
    return np.log(scipy.linalg.eigvals(A_bar))


def in_pairs(log_poles):
    """Upper half-plane by frequency, then the conjugates in the same order."""
    upper = log_poles[log_poles.imag > 0]
    assert 2 * len(upper) == len(log_poles), "choose an example without real poles"
    upper = upper[np.argsort(np.abs(np.tanh(upper / 2).imag))]
    return np.concatenate([upper, upper.conj()])


def half_spectrum(diagonal, left, right, dt):
    """(H, 2N) of H channels that store one of each pair; left and right are (R, H, N)."""
    rows = []
    for h, step in enumerate(dt):
        A = dense(
            completed(diagonal[h]),
            [completed(vector[h]) for vector in left],
            [completed(vector[h]) for vector in right],
        )
        steps = completed(step) if len(step) > 1 else step
        rows.append(in_pairs(log_poles_of(discretized(A, steps.real))))
    return np.array(rows)


def pairs(values):
    return np.stack([values.real, values.imag], axis=-1)


def complex_normal(rng, shape, scale=1.0):
    return scale * (rng.normal(size=shape) + 1j * rng.normal(size=shape))


def drawn(rng, rows, rank, modes=MODES):
    """D with well separated frequencies, and a P that couples them."""
    diagonal = -log_uniform(rng, 0.2, 1.0, (rows, modes)) + 1j * (
        4.0 + 6.0 * np.arange(modes) + rng.uniform(-1, 1, (rows, modes))
    )
    return diagonal, complex_normal(rng, (rank, rows, modes), 0.6)


def paired(base):
    """Poles of the upper half-plane, then their conjugates."""

    def vary(spectrum, rng):
        modes = spectrum.modes // 2
        steps = spectrum.dt if spectrum.dt.shape[1] == 1 else spectrum.dt[:, :modes]
        half = replace(spectrum, log_poles=spectrum.log_poles[:, :modes], dt=steps)
        varied = base(half, rng)
        poles = np.concatenate([varied.log_poles, varied.log_poles.conj()], axis=1)
        dt = varied.dt if steps is spectrum.dt else np.concatenate([varied.dt] * 2, axis=1)
        return replace(spectrum, log_poles=poles, dt=dt)

    return vary


def tied_bilinear(rows):
    """One A for each row of a tied layer."""

    def vary(spectrum, rng):
        dt = drawn_dt(spectrum, rng)
        poles = (
            -np.exp(rng.uniform(-3, 1, (rows, spectrum.modes)))
            + 1j * rng.uniform(0.1, 3.0, (rows, spectrum.modes)) / dt.max()
        )
        z = poles[np.arange(spectrum.channels) % rows] * dt / 2
        return replace(spectrum, log_poles=np.log((1 + z) / (1 - z)), dt=dt)

    return vary


def example(tensors, name, diagonal, left, right, dt, reading, rows):
    every = np.arange(len(dt)) % rows
    spectrum = half_spectrum(diagonal[every], left[:, every], right[:, every], dt)
    vary = paired(oscillating(3.0, signs=(1.0,)) if rows == len(dt) else tied_bilinear(rows))
    steps = dt if dt.shape[1] == 1 else np.concatenate([dt, dt], axis=1)
    return Example(tensors, {name: spectrum}, {name: steps}, vary, reading)


def v4(
    rows=CHANNELS,
    reading=None,
    *,
    rank=1,
    per_mode=False,
    module="s4_layers.0.layer.kernel",
    second="",
) -> Example:
    rng = np.random.default_rng(41)
    reading = reading or Reading()
    diagonal, P = drawn(rng, rows, rank)
    diagonal = diagonal.conj()  # v4 stores -Im
    dt = log_uniform(rng, 1e-2, 0.2, (CHANNELS, MODES if per_mode else 1))
    is_softplus = reading.dt_transform is DtTransform.SOFTPLUS
    leaves: Tensors = {
        "inv_dt": np.log(np.exp(dt) - 1) if is_softplus else np.log(dt),
        "A_real": np.log(-diagonal.real),
        "A_imag": -diagonal.imag,
        "P": pairs(P),
        "B": pairs(complex_normal(rng, (1, rows, MODES))),
        "C": pairs(complex_normal(rng, (2, CHANNELS, MODES))),
        "l_kernel": np.array(64),
    }
    tensors = {f"{module}.{leaf}": values for leaf, values in leaves.items()}
    if second:
        tensors |= {f"{module}.{second}.{leaf}": values for leaf, values in leaves.items()}
        del tensors[f"{module}.l_kernel"]  # a buffer of the kernel alone
    return example(tensors, module, diagonal, P, P.conj(), dt, reading, rows)


def v3(rows=CHANNELS, *, real="inv_w_real", rank=2) -> Example:
    rng = np.random.default_rng(42)
    diagonal, P = drawn(rng, rows, rank)
    dt = log_uniform(rng, 1e-2, 0.2, (CHANNELS, 1))
    name = "model.layers.0.layer.kernel.kernel"
    leaves = {
        real: np.log(-diagonal.real),
        "w_imag": diagonal.imag,
        "P": pairs(P),
        "B": pairs(complex_normal(rng, (1, rows, MODES))),
        "C": pairs(complex_normal(rng, (1, CHANNELS, MODES))),
        "log_dt": np.log(dt[:, 0]),
        "L": np.array(64),
    }
    tensors = {f"{name}.{leaf}": values for leaf, values in leaves.items()}
    return example(tensors, name, diagonal, P, P.conj(), dt, Reading(), rows)


def v2() -> Example:
    rng = np.random.default_rng(43)
    diagonal, P = drawn(rng, CHANNELS, 1)
    Q = P.conj() + complex_normal(rng, P.shape, 0.1)  # trained apart
    dt = log_uniform(rng, 1e-2, 0.2, (CHANNELS, 1))
    name = "model.module.s4_layers.0.kernel.kernel"
    leaves = {
        "w": pairs(diagonal),
        "P": pairs(P),
        "Q": pairs(Q),
        "B": pairs(complex_normal(rng, (1, CHANNELS, MODES))),
        "C": pairs(complex_normal(rng, (2, CHANNELS, MODES))),
        "log_dt": np.log(dt[:, 0]),
        "omega": np.zeros((33, 2)),
        "z": np.zeros((33, 2)),
    }
    tensors = {f"{name}.{leaf}": values for leaf, values in leaves.items()}
    return example(tensors, name, diagonal, P, Q, dt, Reading(), CHANNELS)


def v1(rank=1, *, shared=False) -> Example:
    """p and q stand below B and C; A = diag(w) - p q^*."""
    rng = np.random.default_rng(44)
    diagonal, p = drawn(rng, CHANNELS, rank)
    if shared:
        diagonal = np.broadcast_to(diagonal[0], diagonal.shape)
    q = p + complex_normal(rng, p.shape, 0.1)
    dt = log_uniform(rng, 1e-2, 0.2, (CHANNELS, 1))
    name = "s4_layers.0.kernel.krylov"
    B, C = (
        np.concatenate([complex_normal(rng, (CHANNELS, 1, MODES)), np.moveaxis(low, 0, 1)], axis=1)
        for low in (p, q)
    )
    leaves = {
        "w": pairs(diagonal[0] if shared else diagonal),
        "B": pairs(B),
        "C": pairs(C),
        "log_dt": np.log(dt[:, 0]),
        "nodes": np.zeros((33, 2)),
        "z": np.zeros((33, 2)),
    }
    tensors = {f"{name}.{leaf}": values for leaf, values in leaves.items()}
    rows = 1 if shared else CHANNELS
    built = example(tensors, name, diagonal, p, q.conj(), dt, Reading(), CHANNELS)
    return built if rows > 1 else replace(built, vary=paired(tied_bilinear(1)))


def full_spectrum(diagonal, P, dt):
    """(H, N) of H channels that store all states, by frequency; P is (H, N)."""
    rows = []
    for h, step in enumerate(dt):
        found = log_poles_of(discretized(dense(diagonal[h], [P[h]], [P[h].conj()]), step))
        rows.append(found[np.argsort(np.tanh(found / 2).imag)])
    return np.array(rows)


def jax(form) -> Example:
    """`form` is "annotated" (channels last), "nnx" (channels first) or "one" (a single channel)."""
    rng = np.random.default_rng(45)
    channels = 1 if form == "one" else CHANNELS
    upper, P = drawn(rng, channels, 2)
    diagonal = np.concatenate([upper, upper.conj() * 1.01 - 0.02], axis=1)  # training unties them
    P = np.concatenate([P[0], P[1]], axis=1)
    dt = log_uniform(rng, 3e-2, 0.2, (channels, 1))
    stored = diagonal.real.copy()
    if form == "annotated":
        stored[1, 2] = 0.017  # clipped to -1e-4 on use
        diagonal[1, 2] = -1e-4 + 1j * diagonal[1, 2].imag
    C = "C_real_imag" if form == "nnx" else "C"
    leaves = {
        "Lambda_re": stored,
        "Lambda_im": diagonal.imag.copy(),
        "P": P,
        "B": complex_normal(rng, diagonal.shape),
        C: rng.normal(size=(*diagonal.shape, 2)),
        "D": np.ones((channels, 1)),
        "log_step": np.log(dt),
    }
    if form == "annotated":
        leaves = {leaf: np.swapaxes(values, 0, 1).copy() for leaf, values in leaves.items()}
    if form == "one":
        leaves = {leaf: values[0] for leaf, values in leaves.items()}
    path = "params/layers_0/seq"
    tensors = {f"{path}/{leaf}": values for leaf, values in leaves.items()}
    tensors["params/encoder/kernel"] = rng.normal(size=(1, 4))
    name = path.replace("/", ".")
    spectrum = full_spectrum(diagonal, P, dt)

    def vary(found, generator):
        base = oscillating(3.0, smallest_decay=1e-3)(found, generator)
        return replace(base, dt=found.dt * math.exp(generator.uniform(-0.5, 0.5)))

    return Example(tensors, {name: spectrum}, {name: dt}, vary)


EXAMPLES: dict[str, Callable[[], Example]] = {
    "s4-dplr": v4,
    "s4-dplr/v4 softplus": lambda: v4(reading=Reading(dt_transform=DtTransform.SOFTPLUS)),
    "s4-dplr/v4 tied": lambda: v4(2),
    "s4-dplr/v4 rank 3": lambda: v4(rank=3),
    "s4-dplr/v4 dt per mode": lambda: v4(per_mode=True),
    "s4-dplr/lrnnx": lambda: v4(module="blocks.0.ssm", second="layer.kernel"),
    "s4-dplr/v3": v3,
    "s4-dplr/v3 tied": lambda: v3(3),
    "s4-dplr/v2 tied": lambda: v3(real="log_w_real", rank=1),
    "s4-dplr/v2": v2,
    "s4-dplr/v1": v1,
    "s4-dplr/v1 rank 2": lambda: v1(2),
    "s4-dplr/annotated": lambda: jax("annotated"),
    "s4-dplr/nnx": lambda: jax("nnx"),
}
