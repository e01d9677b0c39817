"""How many states a kernel needs: the decay of its Hankel singular values.

The Hankel operator maps a layer's past inputs to its future outputs through the state; the sizes of
its singular values say how much each direction of an optimally chosen state carries.

A kernel of one input has the operator V^T diag(c) V, with a row V[n] = (1, l_n, l_n^2, ...) for
every mode and its conjugate. The rows lie in the span of as many orthonormal functions of w that
are rational with poles 1/l, and V[n] has the coefficients phi_j(l_n) in such a basis. The real one
of Kautz takes two functions for each pair l, l* of radius r,

    (1 +- w) sqrt((1 - r^2) |1 -+ l|^2 / 2) / D(w),    D(w) = (1 - l w)(1 - l* w),

times the all-pass factors (w - l)(w - l*) / D(w) of the pairs before it. In it the operator is the
real symmetric matrix L^T diag(c) L, L[n, j] = phi_j(l_n), in closed form and without loss of
digits: its eigenvalues are the singular values up to their sign. (Gramians are sums of squares and
lose half of the digits; they serve for MIMO layers, where the operator has no small matrix.)

References: W. Kautz, "Transient synthesis in the time domain", 1954; K. Glover, "All optimal
Hankel-norm approximations of linear multivariable systems", 1984.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Complexes, Floats
from ssmspec.kernel import Kernel, LayerKernel, MimoKernel, channel_blocks, one_minus_products
from ssmspec.metrics.base import DECAYING, KERNEL, TRACTABLE, Aggregate, Context, Metric
from ssmspec.outcome import Direction, NotApplicable
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import DIMENSIONLESS

CARRIED = 0.99
"""Share of the sum of Hankel singular values that `effective_order` asks for."""

MOST_STATES = 1024
"""Modes of a channel up to which singular values are computed, for time (heuristic)."""


def effective_order(layer: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Median over channels of how many states carry 99 % of what the channel carries."""
    if layer.modes > MOST_STATES:
        return NotApplicable(f"it is computed for channels of up to {MOST_STATES:,} modes")
    values = hankel_singular_values(context.known_kernel)
    total = values.sum(axis=1, keepdims=True)
    if not np.isfinite(total).all():
        return NotApplicable("a mode decays so slowly that its numbers are beyond a float")
    if not total.any():
        return NotApplicable("the kernel is zero")
    orders = np.count_nonzero(np.cumsum(values, axis=1) < CARRIED * total, axis=1) + 1
    return float(np.median(orders[total[:, 0] > 0.0]))


