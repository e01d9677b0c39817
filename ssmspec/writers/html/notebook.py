"""A report in a notebook: its verdict, one line a layer with a strip, and the worst findings.

Jupyter, Colab, VS Code and GitHub each strip another part of what a cell shows: style sheets,
scripts, SVG. So there is nothing here but a table with inline styles, its strips are the
terminal's block characters, and colors are the notebook's own, light or dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ssmspec.results.report import LayerReport, Report
from ssmspec.writers.html.findings import analyzed_groups
from ssmspec.writers.html.subject import NOTHING_MEASURED, VERDICT_WORD, labels_of
from ssmspec.writers.html.templates import fill
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.verdicts import counted
from ssmspec.writers.report.tables import collapse, decay_table, frequency_table, hearing_table
from ssmspec.writers.report.words import length_note, model_line, summary

ROWS = 48
"""More layers than this are shown as their outliers and their median."""
MOST_BYTES = 29_900
"""Of a whole cell, whatever a file's names are: a notebook keeps every cell it ever showed."""
FINDINGS = 5
REFERENCE = "DFouT"
"""How the terminal's table labels the DFouT layer of the same shape."""
NAME_LENGTH = 40
MESSAGE_LENGTH = 320
RANK = 3
"""Columns beyond this rank are left to `report.to_pandas()`."""
STRIP_WIDTH = 80
"""Terminal width whose strips, of sixteen blocks, a notebook shows."""


@dataclass(frozen=True)
class Row:
    """One line: the layer, its family, its numbers, and its strips."""

    label: str
    family: str
    cells: tuple[str, ...]
    strips: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Layers of one kind. `strips` are the headings over the strips."""

    headings: tuple[str, ...]
    strips: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Note:
    """One finding, as a line."""

    code: str
    word: str
    where: str
    message: str


def render(report: Report) -> str:
    """HTML for one output cell of a notebook, of at most `MOST_BYTES`."""
    labels, pattern = labels_of(report)
    verdict = report.verdict if report.layers else None
    groups = analyzed_groups(report.findings, labels)
    notes = [
        Note(
            group.code,
            group.word,
            _brief(group.where + (f", most in {group.most_in}" if group.most_in else "")),
            _brief(group.message, MESSAGE_LENGTH),
        )
        for group in groups[:FINDINGS]
    ]
    page = partial(
        fill,
        "notebook.html",
        title=_brief(report.checkpoint.path.rpartition("/")[2] or report.checkpoint.path),
        model="; ".join([*model_line(report), length_note(report)]),
        verdict=VERDICT_WORD[verdict],
        sentence=summary(report) if report.layers else NOTHING_MEASURED,
        counts=counted(report.findings) or "nothing to report",
        pattern=_brief(pattern, MESSAGE_LENGTH),
        notes=notes,
        more=len(groups) - len(notes),
        skipped=len(report.skipped),
        drawable=report.origin is not None and bool(report.layers),
    )
    tables, hidden = _tables(report, labels)
    empty = [replace(table, rows=()) for table in tables]
    around = page(tables=empty, hidden=len(report.layers))
    tables, hidden = _within(tables, hidden, MOST_BYTES - len(around.encode()))
    return page(tables=tables, hidden=hidden)


def _tables(report: Report, labels: Mapping[str, str]) -> tuple[list[Table], int]:
    """Tables of layers that oscillate and of layers that only decay; how many were left out."""
    tables, hidden = [], 0
    for decaying in (False, True):
        rows = [
            (labels[layer.name], layer)
            for layer in report.layers
            if (layer.symmetry == "real") is decaying
        ]
        if not rows:
            continue
        if len(rows) > ROWS:
            rows, more = collapse(rows)
            hidden += more
        if decaying:
            columns = decay_table(rows)
        else:
            columns = frequency_table(rows, report.reference, STRIP_WIDTH)
            rows = [*rows, *([(REFERENCE, report.reference)] if report.reference else [])]
        tables.append(_table(rows, columns))
    return tables, hidden


def _table(rows: Sequence[tuple[str, LayerReport]], columns: Sequence[terminal.Column]) -> Table:
    """A terminal's table with fewer columns, and the kernels' strips beside those of the poles."""
    numbers = [c for c in terminal.layout(columns[:-1], None)[0][1:] if c.rank <= RANK]
    strips = [(columns[-1].header, columns[-1].cells)]
    heard = [(label, layer) for label, layer in rows if layer.lags]
    if heard:
        column = hearing_table(heard)[-2]
        by_label = dict(zip((label for label, _ in heard), column.cells, strict=True))
        strips.append((column.header, [by_label.get(label, "") for label, _ in rows]))
    return Table(
        headings=tuple(column.header for column in numbers),
        strips=tuple(header for header, _ in strips),
        rows=tuple(
            Row(
                label=_brief(label),
                family="" if label == layer.name == REFERENCE else _brief(layer.family_title),
                cells=tuple(column.cells[i] for column in numbers),
                strips=tuple(cells[i] for _, cells in strips),
            )
            for i, (label, layer) in enumerate(rows)
        ),
    )


def _within(tables: Sequence[Table], hidden: int, room: int) -> tuple[list[Table], int]:
    """As many rows as so many bytes hold, and how many layers are not shown in all."""
    kept: list[Table] = []
    for table in tables:
        rows: list[Row] = []
        for row in table.rows:
            room -= len(fill("notebook_row.html", row=row).encode())
            if room >= 0:
                rows.append(row)
        hidden += len(table.rows) - len(rows)
        kept.append(replace(table, rows=tuple(rows)))
    return [table for table in kept if table.rows], hidden


def _brief(text: str, most: int = NAME_LENGTH) -> str:
    """A text, or its two ends where it is long."""
    if len(text) <= most:
        return text
    half = (most - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
