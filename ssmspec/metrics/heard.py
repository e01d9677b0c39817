"""What a layer does hear of the band: its squared gain, bin by bin, in closed form.

With every mode and its conjugate beside it a kernel is K[k] = sum_j c_j l_j^k, and its
autocorrelation at lag m is sum_j R_j l_j^m with R_j = c_j sum_k c_k* / (1 - l_j l_k*). So

    |K_hat(omega)|^2 = Re sum_j R_j (2 / (1 - l_j exp(-i omega)) - 1),

and because the integral of 1 / (1 - l exp(-i omega)) is omega - i log(1 - l exp(-i omega)), the
power in a bin is a difference of logarithms: no resonance is too narrow for it. Of a layer with
several inputs and outputs the power is the squared Frobenius norm of the response.

The same sums give the energy of the lags from L on: that of the kernel of residues c_j l_j^L.
"""

from __future__ import annotations

import math

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.kernel import Kernel, LayerKernel, channel_blocks, once_a_kernel
from ssmspec.metrics.base import (
    COMPLEX,
    DECAYING,
    KERNEL,
    SEQUENCE_LENGTH,
    TRACTABLE,
    Aggregate,
    Context,
    Metric,
)
from ssmspec.metrics.profiles import POWER_BINS
from ssmspec.outcome import Direction, NotApplicable
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import DIMENSIONLESS, FRACTION

LOUD = 0.1
"""Share of the loudest bin's power, 10 dB, from which on a bin counts as heard; by definition."""

SHARP = 1e-6
"""Decay, nat/sample, below which 1 - l_j l_k is not left to plain subtraction."""

_BLOCK = 2**18
"""Modes times edges worked on at once (heuristic)."""

SILENT = NotApplicable("the kernel is zero")
OVERFLOWS = NotApplicable("the gain of a mode that hardly decays is beyond what a float holds")


