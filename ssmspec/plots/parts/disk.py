"""The unit disk, and its rim unrolled: where nearly all poles of a trained layer lie.

A pole that remembers 100 samples lies 0.01 inside the circle, less than a dot's width on any page.
The disk shows angles truly and tells long memories from none; the unrolled rim, decay on a
logarithmic axis against frequency, tells long memories apart.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Wedge

from ssmspec.plots.parts.axes import Band, crosses, decades, dot_size, dots, frequency_axis
from ssmspec.plots.parts.points import Points
from ssmspec.plots.style import ALIASED, GRID, INK, LAYER, MUTED, Color

RINGS = (0.5, 0.9)
"""Radii drawn for orientation."""


def draw_disk(
    axes: Axes, points: Points, color: Color = LAYER, *, whole: bool, labels: bool = True
) -> None:
    """The poles on the unit disk.

    Args:
        axes: empty.
        points: the poles.
        color: of the dots.
        whole: the whole disk rather than its upper half.
        labels: name the axes.
    """
    bottom = -1.08 if whole else -0.06
    axes.set_xlim(-1.08, 1.08)
    axes.set_ylim(bottom, 1.08)
    axes.set_aspect("equal", adjustable="box", anchor="C")
    for spine in axes.spines.values():
        spine.set_visible(False)
    for radius in RINGS:
        axes.add_patch(_arc(radius, whole, GRID, 0.5))
    axes.add_patch(_arc(1.0, whole, MUTED, 0.7))
    axes.plot([-1.0, 1.0], [0.0, 0.0], color=GRID.light, linewidth=0.5, zorder=0)
    z = points.poles_bar
    aliased = points.is_aliased
    size = dot_size(z.size)
    dots(axes, z.real[~aliased], z.imag[~aliased], color, size)
    if aliased.any():
        crosses(axes, z.real[aliased], z.imag[aliased], ALIASED, z.size)
    axes.set_xticks([-1, 0, 1])
    axes.set_yticks([-1, 0, 1] if whole else [0, 1])
    axes.tick_params(length=0)
    if labels:
        axes.set_xlabel("Re z")
        axes.set_ylabel("Im z")


def _arc(radius: float, whole: bool, color: Color, width: float) -> Circle | Wedge:
    if whole:
        return Circle((0, 0), radius, fill=False, edgecolor=color.light, linewidth=width, zorder=0)
    return Wedge(
        (0, 0),
        radius,
        0.0,
        180.0,
        fill=False,
        edgecolor=color.light,
        linewidth=width,
        zorder=0,
    )


def decay_limits(points: list[Points]) -> tuple[float, float]:
    """Limits that hold every decay above 0, nat/sample."""
    positive = [p.decay[p.decay > 0.0] for p in points]
    decays = np.concatenate(positive) if positive else np.empty(0)
    if not decays.size:
        return 1e-4, 1.0
    low, high = float(decays.min()), float(decays.max())
    return low / 1.6, max(high * 1.6, low * 4.0)


def draw_rim(
    axes: Axes,
    points: Points,
    band: Band,
    limits: tuple[float, float],
    color: Color = LAYER,
    *,
    labels: bool = True,
) -> None:
    """Decay against folded frequency: the unit circle lies along the top.

    A pole that does not decay has no place on a logarithmic axis and is marked on the top edge.

    Args:
        axes: empty.
        points: complex poles.
        band: unit of the frequency.
        limits: of the decay, from `decay_limits`.
        color: of the dots.
        labels: name the axes.
    """
    low, high = limits
    x, decay, aliased = band.of(points.omega), points.decay, points.is_aliased
    lasting = decay <= 0.0
    plain = ~aliased & ~lasting
    dots(axes, x[plain], decay[plain], color, dot_size(x.size))
    if (aliased & ~lasting).any():
        crosses(axes, x[aliased & ~lasting], decay[aliased & ~lasting], ALIASED, x.size)
    axes.set_yscale("log")
    axes.set_ylim(high, low)
    decades(axes.yaxis, low, high, most=4)
    frequency_axis(axes, band, label=labels)
    if lasting.any():
        axes.plot(
            x[lasting],
            np.full(np.count_nonzero(lasting), low),
            linestyle="none",
            marker="^",
            markersize=3.0,
            markeredgewidth=0.0,
            color=INK.light,
            clip_on=False,
        )
    if labels:
        axes.set_ylabel("decay (nat/sample)")
