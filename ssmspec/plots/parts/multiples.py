"""Small multiples: one cell a layer, in rows, with one legend and what had to be left out."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ssmspec.errors import NoLayersError
from ssmspec.plots.files import Drawing
from ssmspec.plots.parts.labels import fitted, width
from ssmspec.plots.parts.layout import Sheet
from ssmspec.plots.style import DOUBLE_COLUMN, INK, MUTED, SINGLE_COLUMN, Color
from ssmspec.results.layer_view import LayerView

MOST_CELLS = 12
"""Layers on one figure; the others are counted (heuristic: a page holds no more)."""

TITLE_HEIGHT = 0.22
RIGHT = 0.16
"""Inches that the drawing of a cell leaves on the right, for half a label."""
_LINE = 0.14
_GUTTER = 0.12
_CHARACTERS_AN_INCH = 17

Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Cell:
    """One part of a figure.

    Attributes:
        title: on the left above it, cut where it is too long.
        note: on the right, in short.
        draw: onto the sheet below the title.
    """

    title: str
    note: str
    draw: Callable[[Sheet], None]


def first_layers(
    views: Iterable[LayerView], prepare: Callable[[LayerView], Prepared]
) -> tuple[list[Prepared], list[str]]:
    """What is to be drawn of the first layers, one of them in memory at a time.

    Returns:
        What `prepare` makes of each, and a note on the layers there was no room for.

    Raises:
        NoLayersError: there is no layer at all.
    """
    prepared: list[Prepared] = []
    more = 0
    for view in views:
        if len(prepared) < MOST_CELLS:
            prepared.append(prepare(view))
        else:
            more += 1
    if not prepared:
        raise NoLayersError("there is no layer to draw: none could be measured")
    return prepared, [f"and {more:,} more; --layers GLOB chooses which are shown"] if more else []


def arranged(
    cells: Sequence[Cell],
    height: float,
    *,
    legend: Sequence[Artist] = (),
    notes: Sequence[str] = (),
    wide: bool = False,
    columns: int | None = None,
) -> Drawing:
    """Cells in one column where there are one or two, otherwise in two.

    Args:
        cells: in reading order.
        height: of one cell's drawing, inches.
        legend: handles with labels, for a line above the cells.
        notes: sentences for below.
        wide: cells as wide as the page where there are one or two.
        columns: another number of columns.
    """
    narrow = len(cells) <= 2 and not wide
    columns = columns or (1 if len(cells) <= 2 else 2)
    page = SINGLE_COLUMN if narrow else DOUBLE_COLUMN
    lines = [
        line for note in notes for line in textwrap.wrap(note, int(page * _CHARACTERS_AN_INCH))
    ]
    legend_rows = _legend_rows(legend, page)
    top = 0.06 + 0.17 * len(legend_rows)
    rows = math.ceil(len(cells) / columns)
    cell_height = TITLE_HEIGHT + height
    bottom = 0.04 + _LINE * len(lines) + (0.06 if lines else 0.0)
    sheet = Sheet.new(page, top + rows * cell_height + (rows - 1) * _GUTTER + bottom)
    for i, handles in enumerate(legend_rows):
        _draw_legend(sheet, handles, 0.03 + 0.17 * i)
    cell_width = (page - (columns - 1) * _GUTTER) / columns
    for i, cell in enumerate(cells):
        row, column = divmod(i, columns)
        part = sheet.part(
            column * (cell_width + _GUTTER),
            top + row * (cell_height + _GUTTER),
            cell_width,
            cell_height,
        )
        room = cell_width - RIGHT - 0.2 - width(cell.note, 6.5)
        part.text(0.06, 0.04, fitted(cell.title, room, 7.5))
        part.text(cell_width - RIGHT, 0.05, cell.note, align="right", color=MUTED, size=6.5)
        cell.draw(part.part(0.0, TITLE_HEIGHT, cell_width, height))
    for i, line in enumerate(lines):
        sheet.text(0.06, sheet.height - bottom + 0.06 + i * _LINE, line, color=MUTED, size=6.5)
    return sheet.figure


def _legend_rows(handles: Sequence[Artist], room: float) -> list[list[Artist]]:
    """As many handles a line as fit into so many inches."""
    rows: list[list[Artist]] = []
    left = 0.0
    for handle in handles:
        needed = 0.42 + width(str(handle.get_label()), 7.0)
        if not rows or needed > left:
            rows.append([])
            left = room - 0.1
        rows[-1].append(handle)
        left -= needed
    return rows


def _draw_legend(sheet: Sheet, handles: Sequence[Artist], top: float) -> None:
    sheet.figure.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(0.05 / sheet.width, 1.0 - top / sheet.height),
        bbox_transform=sheet.figure.transFigure,
        ncols=len(handles),
        borderpad=0.0,
        borderaxespad=0.0,
        columnspacing=1.2,
        handletextpad=0.5,
    )


def dot_handle(label: str, color: Color) -> Line2D:
    """A dot for the legend."""
    return mark_handle(label, color, "o")


def mark_handle(label: str, color: Color, marker: str) -> Line2D:
    """A filled mark for the legend."""
    return Line2D([], [], color=color.light, marker=marker, ms=3.0, mew=0, ls="none", label=label)


def cross_handle(label: str, color: Color) -> Line2D:
    """A cross for the legend."""
    return Line2D([], [], color=color.light, marker="x", ms=3.2, mew=0.8, ls="none", label=label)


def tick_handle(label: str, color: Color) -> Line2D:
    """An upright tick for the legend."""
    return Line2D([], [], color=color.light, marker="|", ms=5.0, mew=0.8, ls="none", label=label)


def line_handle(label: str, color: Color = INK, *, dashed: bool = False) -> Line2D:
    """A line for the legend."""
    line = Line2D([], [], color=color.light, linewidth=1.0, label=label)
    if dashed:
        line.set_linestyle((0, (3, 1.5)))
    return line


def patch_handle(label: str, color: Color, *, filled: bool = True) -> Patch:
    """A rectangle for the legend."""
    return Patch(
        facecolor=color.light if filled else "none",
        edgecolor="none" if filled else MUTED.light,
        linewidth=0.5,
        label=label,
    )
