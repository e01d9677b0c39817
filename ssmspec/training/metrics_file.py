"""`metrics.csv`: one row a measurement, numbers in full, seconds in the last column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, fields

from ssmspec.training.result import Row
from ssmspec.writers.parts.tidy import to_csv

COLUMNS = tuple(field.name for field in fields(Row))


def render(rows: Iterable[Row]) -> str:
    """The rows as CSV; a number that was not measured is an empty cell."""
    return to_csv(COLUMNS, (astuple(row) for row in rows))
