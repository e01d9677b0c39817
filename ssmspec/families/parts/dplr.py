"""Diagonal plus low-rank matrices: their true poles, and how far these can be trusted.

S4 stores A = diag(D) - P Q^T. Its diagonal is not its spectrum: a trained layer whose diagonal ends
at -36 has an eigenvalue at -2,700. The poles are the eigenvalues of the whole matrix, one matrix a
head, and such matrices may be far from normal: HiPPO-LegS, the usual start, has the eigenvalues
-1, ..., -N on paper, and float64 computes none beyond the first few of N = 64 correctly.

Where a file stores one of each conjugate pair, the state is completed by the conjugates,
A = diag(D, conj D) - (P, conj P) (Q, conj Q)^T. In the basis of real and imaginary parts that
matrix is real,

    [[diag Re D, -diag Im D], [diag Im D, diag Re D]] - 2 (Re P, Im P) (Re Q, -Im Q)^T,

and the basis is unitary, so that the eigenvalues come in exact conjugate pairs at a quarter of the
time, and their condition numbers are those of A.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Array, Bools, Complexes, Floats
from ssmspec.units import decay_to_half_width

CHUNK = 1 << 20
"""Matrix entries worked on at once, about 64 MB with eigenvectors; bounds memory."""

ROUNDOFF = 2.0**-24
"""Largest relative error of rounding a number to float32."""

UNRELIABLE = 0.5
"""Half-widths by which rounding may move a pole (rms) before its place means little. Heuristic: a
resonance that moves by its own half-width is another resonance."""


@dataclass(frozen=True)
class DiagonalLowRank:
    """H matrices diag(diagonal) - left right^T, one a head.

    Attributes:
        diagonal: complex128 (H, N).
        left: complex128 (H, N, R), the P of P Q^T.
        right: complex128 (H, N, R), the Q of P Q^T: not conjugated.
        is_half: the matrix is that of the state completed by its conjugates, of 2N states.
    """

    diagonal: Complexes
    left: Complexes
    right: Complexes
    is_half: bool

    def __getitem__(self, heads: slice) -> DiagonalLowRank:
        """The matrices of some heads."""
        return DiagonalLowRank(
            self.diagonal[heads], self.left[heads], self.right[heads], self.is_half
        )

    @property
    def states(self) -> int:
        """Eigenvalues of one matrix, 2N where it is completed and N otherwise."""
        return int(self.diagonal.shape[1]) * (2 if self.is_half else 1)

    def completed(self) -> DiagonalLowRank:
        """The same matrices with all their states stored: (D, conj D), (P, conj P), (Q, conj Q)."""
        if not self.is_half:
            return self
        return DiagonalLowRank(
            complete(self.diagonal), complete(self.left), complete(self.right), is_half=False
        )


@dataclass(frozen=True)
class Eigensystem:
    """A = right diag(poles) left with left = right^-1, one a head, in the completed basis.

    Where A is completed by conjugates, so are its poles: mode N + n is the conjugate of mode n,
    except among real poles. Heads without a low-rank part keep the order they are stored in;
    others go from low to high frequency.

    Attributes:
        poles: complex128 (H, M) eigenvalues; NaN where a head's matrix is not finite.
        right: complex128 (H, M, M), one right eigenvector a column.
        left: complex128 (H, M, M), one left eigenvector a row.
    """

    poles: Complexes
    right: Complexes
    left: Complexes

    @property
    def condition(self) -> Floats:
        """(H, M) condition number |y| |x| / |y^H x| of each eigenvalue; 1 for a normal matrix."""
        with np.errstate(over="ignore", invalid="ignore"):
            size = np.linalg.norm(self.left, axis=2) * np.linalg.norm(self.right, axis=1)
            return np.asarray(size)

    def rounding_shift(self, matrix: DiagonalLowRank) -> Floats:
        """(H, M) rms distance by which rounding D, P and Q to float32 moves each pole.

        To first order a change dA moves a pole by left dA right. Rounding changes every number x
        independently by an error that is uniform up to ROUNDOFF |x|, of rms ROUNDOFF |x| / sqrt 3.
        """
        whole = matrix.completed()
        with np.errstate(over="ignore", invalid="ignore"):
            left, right = np.abs(self.left) ** 2, np.abs(self.right.swapaxes(1, 2)) ** 2
            into = np.abs(self.left @ whole.left) ** 2  # (H, M, R)
            out = np.abs(self.right.swapaxes(1, 2) @ whole.right) ** 2
            squares = np.einsum("hmn,hmn,hn->hm", left, right, np.abs(whole.diagonal) ** 2)
            squares += (out * (left @ np.abs(whole.left) ** 2)).sum(axis=2)
            squares += (into * (right @ np.abs(whole.right) ** 2)).sum(axis=2)
            return np.asarray(ROUNDOFF / np.sqrt(3.0) * np.sqrt(squares))


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of H matrices with their sensitivity.

    Attributes:
        poles: complex128 (H, M).
        condition: (H, M) condition numbers of the eigenvalues, 1 and up.
        shift: (H, M) rms distance that rounding the parameters to float32 moves each.
    """

    poles: Complexes
    condition: Floats
    shift: Floats


