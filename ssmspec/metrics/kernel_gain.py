"""The peak gain of a MIMO layer: its largest singular value over all frequencies.

With the conjugate of each mode beside it the response at a frequency is

    G(omega) = gain/2 sum_n [C_n p_n B_n + conj(C_n) q_n conj(B_n)],
    p_n = 1 / (1 - l_n exp(-i omega)),  q_n = 1 / (1 - conj(l_n) exp(-i omega)).

Its Frobenius norm bounds the singular value from above and is the transform of a scalar sequence,
the kernel's autocorrelation R[k] = sum_j <K[j], K[j + k]>, which is a sum of the same modes:
||G||^2 = 2 Re sum_k R[k] exp(-i omega k) - R[0]. Frequencies are tried in descending order of it
until it falls below the best gain found.

At one frequency the gain is estimated, from below, by Lanczos steps from a random start (Golub and
Kahan). With n columns and k steps the square of the estimate is too small by a relative e with a
probability of at most 1.65 sqrt(n) exp(-(2 k - 1) sqrt(e)) (Kuczynski and Wozniakowski, 1992);
every frequency has a start of its own, so that neighbors do not miss a peak together. Estimates
serve to choose: the maxima among them are refined by the slope Re(u^H G' v) of the singular value,
and the gain of the best is computed exactly. A maximum of the largest singular value is smooth,
for where two cross the larger has a kink that points down.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.kernel import (
    MimoKernel,
    once_a_kernel,
    one_minus_products,
    resonance,
    siso_response,
)

LARGEST_SYSTEM = 1024
"""Modes up to which the peak gain of a MIMO layer is computed, for time (heuristic)."""

# Heuristics.
_BATCH = 32
_FIRST_STEPS, _MORE_STEPS = 6, 12
_CONTENDER, _FINALIST = 0.75, 0.85
"""Shares of the highest estimate above which a frequency is looked at again, and is refined."""
_FINALISTS = 8
_BROAD = 16
"""Steps of the grid: a wider resonance is sampled at every 8th step, and not at its pole."""
_BLOCK = 4
_EXACT = 1e-9
_TRIALS = 40
_SINGLE = 1e-9
"""Least decay, nat/sample, at which estimates are made in single precision."""


@once_a_kernel
def largest_gain(kernel: MimoKernel, steps: int) -> float:
    """Largest singular value of the frequency response at any frequency.

    Args:
        kernel: every mode must decay.
        steps: equal steps of [0, pi]; where a resonance is narrow each is sampled, and the
            resonance at its own frequency as well.

    Returns:
        The gain, infinite where it overflows.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        omega, bound = _sampled(kernel, steps)
        if not np.isfinite(bound).all():
            return np.inf
        single = float(kernel.spectrum.decay.min()) > _SINGLE
        return _Search(_System.of(kernel), omega, bound, single).highest()


def frobenius_bounds(kernel: MimoKernel, steps: int, at: Floats) -> tuple[Floats, Floats]:
    """Upper bounds of the gain, the Frobenius norm and what rounding may add.

    Args:
        kernel: every mode must decay.
        steps: n equal steps of [0, pi].
        at: (m,) more frequencies.

    Returns:
        (n + 1,) and (m,) bounds.
    """
    C, B, log_poles = kernel.output_matrix, kernel.input_matrix, kernel.spectrum.log_poles[0]
    mixed = (C.conj().T @ C) * (B.conj() @ B.T) / one_minus_products(log_poles.conj(), log_poles)
    plain = (C.T @ C) * (B @ B.T) / one_minus_products(log_poles, log_poles)
    residues = kernel.gain**2 / 2.0 * (mixed.sum(axis=0) + plain.sum(axis=0))  # (M,)
    start = float(residues.real.sum())
    rounding = 1e-12 * float(np.abs(residues).sum())
    wrapped = residues / -np.expm1(2 * steps * log_poles)
    repeated = siso_response(wrapped[None, None], log_poles[None], 1.0, 2 * steps)[0, 0]
    grid = 2.0 * np.fft.rfft(repeated).real - start  # (n + 1,)
    poles = log_poles[:, None]
    ahead, behind = residues @ resonance(poles, at), residues @ resonance(poles, -at)
    there = (ahead + behind.conj()).real - start  # (m,)
    return np.sqrt(np.maximum(grid, 0.0) + rounding), np.sqrt(np.maximum(there, 0.0) + rounding)


