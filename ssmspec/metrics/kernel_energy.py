"""Where a kernel has its energy: at which lags, and in which modes.

By lag: `energy_horizon`, `locality` and `stride_energy`, which for an image read row by row says
how much of what the layer hears comes from the same columns of the rows above. By mode: the energy
that a mode of residue c and radius r would have alone, |c|^2 (1 - r^2L) / (1 - r^2) over L lags,
and of that the share of aliased modes and of those that a lower rate would alias.
"""

from __future__ import annotations

import math

import numpy as np

from ssmspec.arrays import Bools, Floats
from ssmspec.kernel import Kernel
from ssmspec.metrics.base import (
    ALIASABLE,
    COMPLEX,
    KERNEL,
    RESAMPLE,
    ROW_STRIDE,
    SEQUENCE_LENGTH,
    SUMMABLE,
    Aggregate,
    Context,
    Metric,
)
from ssmspec.metrics.kernel_lags import can_be_summed, comb_energy, energy_by_lag, lag_energy
from ssmspec.outcome import Direction, NotApplicable
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import FRACTION, SAMPLES

HELD = 0.9
"""Share of the energy that `energy_horizon` asks for."""
REACH = 2
"""Lags to either side of a multiple of the stride that count as the same column."""
SHARPEST_RESONANCE = 2.0
"""How far above chance the comb of a row stride must stand: one resonance, cos^2 by lag, comes to
less at any stride."""
SECOND_ROW = 1.25
"""How far above chance it must still stand from the second row on, so that a single delay is not
taken for one. Heuristic."""
LEAST_BEYOND = 0.05
"""Share of the energy that must lie beyond half a row. Heuristic."""
ALIKE = 0.8
"""Multiples of a stride are combs as sharp as its own: of those that come this near to the sharpest
one the shortest is the stride. Heuristic."""
SHORTEST_ROW = 12
"""Shortest stride looked for: with teeth 5 lags wide, one of 10 cannot stand twice above chance."""
ROWS = (0.5, 1.5, 2.5, 3.5)
"""Rows from which strides that lie near one another are compared: one that is a sample off drifts
by a sample a row, so later rows tell them apart."""
FEWEST_ROWS = 8
"""Rows a sequence must have for its stride to be looked for. Heuristic."""

SILENT = "the kernel is zero"


