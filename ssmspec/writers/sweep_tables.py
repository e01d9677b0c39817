"""A sweep as tables: tidy CSV, and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ssmspec.outcome import Measured, NotApplicable
from ssmspec.results.sweep import Sweep, SweepPoint
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.parts.markdown import bullets, code, page, prose, table
from ssmspec.writers.parts.numbers import shown
from ssmspec.writers.parts.tidy import MODEL, Row, inert, to_csv
from ssmspec.writers.report.markdown import skipped_items
from ssmspec.writers.sweep_words import factor_label, numbers, summary, title

HEADER = (
    "layer", "family", "channels", "modes", "knob", "factor", "metric", "value", "unit",
    "not_applicable",
)  # fmt: skip


def render_csv(sweep: Sweep, target: Page) -> str:
    """Rows of `HEADER`; numbers keep every digit."""
    del target  # CSV has no width, color or verbosity: it is always complete
    return to_csv(HEADER, _rows(sweep))


def _rows(sweep: Sweep) -> Iterator[Row]:
    for layer in sweep.layers:
        place = (inert(layer.name), layer.family, layer.channels, layer.modes, sweep.knob.value)
        if isinstance(layer.points, NotApplicable):
            yield (*place, None, "", None, "", layer.points.reason)
        else:
            yield from _point_rows(place, layer.points)
    yield from _point_rows((MODEL, "", "", "", sweep.knob.value), sweep.model)


def _point_rows(place: Row, points: Sequence[SweepPoint]) -> Iterator[Row]:
    for point in points:
        for metric, outcome in point.metrics.items():
            if isinstance(outcome, Measured):
                yield (*place, point.factor, metric, outcome.value, outcome.unit, "")
            else:
                yield (*place, point.factor, metric, None, "", outcome.reason)


def render_markdown(sweep: Sweep, target: Page) -> str:
    """One table for the model, and one for every layer when verbose."""
    return page(
        f"# {code(sweep.checkpoint.path)}: {title(sweep)}",
        f"{prose(summary(sweep))}." if sweep.model else "",
        _table(sweep.model) if sweep.model else "",
        bullets("Without this knob", _without(sweep)),
        bullets("Assumed", map(prose, sweep.assumptions)),
        bullets("Skipped", skipped_items(sweep.skipped)),
        *(_layers(sweep) if target.verbose else ()),
    )


def _table(points: tuple[SweepPoint, ...]) -> str:
    present = [metric for metric in points[0].metrics if numbers(points, metric)]
    rows = [
        [factor_label(point.factor), *(shown(point.metrics[metric]) for metric in present)]
        for point in points
    ]
    return table(["factor", *map(code, present)], rows, 0)


def _layers(sweep: Sweep) -> Iterator[str]:
    for layer in sweep.layers:
        if not isinstance(layer.points, NotApplicable):
            yield f"## {code(layer.name)}"
            yield _table(layer.points)


def _without(sweep: Sweep) -> Iterator[str]:
    for layer in sweep.layers:
        if isinstance(layer.points, NotApplicable):
            yield f"{code(layer.name)}: {prose(layer.points.reason)}"


CSV = Writer("csv", "one row for every metric of every layer at every factor", render_csv)
MARKDOWN = Writer("markdown", "tables for pull requests and model cards", render_markdown)
