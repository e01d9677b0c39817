"""`response`: the frequency response of each layer's channels, in dB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ssmspec.plots.base import DEFAULTS, Kind, Layers, PlotOptions, Subject
from ssmspec.plots.files import Drawing
from ssmspec.plots.gains import Gains, gains_of, to_decibels
from ssmspec.plots.parts.axes import Band, frequency_axis, sentence
from ssmspec.plots.parts.labels import count
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.multiples import RIGHT, Cell, arranged, first_layers, line_handle
from ssmspec.plots.refusal import require_some
from ssmspec.plots.style import ALIASED, INK, LAYER, styled
from ssmspec.results.layer_view import LayerView

HEIGHT = 1.6
"""Inches of one cell."""
DEPTH = 80.0
"""Most decibels shown below the highest gain."""
BANDS = ((5.0, 95.0, "5 to 95 %", "#c4deee"), (25.0, 75.0, "25 to 75 %", "#76b3d8"))
"""Percentiles of the channels, what the band between them is called, and its color."""


@dataclass(frozen=True, eq=False)
class _Layer:
    name: str
    band: Band
    gains: Gains | str


def draw(views: Layers, options: PlotOptions = DEFAULTS) -> Drawing:
    """The gain of each layer's channels along the band.

    Raises:
        NoLayersError: there is no layer, or none with a response to draw.
    """
    del options  # a scheme has no C, and so no response

    def prepare(view: LayerView) -> _Layer:
        return _Layer(view.spectrum.name, Band.at(view.sample_rate), gains_of(view))

    layers, notes = first_layers(views, prepare)
    drawn = [layer.gains for layer in layers if isinstance(layer.gains, Gains)]
    reasons = [layer.gains for layer in layers if isinstance(layer.gains, str)]
    require_some(drawn, "response", reasons[0] if reasons else "")
    with styled():
        cells = [Cell(layer.name, _note(layer), _drawing(layer)) for layer in layers]
        return arranged(cells, HEIGHT, legend=_legend(drawn), notes=notes)


def _legend(drawn: list[Gains]) -> list[Artist]:
    handles: list[Artist] = [line_handle("all together (root of the sum of squares)", INK)]
    if any(gains.gains.shape[0] > 1 for gains in drawn):
        handles.append(line_handle("median", LAYER))
        handles += [
            Patch(facecolor=shade, edgecolor="none", label=label)
            for _, _, label, shade in BANDS[::-1]
        ]
    if any(gains.loudest is not None and gains.gains.shape[0] > 1 for gains in drawn):
        handles.append(line_handle("loudest channel", ALIASED, dashed=True))
    return handles


def _note(layer: _Layer) -> str:
    if isinstance(layer.gains, str):
        return ""
    return count(layer.gains.gains.shape[0], layer.gains.noun)


def _drawing(layer: _Layer) -> Callable[[Sheet], None]:
    def draw_cell(sheet: Sheet) -> None:
        axes = sheet.axes(0.46, 0.06, RIGHT, 0.34)
        gains = layer.gains
        if isinstance(gains, str):
            sentence(axes, gains)
            return
        total = to_decibels(gains.total, -np.inf)
        top = float(total.max())
        floor = top - DEPTH
        x = layer.band.of(gains.omega)
        lowest = float(total.min())
        if gains.gains.shape[0] > 1:
            for low, high, _, shade in BANDS:
                edges = to_decibels(np.percentile(gains.gains, [low, high], axis=0), floor)
                lowest = min(lowest, float(edges[0].min()))
                axes.fill_between(x, *edges, color=shade, linewidth=0.0)
            median = to_decibels(np.median(gains.gains, axis=0), floor)
            axes.plot(x, median, color=LAYER.light, linewidth=0.9)
            if gains.loudest is not None:
                axes.plot(
                    layer.band.of(gains.loudest[0]),
                    to_decibels(gains.loudest[1], floor),
                    color=ALIASED.light,
                    linewidth=0.6,
                    linestyle=(0, (3, 1.2)),
                )
                top = max(top, float(to_decibels(gains.loudest[1], floor).max()))
        axes.plot(x, np.maximum(total, floor), color=INK.light, linewidth=0.9)
        axes.set_ylim(max(lowest, floor) - 3.0, top + 4.0)
        frequency_axis(axes, layer.band)
        axes.set_ylabel("gain (dB)")
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))

    return draw_cell


KIND = Kind(
    id="response",
    title="frequency response",
    summary="gain of the channels in dB along the band: percentiles, the loudest, all together",
    subject=Subject.LAYERS,
    draw=draw,
    kernels=True,
)
