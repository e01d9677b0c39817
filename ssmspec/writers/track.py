"""A tracked run: one line a step, and one line a rule that says at which step it first fires."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ssmspec.outcome import Level, NotApplicable
from ssmspec.registry import Registry
from ssmspec.results.track import FirstFiring, Track, TrackedStep, count_of
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.formats import formats
from ssmspec.writers.parts import document as doc
from ssmspec.writers.parts import numbers as num
from ssmspec.writers.parts.terminal import Column, Name
from ssmspec.writers.parts.tidy import MODEL, Row

_COLUMNS: tuple[tuple[str, str, Callable[[float | None], str], int], ...] = (
    ("cover", "coverage", num.fixed, 1),
    ("aliased", "aliased_fraction", num.percent, 1),
    ("tau", "time_constant_median", num.samples, 3),
    ("memory/L", "memory_ratio", num.compact, 2),
    ("entangled", "entanglement", num.fixed, 2),
    ("drift", "init_drift", num.compact, 2),
)

_LARGEST = ("aliased", "memory/L", "entangled")
"""Columns whose number is that of one layer, its maximum; the others are means over all modes."""


def build(track: Track, page: Page) -> doc.Document:
    """The whole run as a document."""
    ends = f"{track.steps[0].step:,} to {track.steps[-1].step:,}"
    others = f" and {len(track.run) - 1} more" if len(track.run) > 1 else ""
    title = (
        Name(track.run[0]),
        f"{others}: {num.count(len(track.steps), 'checkpoint')}, {track.counted} {ends}",
    )
    return doc.Document(title, tuple(_parts(track, page)))


def _parts(track: Track, page: Page) -> Iterator[doc.Part]:
    yield doc.Line(_summary(track))
    yield doc.Grid(_steps(track, page), tuple(_notes(track)))
    if track.first:
        yield doc.Heading("first step at which each rule fires")
        yield doc.Grid(_firings(track, page))
        yield doc.Listed(
            "what they say", [(Name(f.finding.code), f": {f.finding.message}") for f in track.first]
        )
    yield doc.Listed("notes", track.notes)
    yield doc.Listed("assumed", _assumptions(track))
    yield doc.Listed(
        "skipped",
        doc.by_reason(
            dict.fromkeys(
                (entry.name, entry.reason) for step in track.steps for entry in step.report.skipped
            ),
            page,
        ),
    )


def _summary(track: Track) -> str:
    """What the run comes to: its lengths, its layers, and the first error."""
    reports = [step.report for step in track.steps]
    lengths = {report.sequence_length for report in reports}
    length = lengths.pop() if len(lengths) == 1 else None
    layers = sorted({len(report.layers) for report in reports})
    held = " to ".join(str(n) for n in dict.fromkeys((layers[0], layers[-1])))
    clauses = [
        f"{held} layer{'' if layers[-1] == 1 else 's'}",
        f"L = {length}" if length else "L not given",
        _error(track),
    ]
    kept = sum(step.kept for step in track.steps)
    if kept:
        clauses.append(f"{kept} of {len(track.steps)} from the cache")
    return "; ".join(clauses)


def _error(track: Track) -> str:
    """The first error of the run in a clause."""
    errors = [f for f in track.first if f.finding.level is Level.ERROR]
    if not errors:
        return "no error at any step" if track.first else "no rule fires at any step"
    first = min(errors, key=lambda firing: firing.step)
    return f"the first error, {first.finding.code}, is at {track.counted} {first.step:,}"


def _notes(track: Track) -> Iterator[str]:
    """How the columns that are shown bring layers together, and what drift is."""
    shown = [
        header
        for header, metric, _, _ in _COLUMNS
        if any(_value(step, metric) is not None for step in track.steps)
    ]
    worst = [header for header in shown if header in _LARGEST]
    if worst and any(len(step.report.layers) > 1 for step in track.steps):
        verb = "is" if len(worst) == 1 else "are each"
        yield f"{', '.join(worst)} {verb} of the layer where it is largest, the rest are means"
    if "drift" in shown:
        yield "drift is the distance to the nearest known initialization, in half-widths"


def _steps(track: Track, page: Page) -> list[Column]:
    columns = [Column(track.counted, [f"{step.step:,}" for step in track.steps], style="bold")]
    for header, metric, form, rank in _COLUMNS:
        cells = [form(_value(step, metric)) for step in track.steps]
        columns.append(Column(header, cells, rank=rank))
    for header, level in (("errors", Level.ERROR), ("warnings", Level.WARNING)):
        columns.append(Column(header, [str(count_of(step, level)) for step in track.steps], rank=4))
    columns.append(Column("worst", [_worst(step) for step in track.steps], right=False))
    if page.verbose:
        columns.append(
            Column("file", [doc.file_name(s.path, page) for s in track.steps], 5, right=False)
        )
    return columns


def _value(step: TrackedStep, metric: str) -> float | None:
    held = step.report.model.get(metric)
    return None if held is None else num.numeric(held.outcome)


def _worst(step: TrackedStep) -> str:
    if step.worst is None:
        return num.NOT_APPLICABLE
    finding, layers = step.worst
    return f"{finding.level.value} {finding.code} ({num.count(layers, 'layer')})"


def _firings(track: Track, page: Page) -> list[Column]:
    first = track.first
    labels, _ = doc.labelled([firing.layers[0] for firing in first], Page())
    return [
        Column("rule", [Name(firing.finding.code) for firing in first], right=False, style="bold"),
        Column("level", [firing.finding.level.value for firing in first], right=False),
        Column("first at", [f"{firing.step:,}" for firing in first]),
        Column("not yet at", [_after(firing) for firing in first], rank=3),
        Column("last at", [_last(firing) for firing in first], rank=2),
        Column("layers", [str(len(firing.layers)) for firing in first], rank=1),
        Column("first layer", labels, rank=1, right=False),
    ]


def _after(firing: FirstFiring) -> str:
    return num.NOT_APPLICABLE if firing.after is None else f"{firing.after:,}"


def _last(firing: FirstFiring) -> str:
    return "the end" if firing.lasts else f"{firing.last:,}"


def _assumptions(track: Track) -> Sequence[str]:
    """Each once; those that do not hold at every step say from which on."""
    steps: dict[str, list[int]] = {}
    for step in track.steps:
        for sentence in step.report.assumptions:
            steps.setdefault(sentence, []).append(step.step)
    return [
        sentence
        if len(held) == len(track.steps)
        else f"at {track.counted} {held[0]:,}{' and others' if len(held) > 1 else ''}: {sentence}"
        for sentence, held in steps.items()
    ]


HEADER = ("step", "path", "layer", "family", "metric", "value", "unit", "not_applicable")


def rows(track: Track) -> Iterator[Row]:
    """Rows of `HEADER`."""
    for step in track.steps:
        model = {key: metric.outcome for key, metric in step.report.model.items()}
        held = [(layer.name, layer.family, layer.metrics) for layer in step.report.layers]
        for name, family, metrics in (*held, (MODEL, "", model)):
            for metric, outcome in metrics.items():
                place = (step.step, step.path, name, family, metric)
                if isinstance(outcome, NotApplicable):
                    yield (*place, None, "", outcome.reason)
                else:
                    yield (*place, outcome.value, outcome.unit, "")


TRACK_WRITERS: Registry[Writer[Track]] = Registry(
    "format",
    "ssmspec.track_writers",
    formats(build, ("one row for every metric of every layer at every step", HEADER, rows)),
    key=lambda writer: writer.id,
)
