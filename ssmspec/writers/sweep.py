"""A sweep: one line a factor with the strip of power beside it, and its rows as tidy CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from ssmspec.outcome import NotApplicable
from ssmspec.registry import Registry
from ssmspec.results.sweep import Knob, Sweep, SweepPoint
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.formats import formats
from ssmspec.writers.parts import document as doc
from ssmspec.writers.parts import numbers as num
from ssmspec.writers.parts.terminal import Column, Name
from ssmspec.writers.parts.tidy import MODEL, Row
from ssmspec.writers.report.tables import power_strips

_TITLES = {
    Knob.DT: "step sizes scaled by {}",
    Knob.XI: "decays scaled by {}, angles kept",
}

_COLUMNS: tuple[tuple[str, str, Callable[[float | None], str], int], ...] = (
    ("aliased", "aliased_fraction", num.percent, 1),
    ("cover", "coverage", num.fixed, 1),
    ("flat", "spectral_flatness", num.fixed, 1),
    ("W1", "frequency_w1", num.fixed, 2),
    ("entangled", "entanglement", num.fixed, 3),
    ("tau", "time_constant_median", num.samples, 1),
    ("tau 95 %", "time_constant_p95", num.samples, 4),
    ("< 1", "memoryless_fraction", num.percent, 5),
    ("memory/L", "memory_ratio", num.compact, 2),
)

_SUMMARIZED = {"aliased": "aliased share", "cover": "coverage", "flat": "flatness",
               "W1": "W1", "entangled": "entanglement"}  # fmt: skip

_LARGEST = ("aliased", "W1", "entangled", "memory/L")
"""Columns whose number for a model is that of one layer, its maximum."""


def build(sweep: Sweep, page: Page) -> doc.Document:
    """The whole sweep as a document."""
    ends = f"{factor_label(sweep.factors[0])} to {factor_label(sweep.factors[-1])}"
    title = (doc.file_name(sweep.checkpoint.path, page), f": {_TITLES[sweep.knob].format(ends)}")
    return doc.Document(title, tuple(_parts(sweep, page)))


def _parts(sweep: Sweep, page: Page) -> Iterator[doc.Part]:
    length = f"L = {sweep.sequence_length}" if sweep.sequence_length else "L not given"
    without = [
        (layer.name, f"{sweep.knob.value} cannot be scaled, {layer.points.reason}")
        for layer in sweep.layers
        if isinstance(layer.points, NotApplicable)
    ]
    swept = len(sweep.layers) - len(without)
    yield doc.Line(f"{swept} of {num.count(len(sweep.layers), 'layer')}; {length}")
    if sweep.model:
        if words := _summary(sweep.model):
            yield doc.Line(words)
        yield doc.Grid(_columns(sweep.model, page), (_footnote(sweep),))
    yield doc.Listed("no knob", doc.by_reason(without, page))
    yield from doc.footing(sweep.assumptions, sweep.skipped, page)
    for layer in sweep.layers if page.verbose else ():
        if not isinstance(layer.points, NotApplicable):
            yield doc.Heading(Name(layer.name))
            yield doc.Grid(_columns(layer.points, page))


def factor_label(factor: float) -> str:
    """`1/16` where a factor is one over a whole number, else the number."""
    inverse = Fraction(1) / Fraction(factor)
    if factor < 1 and inverse.denominator == 1:
        return f"1/{inverse.numerator}"
    return f"{factor:g}"


def _summary(points: Sequence[SweepPoint]) -> str:
    """What every frequency metric went through: `coverage 0.06 to 1; flatness 0.002 to 0.99`."""
    clauses = []
    for header, metric, _, _ in _COLUMNS:
        values = _numbers(points, metric)
        if header in _SUMMARIZED and values:
            low, high = f"{min(values):.2g}", f"{max(values):.2g}"
            went = f"stays at {low}" if low == high else f"{low} to {high}"
            clauses.append(f"{_SUMMARIZED[header]} {went}")
    return "; ".join(clauses)


def _numbers(points: Sequence[SweepPoint], metric: str) -> list[float]:
    """A metric's numbers at the factors where it has one."""
    found = [num.numeric(point.metrics.get(metric)) for point in points]
    return [value for value in found if value is not None]


def _footnote(sweep: Sweep) -> str:
    worst = [
        header
        for header, metric, _, _ in _COLUMNS
        if header in _LARGEST and _numbers(sweep.model, metric)
    ]
    if len(sweep.layers) == 1 or not worst:
        return "1 is the file as it is"
    verb = "is" if len(worst) == 1 else "are each"
    return (
        f"1 is the file as it is; {', '.join(worst)} {verb} of the layer where it is largest, "
        f"the rest are means over all modes"
    )


def _columns(points: Sequence[SweepPoint], page: Page) -> list[Column]:
    columns = [Column("factor", [factor_label(point.factor) for point in points], style="bold")]
    for header, metric, form, rank in _COLUMNS:
        cells = [form(num.numeric(point.metrics.get(metric))) for point in points]
        columns.append(Column(header, cells, rank=rank))
    if any(point.power for point in points):
        bins = 32 if page.width is None or page.width >= 100 else 16
        columns.append(power_strips([point.power for point in points], bins))
    return columns


def _figure(sweep: Sweep) -> str:
    """Metrics over the factor, as `ssmspec plot --kind sweep` draws them."""
    if not sweep.model:
        return ""
    from ssmspec.plots import KINDS, PlotOptions  # noqa: PLC0415 - matplotlib, for whoever draws
    from ssmspec.plots.files import to_svg  # noqa: PLC0415

    drawing = KINDS["sweep"].draw(sweep, PlotOptions())
    return to_svg(drawing, prefix="sweep-", label="metrics over the factor")


HEADER = (
    "layer", "family", "channels", "modes", "knob", "factor", "metric", "value", "unit",
    "not_applicable",
)  # fmt: skip


def rows(sweep: Sweep) -> Iterator[Row]:
    """Rows of `HEADER`."""
    for layer in sweep.layers:
        place = (layer.name, layer.family, layer.channels, layer.modes, sweep.knob.value)
        if isinstance(layer.points, NotApplicable):
            yield (*place, None, "", None, "", layer.points.reason)
        else:
            yield from _point_rows(place, layer.points)
    yield from _point_rows((MODEL, "", "", "", sweep.knob.value), sweep.model)


def _point_rows(place: Row, points: Sequence[SweepPoint]) -> Iterator[Row]:
    for point in points:
        for metric, outcome in point.metrics.items():
            if isinstance(outcome, NotApplicable):
                yield (*place, point.factor, metric, None, "", outcome.reason)
            else:
                yield (*place, point.factor, metric, outcome.value, outcome.unit, "")


SWEEP_WRITERS: Registry[Writer[Sweep]] = Registry(
    "format",
    "ssmspec.sweep_writers",
    formats(
        build,
        ("one row for every metric of every layer at every factor", HEADER, rows),
        _figure,
    ),
    key=lambda writer: writer.id,
)
