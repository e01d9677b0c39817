"""A model beside an initialization scheme, for a person at a terminal; plain in a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from ssmspec.naming import printable
from ssmspec.outcome import NotApplicable
from ssmspec.results.against import SchemeComparison
from ssmspec.results.report import LayerReport
from ssmspec.spectrum import Symmetry
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
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.numbers import shown, signed, unit_label
from ssmspec.writers.parts.terminal import (
    Column,
    hanging,
    short_names,
    skipped_lines,
    some,
    titled,
    to_text,
)
from ssmspec.writers.report.tables import MANY, decay_table, frequency_table, median_layer
from ssmspec.writers.report.words import length_note, model_line

Pair = tuple[str, LayerReport, LayerReport]
"""(label, measured layer, reference layer)."""


def render(comparison: SchemeComparison, page: Page) -> str:
    """The whole comparison as text."""
    return to_text(_lines(comparison, page), page)


def _lines(comparison: SchemeComparison, page: Page) -> Iterator[Text]:
    yield from _heading(comparison, page)
    yield from _side_by_side(comparison, page)
    yield from _differences(comparison, page)
    if page.verbose:
        yield from _every_metric(comparison, page)
    for reason, names in absent(comparison).items():
        listed = some([printable(name) for name in names], page)
        yield from titled("no match", [f"{listed}: {reason}"], page)
    yield from titled("assumed", comparison.assumptions, page)
    yield from skipped_lines(comparison.skipped, page)


def _heading(comparison: SchemeComparison, page: Page) -> Iterator[Text]:
    name = printable(comparison.checkpoint.path)
    if page.width is not None:
        name = name.rstrip("/").rpartition("/")[2]
    report = measured_report(comparison)
    title = Text.assemble((name, "bold"), f" against {comparison.scheme}")
    about = "; ".join([*model_line(report), length_note(report)])
    if page.width is None or len(title.plain) + 3 + len(about) <= page.width:
        yield title.append(f"   {about}")
    else:
        yield title
        yield from hanging(Text(""), Text(about), page)


def _side_by_side(comparison: SchemeComparison, page: Page) -> Iterator[Text]:
    """Every layer with its reference in the line below it."""
    both = compared(comparison)
    names = [measured.name for measured, _ in both]
    labels, pattern = short_names(names) if page.width is not None else (names, "")
    pairs = [
        (printable(label), measured, reference)
        for label, (measured, reference) in zip(labels, both, strict=True)
    ]
    for is_decay in (False, True):
        kind = [pair for pair in pairs if _only_decays(pair) is is_decay]
        if not kind:
            continue
        yield Text()
        if page.width is not None and not page.verbose and len(kind) > MANY:
            kind, pattern = _medians(kind), ""
        rows = [
            row
            for label, measured, reference in kind
            for row in ((label, measured), (f"  {comparison.scheme}", reference))
        ]
        columns = (
            decay_table(rows, page.width) if is_decay else frequency_table(rows, None, page.width)
        )
        yield from terminal.lines(columns, page.width)
    if pattern:
        yield Text(f"layers are {pattern.replace('{}', '<layer>')}", style="dim")


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


def _differences(comparison: SchemeComparison, page: Page) -> Iterator[Text]:
    metrics = headline(comparison)
    if not metrics:
        return
    contrasts = [comparison.model[metric] for metric in metrics]
    moved = [movement_words(comparison, metric) for metric in metrics]
    yield Text()
    yield from terminal.lines(
        [
            Column("whole model", metrics, right=False, style="bold"),
            Column("measured", [shown(contrast.value) for contrast in contrasts]),
            Column(comparison.scheme, [shown(contrast.reference) for contrast in contrasts]),
            Column("difference", [signed(c.value, c.reference) for c in contrasts]),
            Column("unit", [unit_label(c.unit) for c in contrasts], rank=2, right=False),
            Column("training moved it", moved, rank=1, right=False),
        ],
        page.width,
    )
    if any(words != "-" for words in moved):
        yield from hanging(Text(""), Text(NO_VERDICT), page)


def _every_metric(comparison: SchemeComparison, page: Page) -> Iterator[Text]:
    for layer in comparison.layers:
        if not layer.metrics:
            continue
        start = layer.start
        began = f"   from {start.scheme}, {start.drift:.2g} half-widths away" if start else ""
        yield Text()
        yield Text.assemble((printable(layer.layer.name), "bold"), (began, "dim"))
        for key, contrast in layer.metrics.items():
            if isinstance(contrast.value, NotApplicable):
                why = Text(note(contrast), style="dim")
                yield from hanging(Text(f"  {key:<24} "), why, page)
                continue
            difference = signed(contrast.value, contrast.reference)
            cells = f"{shown(contrast.value):>10} {shown(contrast.reference):>10} {difference:>10}"
            words = f"{unit_label(contrast.unit):<14} {movement_word(contrast):<8}"
            yield Text.assemble(f"  {key:<24} {cells} {words} ", (note(contrast), "dim"))


WRITER = Writer("text", "for a person: plain in a pipe, styled in a terminal", render)
