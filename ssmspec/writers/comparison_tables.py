"""A comparison of two models as tables: tidy CSV, and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ssmspec.outcome import Measured, NotApplicable, Outcome
from ssmspec.results.comparison import (
    Comparison,
    LayerPair,
    OutcomePair,
    PolesMoved,
    TensorComparison,
)
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.comparison_words import (
    grouped,
    layers_sentence,
    poles_sentence,
    tensors_sentence,
    warning,
    what_changed,
)
from ssmspec.writers.parts.markdown import bullets, code, page, prose, table
from ssmspec.writers.parts.numbers import HEADLINE, compact, shown, signed, unit_label
from ssmspec.writers.parts.tidy import MODEL, Row, inert, to_csv
from ssmspec.writers.report.markdown import skipped_items

HEADER = ("subject", "name_a", "name_b", "quantity", "a", "b", "difference", "unit", "note")
"""`subject` is layer, model or tensor. Rows of tensors are about those that differ."""


def render_csv(comparison: Comparison, target: Page) -> str:
    """Rows of `HEADER`; numbers keep every digit."""
    del target  # CSV has no width, color or verbosity: it is always complete
    return to_csv(HEADER, _rows(comparison))


def _rows(comparison: Comparison) -> Iterator[Row]:
    for pair in comparison.layers:
        names = (inert(pair.a.name), inert(pair.b.name))
        yield from _metric_rows("layer", names, pair.metrics)
        yield from _poles_rows(names, pair.poles)
    for name in comparison.only_a:
        yield ("layer", inert(name), "", "presence", "present", "absent", None, "", "")
    for name in comparison.only_b:
        yield ("layer", "", inert(name), "presence", "absent", "present", None, "", "")
    yield from _metric_rows("model", (MODEL, MODEL), comparison.model)
    if not isinstance(comparison.tensors, NotApplicable):
        yield from _tensor_rows(comparison.tensors)


def _metric_rows(
    subject: str, names: tuple[str, str], metrics: Mapping[str, OutcomePair]
) -> Iterator[Row]:
    for key, item in metrics.items():
        reasons = [
            f"{side} not applicable: {outcome.reason}"
            for side, outcome in (("a", item.a), ("b", item.b))
            if isinstance(outcome, NotApplicable)
        ]
        cells = (_value(item.a), _value(item.b), item.difference, item.unit)
        yield (subject, *names, key, *cells, "; ".join(reasons))


def _poles_rows(names: tuple[str, str], poles: PolesMoved | NotApplicable) -> Iterator[Row]:
    if isinstance(poles, NotApplicable):
        note = f"not applicable: {poles.reason}"
        yield ("layer", *names, "poles_moved_rms", None, None, None, "half-widths", note)
        return
    figures = (("poles_moved_rms", poles.rms), ("poles_moved_largest", poles.largest))
    for quantity, figure in figures:
        yield ("layer", *names, quantity, None, None, figure, "half-widths", "")
    share = poles.moved / poles.modes
    yield ("layer", *names, "poles_moved_share", None, None, share, "fraction", "")


def _tensor_rows(tensors: TensorComparison) -> Iterator[Row]:
    for item in tensors.differences:
        names = (inert(item.a.name) if item.a else "", inert(item.b.name) if item.b else "")
        note = f"{item.role} of {item.layer}" if item.layer is not None else ""
        stored = [
            f"{side.dtype} {'x'.join(map(str, side.shape)) or 'scalar'}" if side else "absent"
            for side in (item.a, item.b)
        ]
        largest = item.values.largest if item.values else None
        yield ("tensor", *names, item.change.value, *stored, largest, "", note)


def _value(outcome: Outcome) -> float | str | None:
    return outcome.value if isinstance(outcome, Measured) else None


def render_markdown(comparison: Comparison, target: Page) -> str:
    """Sentences, one table of layers, one of the model, one of tensors."""
    return page(
        f"# {code(comparison.a.path)} (A) and {code(comparison.b.path)} (B)",
        prose(_summary(comparison)),
        _layer_table(comparison) if comparison.layers else "",
        _model_table(comparison.model),
        *_tensor_blocks(comparison.tensors),
        bullets("Only in A", map(code, comparison.only_a)),
        bullets("Only in B", map(code, comparison.only_b)),
        bullets("Assumed", map(prose, comparison.assumptions)),
        bullets("Skipped", skipped_items((*comparison.a.skipped, *comparison.b.skipped))),
        *(_every_metric(comparison) if target.verbose else ()),
    )


def _summary(comparison: Comparison) -> str:
    sentences = (layers_sentence(comparison), poles_sentence(comparison))
    return f"{'; '.join(sentence for sentence in sentences if sentence)}."


def _layer_table(comparison: Comparison) -> str:
    present = [
        key
        for key in HEADLINE
        if any(pair.metrics[key].difference is not None for pair in _with(comparison, key))
    ]
    rows = []
    for pair in comparison.layers:
        poles = pair.poles
        moved = compact(poles.rms) if isinstance(poles, PolesMoved) else "-"
        cells = [_both(pair.metrics[key]) if key in pair.metrics else "-" for key in present]
        rows.append([code(pair.a.name), moved, *cells])
    return table(["layer (A, then B)", "poles moved, half-widths", *map(code, present)], rows)


def _with(comparison: Comparison, key: str) -> list[LayerPair]:
    return [pair for pair in comparison.layers if key in pair.metrics]


def _both(item: OutcomePair) -> str:
    a, b = shown(item.a), shown(item.b)
    return a if a == b else f"{a}, {b}"


def _model_table(metrics: Mapping[str, OutcomePair]) -> str:
    rows = [
        [code(key), *_pair_cells(item)]
        for key, item in metrics.items()
        if item.difference is not None
    ]
    return table(["whole model", "A", "B", "B - A", "unit"], rows) if rows else ""


def _pair_cells(item: OutcomePair) -> tuple[str, str, str, str]:
    difference = signed(item.b, item.a)
    return shown(item.a), shown(item.b), difference, prose(unit_label(item.unit))


def _tensor_blocks(tensors: TensorComparison | NotApplicable) -> Iterator[str]:
    if isinstance(tensors, NotApplicable):
        yield f"Tensors are not compared: {prose(tensors.reason)}."
        return
    sentences = [tensors_sentence(tensors), warning(tensors)]
    yield " ".join(f"{prose(sentence)}." for sentence in sentences if sentence)
    rows = [
        [
            code(pattern),
            change.value,
            prose(what_changed(members)),
            str(len(members)),
            "yes" if any(member.layer is not None for member in members) else "no",
        ]
        for pattern, change, members in grouped(tensors.differences)
    ]
    if rows:
        yield table(["tensor", "change", "how", "tensors", "state-space"], rows, 3)


def _every_metric(comparison: Comparison) -> Iterator[str]:
    for pair in comparison.layers:
        yield f"## {code(pair.a.name)}"
        rows = [[code(key), *_pair_cells(item)] for key, item in pair.metrics.items()]
        yield table(["metric", "A", "B", "B - A", "unit"], rows)


CSV = Writer("csv", "one row for every metric of every layer, and every tensor", render_csv)
MARKDOWN = Writer("markdown", "tables for pull requests and model cards", render_markdown)
