"""`sweep`: what a model measures when its step sizes, or its decays, are scaled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist

from ssmspec.arrays import Floats
from ssmspec.outcome import Measured, NotApplicable
from ssmspec.plots.base import DEFAULTS, Kind, PlotOptions, Subject, require_some
from ssmspec.plots.files import Drawing
from ssmspec.plots.parts.axes import decades, plain_ticks, sentence
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.multiples import RIGHT, Cell, arranged, line_handle
from ssmspec.plots.style import INK, LAYER, MUTED, styled
from ssmspec.results.sweep import Knob, Sweep, SweepPoint

HEIGHT = 1.35
"""Inches of one cell."""

TURNED = {Knob.DT: "step sizes", Knob.XI: "decays"}


@dataclass(frozen=True)
class _Panel:
    """One metric against the factor.

    Attributes:
        metric: its id.
        title: what it says, with its unit.
        is_share: from 0 to 1, shown in percent.
    """

    metric: str
    title: str
    is_share: bool = True


PANELS = (
    _Panel("coverage", "coverage (% of the band)"),
    _Panel("aliased_fraction", "aliased modes (%)"),
    _Panel("spectral_flatness", "spectral flatness (1 is flat)", is_share=False),
    _Panel("memory_ratio", "longest memory over L", is_share=False),
)
WITHOUT_LENGTH = _Panel("time_constant_p95", "time constant, 95 % (samples)", is_share=False)


def draw(sweep: Sweep, options: PlotOptions = DEFAULTS) -> Drawing:
    """Coverage, aliasing, flatness and memory against the factor; each layer and the model.

    Args:
        sweep: of `ssmspec.sweep`.
        options: not used; a sweep is compared with itself.

    Raises:
        NoLayersError: no layer has the knob.
    """
    del options
    reasons = [
        layer.points.reason for layer in sweep.layers if isinstance(layer.points, NotApplicable)
    ]
    require_some(sweep.model, "sweep", reasons[0] if reasons else "no layer could be measured")
    layers = [layer.points for layer in sweep.layers if not isinstance(layer.points, NotApplicable)]
    known = np.isfinite(_values(sweep.model, "memory_ratio")).any()
    panels = PANELS if known else (*PANELS[:-1], WITHOUT_LENGTH)
    with styled():
        cells = [Cell(panel.title, "", _drawing(panel, sweep, layers)) for panel in panels]
        legend: list[Artist] = [line_handle("the model", INK)]
        if len(layers) > 1:
            legend.append(line_handle(f"its {len(layers):,} layers", LAYER))
        legend.append(line_handle("as it is", MUTED, dashed=True))
        return arranged(cells, HEIGHT, legend=legend)


def _values(points: Sequence[SweepPoint], metric: str) -> Floats:
    """The metric at each factor; NaN, which no line is drawn through, where not applicable."""
    outcomes = [point.metrics[metric] for point in points]
    return np.array(
        [outcome.value if isinstance(outcome, Measured) else np.nan for outcome in outcomes],
        dtype=np.float64,
    )


def _drawing(
    panel: _Panel, sweep: Sweep, layers: Sequence[Sequence[SweepPoint]]
) -> Callable[[Sheet], None]:
    def draw_cell(sheet: Sheet) -> None:
        axes = sheet.axes(0.46, 0.06, RIGHT, 0.34)
        scale = 100.0 if panel.is_share else 1.0
        model = scale * _values(sweep.model, panel.metric)
        if np.isnan(model).all():
            outcome = sweep.model[0].metrics[panel.metric]
            sentence(axes, outcome.reason if isinstance(outcome, NotApplicable) else "")
            return
        x = np.log2(sweep.factors)
        curves = [scale * _values(points, panel.metric) for points in layers]
        if len(layers) > 1:
            for curve in curves:
                axes.plot(x, curve, color=LAYER.light, linewidth=0.6, alpha=0.7)
        axes.plot(x, model, color=INK.light, linewidth=1.3, marker="o", markersize=2.2)
        axes.axvline(0.0, color=MUTED.light, linewidth=0.7, linestyle=(0, (4, 2)), zorder=0)
        if panel.metric in ("memory_ratio", "time_constant_p95"):
            axes.set_yscale("log")
            decades(axes.yaxis, *axes.get_ylim(), most=4)
        else:
            top = float(np.nanmax([model, *curves])) * 1.08
            axes.set_ylim(0.0, max(top, 0.05 * scale))
        places = [float(place) for place in x]
        step = -(-len(places) // 9)
        factors = [_ratio(factor) for factor in sweep.factors]
        plain_ticks(axes.xaxis, places[::step], factors[::step])
        axes.set_xlabel(f"factor on the {TURNED[sweep.knob]}")

    return draw_cell


def _ratio(factor: float) -> str:
    """`1/16`, `2`, `0.3`."""
    inverse = 1.0 / factor
    if factor < 1.0 and abs(inverse - round(inverse)) < 1e-9:
        return f"1/{round(inverse)}"
    return f"{factor:.3g}"


KIND = Kind(
    id="sweep",
    title="sweep of dt or xi",
    summary="coverage, aliasing, flatness and memory against a factor on step sizes or decays",
    subject=Subject.SWEEP,
    draw=draw,
)
