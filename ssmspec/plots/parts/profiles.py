"""Curves and histograms that more than one figure shows: power along the band, memory, lags."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from ssmspec.arrays import Floats
from ssmspec.metrics.profiles import time_octaves
from ssmspec.plots.parts.axes import bars, decades, plain_ticks
from ssmspec.plots.parts.labels import compact
from ssmspec.plots.parts.lags import LAG_ZERO, LagEnergies, lag_bins, lag_ticks
from ssmspec.plots.style import ALIASED, INK, LAYER, MUTED, Color
from ssmspec.spectrum import LayerSpectrum

FAINTEST = 1e-3
"""Power density, over flat, below which a curve runs along the lower edge (heuristic)."""


def draw_density(
    axes: Axes, edges: Floats, values: Floats, color: Color = LAYER, *, dashed: bool = False
) -> None:
    """Power density by bin as a line of steps, edges (n + 1,) and values (n,); 1 is flat."""
    axes.stairs(
        np.maximum(values, FAINTEST),
        edges,
        baseline=None,
        color=color.light,
        linewidth=0.9,
        linestyle=(0, (3, 1.5)) if dashed else "-",
    )


def draw_reach(
    axes: Axes,
    runs: list[tuple[float, Floats, Floats]],
    left: float,
    right: float,
    y: tuple[float, float],
) -> None:
    """A strip that is filled where the band is reached, paler where in part, empty in a gap.

    Args:
        axes: to draw on.
        runs: a level in (0, 1], and the begins and ends of what reaches it, (n,) each.
        left: where the strip begins.
        right: where it ends.
        y: its lower and upper edge.
    """
    low, high = y
    for level, begin, end in runs:
        bars(axes, begin, end, low, high, LAYER, 0.25 + 0.75 * level if level < 1.0 else 1.0)
    axes.plot(
        [left, right, right, left, left],
        [low, low, high, high, low],
        color=MUTED.light,
        linewidth=0.5,
        clip_on=False,
    )


@dataclass(frozen=True, eq=False)
class Memory:
    """The time constants of a layer, by octave.

    Attributes:
        first: the octave [2^first, 2^(first+1)) samples that `shares` begins with.
        shares: (n,) share of all modes in each octave.
        undamped: modes that never forget.
        growing: modes that grow, which have no time constant.
        modes: all of them.
    """

    first: int
    shares: Floats
    undamped: int
    growing: int
    modes: int


def memory_of(spectrum: LayerSpectrum) -> Memory:
    """The distribution of 1/decay; its shares leave out what is undamped, growing or not finite."""
    decay = spectrum.decay[np.isfinite(spectrum.log_poles)]
    damped = decay[decay > 0.0]
    octaves = time_octaves(damped)
    octaves = octaves[octaves < 1024]
    first = int(octaves.min()) if octaves.size else 0
    return Memory(
        first=first,
        shares=np.bincount(octaves - first) / spectrum.log_poles.size,
        undamped=int(np.count_nonzero(decay == 0.0)) + damped.size - octaves.size,
        growing=int(np.count_nonzero(decay < 0.0)),
        modes=spectrum.log_poles.size,
    )


def memory_edges(memory: Memory) -> Floats:
    """Edges of the n octaves as log2 of samples, (n + 1,)."""
    return memory.first + np.arange(memory.shares.size + 1.0)


def draw_memory(
    axes: Axes, memory: Memory, limits: tuple[float, float], length: int | None
) -> None:
    """A histogram of time constants on an axis of log2(samples), with L marked."""
    edges = memory_edges(memory)
    axes.stairs(memory.shares, edges, fill=True, facecolor=LAYER.light, edgecolor="none")
    axes.set_xlim(*limits)
    axes.set_ylim(bottom=0.0)
    time_axis(axes, limits)
    mark_length(axes, length)


def time_axis(axes: Axes, limits: tuple[float, float], most: int = 6) -> None:
    """Ticks at powers of two samples."""
    low, high = math.ceil(limits[0]), math.floor(limits[1])
    step = max(1, -(-(high - low + 1) // most))
    ticks = [float(j) for j in range(low, high + 1) if j % step == 0]
    plain_ticks(axes.xaxis, ticks, [_octave(j) for j in ticks])


def _octave(exponent: float) -> str:
    if exponent < 0:
        return f"1/{2 ** -int(exponent)}"
    return str(2 ** int(exponent)) if exponent <= 13 else compact(2.0**exponent)


def mark_length(axes: Axes, length: int | None) -> None:
    """A line at the sequence length on an axis of log2(samples)."""
    if length is None:
        return
    axes.axvline(math.log2(length), color=INK.light, linewidth=0.7, linestyle=(0, (4, 2)))
    axes.annotate(
        "L", (math.log2(length), 1.0), (1.5, 0.0), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="left", va="top", fontsize=6.5, color=INK.light,
    )  # fmt: skip


def draw_lag_energy(
    axes: Axes,
    lags: LagEnergies,
    bins_an_octave: int,
    *,
    row_stride: int | None = None,
    most_ticks: int = 6,
) -> None:
    """Energy by lag, mean over each bin, on an axis of log2(lag); 90 % and rows marked."""
    length = lags.energy.size
    bins = lag_bins(length, bins_an_octave)
    means = bins.mean(lags.energy)
    top = float(means.max())
    floor = top * 1e-6
    axes.stairs(np.maximum(means, floor), bins.edges, baseline=None, color=LAYER.light)
    axes.set_yscale("log")
    low = max(floor, float(means[means > 0.0].min()))
    axes.set_ylim(low / 1.5, top * 2.5)
    decades(axes.yaxis, low / 1.5, top * 2.5, most=3)
    axes.set_xlim(LAG_ZERO, bins.edges[-1])
    plain_ticks(axes.xaxis, *lag_ticks(length, most_ticks))
    end = math.log2(lags.held - 0.5)
    axes.axvline(end, color=INK.light, linewidth=0.7, linestyle=(0, (4, 2)))
    is_late = end > 0.75 * bins.edges[-1]
    axes.annotate(
        "90 %", (end, 1.0), (-1.5 if is_late else 1.5, 0.0), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="right" if is_late else "left", va="top", fontsize=6.5,
        color=INK.light,
    )  # fmt: skip
    if row_stride is not None and row_stride < length:
        rows = np.arange(row_stride, length, row_stride)[:8]
        axes.plot(
            np.log2(rows), np.full(rows.size, 0.04), linestyle="none", marker="|", markersize=4.0,
            markeredgewidth=0.8, color=ALIASED.light,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def draw_ranks(axes: Axes, decay: Floats, limits: tuple[float, float] | None = None) -> None:
    """Decays in ascending order: what there is to show of poles that have no frequency.

    Args:
        axes: empty.
        decay: (n,) nat/sample.
        limits: of the decay, with the slowest on top; None shows those above 0.
    """
    levels = np.linspace(0.0, 1.0, 65)
    quantiles = np.quantile(decay, levels)
    low, high = limits or (max(quantiles[0] / 1.3, 1e-9), max(quantiles[-1] * 1.3, 1e-8))
    axes.plot(levels * 100.0, np.clip(quantiles, low, high), color=LAYER.light, linewidth=1.2)
    axes.set_yscale("log")
    axes.set_ylim(high, low)
    decades(axes.yaxis, low, high, most=4)
    axes.set_xlim(0.0, 100.0)
    plain_ticks(axes.xaxis, [0.0, 50.0, 100.0], ["0", "50", "100"])
    axes.set_xlabel("share of modes (%)")
    axes.set_ylabel("decay (nat/sample)")
