"""A sweep for a person at a terminal: one line a factor with the strip of power beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.text import Text

from ssmspec.naming import printable
from ssmspec.outcome import Measured, NotApplicable
from ssmspec.results.sweep import Sweep, SweepPoint
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.numbers import compact, fixed, percent, rebin, samples, strip
from ssmspec.writers.parts.terminal import Column, hanging, skipped_lines, some, titled, to_text
from ssmspec.writers.sweep_words import factor_label, numbers, summary, title

_COLUMNS: tuple[tuple[str, str, Callable[[float | None], str], int], ...] = (
    ("aliased", "aliased_fraction", percent, 1),
    ("cover", "coverage", fixed, 1),
    ("flat", "spectral_flatness", fixed, 1),
    ("W1", "frequency_w1", fixed, 2),
    ("entangled", "entanglement", fixed, 3),
    ("tau", "time_constant_median", samples, 1),
    ("tau 95 %", "time_constant_p95", samples, 4),
    ("< 1", "memoryless_fraction", percent, 5),
    ("memory/L", "memory_ratio", compact, 2),
)

_LARGEST = ("aliased_fraction", "frequency_w1", "entanglement", "memory_ratio")
"""Columns whose number for a model is that of one layer, its maximum."""


def render(sweep: Sweep, page: Page) -> str:
    """The whole sweep as text."""
    return to_text(_lines(sweep, page), page)


def _lines(sweep: Sweep, page: Page) -> Iterator[Text]:
    name = printable(sweep.checkpoint.path)
    if page.width is not None:
        name = name.rstrip("/").rpartition("/")[2]
    length = f"L = {sweep.sequence_length}" if sweep.sequence_length else "L not given"
    swept = sum(not isinstance(layer.points, NotApplicable) for layer in sweep.layers)
    about = f"{title(sweep)}; {swept} of {len(sweep.layers)} layers; {length}"
    yield from hanging(Text(f"{name}   ", style="bold"), Text(about), page)
    if sweep.model:
        if words := summary(sweep):
            yield from hanging(Text(""), Text(words), page)
        yield Text()
        yield from _table(sweep.model, page)
        yield from hanging(Text(""), Text(_footnote(sweep), style="dim"), page)
    if page.verbose:
        for layer in sweep.layers:
            if not isinstance(layer.points, NotApplicable):
                yield Text()
                yield Text(printable(layer.name), style="bold")
                yield from _table(layer.points, page)
    without: dict[str, list[str]] = {}
    for layer in sweep.layers:
        if isinstance(layer.points, NotApplicable):
            without.setdefault(layer.points.reason, []).append(printable(layer.name))
    for reason, names in without.items():
        yield from titled(
            "no knob", [f"{some(names, page)}: {sweep.knob.value} cannot be scaled, {reason}"], page
        )
    yield from titled("assumed", sweep.assumptions, page)
    yield from skipped_lines(sweep.skipped, page)


def _footnote(sweep: Sweep) -> str:
    worst = [
        header
        for header, metric, _, _ in _COLUMNS
        if metric in _LARGEST and numbers(sweep.model, metric)
    ]
    if len(sweep.layers) == 1 or not worst:
        return "1 is the file as it is"
    verb = "is" if len(worst) == 1 else "are each"
    return (
        f"1 is the file as it is; {', '.join(worst)} {verb} of the layer where it is largest, "
        f"the rest are means over all modes"
    )


def _table(points: Sequence[SweepPoint], page: Page) -> Iterator[Text]:
    columns = [Column("factor", [factor_label(point.factor) for point in points], style="bold")]
    for header, metric, form, rank in _COLUMNS:
        cells = [form(_number(point, metric)) for point in points]
        columns.append(Column(header, cells, rank=rank))
    if any(point.power for point in points):
        bins = 32 if page.width is None or page.width >= 100 else 16
        densities = [[bins * share for share in rebin(point.power, bins)] for point in points]
        top = max(max(row, default=0.0) for row in densities)
        strips = [strip(row, top) for row in densities]
        columns.append(Column("0 .. Nyquist", strips, right=False, style="cyan"))
    yield from terminal.lines(columns, page.width)


def _number(point: SweepPoint, metric: str) -> float | None:
    outcome = point.metrics.get(metric)
    if isinstance(outcome, Measured) and not isinstance(outcome.value, str):
        return outcome.value
    return None


WRITER = Writer("text", "for a person: plain in a pipe, styled in a terminal", render)