def _sampled(kernel: MimoKernel, steps: int) -> tuple[Floats, Floats]:
    """Frequencies to try, in ascending order, and their bounds."""
    poles, width = kernel.spectrum.omega[0], kernel.spectrum.half_width[0]
    on_grid, at_poles = frobenius_bounds(kernel, steps, poles)
    step = np.pi / steps
    wanted = np.zeros(steps + 1, dtype=bool)
    wanted[:: _BROAD // 2] = wanted[-1] = True
    narrow = width < _BROAD * step
    for middle, steps_wide in zip(poles[narrow] / step, width[narrow] / step, strict=True):
        stride = 1 << max(0, int(np.log2(max(steps_wide, 1e-9))) - 1)
        first = max(0, int(middle - 4.0 * steps_wide)) // stride * stride
        wanted[first : int(middle + 4.0 * steps_wide) + stride + 1 : stride] = True
    omega = np.concatenate([np.linspace(0.0, np.pi, steps + 1)[wanted], poles[narrow]])
    omega, places = np.unique(omega, return_index=True)
    return omega, np.concatenate([on_grid[wanted], at_poles[narrow]])[places]


class _Factors(NamedTuple):
    """p and q of the modes (M) at n frequencies, each (M, n)."""

    p: Complexes
    q: Complexes


class _System:
    """G as a product of real matrices and diagonals: (Re C, Im C) p, q (Re B; Im B).

    Real matrices on complex columns are half the work of complex ones for modes and conjugates. C
    and B are reduced to as many rows and columns as there are states: an orthogonal factor on
    either side changes no singular value.
    """

    def __init__(self, outputs: Array, inputs: Array, log_poles: Complexes) -> None:
        self.outputs, self.inputs, self.log_poles = outputs, inputs, log_poles
        self.dtype = np.result_type(outputs, np.complex64)

    @classmethod
    def of(cls, kernel: MimoKernel) -> _System:
        """The system of a kernel."""
        C, B = kernel.output_matrix, kernel.input_matrix
        outputs = kernel.gain / 2.0 * np.concatenate([C.real, C.imag], axis=1)
        inputs = np.concatenate([B.real, B.imag])
        if outputs.shape[0] > outputs.shape[1]:
            outputs = np.linalg.qr(outputs).R
        if inputs.shape[1] > inputs.shape[0]:
            inputs = np.linalg.qr(inputs.T).R.T
        outputs, inputs = np.ascontiguousarray(outputs), np.ascontiguousarray(inputs)
        return cls(outputs, inputs, kernel.spectrum.log_poles[0][:, None])

    def in_single_precision(self) -> tuple[_System, float]:
        """The system over a number, and the number."""
        C, B = (float(np.abs(part).max()) or 1.0 for part in (self.outputs, self.inputs))
        parts = (self.outputs / C).astype(np.float32), (self.inputs / B).astype(np.float32)
        return _System(*parts, self.log_poles), C * B

    def factors(self, omega: Floats) -> _Factors:
        """The factors at each frequency."""
        p, q = resonance(self.log_poles, omega), resonance(self.log_poles, -omega).conj()
        return _Factors(p.astype(self.dtype), q.astype(self.dtype))

    def times(self, at: _Factors, v: Complexes) -> Complexes:
        """G v; column n of v at frequency n, or all at the only one."""
        states = _product(self.inputs, v)
        real, imag = states[: len(at.p)], 1j * states[len(at.p) :]
        ahead, behind = at.p * (real + imag), at.q * (real - imag)
        return _product(self.outputs, np.concatenate([ahead + behind, 1j * (ahead - behind)]))

    def adjoint_times(self, at: _Factors, u: Complexes) -> Complexes:
        """G^H u."""
        states = _product(self.outputs.T, u)
        real, imag = states[: len(at.p)], 1j * states[len(at.p) :]
        ahead, behind = at.p.conj() * (real - imag), at.q.conj() * (real + imag)
        return _product(self.inputs.T, np.concatenate([ahead + behind, 1j * (behind - ahead)]))

    def slope(self, at: _Factors, u: Complexes, v: Complexes) -> float:
        """Re(u^H G' v), what the singular value of u and v rises by a radian."""
        by_omega = _Factors(-1j * (at.p**2 - at.p), -1j * (at.q**2 - at.q))
        return float(np.vdot(u, self.times(by_omega, v)).real)

    def gain(self, omega: float) -> float:
        """Largest singular value at one frequency, all of its digits."""
        modes, at = len(self.log_poles), self.factors(np.array([omega]))
        C = self.outputs[:, :modes] + 1j * self.outputs[:, modes:]
        B = self.inputs[:modes] + 1j * self.inputs[modes:]
        G = (C * at.p[:, 0]) @ B + (C.conj() * at.q[:, 0]) @ B.conj()  # (O, I)
        squares = G @ G.conj().T if len(G) <= len(G.T) else G.conj().T @ G
        return float(np.sqrt(max(np.linalg.eigvalsh(squares)[-1], 0.0)))

    def best_vectors(
        self, omega: Floats, steps: int, rng: np.random.Generator
    ) -> tuple[Floats, Complexes]:
        """(n,) gains from below by Lanczos steps, and the unit inputs (I, n) that have them."""
        at, columns = self.factors(omega), self.inputs.shape[1]
        steps = min(steps, columns)
        start = rng.normal(size=(2, columns, omega.size))
        v = _unit((start[0] + 1j * start[1]).astype(self.dtype))[0]  # (I, n)
        basis = np.zeros((steps, *v.shape), dtype=self.dtype)
        bidiagonal = np.zeros((omega.size, steps, steps))
        u = np.zeros((len(self.outputs), omega.size), dtype=self.dtype)
        beta = np.zeros(omega.size, dtype=self.inputs.dtype)
        for k in range(steps):
            basis[k] = v
            u, alpha = _unit(self.times(at, v) - beta * u)  # (O, n), (n,)
            bidiagonal[:, k, k] = alpha
            v, beta = _unit(self.adjoint_times(at, u) - alpha * v)
            if k + 1 < steps:
                bidiagonal[:, k, k + 1] = beta
        _, vectors = np.linalg.eigh(bidiagonal.swapaxes(1, 2) @ bidiagonal)  # (n, steps, steps)
        mixed = vectors[:, :, -1].T.astype(self.inputs.dtype)[:, None]  # (steps, 1, n)
        best, _ = _unit(np.sum(basis * mixed, axis=0))
        return np.linalg.norm(self.times(at, best), axis=0), best


class _Search:
    """From many frequencies to the best one."""

    def __init__(self, system: _System, omega: Floats, bound: Floats, single: bool) -> None:
        self.system, self.omega, self.bound = system, omega, bound
        self.rough, self.scale = system.in_single_precision() if single else (system, 1.0)
        self.rng = np.random.default_rng(0)
        self.gains = np.zeros(omega.size)
        self.vectors = np.zeros((system.inputs.shape[1], omega.size), dtype=np.complex128)

    def highest(self) -> float:
        """The gain at the best frequency."""
        self._estimate(np.argsort(-self.bound), _FIRST_STEPS)
        self._estimate(np.nonzero(self.gains > _CONTENDER * self.gains.max())[0], _MORE_STEPS)
        best, found = 0.0, []
        for place in self._tops():
            for start in self._starts(int(place)):
                gain, omega = self._refined(int(place), start, best)
                found.append((gain, omega))
                best = max(best, gain)
        near = [omega for gain, omega in found if gain > (1.0 - 1e-6) * best]
        return max((self.system.gain(omega) for omega in near[:2]), default=best)

    def _estimate(self, places: Array, steps: int) -> None:
        """Estimate the gains of some frequencies, except where they cannot be the highest."""
        for start in range(0, places.size, _BATCH):
            batch = places[start : start + _BATCH]
            batch = batch[self.bound[batch] > self.gains.max()]
            if not batch.size:
                continue
            gains, vectors = self.rough.best_vectors(self.omega[batch], steps, self.rng)
            gains = gains * (self.scale * (1.0 - 1e-5))  # from below, whatever the precision
            higher = gains > self.gains[batch]
            self.gains[batch[higher]] = gains[higher]
            self.vectors[:, batch[higher]] = vectors[:, higher]

    def _tops(self) -> Array:
        """Places of the highest maxima, descending."""
        padded = np.concatenate([[-np.inf], self.gains, [-np.inf]])
        is_top = (self.gains >= padded[:-2]) & (self.gains >= padded[2:])
        tops = np.nonzero(is_top & (self.gains >= _FINALIST * self.gains.max()))[0]
        return tops[np.argsort(-self.gains[tops], kind="stable")[:_FINALISTS]]

    def _starts(self, place: int) -> tuple[float, ...]:
        """Where to search from: at 0 and pi no slope tells a maximum from a minimum."""
        omega = float(self.omega[place])
        if place == 0:
            return omega, float(self.omega[1]) / 2.0
        if place == self.omega.size - 1:
            return omega, (omega + float(self.omega[-2])) / 2.0
        return (omega,)

    def _refined(self, place: int, omega: float, beat: float) -> tuple[float, float]:
        """The maximum between two neighbors, or where it is clear that it is below `beat`."""
        low = float(self.omega[max(place - 1, 0)])
        high = float(self.omega[min(place + 1, self.omega.size - 1)])
        at_low = at_high = np.nan
        most, where = 0.0, omega
        size = (self.vectors.shape[0], min(_BLOCK, self.vectors.shape[0]) - 1)
        V = np.concatenate([self.vectors[:, place, None], self.rng.normal(size=size)], axis=1)
        for trial in range(_TRIALS):
            at = self.system.factors(np.array([omega]))
            gain, u, V = self._converged(at, V)
            if gain > most:
                most, where = gain, omega
            slope = self.system.slope(at, u, V[:, :1])
            if slope > 0.0:
                low, at_low = omega, slope
            else:
                high, at_high = omega, slope
            to_win = abs(slope) * (high - low)
            if to_win < _EXACT * gain or most + to_win < (1.0 - _EXACT) * beat:
                break
            omega = (low + high) / 2.0
            if trial % 3 != 2 and np.isfinite(at_low - at_high) and at_low > at_high:
                share = at_low / (at_low - at_high)
                omega = low + (high - low) * min(max(share, 0.02), 0.98)
        return most, where

    def _converged(self, at: _Factors, V: Complexes) -> tuple[float, Complexes, Complexes]:
        """The largest singular value at one frequency, with its u, and v the first of a block."""
        before = 0.0
        for _ in range(_TRIALS):
            Q = np.linalg.qr(self.system.times(at, np.linalg.qr(V)[0]))[0]
            V, values, mixed = np.linalg.svd(self.system.adjoint_times(at, Q), full_matrices=False)
            gain = float(values[0])
            if gain - before <= _EXACT * gain:
                break
            before = gain
        return gain, Q @ mixed[:1].conj().T, V


def _product(matrix: Floats, columns: Complexes) -> Complexes:
    """A real matrix times complex columns, in real arithmetic."""
    many = columns.shape[1]
    both = matrix @ np.concatenate([columns.real, columns.imag], axis=1)
    product = np.empty((len(both), many), dtype=columns.dtype)
    product.real, product.imag = both[:, :many], both[:, many:]
    return product


def _unit(columns: Complexes) -> tuple[Complexes, Floats]:
    """Columns of length 1, or 0 where there is nothing but rounding, and their lengths."""
    lengths = np.linalg.norm(columns, axis=0)
    return columns / np.maximum(lengths, np.finfo(lengths.dtype).tiny), lengths
