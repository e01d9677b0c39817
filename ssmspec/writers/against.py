"""A model beside an initialization scheme: its document, and its rows as tidy CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ssmspec.outcome import Measured, NotApplicable
from ssmspec.registry import Registry
from ssmspec.results.against import Contrast, Movement, SchemeComparison
from ssmspec.results.report import LayerReport, Report
from ssmspec.spectrum import Symmetry
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.formats import formats
from ssmspec.writers.parts import document as doc
from ssmspec.writers.parts import numbers as num
from ssmspec.writers.parts.terminal import Name
from ssmspec.writers.parts.tidy import MODEL, Row
from ssmspec.writers.report.tables import MANY, decay_table, frequency_table, median_layer
from ssmspec.writers.report.words import length_note, model_line

NO_VERDICT = (
    "closer and further say which way training moved a number, not which value is better: no "
    "scheme wins every task"
)

Pair = tuple[str, LayerReport, LayerReport]
"""(label, measured layer, reference layer)."""


def build(comparison: SchemeComparison, page: Page) -> doc.Document:
    """The whole comparison as a document."""
    name = doc.file_name(comparison.checkpoint.path, page)
    return doc.Document((name, f" against {comparison.scheme}"), tuple(_parts(comparison, page)))


def _parts(comparison: SchemeComparison, page: Page) -> Iterator[doc.Part]:
    about = Report(
        checkpoint=comparison.checkpoint,
        layers=tuple(layer.layer for layer in comparison.layers),
        model={},
        sequence_length=comparison.sequence_length,
        sample_rate=comparison.sample_rate,
    )
    yield doc.Line("; ".join([*model_line(about), length_note(about)]))
    yield from _side_by_side(comparison, page)
    yield from _differences(comparison)
    absent = [
        (layer.layer.name, layer.reference.reason)
        for layer in comparison.layers
        if isinstance(layer.reference, NotApplicable)
    ]
    yield doc.Listed("no match", doc.by_reason(absent, page))
    yield from doc.footing(comparison.assumptions, comparison.skipped, page)
    if page.verbose:
        yield from _every_metric(comparison)


def _side_by_side(comparison: SchemeComparison, page: Page) -> Iterator[doc.Part]:
    """Every layer with its reference in the line below it."""
    both = [
        (layer.layer, layer.reference)
        for layer in comparison.layers
        if isinstance(layer.reference, LayerReport)
    ]
    labels, notes = doc.labelled([measured.name for measured, _ in both], page)
    pairs: list[Pair] = [(label, *pair) for label, pair in zip(labels, both, strict=True)]
    for is_decay in (False, True):
        kind = [pair for pair in pairs if _only_decays(pair) is is_decay]
        if not kind:
            continue
        collapsed = page.width is not None and not page.verbose and len(kind) > MANY
        rows = [
            row
            for label, measured, reference in (_medians(kind) if collapsed else kind)
            for row in ((label, measured), (f"  {comparison.scheme}", reference))
        ]
        table = decay_table(rows) if is_decay else frequency_table(rows, None, page.width)
        yield doc.Grid(table, () if collapsed else notes)


def _only_decays(pair: Pair) -> bool:
    return any(layer.symmetry == Symmetry.REAL for layer in pair[1:])


def _medians(pairs: list[Pair]) -> list[Pair]:
    """One pair of medians for each kind of layer, for a table that would be too long."""
    kinds: dict[tuple[str, int, int], list[Pair]] = {}
    for pair in pairs:
        layer = pair[1]
        kinds.setdefault((layer.family, layer.channels, layer.modes), []).append(pair)
    return [
        (
            f"median of {len(members)}",
            median_layer([measured for _, measured, _ in members]),
            median_layer([reference for _, _, reference in members]),
        )
        for members in kinds.values()
    ]


def _header(scheme: str) -> tuple[str, ...]:
    return "measured", scheme, "difference", "training moved it", "unit"


def _cells(item: Contrast) -> tuple[str, str, str]:
    return num.shown(item.value), num.shown(item.reference), num.signed(item.value, item.reference)


def _differences(comparison: SchemeComparison) -> Iterator[doc.Part]:
    """The headline metrics that the model and its references both have."""
    model = {
        key: comparison.model[key]
        for key in num.HEADLINE
        if key in comparison.model
        and comparison.model[key].difference is not None
        and not key.startswith("step_size")  # a reference has the layer's own
    }
    if not model:
        return
    went = {direction for key in model for direction in comparison.movements(key)}
    trained = bool(went - {Movement.AS_FAR})  # an untrained file has no column about training
    rows = [
        (*_cells(c), _movements(comparison, key) if trained else "", num.unit_label(c.unit))
        for key, c in model.items()
    ]
    columns = dict(zip(_header(comparison.scheme), zip(*rows, strict=True), strict=True))
    yield doc.metric_grid("whole model", model, columns)
    if trained:
        yield doc.Line(f"{NO_VERDICT}.", style="dim")


def _movements(comparison: SchemeComparison, metric: str) -> str:
    """`closer in 3 layers, further in 1`, or a dash where no start is known."""
    counts = comparison.movements(metric)
    if not counts:
        return num.NOT_APPLICABLE
    if len(counts) == 1 and len(comparison.layers) == counts.total() > 1:
        (movement,) = counts
        return f"{movement.value} in all layers"
    return ", ".join(f"{m.value} in {counts[m]}" for m in Movement if counts[m])


def _every_metric(comparison: SchemeComparison) -> Iterator[doc.Part]:
    for layer in comparison.layers:
        if not layer.metrics:
            continue
        start = layer.start
        began = f", from {start.scheme}, {start.drift:.2g} half-widths away" if start else ""
        rows = {}
        for key, item in layer.metrics.items():
            moved = item.movement.value if item.movement else num.NOT_APPLICABLE
            rows[key] = (*_cells(item), moved, num.unit_label(item.unit)), _note(item)
        name = (Name(layer.layer.name), began)
        yield from doc.metric_parts(name, _header(comparison.scheme), rows)


def _note(contrast: Contrast) -> str:
    """Why there is no difference, where there is none."""
    missing = num.why_missing({"measured": contrast.value, "reference": contrast.reference})
    if not missing and isinstance(contrast.value, Measured) and contrast.difference is None:
        return "no difference of names or of different units"
    return missing


HEADER = (
    "layer", "family", "channels", "modes", "metric", "value", "reference", "difference", "unit",
    "start", "training_moved_it", "note",
)  # fmt: skip


def rows(comparison: SchemeComparison) -> Iterator[Row]:
    """Rows of `HEADER`."""
    for layer in comparison.layers:
        found = layer.layer
        place = (found.name, found.family, found.channels, found.modes)
        if isinstance(layer.reference, NotApplicable):
            reason = f"not applicable: {layer.reference.reason}"
            yield (*place, "", None, None, None, "", None, "", reason)
        yield from _metric_rows(place, layer.metrics)
    yield from _metric_rows((MODEL, "", "", ""), comparison.model)


def _metric_rows(place: Row, metrics: Mapping[str, Contrast]) -> Iterator[Row]:
    for key, item in metrics.items():
        numbers = (num.tidy(item.value), num.tidy(item.reference), item.difference, item.unit)
        moved = item.movement.value if item.movement else ""
        yield (*place, key, *numbers, num.tidy(item.start), moved, _note(item))


AGAINST_WRITERS: Registry[Writer[SchemeComparison]] = Registry(
    "format",
    "ssmspec.against_writers",
    formats(build, ("one row for every metric of every layer", HEADER, rows)),
    key=lambda writer: writer.id,
)
