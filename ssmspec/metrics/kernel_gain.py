"""The peak gain of a MIMO layer: its largest singular value over all frequencies.

With the conjugate of each mode beside it the response at a frequency is C diag(p) B, where
p = 1 / (1 - l exp(-i omega)). Its Frobenius norm is a quadratic form in p, quick to have at all
frequencies, and bounds the singular value from above: frequencies are tried in descending order of
it, until it falls below the best gain found.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.kernel import MimoKernel, once_a_kernel, resonance
from ssmspec.metrics.golden_section import highest_between

LARGEST_SYSTEM = 1024
"""Modes up to which the peak gain of a MIMO layer is computed, for time (heuristic)."""

# Heuristics. Iterations from a random start come within a few percent, enough to rank frequencies;
# the finalists' own values are computed exactly in the end.
_BATCH = 64
_ITERATIONS = 12
_FINAL_ITERATIONS = 20
_FINALISTS = 6
_REFINEMENTS = 36


@once_a_kernel
def largest_gain(kernel: MimoKernel, steps: int) -> float:
    """Largest singular value of the frequency response at any frequency.

    The singular values of single frequencies are found by power iteration, the last one exactly.

    Args:
        kernel: every mode must decay.
        steps: equal steps of [0, pi] between samples; the pole frequencies are sampled as well.

    Returns:
        The gain, infinite where it overflows.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _largest_gain(_System(kernel), kernel, steps)


def _largest_gain(system: _System, kernel: MimoKernel, steps: int) -> float:
    omega = np.union1d(np.linspace(0.0, np.pi, steps + 1), kernel.spectrum.omega[0])
    bound = system.frobenius(omega)
    if not np.isfinite(bound).all():
        return np.inf
    gain = np.zeros(omega.size)
    order = np.argsort(-bound)
    for start in range(0, omega.size, _BATCH):
        batch = order[start : start + _BATCH]
        batch = batch[bound[batch] > gain.max()]
        if not batch.size:
            break
        gain[batch] = system.gain(omega[batch], _ITERATIONS)
    finalists = _apart(gain)
    best, _ = highest_between(
        lambda trial: system.gain(trial, _FINAL_ITERATIONS),
        omega[np.maximum(finalists - 1, 0)],
        omega[finalists],
        omega[np.minimum(finalists + 1, omega.size - 1)],
        _REFINEMENTS,
    )
    return max(map(system.exact_gain, best.tolist()))


class _System:
    """C diag(p) B with modes and conjugates, C and B reduced to as many rows as columns."""

    def __init__(self, kernel: MimoKernel) -> None:
        C, B = kernel.output_matrix, kernel.input_matrix
        self.log_poles = kernel.spectrum.log_poles[0]
        outputs: Complexes = np.concatenate([C, C.conj()], axis=1)
        outputs *= kernel.gain / 2.0
        inputs: Complexes = np.concatenate([B, B.conj()])
        # A unitary factor on either side changes no singular value.
        if outputs.shape[0] > outputs.shape[1]:
            outputs = np.asarray(np.linalg.qr(outputs).R, dtype=np.complex128)
        if inputs.shape[1] > inputs.shape[0]:
            inputs = np.asarray(np.linalg.qr(inputs.conj().T).R.conj().T, dtype=np.complex128)
        self.outputs, self.inputs = outputs, inputs

    def factors(self, omega: Floats) -> Complexes:
        """(2 M, n), p at each frequency."""
        poles = self.log_poles[:, None]
        return np.concatenate([resonance(poles, omega), resonance(poles, -omega).conj()])

    def frobenius(self, omega: Floats) -> Floats:
        """(n,) Frobenius norm of the response."""
        p = self.factors(omega)
        grams = (self.outputs.conj().T @ self.outputs) * (self.inputs.conj() @ self.inputs.T)
        squares: Floats = (p.conj() * (grams @ p)).real.sum(axis=0)
        return np.sqrt(np.maximum(squares, 0.0)) * (1.0 + 1e-9)  # an upper bound, rounding or not

    def gain(self, omega: Floats, iterations: int) -> Floats:
        """(n,) largest singular value by power iteration, from below."""
        p = self.factors(omega)
        start = np.random.default_rng(0).normal(size=(self.inputs.shape[1], 1))
        v = np.repeat(start.astype(np.complex128), omega.size, axis=1)
        sizes = np.zeros(omega.size)
        for _ in range(iterations):
            v /= np.maximum(np.linalg.norm(v, axis=0), np.finfo(float).tiny)
            y = self.outputs @ (p * (self.inputs @ v))
            sizes = np.linalg.norm(y, axis=0)
            v = self.inputs.conj().T @ (p.conj() * (self.outputs.conj().T @ y))
        return sizes

    def exact_gain(self, omega: float) -> float:
        """Largest singular value of the response at one frequency."""
        response = (self.outputs * self.factors(np.array([omega])).T) @ self.inputs
        return float(np.linalg.norm(response, 2))


def _apart(gain: Floats) -> Array:
    """Places of the highest values, none next to a higher one."""
    padded = np.concatenate([[-np.inf], gain, [-np.inf]])
    tops = np.nonzero((gain >= padded[:-2]) & (gain >= padded[2:]))[0]
    return tops[np.argsort(-gain[tops])[:_FINALISTS]]
