"""`coverage`: what each layer reaches from 0 to Nyquist, and how its power is spread."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from ssmspec.arrays import Floats
from ssmspec.plots.base import DEFAULTS, Kind, Layers, PlotOptions, Subject, require_some
from ssmspec.plots.files import Drawing
from ssmspec.plots.parts.axes import Band, decades, frequency_axis, plain_ticks, sentence
from ssmspec.plots.parts.labels import compact, percent
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.multiples import (
    RIGHT,
    Cell,
    arranged,
    first_layers,
    line_handle,
    patch_handle,
    tick_handle,
)
from ssmspec.plots.parts.points import thinned
from ssmspec.plots.parts.profiles import FAINTEST, draw_density, draw_reach
from ssmspec.plots.parts.reach import (
    Density,
    covered_intervals,
    covered_shares,
    largest_gap,
    linear_density,
    octave_density,
    octave_edges,
    runs,
)
from ssmspec.plots.parts.references import reference_of
from ssmspec.plots.style import ALIASED, INK, LAYER, MUTED, REFERENCE, styled
from ssmspec.results.layer_view import LayerView
from ssmspec.spectrum import LayerSpectrum

HEIGHT = 1.45
"""Inches of one cell."""
OCTAVES = 10
"""Octaves shown below Nyquist where the sequence length is not known (heuristic)."""
MOST_OCTAVES = 16
BINS = 480
"""Bins of the strip: about one for each dot of a printer (heuristic)."""
MOST_TICKS = 400
"""Aliased poles marked in one cell; more run into one line (heuristic)."""

REAL = "real poles do not oscillate: they have no band to cover"


@dataclass(frozen=True, eq=False)
class _Coverage:
    intervals: Floats
    linear: Density
    octaves: Density
    aliased: Floats
    reference: tuple[Density, Density] | None


@dataclass(frozen=True, eq=False)
class _Layer:
    name: str
    band: Band
    coverage: _Coverage | str
    aliased_share: float


def draw(views: Layers, options: PlotOptions = DEFAULTS) -> Drawing:
    """Reach and power density of each layer on a linear and on an octave axis.

    Raises:
        NoLayersError: there is no layer, or none with a band to cover.
        UsageError: there is no such scheme.
    """

    def prepare(view: LayerView) -> _Layer:
        spectrum = view.spectrum
        return _Layer(
            spectrum.name,
            Band.at(view.sample_rate),
            _prepared(view, options.against),
            float(np.count_nonzero(spectrum.aliased)) / spectrum.log_poles.size,
        )

    layers, notes = first_layers(views, prepare)
    known = [layer.coverage for layer in layers if isinstance(layer.coverage, _Coverage)]
    reasons = [layer.coverage for layer in layers if isinstance(layer.coverage, str)]
    require_some(known, "coverage", reasons[0] if reasons else "")
    with styled():
        cells = [Cell(layer.name, _note(layer), _drawing(layer)) for layer in layers]
        legend = [
            line_handle("power density over flat", LAYER),
            *([line_handle(options.against, REFERENCE, dashed=True)] if _compared(known) else []),
            patch_handle("reached", LAYER),
            patch_handle("gap", LAYER, filled=False),
        ]
        if any(coverage.aliased.size for coverage in known):
            legend.append(tick_handle("aliased poles", ALIASED))
        return arranged(cells, HEIGHT, legend=legend, notes=notes, wide=True)


def _compared(known: list[_Coverage]) -> bool:
    return any(coverage.reference is not None for coverage in known)


def _prepared(view: LayerView, against: str) -> _Coverage | str:
    spectrum, length = view.spectrum, view.sequence_length
    reference = reference_of(spectrum, against)
    if not spectrum.is_complex:
        return REAL
    if spectrum.non_finite:
        return f"{spectrum.non_finite:,} of {spectrum.log_poles.size:,} poles are NaN or infinite"
    if not spectrum.stable.any():
        return "every pole grows, and a pole that grows has no resonance"
    octaves = OCTAVES if length is None else min(MOST_OCTAVES, max(3, math.ceil(math.log2(length))))
    folded = spectrum.omega[spectrum.aliased]
    return _Coverage(
        covered_intervals(spectrum, length),
        *_densities(spectrum, octaves),
        folded[thinned(folded.size, MOST_TICKS)],
        None if reference is None else _densities(reference.spectrum, octaves),
    )


def _densities(spectrum: LayerSpectrum, octaves: int) -> tuple[Density, Density]:
    return linear_density(spectrum), octave_density(spectrum, octaves)


def _note(layer: _Layer) -> str:
    parts = []
    if isinstance(layer.coverage, _Coverage):
        reached = layer.coverage.intervals
        covered = float((reached[:, 1] - reached[:, 0]).sum()) / math.pi
        parts.append(f"{percent(covered)} reached")
        if layer.aliased_share:
            parts.append(f"{percent(layer.aliased_share)} aliased")
    return ", ".join(parts)


def _drawing(layer: _Layer) -> Callable[[Sheet], None]:
    def draw_cell(sheet: Sheet) -> None:
        if isinstance(layer.coverage, str):
            sentence(sheet.axes(0.4, 0.0, RIGHT, 0.3), layer.coverage)
            return
        half = (sheet.width - 0.42 - RIGHT) / 2 + 0.05
        left = sheet.part(0.0, 0.0, 0.42 + half - 0.1, sheet.height)
        right = sheet.part(0.42 + half - 0.1, 0.0, half + RIGHT, sheet.height)
        _Half(layer.coverage, layer.band).linear(left)
        _Half(layer.coverage, layer.band).octaves(right)

    return draw_cell


@dataclass(frozen=True, eq=False)
class _Half:
    """One of the two drawings of a layer: density above, strips of reach and aliases below."""

    coverage: _Coverage
    band: Band

    def linear(self, sheet: Sheet) -> None:
        axes, strip = self._split(sheet, 0.42, 0.06)
        for density, is_reference in self._curves(0):
            self._curve(axes, self.band.of(density.edges), density.values, is_reference)
        edges = np.linspace(0.0, np.pi, BINS + 1)
        self._strip(strip, edges, self.band.of(edges))
        gap = largest_gap(self.coverage.intervals)
        self._mark_gap(strip, self.band.of(np.array(gap)), gap)
        self._aliased(strip, self.band.of(self.coverage.aliased))
        frequency_axis(strip, self.band)
        axes.set_xlim(strip.get_xlim())
        axes.set_ylabel("density / flat")

    def octaves(self, sheet: Sheet) -> None:
        axes, strip = self._split(sheet, 0.1, RIGHT)
        for density, is_reference in self._curves(1):
            self._curve(axes, np.log2(density.edges / np.pi), density.values, is_reference)
        count = round(-math.log2(self.coverage.octaves.edges[0] / np.pi))
        edges = octave_edges(count, BINS)
        self._strip(strip, edges, np.log2(edges / np.pi))
        folded = self.coverage.aliased[self.coverage.aliased >= edges[0]]
        self._aliased(strip, np.log2(folded / np.pi))
        strip.set_xlim(-count, 0.0)
        axes.set_xlim(-count, 0.0)
        step = 1 if count <= 4 else 2 if count <= 8 else 3 if count <= 12 else 4
        ticks = [float(-j) for j in range(0, count + 1, step)][::-1]
        if self.band.hertz is None:
            plain_ticks(strip.xaxis, ticks, [f"{abs(j):.0f}" for j in ticks])
            strip.set_xlabel("octaves below Nyquist")
        else:
            places = [self.band.hertz * 2.0**j for j in ticks]
            plain_ticks(strip.xaxis, ticks, [compact(place) for place in places])
            strip.set_xlabel("frequency (Hz), by octaves")
        axes.set_yticklabels([])

    def _curves(self, which: int) -> list[tuple[Density, bool]]:
        own = (self.coverage.linear, self.coverage.octaves)[which]
        reference = self.coverage.reference
        return [*([] if reference is None else [(reference[which], True)]), (own, False)]

    def _split(self, sheet: Sheet, left: float, right: float) -> tuple[Axes, Axes]:
        axes = sheet.axes(left, 0.05, right, 0.62)
        top = sheet.height - 0.56
        strip = sheet.part(0.0, top, sheet.width, 0.56).axes(left, 0.0, right, 0.34)
        self._limits(axes)
        axes.set_xticks([])
        axes.axhline(1.0, color=MUTED.light, linewidth=0.5, zorder=0)
        strip.set_ylim(0.0, 1.0)
        strip.set_yticks([])
        for side in ("left", "bottom"):
            strip.spines[side].set_visible(False)
        return axes, strip

    def _limits(self, axes: Axes) -> None:
        values = [density.values for i in (0, 1) for density, _ in self._curves(i)]
        low = min(float(v.min()) for v in values)
        high = max(float(v.max()) for v in values)
        axes.set_yscale("log")
        limits = max(FAINTEST, min(low / 1.5, 0.3)), max(high * 1.5, 4.0)
        axes.set_ylim(*limits)
        decades(axes.yaxis, *limits, most=3)

    @staticmethod
    def _curve(axes: Axes, edges: Floats, values: Floats, is_reference: bool) -> None:
        draw_density(axes, edges, values, REFERENCE if is_reference else LAYER, dashed=is_reference)

    def _strip(self, strip: Axes, edges: Floats, places: Floats) -> None:
        shares = covered_shares(self.coverage.intervals, edges)
        draw_reach(strip, runs(shares, places), places[0], places[-1], (0.0, 0.5))

    @staticmethod
    def _aliased(strip: Axes, places: Floats) -> None:
        strip.vlines(places, 0.65, 1.0, color=ALIASED.light, linewidth=0.4)

    @staticmethod
    def _mark_gap(strip: Axes, places: Floats, gap: tuple[float, float]) -> None:
        """The longest stretch out of reach, where it can be seen."""
        if gap[1] - gap[0] < 0.01 * np.pi:
            return
        strip.plot(places, [0.25, 0.25], color=INK.light, linewidth=0.6, marker="|", markersize=3.0)


KIND = Kind(
    id="coverage",
    title="reach along the band",
    summary="the union of the bands in reach, gaps, aliased poles, and power density against flat",
    subject=Subject.LAYERS,
    draw=draw,
    compares=True,
)
