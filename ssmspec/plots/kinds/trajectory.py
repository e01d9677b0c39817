"""`trajectory`: the paths of the poles while a model trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from ssmspec.arrays import Floats
from ssmspec.plots.base import DEFAULTS, Kind, PlotOptions, Subject
from ssmspec.plots.files import Drawing
from ssmspec.plots.parts.axes import Band, decades, frequency_axis, sentence
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.multiples import MOST_CELLS, RIGHT, Cell, arranged
from ssmspec.plots.parts.points import thinned
from ssmspec.plots.style import FADED, INK, MUTED, RASTERIZE_ABOVE, styled
from ssmspec.results.trajectory import LayerPaths, Trajectory

HEIGHT = 1.75
"""Inches of one cell."""
MOST_PATHS = 250
"""Paths drawn of one layer (heuristic: more cover one another)."""
MOST_STEPS = 200
"""Points of one path (heuristic)."""


@dataclass(frozen=True, eq=False)
class Paths:
    """The poles of one layer that are drawn.

    Attributes:
        name: the layer's.
        decay: (T, n) nat/sample, NaN where it was not finite.
        omega: (T, n) rad/sample, likewise.
        followed: how many the file follows.
        oscillates: whether any pole has a frequency.
    """

    name: str
    decay: Floats
    omega: Floats
    followed: int
    oscillates: bool


def draw(trajectory: Trajectory, options: PlotOptions = DEFAULTS) -> Drawing:
    """Decay against frequency of each pole from the first step to the last, light to dark.

    Poles that do not oscillate are drawn against the step instead.

    Args:
        trajectory: of `ssmspec.results.trajectory.load_trajectory`.
        options: not used; a path is compared with its own start.
    """
    del options
    kept = _times(trajectory.steps.size)
    steps = trajectory.steps[kept].astype(np.float64)
    layers = [paths_of(layer, kept) for layer in trajectory.layers[:MOST_CELLS]]
    more = len(trajectory.layers) - len(layers)
    notes = [f"and {more:,} more; --layers GLOB chooses which are shown"] if more else []
    if any(layer.decay.shape[1] < layer.followed for layer in layers):
        notes.append(f"{MOST_PATHS} poles of a layer are shown, chosen at random.")
    with styled():
        cells = [Cell(layer.name, _moved(layer), _drawing(layer, steps)) for layer in layers]
        return arranged(cells, HEIGHT, legend=_legend(steps), notes=notes)


def paths_of(layer: LayerPaths, kept: Floats) -> Paths:
    """At most `MOST_PATHS` of a layer's paths, at the times that are kept.

    Args:
        layer: paths (T, h, m).
        kept: int64 (t,), rows of T.

    Returns:
        Paths (t, n), n at most `MOST_PATHS`.
    """
    count = layer.decay[0].size
    chosen = thinned(count, MOST_PATHS)
    decay = layer.decay.reshape(-1, count)[kept][:, chosen]
    omega = layer.omega.reshape(-1, count)[kept][:, chosen]
    broken = ~(np.isfinite(decay) & np.isfinite(omega))
    return Paths(
        layer.name,
        np.where(broken, np.nan, decay),
        np.where(broken, np.nan, omega),
        count,
        bool((omega > 0.0).any()),
    )


def _times(size: int) -> Floats:
    """Which steps are drawn: the first, the last and evenly between."""
    return np.unique(np.linspace(0, size - 1, min(size, MOST_STEPS)).round().astype(np.intp))


def _legend(steps: Floats) -> list[Line2D]:
    def handle(step: float, face: str, color: str) -> Line2D:
        return Line2D(
            [], [], linestyle="none", marker="o", markersize=3.2, markerfacecolor=face,
            markeredgecolor=color, markeredgewidth=0.6, label=f"step {step:,.0f}",
        )  # fmt: skip

    if steps.size == 1:
        return [handle(steps[0], "none", MUTED.light)]
    return [handle(steps[0], "none", MUTED.light), handle(steps[-1], INK.light, INK.light)]


def _moved(layer: Paths) -> str:
    """How far the median pole went."""
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.abs(np.log(layer.decay[-1] / layer.decay[0]))
    factor = factor[np.isfinite(factor)]
    shift = np.abs(layer.omega[-1] - layer.omega[0])
    shift = shift[np.isfinite(shift)]
    parts = []
    if factor.size:
        parts.append(f"decay × {np.exp(np.median(factor)):.3g}")
    if layer.oscillates and shift.size:
        parts.append(f"{np.median(shift) / (2 * np.pi):.2g} cycles/sample")
    return f"median: {', '.join(parts)}" if parts else ""


def _drawing(layer: Paths, steps: Floats) -> Callable[[Sheet], None]:
    def draw_cell(sheet: Sheet) -> None:
        axes = sheet.axes(0.46, 0.06, RIGHT, 0.34)
        positive = layer.decay[layer.decay > 0.0]
        if not positive.size:
            sentence(axes, "no pole decays")
            return
        band = Band.at(None)
        low, high = float(positive.min()) / 1.3, float(positive.max()) * 1.3
        decay = np.where(np.isnan(layer.decay), np.nan, np.maximum(layer.decay, low))
        x = (
            band.of(layer.omega)
            if layer.oscillates
            else np.broadcast_to(steps[:, None], decay.shape)
        )
        axes.set_yscale("log")
        axes.set_ylim(high, low)
        decades(axes.yaxis, low, high, most=4)
        axes.set_ylabel("decay (nat/sample)")
        _draw_paths(axes, x, decay, mark_start=layer.oscillates)
        if layer.oscillates:
            frequency_axis(axes, band)
        else:
            axes.set_xlim(float(steps[0]), float(max(steps[-1], steps[0] + 1.0)))
            axes.set_xlabel("step")

    return draw_cell


def _draw_paths(axes: Axes, x: Floats, y: Floats, *, mark_start: bool) -> None:
    times, count = x.shape
    size = 1.7 if count > 100 else 2.4
    if mark_start:
        axes.plot(
            x[0], y[0], linestyle="none", marker="o", markersize=size, markerfacecolor="none",
            markeredgecolor=MUTED.light, markeredgewidth=0.3,
        )  # fmt: skip
    if times == 1:
        return
    places = np.stack([x, y], axis=-1)
    segments = np.stack([places[:-1], places[1:]], axis=2).reshape(-1, 2, 2)
    age = np.repeat(np.arange(1, times) / (times - 1), count)
    drawn = np.isfinite(segments).all(axis=(1, 2))
    axes.add_collection(
        LineCollection(
            list(segments[drawn]), array=age[drawn], cmap=FADED, linewidths=0.9, zorder=2.5,
            rasterized=int(drawn.sum()) > RASTERIZE_ABOVE, clim=(0.0, 1.0),
        )
    )  # fmt: skip
    axes.plot(
        x[-1], y[-1], linestyle="none", marker="o", markersize=0.7 * size, zorder=2.6,
        markeredgewidth=0.0, color=INK.light,
    )  # fmt: skip


KIND = Kind(
    id="trajectory",
    title="the poles' paths in training",
    summary="decay against frequency of each pole while `ssmspec train` ran, light to dark",
    subject=Subject.TRAJECTORY,
    draw=draw,
)
