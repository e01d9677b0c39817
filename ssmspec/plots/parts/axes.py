"""Axes that several figures share: frequency, decay, time; and what is drawn on them."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from ssmspec.arrays import Array, Floats
from ssmspec.plots.parts.labels import power_of_ten
from ssmspec.plots.style import MUTED, RASTERIZE_ABOVE, Color

KILO_FROM = 2000.0
"""Sample rate in hertz from which frequencies are written in kHz."""


FEW = 100
"""Marks up to which each is drawn to be seen by itself (heuristic)."""


@dataclass(frozen=True)
class Band:
    """The band from 0 to Nyquist in the unit of an axis.

    Attributes:
        nyquist: pi rad/sample in that unit.
        unit: cycles/sample, Hz or kHz.
    """

    nyquist: float
    unit: str

    @classmethod
    def at(cls, sample_rate: float | None) -> Band:
        """Hertz where the rate is known."""
        if sample_rate is None:
            return cls(0.5, "cycles/sample")
        if sample_rate >= KILO_FROM:
            return cls(sample_rate / 2000.0, "kHz")
        return cls(sample_rate / 2.0, "Hz")

    @property
    def hertz(self) -> float | None:
        """Nyquist in hertz; None where the rate is not known."""
        return {"Hz": self.nyquist, "kHz": 1000.0 * self.nyquist}.get(self.unit)

    @property
    def label(self) -> str:
        """Of an axis."""
        return f"frequency ({self.unit})"

    @property
    def scale(self) -> float:
        """What 1 rad/sample is in this unit."""
        return self.nyquist / math.pi

    def of(self, omega: Floats) -> Floats:
        """rad/sample in this unit, any shape."""
        return omega * self.scale


def frequency_axis(axes: Axes, band: Band, *, label: bool = True) -> None:
    """The horizontal axis from 0 to Nyquist."""
    axes.set_xlim(0.0, band.nyquist)
    ticks = [0.0, band.nyquist / 2.0, band.nyquist]
    axes.set_xticks(ticks, [f"{tick:.4g}" for tick in ticks])
    if label:
        axes.set_xlabel(band.label)


def decades(axis: Axis, low: float, high: float, most: int = 5) -> None:
    """Ticks at powers of ten between two limits, at most so many of them labeled.

    Where there are fewer than two powers of ten, 2 and 5 times a power are labeled too.
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = range(first, last + 1)
    if len(powers) < 2:
        every = [m * 10.0**k for k in range(first - 1, last + 1) for m in (1, 2, 5)]
        ticks = [tick for tick in every if low <= tick * (1 + 1e-9) and tick <= high * (1 + 1e-9)]
        plain_ticks(axis, ticks, [f"{tick:.3g}" for tick in ticks])
        return
    step = math.ceil(len(powers) / most)
    labeled = [k for k in powers if (last - k) % step == 0]
    axis.set_major_locator(FixedLocator([10.0**k for k in labeled]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(round(math.log10(value)))))
    axis.set_minor_locator(FixedLocator([10.0**k for k in powers]))
    axis.set_minor_formatter(NullFormatter())


def plain_ticks(axis: Axis, ticks: list[float], labels: list[str]) -> None:
    """These ticks and no others, on an axis of any scale."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_ticklabels(labels)
    axis.set_minor_locator(NullLocator())


def dot_size(count: int) -> float:
    """Points across, smaller where there are many: 2.2 for a few, 0.9 for 4,000 (heuristic)."""
    return float(np.clip(9.0 * max(count, 1) ** -0.28, 0.7, 2.2))


def dots(axes: Axes, x: Array, y: Array, color: Color, size: float | None = None) -> Line2D:
    """Dots at x and y (n,) in one color; an image within a vector figure where they are many."""
    (line,) = axes.plot(
        x,
        y,
        linestyle="none",
        marker="o",
        markersize=size or dot_size(len(x)),
        markeredgewidth=0.0,
        color=color.light,
        rasterized=len(x) > RASTERIZE_ABOVE,
    )
    return line


def crosses(axes: Axes, x: Array, y: Array, color: Color, beside: int) -> Line2D:
    """Marks that stand out from dots by shape, for print without color.

    Args:
        axes: to draw on.
        x: (n,) places.
        y: (n,) places.
        color: of the marks.
        beside: how many marks and dots there are in all, which decides how large they are.
    """
    size = dot_size(beside)  # and where they are few, a dot in the same place stays visible
    size = max(1.5, (1.35 if beside > FEW else 1.9) * size)
    (line,) = axes.plot(
        x,
        y,
        linestyle="none",
        marker="x",
        markersize=size,
        markeredgewidth=min(0.22 * size, 0.7),
        color=color.light,
        zorder=1.9 if beside <= FEW else 2.1,
        rasterized=len(x) > RASTERIZE_ABOVE,
    )
    return line


def bars(
    axes: Axes, left: Floats, right: Floats, low: float, high: float, color: Color, alpha: float
) -> None:
    """Rectangles from left to right, (n,) each, of one height; one path for all of them."""
    vertices = np.empty((left.size, 5, 2))
    vertices[:, :, 0] = np.stack([left, left, right, right, left], axis=1)
    vertices[:, :, 1] = np.array([low, high, high, low, low])
    codes = np.array([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY])
    path = Path(vertices.reshape(-1, 2), np.tile(codes, left.size))
    axes.add_patch(PathPatch(path, facecolor=color.light, edgecolor="none", alpha=alpha))


def sentence(axes: Axes, words: str, columns: int = 34) -> None:
    """Words in place of a drawing that is not possible, broken into lines."""
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        textwrap.fill(words, columns),
        ha="center",
        va="center",
        color=MUTED.light,
        fontsize=7.0,
        transform=axes.transAxes,
    )
