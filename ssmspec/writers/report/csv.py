"""The report as tidy CSV: one row for every metric of every layer, then of the model."""

from __future__ import annotations

from collections.abc import Iterator

from ssmspec.outcome import Measured, Outcome
from ssmspec.results.report import Report
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.parts.tidy import MODEL, Row, to_csv

HEADER = ("layer", "family", "channels", "modes", "metric", "value", "unit", "not_applicable")


def render(report: Report, page: Page) -> str:
    """Rows of `HEADER`; numbers keep every digit; the model's rows carry `(model)` as layer."""
    del page  # CSV has no width, color or verbosity: it is always complete
    return to_csv(HEADER, _rows(report))


def _rows(report: Report) -> Iterator[Row]:
    for layer in report.layers:
        place = (layer.name, layer.family, layer.channels, layer.modes)
        for metric, outcome in layer.metrics.items():
            yield (*place, metric, *_cells(outcome))
    for metric, combined in report.model.items():
        yield (MODEL, "", "", "", metric, *_cells(combined.outcome))


def _cells(outcome: Outcome) -> Row:
    if isinstance(outcome, Measured):
        return outcome.value, outcome.unit, ""
    return "", "", outcome.reason


WRITER = Writer("csv", "one row for every metric of every layer", render)
