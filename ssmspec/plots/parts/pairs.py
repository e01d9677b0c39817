"""Decay against frequency on logarithmic axes, colored by step size.

Under zero-order hold both scale with the step size: what one step size moves lies on a line of
slope 1, and a layer of one knob shows as a bundle of such lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from ssmspec.arrays import Floats
from ssmspec.plots.parts.axes import Band, decades, dot_size, dots
from ssmspec.plots.parts.points import Points
from ssmspec.plots.style import GRID, LAYER, MUTED, QUANTITY, RASTERIZE_ABOVE, STEPS, Color

SLOT = 10.0**0.45
"""How far left of the lowest frequency the slot for frequencies near 0 stands, as a factor."""

FEW = 0.05
"""Share of poles that may stand in that slot so that the others get the room (heuristic: the lowest
mode of S4D starts at frequency 0 and hardly leaves it)."""

MOST_DECADES = 5
"""Decades of frequency or decay shown; the few poles beyond stand on the edge (heuristic)."""


@dataclass(frozen=True)
class Window:
    """Limits of both axes.

    Attributes:
        omega: lowest and highest |omega_unwrapped| that stands in its place, rad/sample.
        decay: likewise decay, nat/sample.
        slot: what the slot on the left holds: "0" where only frequencies of exactly 0, "~0"
            where others too, "" where it is empty.
    """

    omega: tuple[float, float]
    decay: tuple[float, float]
    slot: str

    @property
    def zero(self) -> float:
        """Where the slot stands, rad/sample."""
        return self.omega[0] / SLOT


def window_of(layers: list[Points]) -> Window:
    """Limits that hold the poles of all these layers."""
    omega = np.concatenate([np.abs(points.log_poles.imag) for points in layers])
    decay = np.concatenate([points.decay for points in layers])
    positive = omega[omega > 0.0]
    high = max(float(positive.max(initial=0.0)) * 1.15, np.pi * 1.05)
    low = high / 1e3
    if positive.size:
        low = max(float(np.quantile(positive, FEW)) / 10.0, float(positive.min()) / 1.15)
        low = max(low, high / 10.0**MOST_DECADES)
    outside = omega < low
    slot = "" if not outside.any() else ("~0" if omega[outside].any() else "0")
    damped = decay[decay > 0.0]
    if not damped.size:
        return Window((low, high), (1e-4, 1.0), slot)
    slowest, fastest = float(damped.min()) / 1.3, float(damped.max()) * 1.3
    return Window((low, high), (max(slowest, fastest / 10.0**MOST_DECADES), fastest), slot)


def place(points: Points, window: Window) -> tuple[Floats, Floats]:
    """(n,) rad/sample and (n,) nat/sample of each pole, those beyond the window on its edge."""
    omega = np.abs(points.log_poles.imag)
    x = np.where(omega >= window.omega[0], omega, window.zero)
    return x, np.clip(points.decay, *window.decay)


def draw_pairs(
    axes: Axes,
    points: Points,
    band: Band,
    window: Window,
    color: Color | LogNorm = LAYER,
    *,
    labels: bool = True,
) -> None:
    """Decay against the frequency before folding.

    Args:
        axes: empty.
        points: complex poles.
        band: unit of the frequency.
        window: limits of both axes.
        color: one color, or the scale of step sizes to color by.
        labels: name the axes.
    """
    omega, decay = place(points, window)
    x = band.of(omega)
    if isinstance(color, LogNorm) and points.dt is not None:
        axes.scatter(
            x,
            decay,
            s=dot_size(x.size) ** 2,
            c=points.dt,
            cmap=QUANTITY,
            norm=color,
            linewidths=0.0,
            rasterized=x.size > RASTERIZE_ABOVE,
        )
    else:
        dots(axes, x, decay, LAYER if isinstance(color, LogNorm) else color)
    _frame(axes, band, window)
    if labels:
        axes.set_xlabel(band.label)
        axes.set_ylabel("decay (nat/sample)")


def draw_pairs_in_classes(axes: Axes, points: Points, band: Band, window: Window) -> None:
    """The same in four classes of step size, one shape each: small as SVG."""
    omega, decay = place(points, window)
    x = band.of(omega)
    if points.dt is None or points.dt.min() == points.dt.max():
        dots(axes, x, decay, LAYER)
    else:
        bounds = np.quantile(points.dt, np.arange(1, len(STEPS)) / len(STEPS))
        which = np.searchsorted(bounds, points.dt)
        for i, color in enumerate(STEPS):
            dots(axes, x[which == i], decay[which == i], color, dot_size(x.size))
    _frame(axes, band, window)


def _frame(axes: Axes, band: Band, window: Window) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    left = window.zero / 1.4 if window.slot else window.omega[0]
    low, high = window.omega[0] * band.scale, window.omega[1] * band.scale
    axes.set_xlim(left * band.scale, high)
    axes.set_ylim(*window.decay)
    # The slot's label needs room beside that of the lowest power of ten.
    decades(axes.xaxis, 2.0 * low if window.slot else low, high, most=4)
    decades(axes.yaxis, *window.decay, most=4)
    if window.slot:
        zero = window.zero * band.scale
        axes.axvline((zero * low) ** 0.5, color=GRID.light, linewidth=0.5, zorder=0)
        axes.annotate(
            window.slot, (zero, 0.0), (0.0, -4.5), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", va="top", fontsize=6.5, color=MUTED.light,
        )  # fmt: skip
    axes.axvline(band.nyquist, color=MUTED.light, linewidth=0.7, linestyle=(0, (4, 2)), zorder=0)
