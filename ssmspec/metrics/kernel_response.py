"""How loud a layer is: the peak of its frequency response, for every channel.

The response of a channel is sampled at 2,049 equally spaced frequencies and at the folded frequency
of each of its poles, so that no resonance, however narrow, is passed over; the highest of these
samples are then refined. A channel with several outputs, and a MIMO layer, is as loud as the
largest singular value of its response.
"""

from __future__ import annotations

import math

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.kernel import (
    LayerKernel,
    MimoKernel,
    channel_blocks,
    once_a_kernel,
    resonance,
    siso_response,
)
from ssmspec.metrics.base import (
    DECAYING,
    KERNEL,
    SEVERAL_CHANNELS,
    TRACTABLE,
    Aggregate,
    Context,
    Metric,
    share,
)
from ssmspec.metrics.kernel_gain import LARGEST_SYSTEM, largest_gain
from ssmspec.metrics.peaks import Local, highest_between
from ssmspec.outcome import Direction, NotApplicable
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import DIMENSIONLESS, FRACTION

GRID = 2048
"""Equal steps of [0, pi] between samples; the definition asks for at least 2,048 points."""
AUDIBLE = 1e-3
"""A channel below this share of the loudest one's peak is dead."""
CONTENDER = 0.25
"""Samples whose power is at least this share of the highest one's are refined. Between two samples
lies no resonance that is narrow, for it would have a sample of its own; what is left to gain there
is far less than this. Heuristic."""
SHARP = 1e-6
"""Decay, nat/sample, below which 1 - pole_bar exp(-i omega) is not left to plain subtraction, which
is quicker and loses all but nine digits there."""


