"""The frequency response of every channel of a kernel, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Complexes, Floats
from ssmspec.kernel import (
    LayerKernel,
    MimoKernel,
    channel_blocks,
    resonance,
    siso_response,
)
from ssmspec.metrics.base import DECAYING, FINITE, KERNEL, TRACTABLE, Context
from ssmspec.results.layer_view import LayerView

GRID = 1024
"""Equal steps of [0, pi] at which a response is taken."""
MOST_PRODUCTS = 2**31
"""Multiplications up to which a MIMO layer's response is taken, some seconds (heuristic)."""
FEWEST_STEPS = 64
_BLOCK = 2**20


@dataclass(frozen=True, eq=False)
class Gains:
    """The gain of each channel along the band.

    Attributes:
        omega: (n,) rad/sample, equally spaced from 0 to pi.
        gains: (h, n), of a MIMO layer that of each output to all inputs together.
        loudest: (2, m) frequency and gain of the loudest channel, its poles' frequencies included;
            None of a MIMO layer.
        noun: what a row is, "channel" or "output".
    """

    omega: Floats
    gains: Floats
    loudest: Floats | None
    noun: str

    @property
    def total(self) -> Floats:
        """(n,) gain of all channels together, the root of the sum of squares."""
        summed: Floats = np.sqrt(np.square(self.gains).sum(axis=0))
        return summed


def gains_of(view: LayerView) -> Gains | str:
    """The gains of a layer's channels, or why there are none to show."""
    context = Context(view.sequence_length, kernel=view.kernel, no_kernel=view.no_kernel)
    for requirement in (FINITE, KERNEL, DECAYING, TRACTABLE):
        reason = requirement.missing(view.spectrum, context)
        if reason is not None:
            return reason
    kernel = view.kernel
    if kernel is None:  # KERNEL has a reason for it
        return view.no_kernel
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = _mimo(kernel) if isinstance(kernel, MimoKernel) else _siso(kernel)
    if isinstance(found, str):
        return found
    if not np.isfinite(found.gains).all():
        return "the gain of a mode that hardly decays is beyond what a float holds"
    return found if found.gains.any() else "the kernel is zero"


def _siso(kernel: LayerKernel) -> Gains:
    """K repeated every 2 GRID lags has residues c / (1 - l^(2 GRID)); its transform samples K's."""
    period = 2 * GRID
    outputs, channels, modes = kernel.residues.shape
    gains = np.empty((channels, GRID + 1))
    peaks = np.empty(channels)
    for block in channel_blocks(kernel, outputs * (2 * period + modes * modes)):
        poles, residues = kernel.spectrum.log_poles[block], kernel.residues[:, block]
        response = siso_response(residues / -np.expm1(period * poles), poles, kernel.gain, period)
        gains[block] = np.sqrt(np.sum(np.abs(np.fft.rfft(response)) ** 2, axis=0))
        at_poles = _gain_at(residues, poles, kernel.gain, kernel.spectrum.omega[block])
        peaks[block] = np.maximum(gains[block].max(axis=1), at_poles.max(axis=1))
    omega = np.linspace(0.0, np.pi, GRID + 1)
    best = int(np.argmax(peaks))
    places = np.union1d(omega, kernel.spectrum.omega[best])
    one = slice(best, best + 1)
    curve = _gain_at(
        kernel.residues[:, one], kernel.spectrum.log_poles[one], kernel.gain, places[None]
    )
    return Gains(omega, gains, np.stack([places, curve[0]]), "channel")


def _gain_at(residues: Complexes, log_poles: Complexes, gain: float, omega: Floats) -> Floats:
    """(h, n) gain of each channel at its own frequencies (h, n); residues (S, h, M)."""
    ahead = resonance(log_poles[:, None, :], omega[..., None])
    behind = resonance(log_poles[:, None, :], -omega[..., None]).conj()
    total = np.einsum("shm,hnm->shn", residues, ahead)
    total += np.einsum("shm,hnm->shn", residues.conj(), behind)
    gains: Floats = gain / 2.0 * np.sqrt(np.sum(total.real**2 + total.imag**2, axis=0))
    return gains


def _mimo(kernel: MimoKernel) -> Gains | str:
    """With the conjugate of each mode beside it the response is C diag(p) B."""
    C = (
        kernel.gain
        / 2.0
        * np.concatenate([kernel.output_matrix, kernel.output_matrix.conj()], axis=1)
    )
    B = np.concatenate([kernel.input_matrix, kernel.input_matrix.conj()])
    if B.shape[1] > B.shape[0]:  # a unitary factor on the right changes no row's norm
        B = np.asarray(np.linalg.qr(B.conj().T).R.conj().T, dtype=np.complex128)
    steps = GRID
    while steps > FEWEST_STEPS and steps * C.size * B.shape[1] > MOST_PRODUCTS:
        steps //= 2
    if steps * C.size * B.shape[1] > MOST_PRODUCTS:
        return f"the response of {kernel.spectrum.modes:,} modes is too large to draw"
    omega = np.linspace(0.0, np.pi, steps + 1)
    poles = kernel.spectrum.log_poles[0][:, None]
    p = np.concatenate([resonance(poles, omega), resonance(poles, -omega).conj()])
    gains = np.empty((C.shape[0], omega.size))
    step = max(1, _BLOCK // max(C.size, C.shape[0] * B.shape[1]))
    for start in range(0, omega.size, step):
        part = slice(start, start + step)
        rows = (p[:, part].T[:, None, :] * C) @ B
        gains[:, part] = np.linalg.norm(rows, axis=2).T
    return Gains(omega, gains, None, "output")


def to_decibels(gain: Floats, floor: float) -> Floats:
    """20 log10 of a gain, not below a floor in dB."""
    with np.errstate(divide="ignore"):
        return np.maximum(20.0 * np.log10(gain), floor)
