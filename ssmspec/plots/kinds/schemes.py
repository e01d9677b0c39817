"""`schemes`: what initialization schemes make of one state-space model at several step sizes.

Figure 3 of the DFouT paper (arXiv 2508.20441): the step size of a continuous scheme moves angles
and radii together, squeezes the poles into a low band where it is small and folds them where it is
large; DFouT has no step size, and its damping leaves every angle where it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ssmspec.errors import UsageError
from ssmspec.plots.base import DEFAULTS, Kind, PlotOptions, Subject
from ssmspec.plots.files import Drawing
from ssmspec.plots.parts.disk import draw_disk
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.parts.multiples import Cell, arranged, cross_handle, dot_handle
from ssmspec.plots.parts.points import Points, points_of
from ssmspec.plots.style import ALIASED, LAYER, REFERENCE, styled
from ssmspec.reading import Discretization
from ssmspec.schemes import SCHEMES, Scheme, SchemeOptions
from ssmspec.schemes import Kind as SchemeKind
from ssmspec.spectrum import LayerSpectrum, Symmetry

HALF_HEIGHT, WHOLE_HEIGHT = 1.2, 2.0
"""Inches of one cell: of half disks, and where a scheme fills the whole disk."""
MOST_STEPS = 4
"""Columns that a page has room for."""
MOST_MODES = 4096


@dataclass(frozen=True)
class SchemeGrid:
    """Which poles to draw: a row for each scheme, a column for each step size.

    Attributes:
        schemes: ids.
        dts: step sizes. A scheme without one takes it for its damping xi, if it has any.
        modes: stored modes, of one channel.

    Raises:
        UsageError: a scheme does not exist, or a number makes no sense.
    """

    schemes: tuple[str, ...] = ("s4d-lin", "s4d-inv", "dfout")
    dts: tuple[float, ...] = (0.001, 0.01, 0.1)
    modes: int = 32

    def __post_init__(self) -> None:
        for scheme in self.schemes:
            SCHEMES.require(scheme)
        if not self.schemes or not self.dts:
            raise UsageError("give at least one scheme and one step size")
        if len(self.dts) > MOST_STEPS:
            raise UsageError(f"at most {MOST_STEPS} step sizes fit a page, got {len(self.dts)}")
        for dt in self.dts:
            if not (math.isfinite(dt) and dt > 0.0):
                raise UsageError(f"a step size must be a positive number, got {dt}")
        if not 1 <= self.modes <= MOST_MODES:
            raise UsageError(f"the modes must lie in 1 to {MOST_MODES:,}, got {self.modes}")


def draw(grid: SchemeGrid, options: PlotOptions = DEFAULTS) -> Drawing:
    """The poles of each scheme at each step size on the unit disk.

    Args:
        grid: what to draw.
        options: not used; schemes are compared with one another.
    """
    del options
    rows = [
        (SCHEMES[name], dt, poles_at(SCHEMES[name], dt, grid.modes))
        for name in grid.schemes
        for dt in grid.dts
    ]
    tallest = any(points.symmetry is Symmetry.FULL for _, _, points in rows)
    with styled():
        cells = [
            Cell(_title(law, dt), _note(points), _drawing(points, law)) for law, dt, points in rows
        ]
        legend = [dot_handle("pole, one of each conjugate pair", LAYER)]
        if any(law.kind is SchemeKind.DISCRETE for law, _, _ in rows):
            legend.append(dot_handle("pole of a scheme without step size", REFERENCE))
        if any(points.aliased for _, _, points in rows):
            legend.append(cross_handle("aliased", ALIASED))
        return arranged(
            cells,
            WHOLE_HEIGHT if tallest else HALF_HEIGHT,
            legend=legend,
            notes=[_told(grid)],
            columns=len(grid.dts),
            wide=True,
        )


def poles_at(law: Scheme, dt: float, modes: int) -> Points:
    """One channel's poles at a step size, or for a scheme without one at xi = dt.

    Args:
        law: the scheme.
        dt: step size or damping.
        modes: stored modes.
    """
    if law.kind is SchemeKind.CONTINUOUS:
        step = np.full((1, 1), dt)
        log_poles = law.draw(1, modes, dt=step).log_poles
    else:
        step = None
        damped = "xi_min" in law.options
        options = SchemeOptions(xi_min=dt, xi_max=dt) if damped else SchemeOptions()
        log_poles = law.draw(1, modes, options=options).log_poles
    native = law.kind is SchemeKind.DISCRETE
    return points_of(
        LayerSpectrum(
            name=law.id,
            family=law.id,
            discretization=Discretization.NATIVE if native else Discretization.ZOH,
            symmetry=law.symmetry,
            log_poles=log_poles,
            dt=step,
        )
    )


def _title(law: Scheme, dt: float) -> str:
    if law.kind is SchemeKind.CONTINUOUS:
        return f"{law.id}, dt = {dt:g}"
    return f"{law.id}, xi = {dt:g}" if "xi_min" in law.options else law.id


def _note(points: Points) -> str:
    return f"{points.aliased} of {points.modes} aliased" if points.aliased else ""


def _told(grid: SchemeGrid) -> str:
    stepless = [name for name in grid.schemes if SCHEMES[name].kind is SchemeKind.DISCRETE]
    damped = [name for name in stepless if "xi_min" in SCHEMES[name].options]
    told = [f"One state-space model of {grid.modes} stored modes (N = {2 * grid.modes})."]
    if damped:
        told.append(
            f"{', '.join(damped)}: no step size, xi stands in its place; it sets the damping and "
            f"moves no angle."
        )
    rest = [name for name in stepless if name not in damped]
    if rest:
        told.append(f"{', '.join(rest)}: the same poles in every column.")
    return " ".join(told)


def _drawing(points: Points, law: Scheme) -> Callable[[Sheet], None]:
    def draw_cell(sheet: Sheet) -> None:
        axes = sheet.axes(0.34, 0.02, 0.14, 0.3)
        color = REFERENCE if law.kind is SchemeKind.DISCRETE else LAYER
        draw_disk(axes, points, color, whole=points.symmetry is Symmetry.FULL)

    return draw_cell


KIND = Kind(
    id="schemes",
    title="initialization schemes",
    summary="poles of initialization schemes at several step sizes, without a checkpoint",
    subject=Subject.SCHEMES,
    draw=draw,
)