def hinf_max(_: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Largest gain of any channel at any frequency."""
    kernel = context.known_kernel
    if isinstance(kernel, LayerKernel):
        return float(peak_gains(kernel).max())
    if kernel.spectrum.modes > LARGEST_SYSTEM:
        return NotApplicable(f"it is computed for systems of up to {LARGEST_SYSTEM:,} modes")
    return largest_gain(kernel, GRID)


def dead_channel_fraction(_: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Share of channels whose peak gain is below 1e-3 of the layer's largest, in [0, 1]."""
    kernel = context.known_kernel
    if isinstance(kernel, MimoKernel):
        return NotApplicable("a MIMO layer is one system, not several channels")
    gains = peak_gains(kernel)
    loudest = float(gains.max())
    if not math.isfinite(loudest):
        return NotApplicable("the gain of a mode that hardly decays is beyond what a float holds")
    return share(gains < AUDIBLE * loudest) if loudest else NotApplicable("the kernel is zero")


@once_a_kernel
def peak_gains(kernel: LayerKernel) -> Floats:
    """Peak over frequency of the gain of each channel, to a relative 1e-6.

    Args:
        kernel: every mode must decay.

    Returns:
        (H,), infinite where one overflows.
    """
    gains = np.empty(kernel.spectrum.channels)
    outputs, _, modes = kernel.residues.shape
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for block in channel_blocks(kernel, 2 * outputs * (2 * GRID + modes * modes)):
            part = _Part(kernel.residues[:, block], kernel.spectrum.log_poles[block], kernel.gain)
            gains[block] = np.sqrt(part.peaks())
    gains[np.isnan(gains)] = np.inf
    return gains


class _Part:
    """Some channels of a kernel, and their power, the square of the gain."""

    def __init__(self, residues: Array, log_poles: Array, gain: float) -> None:
        self.residues, self.log_poles, self.gain = residues, log_poles, gain
        self.poles = np.exp(log_poles)
        self.is_sharp = float(log_poles.real.max()) > -SHARP

    def peaks(self) -> Floats:
        """(h,) peak power."""
        omega, power = self._samples()  # (h, n)
        below = np.concatenate([omega[:, :1], omega[:, :-1]], axis=1)
        above = np.concatenate([omega[:, 1:], omega[:, -1:]], axis=1)
        step = np.pi / GRID  # power is even about 0 and pi: a search goes on beyond either
        below[omega == 0.0], above[omega == 0.0] = -step, step
        below[omega == np.pi], above[omega == np.pi] = np.pi - step, np.pi + step
        rising = np.diff(power, axis=1)
        edge = np.full((len(power), 1), True)
        is_top = np.concatenate([edge, rising >= 0.0], axis=1)
        is_top &= np.concatenate([rising <= 0.0, edge], axis=1)
        is_top &= power >= CONTENDER * power.max(axis=1, keepdims=True)
        channel, place = np.nonzero(is_top)  # (m,)
        refined = highest_between(
            lambda which, trial: self.local(channel[which], trial),
            below[channel, place],
            omega[channel, place],
            above[channel, place],
        )
        highest = np.zeros(len(power))
        np.maximum.at(highest, channel, refined)
        return highest

    def _samples(self) -> tuple[Floats, Floats]:
        """(h, n) frequencies in ascending order and the power there.

        The grid comes from one transform: K repeated every 2 GRID lags is a sum of modes again,
        with residues c / (1 - l^(2 GRID)), and its discrete transform samples that of K.
        """
        period = 2 * GRID
        channels, modes = self.log_poles.shape
        wrapped = self.residues / -np.expm1(period * self.log_poles)
        response = siso_response(wrapped, self.log_poles, self.gain, period)  # (S, h, period)
        on_grid = np.sum(np.abs(np.fft.rfft(response)) ** 2, axis=0)  # (h, GRID + 1)
        folded = np.abs(np.remainder(self.log_poles.imag + np.pi, 2.0 * np.pi) - np.pi)
        every = np.repeat(np.arange(channels), modes)
        at_poles = self.power(every, folded.reshape(-1)).reshape(channels, modes)
        grid = np.broadcast_to(np.linspace(0.0, np.pi, GRID + 1), on_grid.shape)
        omega = np.concatenate([grid, folded], axis=1)
        power = np.concatenate([on_grid, at_poles], axis=1)
        order = np.argsort(omega, axis=1, kind="stable")
        return np.take_along_axis(omega, order, axis=1), np.take_along_axis(power, order, axis=1)

    def power(self, channel: Array, omega: Floats) -> Floats:
        """Power of one channel at one frequency, for each entry of both."""
        ahead, behind = self._resonances(channel, omega)
        return _squares(self._response(channel, ahead, behind))

    def local(self, channel: Array, omega: Floats) -> Local:
        """`power` and its first two derivatives with respect to the frequency.

        d/domega of p = 1 / (1 - l exp(-i omega)) is i (p - p^2), and once more (3 - 2 p) p^2 - p.
        Both hold for the conjugate pole, whose p here is the conjugate of `behind`.
        """
        ahead, behind = self._resonances(channel, omega)
        G = self._response(channel, ahead, behind)  # (S, n)
        ahead_2, behind_2 = ahead * ahead, behind * behind
        first = self._response(channel, 1j * (ahead - ahead_2), -1j * (behind - behind_2))
        second = self._response(
            channel,
            (3.0 - 2.0 * ahead) * ahead_2 - ahead,
            (3.0 - 2.0 * behind) * behind_2 - behind,
        )
        return Local(
            _squares(G),
            2.0 * np.sum((G.conj() * first).real, axis=0),
            2.0 * (_squares(first) + np.sum((G.conj() * second).real, axis=0)),
        )

    def _resonances(self, channel: Array, omega: Floats) -> tuple[Complexes, Complexes]:
        """1 / (1 - l exp(-+i omega)) of the modes of a channel, (n, M)."""
        if self.is_sharp:
            poles = self.log_poles[channel]
            return resonance(poles, omega[:, None]), resonance(poles, -omega[:, None])
        poles, turn = self.poles[channel], np.exp(-1j * omega)[:, None]
        return 1.0 / (1.0 - poles * turn), 1.0 / (1.0 - poles * turn.conj())

    def _response(self, channel: Array, ahead: Complexes, behind: Complexes) -> Complexes:
        """(S, n), gain/2 [sum c ahead + conj(sum c behind)]."""
        residues = self.residues[:, channel]
        forward = np.einsum("snm,nm->sn", residues, ahead)
        backward = np.einsum("snm,nm->sn", residues, behind)
        return np.asarray(self.gain / 2.0 * (forward + backward.conj()), dtype=np.complex128)


def _squares(response: Complexes) -> Floats:
    """Sum over outputs (axis 0) of the squared magnitudes."""
    squares: Floats = np.sum(response.real**2 + response.imag**2, axis=0)
    return squares


METRICS = (
    Metric(
        id="hinf_max",
        unit=DIMENSIONLESS,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MAX,
        summary="largest gain of any channel at any frequency",
        formula="max over channels and omega of |sum_k K[k] exp(-i omega k)|",
        measure=hinf_max,
        needs=(KERNEL, DECAYING, TRACTABLE),
        source="H-infinity norm",
    ),
    Metric(
        id="dead_channel_fraction",
        unit=FRACTION,
        direction=Direction.LOWER,
        aggregate=Aggregate.MEAN,
        summary="share of channels whose peak gain is below 1e-3 of the loudest one's",
        formula="share of max_omega |K_h(omega)| < 1e-3 hinf_max",
        measure=dead_channel_fraction,
        needs=(SEVERAL_CHANNELS, KERNEL, DECAYING, TRACTABLE),
    ),
)
