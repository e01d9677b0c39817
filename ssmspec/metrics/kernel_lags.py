"""A kernel's energy by lag: E[k] = |K[k]|^2 summed over channels, inputs and outputs.

With c_n the residue of mode n, q = exp(l) its pole, and z_n = q_n^k,

    E[k] = gain^2 / 2 Re sum_nm [ (c_n* . c_m) z_n* z_m + (c_n . c_m) z_n z_m ],

a sum over pairs of modes of one channel whose powers add up to infinity in closed form. Few lags
are summed one by one, which cancels less; many, or all, in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ssmspec.arrays import Complexes, Floats
from ssmspec.kernel import (
    Kernel,
    LayerKernel,
    MimoKernel,
    channel_blocks,
    lag_numbers,
    once_a_kernel,
    powers,
    siso_response,
)
from ssmspec.outcome import NotApplicable

MOST_PRODUCTS = 2**35
"""Multiplications up to which lags are summed one by one, some seconds (heuristic)."""
MOST_LAGS = 2**22
"""Lags up to which they are summed one by one, for memory (heuristic)."""
MOST_PAIRS = 2**22
"""Pairs of modes up to which they are summed in closed form, for memory (heuristic)."""
_LAG_BLOCK = 4096


@dataclass(frozen=True)
class LagEnergy:
    """Energy of a layer's kernel over lags 0 .. L - 1, or over all lags.

    Attributes:
        total: energy of all of them.
        before: energy of the first so many lags, a number that may be L at most.
    """

    total: float
    before: Callable[[int], float]


@once_a_kernel
def energy_by_lag(kernel: Kernel, length: int | None) -> LagEnergy | NotApplicable:
    """The kernel's energy over its first `length` lags, or over all of them where it is None.

    Args:
        kernel: finite; every mode must decay where `length` is None.
        length: L, or None.
    """
    if length == 0:
        return LagEnergy(0.0, lambda _: 0.0)
    if length is not None and can_be_summed(kernel, length):
        return _summed(lag_energy(kernel, length))
    if _pairs(kernel) > MOST_PAIRS:
        return NotApplicable(f"{_pairs(kernel):,} pairs of modes are too many to sum over")
    if (kernel.spectrum.decay <= 0.0).any():
        return NotApplicable("a mode that does not decay cannot be summed over so many lags")
    tail = tail_energy(kernel)
    rest = 0.0 if length is None else tail(length)
    if not math.isfinite(tail(0) - rest):
        return NotApplicable("the energy of a mode that hardly decays is beyond what a float holds")
    return LagEnergy(tail(0) - rest, lambda lags: tail(0) - tail(lags))


def lag_profile(kernel: Kernel, length: int) -> tuple[float, ...]:
    """Share of the energy by octave of lag: lag 0, then [1, 2), [2, 4), ... up to L.

    Returns:
        One share for each, summing to 1; empty where the energy cannot be summed or is 0.
    """
    energy = energy_by_lag(kernel, length)
    if isinstance(energy, NotApplicable) or not energy.total > 0.0:
        return ()
    ends = [1, *(min(2 ** (j + 1), length) for j in range((length - 1).bit_length()))]
    below = [0.0, *(energy.before(end) / energy.total for end in ends)]
    return tuple(max(0.0, after - before) for before, after in pairwise(below))


def can_be_summed(kernel: Kernel, length: int) -> bool:
    """Whether so many lags are few enough to be summed one by one."""
    if isinstance(kernel, MimoKernel):
        products = 4 * kernel.spectrum.modes**2 * length
    else:
        products = 2 * kernel.residues.size * length
    return length <= MOST_LAGS and products <= MOST_PRODUCTS


@once_a_kernel
def lag_energy(kernel: Kernel, length: int) -> Floats:
    """Energy at each of the first lags, summed over channels.

    Returns:
        float64 (length,), read-only; infinite or NaN where a growing mode overflows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        energy = _mimo(kernel, length) if isinstance(kernel, MimoKernel) else _siso(kernel, length)
    energy.flags.writeable = False
    return energy


