"""The report as tidy CSV: one row for every metric of every layer, then of the model."""

from __future__ import annotations

import csv
import io

from ssmspec.report import Measured, Outcome, Report
from ssmspec.writers.base import Page, Writer

HEADER = ("layer", "family", "channels", "modes", "metric", "value", "unit", "not_applicable")
MODEL = "(model)"


def render(report: Report, page: Page) -> str:
    """Rows of `HEADER`; numbers keep every digit; the model's rows carry `(model)` as layer."""
    del page  # CSV has no width, color or verbosity: it is always complete
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(HEADER)
    for layer in report.layers:
        place = (_inert(layer.name), layer.family, layer.channels, layer.modes)
        for metric, outcome in layer.metrics.items():
            rows.writerow((*place, metric, *_cells(outcome)))
    for metric, combined in report.model.items():
        rows.writerow((MODEL, "", "", "", metric, *_cells(combined.outcome)))
    return text.getvalue()


def _cells(outcome: Outcome) -> tuple[float | str, str, str]:
    if isinstance(outcome, Measured):
        value = outcome.value
        return (value if isinstance(value, str) else repr(value)), outcome.unit, ""
    return "", "", outcome.reason


def _inert(name: str) -> str:
    """A name that a spreadsheet will not take for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name


WRITER = Writer("csv", "one row for every metric of every layer", render)