def energy_horizon(_: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Smallest number of first lags that hold 90 % of the kernel's energy, samples."""
    energy = energy_by_lag(context.known_kernel, context.sequence_length)
    if isinstance(energy, NotApplicable):
        return energy
    if energy.total == 0.0:
        return NotApplicable(SILENT)
    enough = HELD * energy.total
    few, many = 0, context.sequence_length or 1
    while context.sequence_length is None and energy.before(many) < enough:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if energy.before(middle) >= enough else (middle, many)
    return float(many)


def locality(layer: LayerSpectrum, context: Context) -> float | NotApplicable:
    """`energy_horizon` over the sequence length, in (0, 1]."""
    horizon = energy_horizon(layer, context)
    return horizon if isinstance(horizon, NotApplicable) else horizon / context.length


def stride_energy(_: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Share of the kernel's energy within 2 lags of a multiple of the row stride, in [0, 1]."""
    kernel, length, stride = context.known_kernel, context.sequence_length, context.row_stride or 1
    energy = energy_by_lag(kernel, length)
    if isinstance(energy, NotApplicable):
        return energy
    if energy.total == 0.0:
        return NotApplicable(SILENT)
    comb = comb_energy(kernel, length, stride, teeth(stride))
    if comb is None:
        return NotApplicable("the layer is too large to sum over the lags of a comb")
    return min(1.0, comb / energy.total)


def stride_share(energy: Floats, stride: int) -> float | NotApplicable:
    """`stride_energy` of a kernel whose energy (L,) by lag is known already."""
    total = float(energy.sum())
    if not math.isfinite(total) or total == 0.0:
        return NotApplicable(SILENT if total == 0.0 else "the energy is beyond what a float holds")
    return min(1.0, float(sum(energy[tooth::stride].sum() for tooth in teeth(stride))) / total)


def stride_energy_chance(_: LayerSpectrum, context: Context) -> float:
    """Share of the lags within 2 of a multiple of the row stride, in [0, 1]."""
    return stride_chance(context.row_stride or 1, context.sequence_length)


def stride_chance(stride: int, length: int | None) -> float:
    """Share of the first `length` lags, or of all, that lie within 2 of a multiple."""
    if length is None:
        return len(teeth(stride)) / stride
    return sum(-(-max(0, length - tooth) // stride) for tooth in teeth(stride)) / length


def teeth(stride: int) -> set[int]:
    """Remainders of the lags that lie within 2 of a multiple of the stride."""
    return {offset % stride for offset in range(-REACH, REACH + 1)}


def row_stride_of(kernel: Kernel, length: int | None) -> int | None:
    """The row stride that a kernel's comb shows over its first `length` lags, or None.

    None as well where the length is unknown or the layer too large to sum lag by lag.
    """
    broken = kernel.non_finite or kernel.spectrum.non_finite
    if length is None or broken or not can_be_summed(kernel, length):
        return None
    return find_row_stride(lag_energy(kernel, length))


def find_row_stride(energy: Floats) -> int | None:
    """The row stride that a kernel's comb shows, or None where there is no clear one.

    The first teeth, around lag 0, are strong in most kernels whatever they were trained on. So for
    each stride only lags from half a row on are looked at: how much of their energy lies within 2
    lags of a multiple, over the share of such lags. The best stride must reach 2, more than any one
    resonance, and stand out from the second row on as well. A comb that is not there is never
    reported; a weak or much disturbed one may be missed.

    Args:
        energy: (L,) energy by lag.

    Returns:
        Samples, or None.
    """
    cumulative = np.concatenate([[0.0], np.cumsum(energy)])
    total = float(cumulative[-1])
    if not (math.isfinite(total) and total > 0.0):
        return None
    rises = {
        stride: _rise(cumulative, stride, 0.5)
        for stride in range(SHORTEST_ROW, energy.size // FEWEST_ROWS + 1)
    }
    if not rises:
        return None
    sharpest = max(rises.values())
    first = min(stride for stride, rise in rises.items() if rise >= ALIKE * sharpest)
    nearby = [stride for stride in range(first, first + 2 * REACH + 1) if stride in rises]
    best = max(nearby, key=lambda stride: sum(_rise(cumulative, stride, row) for row in ROWS))
    clear = (
        rises[best] > SHARPEST_RESONANCE
        and _rise(cumulative, best, 1.5) > SECOND_ROW
        and total - float(cumulative[best // 2]) > LEAST_BEYOND * total
    )
    return best if clear else None


def comb_sharpness(energy: Floats, stride: int) -> float:
    """How far above chance the comb of a stride stands, from half a row on.

    Args:
        energy: (L,) energy by lag.
        stride: samples.
    """
    return _rise(np.concatenate([[0.0], np.cumsum(energy)]), stride, 0.5)


def _rise(cumulative: Floats, stride: int, rows: float) -> float:
    """Energy per lag on the teeth from so many rows on, over the energy per lag of all of these.

    Args:
        cumulative: (L + 1,) energy of the first 0, 1, ..., L lags.
        stride: samples.
        rows: half a row, or one and a half.
    """
    length = cumulative.size - 1
    start = math.ceil(rows * stride)
    middles = np.arange(stride, length + REACH, stride)
    begins = np.minimum(np.maximum(middles - REACH, start), length)
    ends = np.minimum(np.maximum(middles + REACH + 1, start), length)
    lags = int((ends - begins).sum())
    everywhere = float(cumulative[-1] - cumulative[start]) / (length - start)
    on_teeth = float((cumulative[ends] - cumulative[begins]).sum()) / max(lags, 1)
    return on_teeth / everywhere if everywhere > 0.0 else 0.0


def mode_energy(kernel: Kernel, length: int | None) -> Floats:
    """Energy of each mode alone, |c|^2 (1 - r^2L) / (1 - r^2), up to the factor gain^2 / 2.

    Args:
        kernel: every mode must decay where `length` is None.
        length: L, or None for all lags.

    Returns:
        (H, M); |c|^2 L for a mode without decay.
    """
    twice = 2.0 * kernel.spectrum.decay
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if length is None:
            sums = -1.0 / np.expm1(-twice)
        else:
            sums = np.where(twice == 0.0, length, np.expm1(-twice * length) / np.expm1(-twice))
        energy: Floats = kernel.magnitude**2 * sums
    return energy


def aliased_energy(layer: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Share of the modes' energy in modes beyond Nyquist, in [0, 1]."""
    return _share(layer.aliased, context)


def resampling_risk(layer: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Share of the modes' energy in modes that a run at 1/R of the rate aliases, in [0, 1]."""
    return _share((context.resample or 1.0) * layer.omega > np.pi, context)


def _share(chosen: Bools, context: Context) -> float | NotApplicable:
    energy = mode_energy(context.known_kernel, context.sequence_length)
    total = float(energy.sum())
    if not math.isfinite(total):
        return NotApplicable("the energy of a growing mode is beyond what a float holds")
    if total == 0.0:
        return NotApplicable(SILENT)
    return min(1.0, float(energy[chosen].sum()) / total)


METRICS = (
    Metric(
        id="aliased_energy",
        unit=FRACTION,
        direction=Direction.LOWER,
        aggregate=Aggregate.MAX,
        summary="share of the modes' energy in aliased modes",
        formula="sum over aliased of |c|^2 (1 - r^(2L)) / (1 - r^2), over the same sum of all",
        measure=aliased_energy,
        needs=(COMPLEX, ALIASABLE, KERNEL, SUMMABLE),
    ),
    Metric(
        id="energy_horizon",
        unit=SAMPLES,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="how many first lags of the kernel hold 90 % of its energy",
        formula="smallest W with sum over k < W of E[k] >= 0.9 sum of E[k]",
        measure=energy_horizon,
        needs=(KERNEL, SUMMABLE),
        source="ssmspec, after arXiv 2508.20441",
        note=(
            "Energy kept is not accuracy kept: a model cut to lags that hold nine tenths of its "
            "energy can fall to chance, because later layers build on the rest."
        ),
    ),
    Metric(
        id="locality",
        unit=FRACTION,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="energy_horizon over the sequence length; small is local",
        formula="energy_horizon / L",
        measure=locality,
        needs=(KERNEL, SEQUENCE_LENGTH),
        source="ssmspec, after arXiv 2508.20441",
        note="Energy kept is not accuracy kept: see energy_horizon.",
    ),
    Metric(
        id="stride_energy",
        unit=FRACTION,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="share of the kernel's energy within 2 lags of a multiple of the row stride",
        formula="sum of E[k] over |k - j S| <= 2, j = 0, 1, ..., over sum of E[k]",
        measure=stride_energy,
        needs=(ROW_STRIDE, KERNEL, SUMMABLE),
        source="ssmspec, after arXiv 2508.20441",
    ),
    Metric(
        id="stride_energy_chance",
        unit=FRACTION,
        direction=Direction.NEITHER,
        aggregate=Aggregate.COMMON,
        summary="share of all lags within 2 of a multiple of the row stride",
        formula="number of lags with |k - j S| <= 2, over L",
        measure=stride_energy_chance,
        needs=(ROW_STRIDE, KERNEL),
    ),
    Metric(
        id="resampling_risk",
        unit=FRACTION,
        direction=Direction.LOWER,
        aggregate=Aggregate.MAX,
        summary="share of the modes' energy in modes that a run at 1/R of the rate aliases",
        formula="aliased_energy's sum over R f > pi, over the same sum of all",
        measure=resampling_risk,
        needs=(RESAMPLE, COMPLEX, ALIASABLE, KERNEL, SUMMABLE),
    ),
)
