"""Tidy CSV: one header, one observation a row, numbers with every digit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TypeAlias

from ssmspec.naming import printable

Row: TypeAlias = tuple[str | int | float | None, ...]
"""Cells; None is an empty one."""

MODEL = "(model)"
"""Stands for a layer's name in rows about the whole model."""


def to_csv(header: tuple[str, ...], rows: Iterable[Row]) -> str:
    """A header and rows of as many cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([_written(cell) for cell in row])
    return text.getvalue()


def inert(name: str) -> str:
    """A text that no terminal obeys and that a spreadsheet will not take for a formula."""
    clean = printable(name)
    return f"'{clean}" if clean[:1] in ("=", "+", "-", "@") else clean


def _written(cell: str | int | float | None) -> str | int | None:
    if isinstance(cell, float):
        return repr(cell)
    return inert(cell) if isinstance(cell, str) else cell