def hankel_singular_values(kernel: Kernel) -> Floats:
    """Hankel singular values of every channel.

    Args:
        kernel: every mode must decay.

    Returns:
        (H, 2 M), descending; those that are zero by construction (of real poles, or of pairs stored
        whole) included. H = 1 for a MIMO layer. NaN where numbers overflow.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if isinstance(kernel, MimoKernel):
            return _by_gramians(kernel)[None]
        modes = kernel.spectrum.modes
        values = np.empty((kernel.spectrum.channels, 2 * modes))
        for block in channel_blocks(kernel, 16 * modes * modes * len(kernel.residues)):
            values[block] = _siso(kernel, block)
        return values


def _siso(kernel: LayerKernel, block: slice) -> Floats:
    """Singular values of the operators of S kernels, one below the other."""
    basis = kautz_basis(kernel.spectrum.log_poles[block])  # (H, M, 2 M)
    weighted = kernel.gain * kernel.residues[:, block, :, None] * basis
    operators = (basis.swapaxes(-1, -2) @ weighted).real  # (S, H, 2 M, 2 M)
    if not np.isfinite(operators).all():
        return np.full((operators.shape[1], operators.shape[2]), np.nan)
    if len(operators) == 1:
        values = np.abs(np.linalg.eigvalsh(operators[0]))
    else:
        stacked = np.moveaxis(operators, 0, 1)  # (H, S, 2 M, 2 M)
        columns = stacked.shape[-1]
        values = np.linalg.svd(stacked.reshape(len(stacked), -1, columns), compute_uv=False)
    return -np.sort(-values, axis=-1)


def kautz_basis(log_poles: Complexes) -> Complexes:
    """Each mode's coefficients in the orthonormal basis of its channel's modes and conjugates.

    Args:
        log_poles: (H, M), decaying.

    Returns:
        (H, M, 2 M), L[n, j] = phi_j(l_n): exp(k l_n) = sum_j L[n, j] phi_j[k] for k = 0, 1, ...
    """
    poles = np.exp(log_poles)
    column = log_poles[:, None, :]  # (H, 1, M)
    denominator = one_minus_products(log_poles, log_poles)  # (H, M, M)
    denominator *= one_minus_products(log_poles, log_poles.conj())
    pole, basis_pole = poles[:, :, None], poles[:, None, :]
    all_pass = (pole - basis_pole) * (pole - basis_pole.conj())
    all_pass /= denominator
    before = np.ones_like(all_pass)
    np.cumprod(all_pass[..., :-1], axis=-1, out=before[..., 1:])
    common = before
    common /= denominator
    common *= np.sqrt(-np.expm1(2.0 * column.real) / 2.0)
    basis = np.empty((*log_poles.shape, 2 * log_poles.shape[1]), dtype=np.complex128)
    np.multiply(common * (1.0 + pole), np.abs(np.expm1(column)), out=basis[..., 0::2])
    np.multiply(common * (1.0 - pole), np.abs(1.0 + basis_pole), out=basis[..., 1::2])
    return basis


def _by_gramians(kernel: MimoKernel) -> Floats:
    """Square roots of the eigenvalues of the product of the two Gramians, in real coordinates."""
    log_poles = kernel.spectrum.log_poles[0]
    C, B = kernel.output_matrix, kernel.input_matrix
    plain = one_minus_products(log_poles, log_poles)  # (M, M)
    mixed = one_minus_products(log_poles, log_poles.conj())
    reached, reached_plain = (B @ B.conj().T) / mixed, (B @ B.T) / plain
    seen, seen_plain = (C.conj().T @ C) / mixed.conj(), (C.T @ C) / plain
    # The state's real parts stand above its imaginary parts.
    P = np.block([
        [(reached + reached_plain).real, (reached_plain - reached).imag],
        [(reached + reached_plain).imag, (reached - reached_plain).real],
    ]) / 2.0  # fmt: skip
    Q = np.block([
        [(seen + seen_plain).real, -(seen + seen_plain).imag],
        [(seen - seen_plain).imag, (seen - seen_plain).real],
    ]) * kernel.gain**2 / 2.0  # fmt: skip
    # Units of the state that make both diagonals equal, so that neither Gramian drowns the other.
    reach, sight = np.diag(P), np.diag(Q)  # (2 M,)
    usable = (reach > 0.0) & (sight > 0.0)
    unit = np.where(usable, np.where(usable, reach, 1.0) / np.where(usable, sight, 1.0), 1.0)
    unit = unit**0.25
    P, Q = P / np.outer(unit, unit), Q * np.outer(unit, unit)
    if not (np.isfinite(P).all() and np.isfinite(Q).all()):
        return np.full(len(P), np.nan)
    factor = _root(P)
    squares = np.linalg.eigvalsh(factor.T @ Q @ factor)
    values: Floats = np.sqrt(np.maximum(squares[::-1], 0.0))
    return values


def _root(matrix: Floats) -> Floats:
    """A factor F of a positive semidefinite matrix F F^T; Cholesky's where rounding allows it."""
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        eigenvalues, vectors = np.linalg.eigh(matrix)
        root: Floats = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
        return root


METRICS = (
    Metric(
        id="effective_order",
        unit=DIMENSIONLESS,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="how many states carry 99 % of what a channel carries, median over channels",
        formula="median over channels of the smallest r with sigma_1 + ... + sigma_r >= 0.99 sum",
        measure=effective_order,
        needs=(KERNEL, DECAYING, TRACTABLE),
        source="Hankel singular values, Glover 1984",
    ),
)