def comb_energy(kernel: Kernel, length: int | None, step: int, offsets: set[int]) -> float | None:
    """Energy at the lags that leave one of these remainders when divided by `step`.

    Args:
        kernel: as for `energy_by_lag`.
        length: L, or None for all lags.
        step: at least 1.
        offsets: remainders, below `step`.

    Returns:
        The energy, or None where `energy_by_lag` has a reason to give.
    """
    if length is not None and can_be_summed(kernel, length):
        energy = lag_energy(kernel, length)
        return float(sum(energy[offset::step].sum() for offset in offsets))
    total = 0.0
    for offset in offsets:
        teeth = None if length is None else max(0, -(-(length - offset) // step))
        part = energy_by_lag(_decimated(kernel, offset, step), teeth)
        if isinstance(part, NotApplicable):
            return None
        total += part.total
    return total


def tail_energy(kernel: Kernel) -> Callable[[int], float]:
    """Energy from a lag on to infinity, in closed form; every mode must decay."""
    log_poles = kernel.spectrum.log_poles
    mixed, plain = pair_weights(kernel)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mixed /= -np.expm1(log_poles.conj()[:, :, None] + log_poles[:, None, :])
        plain /= -np.expm1(log_poles[:, :, None] + log_poles[:, None, :])

    def tail(lag: int) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            z = np.exp(log_poles * lag)[..., None]
            sums = (z.conj() * (mixed @ z) + z * (plain @ z)).real.sum()
        return float(np.maximum(sums * kernel.gain**2 / 2.0, 0.0))  # a NaN stays one

    return tail


def pair_weights(kernel: Kernel) -> tuple[Complexes, Complexes]:
    """(c_n* . c_m) and (c_n . c_m) for all pairs of modes of a channel, (H, M, M) each."""
    if isinstance(kernel, MimoKernel):
        C, B = kernel.output_matrix, kernel.input_matrix
        mixed = (C.conj().T @ C) * (B.conj() @ B.T)
        return mixed[None], ((C.T @ C) * (B @ B.T))[None]
    c = np.moveaxis(kernel.residues, 0, 1)
    return c.conj().swapaxes(1, 2) @ c, c.swapaxes(1, 2) @ c


def _siso(kernel: LayerKernel, length: int) -> Floats:
    log_poles = kernel.spectrum.log_poles
    energy = np.zeros(length)
    for block in channel_blocks(kernel, lag_numbers(kernel, length)):
        response = siso_response(kernel.residues[:, block], log_poles[block], kernel.gain, length)
        energy += np.einsum("shk,shk->k", response, response)
    return energy


def _mimo(kernel: MimoKernel, length: int) -> Floats:
    (mixed,), (plain,) = pair_weights(kernel)
    log_poles = kernel.spectrum.log_poles[0]
    energy = np.empty(length)
    for start in range(0, length, _LAG_BLOCK):
        lags = min(_LAG_BLOCK, length - start)
        z = np.exp(log_poles * start)[:, None] * powers(log_poles, lags)
        sums = (z.conj() * (mixed @ z) + z * (plain @ z)).real.sum(axis=0)
        energy[start : start + lags] = np.maximum(sums * (kernel.gain**2 / 2.0), 0.0)
    return energy


def _summed(energy: Floats) -> LagEnergy | NotApplicable:
    cumulative = np.concatenate([[0.0], np.cumsum(energy)])
    if not np.isfinite(cumulative[-1]):
        return NotApplicable("the energy of a growing mode is beyond what a float holds")
    return LagEnergy(float(cumulative[-1]), lambda lags: float(cumulative[lags]))


def _pairs(kernel: Kernel) -> int:
    return kernel.spectrum.log_poles.size * kernel.spectrum.modes


def _decimated(kernel: Kernel, offset: int, step: int) -> Kernel:
    """The kernel at lags offset, offset + step, ..."""
    log_poles = kernel.spectrum.log_poles
    spectrum = replace(kernel.spectrum, log_poles=step * log_poles)
    shift = np.exp(offset * log_poles)
    if isinstance(kernel, MimoKernel):
        return replace(kernel, spectrum=spectrum, output_matrix=kernel.output_matrix * shift)
    return replace(kernel, spectrum=spectrum, residues=kernel.residues * shift)
