"""`poles`: each layer's poles on the unit disk, and its rim unrolled, beside a scheme's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ssmspec.plots.base import DEFAULTS, Kind, Layers, PlotOptions, Subject
from ssmspec.plots.files import Drawing
from ssmspec.plots.parts.axes import Band
from ssmspec.plots.parts.disk import decay_limits, draw_disk, draw_rim
from ssmspec.plots.parts.labels import percent
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.multiples import (
    RIGHT,
    Cell,
    arranged,
    cross_handle,
    dot_handle,
    first_layers,
    mark_handle,
)
from ssmspec.plots.parts.points import Points, points_of
from ssmspec.plots.parts.profiles import draw_ranks
from ssmspec.plots.parts.references import Reference, reference_of, size
from ssmspec.plots.style import ALIASED, INK, LAYER, REFERENCE, Color, styled
from ssmspec.results.layer_view import LayerView
from ssmspec.spectrum import Symmetry

HEIGHT = 1.5
"""Inches of one cell."""


@dataclass(frozen=True, eq=False)
class _Layer:
    name: str
    shape: tuple[int, int]
    points: Points
    band: Band
    reference: Reference | None


def draw(views: Layers, options: PlotOptions = DEFAULTS) -> Drawing:
    """The poles of each layer, those of the scheme `options.against` in cells of their own.

    Layers of one shape share a reference where the scheme does not depend on their step sizes.

    Raises:
        NoLayersError: there is no layer.
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
        )

    layers, notes = first_layers(views, prepare)
    references = {
        layer.reference.key: (layer.reference.title, points_of(layer.reference.spectrum), layer)
        for layer in layers
        if layer.reference is not None
    }
    everything = [layer.points for layer in layers]
    everything += [points for _, points, _ in references.values()]
    limits = decay_limits(everything)
    with styled():
        cells = [
            Cell(
                layer.name,
                note(layer.points, layer.shape),
                _drawing(layer.points, layer.band, limits),
            )
            for layer in layers
        ]
        cells += [
            Cell(title, "", _drawing(points, layer.band, limits, REFERENCE))
            for title, points, layer in references.values()
        ]
        legend = [dot_handle("pole", LAYER)]
        if any(points.aliased for points in everything):
            legend.append(cross_handle("aliased: heard as another frequency", ALIASED))
        if any((points.decay <= 0.0).any() for points in everything):
            legend.append(mark_handle("growing or undamped", INK, "^"))
        if references:
            legend.append(dot_handle(f"{options.against}, for comparison", REFERENCE))
        return arranged(cells, HEIGHT, legend=legend, notes=[*notes, *counted(everything)])


def _drawing(
    points: Points, band: Band, limits: tuple[float, float], color: Color = LAYER
) -> Callable[[Sheet], None]:
    def draw_cell(sheet: Sheet) -> None:
        whole = points.symmetry is Symmetry.FULL
        half = sheet.width * 0.5
        disk = sheet.part(0.0, 0.0, half, sheet.height).axes(0.32, 0.02, 0.06, 0.32)
        draw_disk(disk, points, color, whole=whole)
        rim = sheet.part(half, 0.0, half, sheet.height).axes(0.44, 0.06, RIGHT, 0.32)
        if points.symmetry is Symmetry.REAL:
            draw_ranks(rim, points.decay, limits)
        else:
            draw_rim(rim, points, band, limits, color)

    return draw_cell


def note(points: Points, shape: tuple[int, int]) -> str:
    """Shape, and what is the matter with some poles."""
    parts = [size(shape)]
    if points.aliased:
        parts.append(f"{percent(points.aliased / points.modes)} aliased")
    if points.growing:
        parts.append(f"{points.growing:,} growing")
    if points.non_finite:
        parts.append(f"{points.non_finite:,} not finite")
    return ", ".join(parts)


def counted(layers: list[Points]) -> list[str]:
    """A note on poles that are not drawn, where there are any."""
    fewer = [p.log_poles.size for p in layers if p.log_poles.size < p.modes - p.non_finite]
    if not fewer:
        return []
    return [
        f"Of larger layers {min(fewer):,} poles are shown, chosen at random; counts are of all."
    ]


KIND = Kind(
    id="poles",
    title="poles on the unit disk",
    summary="poles on the unit disk and along its rim, a scheme's poles for comparison",
    subject=Subject.LAYERS,
    draw=draw,
    compares=True,
)
