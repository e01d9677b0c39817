"""Figures laid out in inches, so that nothing depends on a solver and nothing overlaps."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes

from ssmspec.plots.files import Drawing, new_figure
from ssmspec.plots.style import INK, Color


@dataclass(frozen=True)
class Sheet:
    """A rectangle of a figure; lengths are inches from its upper left corner.

    Attributes:
        figure: the whole of it.
        left: from the figure's left edge.
        top: from the figure's upper edge.
        width: of the rectangle.
        height: of the rectangle.
    """

    figure: Drawing
    left: float
    top: float
    width: float
    height: float

    @classmethod
    def new(cls, width: float, height: float) -> Sheet:
        """A new figure, whole."""
        return cls(new_figure(width, height), 0.0, 0.0, width, height)

    def part(self, left: float, top: float, width: float, height: float) -> Sheet:
        """A rectangle of this one."""
        return Sheet(self.figure, self.left + left, self.top + top, width, height)

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        """Axes that leave so much room on each side."""
        full_width, full_height = self.figure.get_size_inches()
        axes: Axes = self.figure.add_axes(
            (
                (self.left + left) / full_width,
                1.0 - (self.top + self.height - bottom) / full_height,
                (self.width - left - right) / full_width,
                (self.height - top - bottom) / full_height,
            )
        )
        return axes

    def text(
        self,
        left: float,
        top: float,
        words: str,
        *,
        align: str = "left",
        color: Color = INK,
        size: float = 7.5,
        weight: str = "normal",
    ) -> None:
        """A line of text whose upper edge is at `top`."""
        full_width, full_height = self.figure.get_size_inches()
        self.figure.text(
            (self.left + left) / full_width,
            1.0 - (self.top + top) / full_height,
            words,
            ha=align,
            va="top",
            color=color.light,
            fontsize=size,
            fontweight=weight,
        )
