"""`timescales`: time constants by octave against the sequence length."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist

from ssmspec.plots.base import DEFAULTS, Kind, Layers, PlotOptions, Subject, require_some
from ssmspec.plots.files import Drawing
from ssmspec.plots.parts.axes import sentence
from ssmspec.plots.parts.labels import percent
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.multiples import (
    RIGHT,
    Cell,
    arranged,
    first_layers,
    line_handle,
    patch_handle,
)
from ssmspec.plots.parts.profiles import Memory, draw_memory, memory_edges, memory_of
from ssmspec.plots.parts.references import reference_of, size
from ssmspec.plots.style import INK, LAYER, REFERENCE, styled
from ssmspec.results.layer_view import LayerView

HEIGHT = 1.25
"""Inches of one cell."""

STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)
"""Between ticks."""

NONE = "no mode has a finite time constant"


@dataclass(frozen=True, eq=False)
class _Layer:
    name: str
    shape: tuple[int, int]
    memory: Memory
    reference: Memory | None
    length: int | None
    is_nominal: bool


def draw(views: Layers, options: PlotOptions = DEFAULTS) -> Drawing:
    """The distribution of time constants of each layer, with the sequence length marked.

    Raises:
        NoLayersError: there is no layer, or none with a finite time constant.
        UsageError: there is no such scheme.
    """

    def prepare(view: LayerView) -> _Layer:
        reference = reference_of(view.spectrum, options.against)
        return _Layer(
            view.spectrum.name,
            view.spectrum.shape,
            memory_of(view.spectrum),
            None if reference is None else memory_of(reference.spectrum),
            view.sequence_length,
            view.spectrum.selective,
        )

    layers, notes = first_layers(views, prepare)
    drawn = [layer for layer in layers if layer.memory.shares.size]
    require_some(drawn, "timescales", NONE)
    limits = _limits(drawn)
    with styled():
        cells = [Cell(layer.name, _note(layer), _drawing(layer, limits)) for layer in layers]
        legend: list[Artist] = [patch_handle("time constants by octave", LAYER)]
        if any(layer.reference is not None for layer in drawn):
            legend.append(line_handle(options.against, REFERENCE))
        if any(layer.length is not None for layer in drawn):
            legend.append(line_handle("L, the sequence length", INK, dashed=True))
        return arranged(cells, HEIGHT, legend=legend, notes=notes)


def _limits(layers: list[_Layer]) -> tuple[float, float]:
    """Octaves that hold every time constant and the sequence length."""
    edges = [memory_edges(layer.memory) for layer in layers]
    low = min(0.0, *(float(e[0]) for e in edges))
    lengths = [math.log2(layer.length) + 1.0 for layer in layers if layer.length]
    return low, max([*(float(e[-1]) for e in edges), *lengths])


def _note(layer: _Layer) -> str:
    memory = layer.memory
    parts = [size(layer.shape)]
    if layer.is_nominal:
        parts.append("nominal")
    if memory.undamped:
        parts.append(f"{percent(memory.undamped / memory.modes)} undamped")
    if memory.growing:
        parts.append(f"{percent(memory.growing / memory.modes)} growing")
    return ", ".join(parts)


def _drawing(layer: _Layer, limits: tuple[float, float]) -> Callable[[Sheet], None]:
    def draw_cell(sheet: Sheet) -> None:
        axes = sheet.axes(0.42, 0.06, RIGHT, 0.34)
        if not layer.memory.shares.size:
            sentence(axes, NONE)
            return
        draw_memory(axes, layer.memory, limits, layer.length)
        if layer.reference is not None:
            axes.stairs(
                layer.reference.shares,
                memory_edges(layer.reference),
                color=REFERENCE.light,
                linewidth=1.0,
            )
        shares = [layer.memory.shares, *([layer.reference.shares] if layer.reference else [])]
        top = 1.12 * max(float(np.max(s)) for s in shares if s.size)
        axes.set_ylim(0.0, top)
        step = next((s for s in STEPS if 2.0 * s > 0.75 * top), STEPS[-1])
        ticks = [0.0, *(tick for tick in (step, 2.0 * step) if tick <= top)]
        axes.set_yticks(ticks, [f"{100.0 * tick:g}" for tick in ticks])
        axes.set_xlabel("time constant (samples)")
        axes.set_ylabel("modes (%)")

    return draw_cell


KIND = Kind(
    id="timescales",
    title="time constants",
    summary="time constants by octave against the sequence length, a scheme's for comparison",
    subject=Subject.LAYERS,
    draw=draw,
    compares=True,
)