def heard_coverage(_: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Share of 128 equal bins within 10 dB of the loudest one, in [0, 1]."""
    power = gain_by_bin(context.known_kernel)
    loudest = float(power.max())
    if not np.isfinite(power).all():
        return OVERFLOWS
    return float(np.mean(power >= LOUD * loudest)) if loudest > 0.0 else SILENT


def heard_flatness(_: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Geometric over arithmetic mean of the power in these bins, in [0, 1]."""
    power = gain_by_bin(context.known_kernel)
    if not np.isfinite(power).all():
        return OVERFLOWS
    if not power.any():
        return SILENT
    if not power.all():
        return 0.0
    return min(1.0, float(np.exp(np.log(power).mean() - math.log(power.mean()))))


def energy_beyond(_: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Share of the kernel's energy at lags from L on, in [0, 1]."""
    total = _energy(context.known_kernel, 0)
    if not math.isfinite(total):
        return OVERFLOWS
    if total <= 0.0:
        return SILENT
    return min(1.0, max(0.0, _energy(context.known_kernel, context.length) / total))


@once_a_kernel
def gain_by_bin(kernel: Kernel) -> Floats:
    """The squared gain, averaged over channels and within 128 equal bins of [0, pi].

    Args:
        kernel: every mode must decay.

    Returns:
        (128,), not negative; infinite or NaN where it overflows.
    """
    edges = np.pi * np.arange(POWER_BINS + 1) / POWER_BINS
    integral = np.zeros(edges.size)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        weights = _autocorrelation(kernel, 0)
        channels = max(1, _BLOCK // (kernel.spectrum.modes * edges.size))
        for first in range(0, kernel.spectrum.channels, channels):
            part = slice(first, first + channels)
            integral += _integral(weights[part], kernel.spectrum.log_poles[part], edges)
    power = np.diff(integral) / (np.pi / POWER_BINS) / kernel.spectrum.channels
    return np.maximum(power, 0.0)


def _integral(weights: Complexes, log_poles: Complexes, edges: Floats) -> Floats:
    """(n,), the power from 0 to each edge; a mode's conjugate is its mirror image in omega."""
    turned = np.exp(log_poles)[..., None]
    turn = np.exp(-1j * edges)
    total: Floats = 2.0 * float(weights.real.sum()) * edges
    for sign, phase in ((2.0, turn), (-2.0, turn.conj())):
        ratio = 1.0 - turned * phase
        # Re(R (-i) log z) = Re R arg z + Im R log |z|
        total += sign * np.tensordot(weights.real, np.arctan2(ratio.imag, ratio.real), 2)
        total += sign * np.tensordot(weights.imag, np.log(np.abs(ratio)), 2)
    return total


def _energy(kernel: Kernel, start: int) -> float:
    """Sum over channels of the squares of all lags from `start` on."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return 2.0 * float(_autocorrelation(kernel, start).real.sum())


@once_a_kernel
def _autocorrelation(kernel: Kernel, start: int) -> Complexes:
    """R of every stored mode, (H, M), for the kernel from lag `start` on; every mode must decay."""
    spectrum = kernel.spectrum
    if not isinstance(kernel, LayerKernel):
        outputs, inputs = kernel.output_matrix, kernel.input_matrix
        same = (outputs.T @ outputs.conj()) * (inputs @ inputs.conj().T)
        mirrored = (outputs.T @ outputs) * (inputs @ inputs.T)
        return _weights(same[None], mirrored[None], spectrum.log_poles, kernel.gain, start)
    blocks = []
    for block in channel_blocks(kernel, 8 * spectrum.modes * spectrum.modes):
        c = kernel.residues[:, block]
        same = np.einsum("shj,shk->hjk", c, c.conj())
        mirrored = np.einsum("shj,shk->hjk", c, c)
        blocks.append(_weights(same, mirrored, spectrum.log_poles[block], kernel.gain, start))
    return np.concatenate(blocks)


def _weights(
    same: Array, mirrored: Array, log_poles: Complexes, gain: float, start: int
) -> Complexes:
    """R, (h, m), from the products c_j c_k* and c_j c_k, each (h, m, m)."""
    row, column = log_poles[:, :, None], log_poles[:, None, :]
    poles, power = np.exp(log_poles), np.exp(start * log_poles)
    is_sharp = float(log_poles.real.max()) > -SHARP
    total = np.zeros(log_poles.shape, dtype=np.complex128)
    for products, conjugate in ((same, True), (mirrored, False)):
        if is_sharp:
            distance = -np.expm1(row + (column.conj() if conjugate else column))
        else:
            other = poles.conj() if conjugate else poles
            distance = 1.0 - poles[:, :, None] * other[:, None, :]
        later = power.conj() if conjugate else power
        total += power * (products * later[:, None, :] / distance).sum(axis=2)
    return np.asarray((gain / 2.0) ** 2 * total, dtype=np.complex128)


METRICS = (
    Metric(
        id="heard_coverage",
        unit=FRACTION,
        direction=Direction.HIGHER,
        aggregate=Aggregate.MEAN,
        summary="share of the band that B and C let through, within 10 dB of the loudest bin",
        formula="share of 128 bins with mean |K_hat|^2 >= 0.1 of the largest",
        measure=heard_coverage,
        needs=(COMPLEX, KERNEL, DECAYING, TRACTABLE),
        note=(
            "It is what the layer's kernel hears of what its poles could; D, which lets every "
            "frequency through, is no part of it."
        ),
    ),
    Metric(
        id="heard_flatness",
        unit=DIMENSIONLESS,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="how evenly the kernel's power fills the band; 1 is flat",
        formula="geometric / arithmetic mean of |K_hat|^2, averaged over channels, in 128 bins",
        measure=heard_flatness,
        needs=(COMPLEX, KERNEL, DECAYING, TRACTABLE),
        source="Gray and Markel 1974, on the squared gain",
    ),
    Metric(
        id="energy_beyond",
        unit=FRACTION,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="share of the kernel's energy at lags beyond the sequence",
        formula="sum over k >= L of E[k], over the sum of all E[k]",
        measure=energy_beyond,
        needs=(SEQUENCE_LENGTH, KERNEL, DECAYING, TRACTABLE),
        note=(
            "Read it beside memory_ratio, which one slow mode sets whether or not C lets it be "
            "heard."
        ),
    ),
)
