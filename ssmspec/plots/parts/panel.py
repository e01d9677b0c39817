"""One row that says most about a layer: the HTML report's.

Its poles on the unit disk, what it reaches along the band, decay against frequency, and its
kernel's energy by lag, or its time constants where there is no kernel. Few enough points that the
SVG stays a few kB: a page holds dozens.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from ssmspec.plots.files import Drawing
from ssmspec.plots.parts.axes import Band, frequency_axis, plain_ticks, sentence
from ssmspec.plots.parts.disk import draw_disk
from ssmspec.plots.parts.labels import power_of_ten
from ssmspec.plots.parts.lags import LagEnergies, lag_energies
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.pairs import draw_pairs_in_classes, window_of
from ssmspec.plots.parts.points import Points, points_of
from ssmspec.plots.parts.profiles import (
    FAINTEST,
    draw_density,
    draw_lag_energy,
    draw_memory,
    draw_ranks,
    draw_reach,
    memory_edges,
    memory_of,
)
from ssmspec.plots.parts.reach import covered_intervals, covered_shares, linear_density, runs
from ssmspec.plots.style import MUTED, styled
from ssmspec.results.layer_view import LayerView
from ssmspec.spectrum import Symmetry

SIZE = (7.2, 1.55)
"""Inches."""
MOST_DOTS = 700
"""Poles drawn in each part: a dot is 9 bytes (heuristic)."""
REACH_BINS = 240
_COLUMN = SIZE[0] / 4


def layer_panel(view: LayerView) -> Drawing:
    """The row of figures of one layer.

    Args:
        view: the layer, of any family. What cannot be drawn is a sentence in its place.

    Returns:
        A figure of 7.2 x 1.55 inches, for `ssmspec.plots.files.to_svg`.
    """
    spectrum = view.spectrum
    points = points_of(spectrum, MOST_DOTS)
    with styled():
        sheet = Sheet.new(*SIZE)
        cells = [sheet.part(i * _COLUMN, 0.0, _COLUMN, SIZE[1]) for i in range(4)]
        if points.non_finite == points.modes:
            axes = sheet.axes(0.0, 0.0, 0.0, 0.0)
            sentence(axes, "every pole is NaN or infinite; there is nothing to draw", 80)
            return sheet.figure
        _poles(cells[0], points)
        if spectrum.is_complex and points.non_finite == 0 and spectrum.stable.any():
            _coverage(cells[1], view)
        else:
            why = "real poles do not oscillate" if not spectrum.is_complex else "no stable pole"
            broken = "some poles are NaN or infinite" if points.non_finite else why
            _words(cells[1], "reach along the band", broken)
        _decay(cells[2], view, points)
        _memory(cells[3], view)
        return sheet.figure


def _titled(cell: Sheet, title: str, left: float = 0.38, bottom: float = 0.36) -> Axes:
    cell.text(left, 0.04, title, size=7.5)
    return cell.axes(left, 0.24, 0.12, bottom)


def _words(cell: Sheet, title: str, words: str) -> None:
    sentence(_titled(cell, title), words, 26)


def _poles(cell: Sheet, points: Points) -> None:
    whole = points.symmetry is Symmetry.FULL
    few = points.log_poles.size < points.modes - points.non_finite
    title = f"poles ({points.log_poles.size:,} of {points.modes:,})" if few else "poles"
    axes = _titled(cell, title, 0.3, 0.3)
    draw_disk(axes, points, whole=whole, labels=False)
    axes.set_xlabel("Re z")


def _coverage(cell: Sheet, view: LayerView) -> None:
    axes = _titled(cell, "power over flat; reach")
    spectrum, band = view.spectrum, Band.at(view.sample_rate)
    density = linear_density(spectrum)
    draw_density(axes, band.of(density.edges), density.values)
    axes.plot([0.0, band.nyquist], [1.0, 1.0], color=MUTED.light, linewidth=0.5, zorder=0)
    axes.set_yscale("log")
    top = max(4.0, 1.5 * float(density.values.max()))
    bottom = max(FAINTEST, min(0.25, float(density.values.min()) / 1.5))
    ratio = top / bottom
    strip = (bottom * ratio**-0.16, bottom * ratio**-0.06)
    axes.set_ylim(strip[0], top)
    inside = [k for k in range(-3, 4) if bottom <= 10.0**k <= top]
    plain_ticks(axes.yaxis, [10.0**k for k in inside], [power_of_ten(k) for k in inside])
    edges = np.linspace(0.0, np.pi, REACH_BINS + 1)
    shares = covered_shares(covered_intervals(spectrum, view.sequence_length), edges)
    draw_reach(axes, runs(shares, band.of(edges)), 0.0, band.nyquist, strip)
    frequency_axis(axes, band)


def _decay(cell: Sheet, view: LayerView, points: Points) -> None:
    if not view.spectrum.is_complex:
        draw_ranks(_titled(cell, "decay by rank"), points.decay)
        return
    axes = _titled(cell, "decay against frequency")
    band = Band.at(view.sample_rate)
    draw_pairs_in_classes(axes, points, band, window_of([points]))
    axes.set_xlabel(band.label)


def _memory(cell: Sheet, view: LayerView) -> None:
    lags = lag_energies(view)
    if isinstance(lags, LagEnergies):
        rows = f", rows of {view.row_stride}" if view.row_stride else ""
        axes = _titled(cell, f"energy by lag{rows}", 0.22)
        draw_lag_energy(axes, lags, 12, row_stride=view.row_stride, most_ticks=5)
        _without_y(axes)
        axes.set_xlabel("lag (samples)")
        return
    memory = memory_of(view.spectrum)
    if not memory.shares.size:
        _words(cell, "time constants", "no mode has a finite time constant")
        return
    axes = _titled(cell, "time constants", 0.22)
    edges = memory_edges(memory)
    right = max(edges[-1], np.log2(view.sequence_length or 1) + 1.0)
    draw_memory(axes, memory, (float(edges[0]), float(right)), view.sequence_length)
    _without_y(axes)
    axes.set_xlabel("time constant (samples)")


def _without_y(axes: Axes) -> None:
    """The shape is what is shown; the scale is on the figure of its own kind."""
    axes.yaxis.set_major_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.spines["left"].set_visible(False)
