"""The full table of a page: every layer, every metric, and why a number is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ssmspec.metrics import METRICS
from ssmspec.outcome import Direction, Measured, NotApplicable, Outcome
from ssmspec.results.report import LayerReport, Report
from ssmspec.writers.parts.numbers import HEADLINE, shown, unit_label

MOST_CELLS = 24_000
"""About a megabyte of table. A model with more keeps the headline columns, then the worst rows."""
NOTES = 60
"""Reasons that get a mark of their own: a file can be made to give a different one in each cell."""

_DIRECTION = {
    Direction.HIGHER: "higher is healthier",
    Direction.LOWER: "lower is healthier",
    Direction.NEITHER: "neither direction is healthier",
}


@dataclass(frozen=True)
class Cell:
    """One number as shown, and what it is sorted by; or the mark of the reason why there is none.

    Attributes:
        text: the number; "" where there is none.
        key: full precision for sorting where the text does not hold it; else "".
        mark: letter of the reason; "" for a number.
        reason: why there is no number; "" for one.
    """

    text: str
    key: str = ""
    mark: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """One layer."""

    name: str
    label: str
    family: str
    shape: str
    modes: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class MetricColumn:
    """One metric: id, unit as shown, and what the glossary says of it ("" for a foreign one)."""

    id: str
    unit: str
    summary: str
    formula: str
    direction: str
    aggregate: str


@dataclass(frozen=True)
class Absent:
    """Metrics that no layer has, by the reason."""

    reason: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class MetricTable:
    """Every layer and every metric.

    Attributes:
        columns: metrics that at least one layer has.
        rows: layers in the order of the file.
        model: the model's own line, empty for a single layer.
        reasons: what the marks mean, in the order of the letters.
        others: mark of a reason that is not listed; "" where all are.
        absent: metrics that no layer has.
        left_out: sentences on what a very large model does not show here.
    """

    columns: tuple[MetricColumn, ...]
    rows: tuple[Row, ...]
    model: tuple[Cell, ...]
    reasons: tuple[tuple[str, str], ...]
    others: str
    absent: tuple[Absent, ...]
    left_out: tuple[str, ...]

    @cached_property
    def names(self) -> frozenset[str]:
        """Layers that have a row."""
        return frozenset(row.name for row in self.rows)


def metric_table(
    report: Report, labels: Mapping[str, str], worst: Sequence[str], most_cells: int = MOST_CELLS
) -> MetricTable:
    """The table of a report.

    Args:
        report: the analysis.
        labels: layer -> how it is shown.
        worst: names of all layers, the most telling first; they stay where not all fit.
        most_cells: bound on rows times columns.
    """
    ids = list(dict.fromkeys(key for layer in report.layers for key in layer.metrics))
    present = [key for key in ids if any(_measured(layer, key) for layer in report.layers)]
    absent = _absent([key for key in ids if key not in set(present)], report.layers)
    columns, layers, left_out = _fitting(present, report.layers, worst, most_cells)
    has_model = len(report.layers) > 1 and report.model
    model = [_model(report, key) for key in columns] if has_model else []
    marks, others = _marks([layer.metrics.get(key) for layer in layers for key in columns] + model)
    return MetricTable(
        columns=tuple(_column(key, report) for key in columns),
        rows=tuple(_row(layer, labels[layer.name], columns, marks, others) for layer in layers),
        model=tuple(_cell(outcome, marks, others) for outcome in model),
        reasons=tuple((mark, reason) for reason, mark in marks.items()),
        others=others,
        absent=absent,
        left_out=left_out,
    )


def _measured(layer: LayerReport, key: str) -> bool:
    return isinstance(layer.metrics.get(key), Measured)


def _fitting(
    present: list[str],
    layers: tuple[LayerReport, ...],
    worst: Sequence[str],
    most_cells: int,
) -> tuple[list[str], Sequence[LayerReport], tuple[str, ...]]:
    """Columns and rows that fit, and sentences on what does not."""
    if len(present) * len(layers) <= most_cells:
        return present, layers, ()
    columns = [key for key in present if key in HEADLINE] or present[: len(HEADLINE)]
    left_out = [
        f"{len(present) - len(columns)} further metrics of {len(layers):,} layers are left to "
        f"--format csv and --format json"
    ]
    room = max(1, most_cells // len(columns))
    if len(layers) > room:
        kept = set(worst[:room])
        left_out.append(
            f"the {room:,} most telling layers are shown, and {len(layers) - room:,} more are not"
        )
        layers = tuple(layer for layer in layers if layer.name in kept)
    return columns, layers, tuple(left_out)


def _absent(ids: Sequence[str], layers: Sequence[LayerReport]) -> tuple[Absent, ...]:
    """Metrics that no layer has, under the reason most layers give."""
    by_reason: dict[str, list[str]] = {}
    for key in ids:
        reasons = Counter(_reason(layer.metrics.get(key)) for layer in layers)
        by_reason.setdefault(reasons.most_common(1)[0][0], []).append(key)
    return tuple(Absent(reason, tuple(metrics)) for reason, metrics in by_reason.items())


def _reason(outcome: Outcome | None) -> str:
    return outcome.reason if isinstance(outcome, NotApplicable) else "it was not measured"


def _marks(outcomes: Sequence[Outcome | None]) -> tuple[dict[str, str], str]:
    """A letter for each reason, the commonest first, and one for those beyond `NOTES`."""
    counts = Counter(_reason(outcome) for outcome in outcomes if not isinstance(outcome, Measured))
    marks = {reason: _letters(i) for i, (reason, _) in enumerate(counts.most_common(NOTES))}
    return marks, "+" if len(counts) > NOTES else ""


def _letters(index: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa, as a browser numbers a list."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def _row(
    layer: LayerReport, label: str, ids: Sequence[str], marks: Mapping[str, str], others: str
) -> Row:
    return Row(
        name=layer.name,
        label=label,
        family=layer.family_title,
        shape=f"{layer.channels} x {layer.modes}",
        modes=layer.channels * layer.modes,
        cells=tuple(_cell(layer.metrics.get(key), marks, others) for key in ids),
    )


def _cell(outcome: Outcome | None, marks: Mapping[str, str], others: str) -> Cell:
    if not isinstance(outcome, Measured):
        reason = _reason(outcome)
        return Cell("", mark=marks.get(reason, others), reason=reason)
    text = shown(outcome)
    if isinstance(outcome.value, str):
        return Cell(text)
    key = f"{outcome.value:.9g}"
    return Cell(text, key="" if key == text else key)


def _model(report: Report, key: str) -> Outcome | None:
    metric = report.model.get(key)
    return metric.outcome if metric else None


def _column(key: str, report: Report) -> MetricColumn:
    known, combined = METRICS.get(key), report.model.get(key)
    units = Counter(
        outcome.unit
        for layer in report.layers
        if isinstance(outcome := layer.metrics.get(key), Measured)
    )
    return MetricColumn(
        id=key,
        unit=unit_label(units.most_common(1)[0][0]),
        summary=known.summary if known else "",
        formula=known.formula if known else "",
        direction=_DIRECTION[known.direction] if known else "",
        aggregate=combined.aggregate if combined else "",
    )
