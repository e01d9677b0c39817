"""`entanglement`: decay against frequency, colored by step size, beside a scheme's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from ssmspec.arrays import Floats
from ssmspec.plots.base import DEFAULTS, Kind, Layers, PlotOptions, Subject, require_some
from ssmspec.plots.files import Drawing
from ssmspec.plots.kinds.poles import counted, note
from ssmspec.plots.parts.axes import Band, decades, sentence
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.multiples import (
    RIGHT,
    Cell,
    arranged,
    dot_handle,
    first_layers,
    line_handle,
)
from ssmspec.plots.parts.pairs import Window, draw_pairs, window_of
from ssmspec.plots.parts.points import Points, points_of
from ssmspec.plots.parts.references import Reference, reference_of
from ssmspec.plots.style import LAYER, MUTED, QUANTITY, REFERENCE, Color, styled
from ssmspec.results.layer_view import LayerView

HEIGHT = 1.75
"""Inches of one cell."""

REAL = "real poles do not oscillate: there is no frequency to set beside the decay"


@dataclass(frozen=True, eq=False)
class _Layer:
    name: str
    shape: tuple[int, int]
    points: Points
    band: Band
    reference: Reference | None
    is_complex: bool


def draw(views: Layers, options: PlotOptions = DEFAULTS) -> Drawing:
    """Decay against frequency of each layer, and of the scheme `options.against`.

    Raises:
        NoLayersError: there is no layer, or none whose poles oscillate.
        UsageError: there is no such scheme.
    """

    def prepare(view: LayerView) -> _Layer:
        spectrum = view.spectrum
        return _Layer(
            spectrum.name,
            spectrum.shape,
            points_of(spectrum),
            Band.at(view.sample_rate),
            reference_of(spectrum, options.against),
            spectrum.is_complex,
        )

    layers, notes = first_layers(views, prepare)
    drawn = [layer for layer in layers if layer.is_complex and layer.points.log_poles.size]
    require_some(drawn, "entanglement", REAL)
    references = {
        layer.reference.key: (layer.reference.title, points_of(layer.reference.spectrum), layer)
        for layer in drawn
        if layer.reference is not None
    }
    everything = [layer.points for layer in drawn]
    window = window_of(everything + [points for _, points, _ in references.values()])
    norm = _norm([p.dt for p in everything if p.dt is not None])
    with styled():
        cells = [
            Cell(
                layer.name,
                note(layer.points, layer.shape),
                _drawing(layer, layer.points, window, norm or LAYER),
            )
            for layer in layers
        ]
        cells += [
            Cell(title, "", _drawing(layer, points, window, REFERENCE))
            for title, points, layer in references.values()
        ]
        legend = [] if norm else [dot_handle("pole", LAYER)]
        if references:
            legend.append(dot_handle(f"{options.against}, for comparison", REFERENCE))
        legend.append(line_handle("Nyquist: what lies beyond is aliased", MUTED, dashed=True))
        return arranged(cells, HEIGHT, legend=legend, notes=[*notes, *counted(everything)])


def _norm(steps: list[Floats]) -> LogNorm | None:
    """The scale of step sizes, where they differ."""
    every = np.concatenate(steps) if steps else np.empty(0)
    every = every[np.isfinite(every) & (every > 0.0)]
    if not every.size or every.max() <= every.min() * (1.0 + 1e-6):
        return None
    return LogNorm(float(every.min()), float(every.max()))


def _drawing(
    layer: _Layer, points: Points, window: Window, color: Color | LogNorm
) -> Callable[[Sheet], None]:
    def draw_cell(sheet: Sheet) -> None:
        has_bar = isinstance(color, LogNorm) and points.dt is not None
        axes = sheet.axes(0.46, 0.06, RIGHT + 0.48, 0.34)
        if not layer.is_complex:
            sentence(axes, REAL)
            return
        draw_pairs(axes, points, layer.band, window, color)
        if has_bar and isinstance(color, LogNorm):
            bar = sheet.part(sheet.width - RIGHT - 0.4, 0.0, 0.4, sheet.height)
            _color_bar(bar, color)

    return draw_cell


def _color_bar(sheet: Sheet, norm: LogNorm) -> None:
    axes = sheet.axes(0.0, 0.26, 0.31, 0.34)
    bar = sheet.figure.colorbar(ScalarMappable(norm, QUANTITY), cax=axes)
    bar.outline.set_visible(False)
    low, high = float(norm.vmin or 1.0), float(norm.vmax or 1.0)
    decades(axes.yaxis, low, high, most=4)
    axes.tick_params(which="both", length=1.5)
    axes.set_title("step size", loc="left", fontsize=6.5, pad=6.0)


KIND = Kind(
    id="entanglement",
    title="decay against frequency",
    summary="decay against frequency, colored by step size: what one knob moves is a line",
    subject=Subject.LAYERS,
    draw=draw,
    compares=True,
)
