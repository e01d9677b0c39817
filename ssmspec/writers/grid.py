"""Aligned columns that fit a width by leaving out the least important ones, never by cutting text.

rich's own tables shorten cells with an ellipsis where a terminal is narrow; a name that was cut is
a name that cannot be pasted into `--layers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.text import Text

CORE = 5
"""Columns of this rank and below are the report; those above are extras for wide terminals."""


@dataclass(frozen=True)
class Column:
    """One column of a grid.

    Attributes:
        header: title.
        cells: one text a row.
        rank: importance; where the width runs out the highest rank is dropped first. Rank 0 stays.
        right: aligned to the right, for numbers.
        style: rich style of the cells.
    """

    header: str
    cells: Sequence[str]
    rank: int = 0
    right: bool = True
    style: str = ""

    @cached_property
    def width(self) -> int:
        """Columns the widest entry takes."""
        return max(cell_len(text) for text in (self.header, *self.cells))


def layout(columns: Sequence[Column], width: int | None) -> tuple[list[Column], int]:
    """The columns that fit, and the gap between them.

    Columns without a single entry are left out. Extras (rank above `CORE`) are shown where they fit
    at a gap of two; the others are kept at a gap of one before any of them is dropped.
    """
    kept = [c for c in columns if c.rank == 0 or any(cell not in ("-", "") for cell in c.cells)]
    if width is None:
        return kept, 2
    while True:
        worst = max(c.rank for c in kept)
        for gap in (2,) if worst > CORE else (2, 1):
            if sum(c.width for c in kept) + gap * (len(kept) - 1) <= width:
                return kept, gap
        if worst == 0:
            return kept, 1
        del kept[max(i for i, c in enumerate(kept) if c.rank == worst)]


def lines(columns: Sequence[Column], width: int | None) -> list[Text]:
    """A header line and one line a row."""
    kept, gap = layout(columns, width)
    rows = range(-1, len(kept[0].cells))
    result = []
    for row in rows:
        line = Text()
        for column in kept:
            text = column.header if row < 0 else column.cells[row]
            padding = " " * (column.width - cell_len(text))
            cell = padding + text if column.right else text + padding
            line.append(cell, style="dim" if row < 0 else column.style)
            line.append(" " * gap)
        line.rstrip()
        result.append(line)
    return result
