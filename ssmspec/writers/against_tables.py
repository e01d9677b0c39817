"""A model beside an initialization scheme as tables: tidy CSV, and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ssmspec.outcome import Measured, NotApplicable, Outcome
from ssmspec.results.against import Contrast, SchemeComparison
from ssmspec.writers.against_words import (
    NO_VERDICT,
    absent,
    compared,
    headline,
    measured_report,
    movement_word,
    movement_words,
    note,
)
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.parts.markdown import bullets, code, page, prose, table
from ssmspec.writers.parts.numbers import shown, signed, unit_label
from ssmspec.writers.parts.tidy import MODEL, Row, inert, to_csv
from ssmspec.writers.report.markdown import heading, skipped_items

HEADER = (
    "layer", "family", "channels", "modes", "metric", "value", "reference", "difference", "unit",
    "start", "training_moved_it", "note",
)  # fmt: skip


def render_csv(comparison: SchemeComparison, target: Page) -> str:
    """Rows of `HEADER`; numbers keep every digit."""
    del target  # CSV has no width, color or verbosity: it is always complete
    return to_csv(HEADER, _rows(comparison))


def _rows(comparison: SchemeComparison) -> Iterator[Row]:
    for layer in comparison.layers:
        found = layer.layer
        place = (inert(found.name), found.family, found.channels, found.modes)
        if isinstance(layer.reference, NotApplicable):
            reason = f"not applicable: {layer.reference.reason}"
            yield (*place, "", None, None, None, "", None, "", reason)
        yield from _metric_rows(place, layer.metrics)
    yield from _metric_rows((MODEL, "", "", ""), comparison.model)


def _metric_rows(place: Row, metrics: Mapping[str, Contrast]) -> Iterator[Row]:
    for key, item in metrics.items():
        numbers = (_value(item.value), _value(item.reference), item.difference, item.unit)
        moved = item.movement.value if item.movement else ""
        yield (*place, key, *numbers, _value(item.start), moved, note(item))


def _value(outcome: Outcome | None) -> float | str | None:
    return outcome.value if isinstance(outcome, Measured) else None


def render_markdown(comparison: SchemeComparison, target: Page) -> str:
    """The model's headline metrics, then each layer's difference; every metric when verbose."""
    metrics = headline(comparison)
    return page(
        f"# {code(comparison.checkpoint.path)} against {comparison.scheme}",
        heading(measured_report(comparison)),
        _model_table(comparison, metrics) if metrics else "",
        f"Here {NO_VERDICT}." if any(map(comparison.movements, metrics)) else "",
        _layer_table(comparison, metrics) if metrics else "",
        bullets("No match", _absent(comparison)),
        bullets("Assumed", map(prose, comparison.assumptions)),
        bullets("Skipped", skipped_items(comparison.skipped)),
        *(_every_metric(comparison) if target.verbose else ()),
    )


def _model_table(comparison: SchemeComparison, metrics: list[str]) -> str:
    rows = [
        [code(key), movement_words(comparison, key), *_cells(comparison.model[key])]
        for key in metrics
    ]
    return table(
        ["whole model", "training moved it", "measured", comparison.scheme, "difference", "unit"],
        rows,
        2,
    )


def _layer_table(comparison: SchemeComparison, metrics: list[str]) -> str:
    both = compared(comparison)
    rows = []
    for measured, reference in both:
        for label, layer in ((code(measured.name), measured), (comparison.scheme, reference)):
            rows.append([label, *(shown(layer.metrics[key]) for key in metrics)])
    return table(["layer", *map(code, metrics)], rows)


def _cells(item: Contrast) -> tuple[str, str, str, str]:
    difference = signed(item.value, item.reference)
    return shown(item.value), shown(item.reference), difference, prose(unit_label(item.unit))


def _absent(comparison: SchemeComparison) -> Iterator[str]:
    for reason, names in absent(comparison).items():
        yield f"{', '.join(map(code, names))}: {prose(reason)}"


def _every_metric(comparison: SchemeComparison) -> Iterator[str]:
    for layer in comparison.layers:
        if layer.metrics:
            yield f"## {code(layer.layer.name)}"
            rows = [
                [code(key), movement_word(item), *_cells(item)]
                for key, item in layer.metrics.items()
            ]
            header = ["metric", "training moved it", "measured", comparison.scheme]
            yield table([*header, "difference", "unit"], rows, 2)


CSV = Writer("csv", "one row for every metric of every layer", render_csv)
MARKDOWN = Writer("markdown", "tables for pull requests and model cards", render_markdown)