def eigensystems(matrix: DiagonalLowRank) -> Iterator[tuple[slice, Eigensystem]]:
    """Eigensystems of consecutive heads, so many at once as keep memory bounded."""
    heads = len(matrix.diagonal)
    step = max(1, CHUNK // matrix.states**2)
    for start in range(0, heads, step):
        some = slice(start, min(start + step, heads))
        yield some, _eigensystem(matrix[some])


def spectrum_of(matrix: DiagonalLowRank) -> Spectrum:
    """Eigenvalues, condition numbers and sensitivity of every head."""
    shape = (len(matrix.diagonal), matrix.states)
    poles = np.empty(shape, dtype=np.complex128)
    condition, shift = np.empty(shape), np.empty(shape)
    for some, system in eigensystems(matrix):
        poles[some] = system.poles
        condition[some] = system.condition
        shift[some] = system.rounding_shift(matrix[some])
    return Spectrum(poles, condition, shift)


def unreliable(log_poles: Complexes, shift: Floats) -> Bools:
    """(H, M): poles that rounding to float32 moves by more than `UNRELIABLE` half-widths (rms).

    Args:
        log_poles: (H, M) of the bilinear rule, z = dt A / 2.
        shift: (H, M) rms error of dt A.
    """
    with np.errstate(all="ignore"):
        # log_pole = 2 artanh z moves by dz 2 / (1 - z^2), and 1 - tanh(l/2)^2 = 1 / cosh(l/2)^2
        moved = shift * np.abs(np.cosh(log_poles / 2.0)) ** 2
        return np.asarray(moved > UNRELIABLE * decay_to_half_width(-log_poles.real))


def complete(values: Array) -> Complexes:
    """(H, N, ...) followed along the states by its conjugate, without negative zeros."""
    conjugate = values.conj()
    conjugate.imag += 0.0  # the angle of -1 - 0i would be -pi
    return np.concatenate([values, conjugate], axis=1)


def _eigensystem(matrix: DiagonalLowRank) -> Eigensystem:
    heads, states = len(matrix.diagonal), matrix.states
    whole = matrix.completed()
    poles = np.full((heads, states), complex(np.nan, np.nan))
    right = np.full((heads, states, states), complex(np.nan, np.nan))
    left = right.copy()
    finite = np.isfinite(whole.diagonal).all(1) & np.isfinite(whole.left).all((1, 2))
    finite &= np.isfinite(whole.right).all((1, 2))
    low_rank = (whole.left != 0).any((1, 2)) & (whole.right != 0).any((1, 2))
    alone = finite & ~low_rank
    poles[alone] = whole.diagonal[alone]
    right[alone] = left[alone] = np.eye(states)
    coupled = np.flatnonzero(finite & low_rank)
    if coupled.size:
        some = DiagonalLowRank(
            matrix.diagonal[coupled], matrix.left[coupled], matrix.right[coupled], matrix.is_half
        )
        poles[coupled], right[coupled] = _solve(some)
        left[coupled] = _inverse(right[coupled])
    return Eigensystem(poles, right, left)


def _solve(matrix: DiagonalLowRank) -> tuple[Complexes, Complexes]:
    """Eigenvalues and right eigenvectors in the completed basis, in order."""
    if not matrix.is_half:
        poles, vectors = _eig(_dense(matrix))
        order = np.lexsort((poles.real, poles.imag))
    else:
        poles, halves = _eig(_real_form(matrix))
        modes = matrix.states // 2
        real, imag = halves[:, :modes], 1j * halves[:, modes:]  # (H, N, 2 N)
        vectors = np.concatenate([real + imag, real - imag], axis=1) / np.sqrt(2.0)
        order = _paired_order(poles)
    return (
        np.take_along_axis(poles, order, axis=1),
        np.take_along_axis(vectors, order[:, None, :], axis=2),
    )


def _dense(matrix: DiagonalLowRank) -> Complexes:
    with np.errstate(over="ignore", invalid="ignore"):
        dense: Complexes = -matrix.left @ matrix.right.swapaxes(1, 2)
    states = np.arange(matrix.states)
    dense[:, states, states] += matrix.diagonal
    return dense


def _real_form(matrix: DiagonalLowRank) -> Floats:
    """The completed matrix in the basis of real and imaginary parts."""
    left = np.concatenate([matrix.left.real, matrix.left.imag], axis=1)
    right = np.concatenate([matrix.right.real, -matrix.right.imag], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        real: Floats = -2.0 * left @ right.swapaxes(1, 2)
    upper = np.arange(matrix.states // 2)
    lower = upper + len(upper)
    real[:, upper, upper] += matrix.diagonal.real
    real[:, lower, lower] += matrix.diagonal.real
    real[:, upper, lower] -= matrix.diagonal.imag
    real[:, lower, upper] += matrix.diagonal.imag
    return real


def _paired_order(poles: Complexes) -> Array:
    """(H, 2N) indices: upper half-plane by frequency, then the conjugates in the same order.

    Real poles, an even number, come first, slow before fast, and go to the two halves in turn.
    """
    frequency, slowest = np.abs(poles.imag), -poles.real
    rank = np.argsort(np.lexsort((slowest, frequency)), axis=1)
    in_second_half = np.where(frequency == 0.0, rank % 2 == 1, poles.imag < 0.0)
    return np.lexsort((slowest, frequency, in_second_half))


def _eig(dense: Array) -> tuple[Complexes, Complexes]:
    """Batched eigenvalues and right eigenvectors; NaN where a matrix overflows or has none."""
    try:
        poles, vectors = np.linalg.eig(dense)
        return poles.astype(np.complex128), vectors.astype(np.complex128)
    except np.linalg.LinAlgError:
        if len(dense) > 1:
            pairs = [_eig(one[None]) for one in dense]
            return np.concatenate([p for p, _ in pairs]), np.concatenate([v for _, v in pairs])
        nan = np.full(dense.shape, complex(np.nan, np.nan))
        return nan[:, 0], nan


def _inverse(vectors: Complexes) -> Complexes:
    """Batched inverse; infinite where the eigenvectors of a matrix are linearly dependent."""
    try:
        return np.asarray(np.linalg.inv(vectors), dtype=np.complex128)
    except np.linalg.LinAlgError:
        if len(vectors) > 1:
            return np.concatenate([_inverse(one[None]) for one in vectors])
        return np.full(vectors.shape, complex(np.inf, np.inf))


def response(
    matrix: DiagonalLowRank, outputs: Complexes, inputs: Complexes, points: Complexes
) -> Complexes:
    """C (s - A)^-1 B by the Woodbury identity: the resolvent, without eigenvectors.

    With D(s) = s - diag(D), it is C D^-1 B - C D^-1 P (I + Q^T D^-1 P)^-1 Q^T D^-1 B.

    Args:
        matrix: H matrices of M states.
        outputs: (K, H, M), C in the completed basis.
        inputs: (H, M), B.
        points: (n,) or (H, n) values of s.

    Returns:
        complex128 (K, H, n).
    """
    whole = matrix.completed()
    points = np.broadcast_to(points, (len(whole.diagonal), points.shape[-1]))
    found = np.empty((len(outputs), *points.shape), dtype=np.complex128)
    with np.errstate(all="ignore"):
        for index in range(points.shape[1]):
            inverse = 1.0 / (points[:, index, None] - whole.diagonal)  # (H, M)
            across = np.einsum("khm,hm,hmr->khr", outputs, inverse, whole.left)
            into = np.einsum("hmr,hm,hm->hr", whole.right, inverse, inputs)
            core = np.einsum("hmr,hm,hms->hrs", whole.right, inverse, whole.left)
            core += np.eye(core.shape[-1])  # (H, R, R)
            direct = np.einsum("khm,hm,hm->kh", outputs, inverse, inputs)
            solved = _inverse(core) @ into[..., None]  # (H, R, 1)
            found[..., index] = direct - np.einsum("khr,hr->kh", across, solved[..., 0])
    return found
