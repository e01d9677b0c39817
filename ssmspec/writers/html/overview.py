"""The first tables of a page: the terminal's headline numbers, with strips that are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ssmspec.results.report import LayerReport, Report
from ssmspec.writers.html.strips import Strip, octave_end, octave_strips, power_strips
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.numbers import NOT_APPLICABLE
from ssmspec.writers.report.tables import collapse, decay_table, frequency_table, hearing_table

MANY = 64
"""More layers than this are shown as their outliers and their median, as in a terminal."""
RANK = 6
"""Columns beyond this rank stand in the full table only."""

_WORDS = {
    "dt": ("dt", "smallest to largest step size"),
    "tau": ("τ", "median time constant, samples"),
    "cover": ("coverage", "share of the band from 0 to Nyquist within half power of a pole"),
    "flat": ("flatness", "how evenly the poles' power fills the band; 1 is even, as DFouT is"),
    "aliased": ("aliased", "share of poles beyond Nyquist, heard at a folded frequency"),
    "entangled": ("entangled", "R² between log decay and log frequency over the channels"),
    "W1": ("W₁", "distance of the poles' frequencies to an even spread; 0.5 is all at one end"),
    "low": ("low", "share of poles in the lowest tenth of the band"),
    "90 % within": ("90 % within", "first lags that hold 90 % of the kernels' energy, samples"),
    "of L": ("of L", "the same over the sequence length"),
    "stride (chance)": ("stride (chance)", "share of the energy within 2 lags of a row stride"),
    "peak gain": ("peak gain", "largest gain of any channel at any frequency"),
    "dead": ("dead", "share of channels a thousand times quieter than the loudest"),
    "order": ("order", "states that carry 99 % of what a channel carries, median"),
    "aliased energy": ("aliased energy", "share of the modes' energy that aliased modes hold"),
    "tau 5 %": ("τ 5 %", "5 % quantile of the time constants, samples"),
    "median": ("τ median", "median time constant, samples"),
    "95 %": ("τ 95 %", "95 % quantile of the time constants, samples"),
    "< 1": ("< 1", "share of modes that forget within one sample"),
    "octaves": ("octaves", "share of the octaves of time up to L that hold a time constant"),
    "local": ("local", "channels that forget within a twentieth of the sequence"),
    "global": ("global", "channels that still remember the start when the sequence ends"),
    "memory/L": ("memory/L", "time in which the slowest mode falls to 1 %, over L"),
    "max |z|": ("max |z|", "radius of the outermost discrete pole"),
}
"""Header in a terminal -> what a page writes over the column, and what it means."""


@dataclass(frozen=True)
class Heading:
    """A column's title, and what it means ("" where the title says it)."""

    label: str
    meaning: str


@dataclass(frozen=True)
class OverviewRow:
    """One line: how the layer is shown, its name ("" where it stands for none), cells, strip."""

    label: str
    name: str
    cells: tuple[str, ...]
    strip: Strip | None
    note: str = ""


@dataclass(frozen=True)
class Overview:
    """One table of headline numbers.

    Attributes:
        title: what it is about.
        headings: of the numbers, between the layer and its strip.
        strip_title: over the strips.
        rows: one a layer.
        note: under the table; "" where nothing needs saying.
    """

    title: str
    headings: tuple[Heading, ...]
    strip_title: str
    rows: tuple[OverviewRow, ...]
    note: str = ""


def overviews(report: Report, labels: Mapping[str, str]) -> tuple[Overview, ...]:
    """Layers that oscillate, layers that only decay, and what the kernels hear.

    Args:
        report: the analysis.
        labels: layer -> how it is shown.
    """
    oscillating = [layer for layer in report.layers if layer.symmetry != "real"]
    decaying = [layer for layer in report.layers if layer.symmetry == "real"]
    heard = [layer for layer in report.layers if layer.lags]
    tables = []
    if oscillating:
        tables.append(_frequencies(oscillating, report.reference, labels))
    if decaying:
        tables.append(_decays(decaying, labels))
    if heard:
        tables.append(_lags(heard, labels))
    return tuple(tables)


def _frequencies(
    layers: Sequence[LayerReport], reference: LayerReport | None, labels: Mapping[str, str]
) -> Overview:
    shown, note = _few(layers, labels)
    columns = frequency_table(shown, reference, None)[:-1]
    everything = [layer for _, layer in shown] + ([reference] if reference else [])
    strips = power_strips(everything, reference)
    line = " The thin line is DFouT." if reference and any(strips) else ""
    table = _table("What the poles can hear", columns, "0 to Nyquist", strips, labels, note + line)
    if not reference:
        return table
    return replace(table, rows=(*table.rows[:-1], replace(table.rows[-1], name="")))


def _decays(layers: Sequence[LayerReport], labels: Mapping[str, str]) -> Overview:
    shown, note = _few(layers, labels)
    profiles = [layer.timescales for _, layer in shown]
    strips = octave_strips(profiles, "time constants by octave")
    if any(layer.selective for layer in layers):
        note += " Step sizes and time constants are nominal: they depend on the input."
    scale = f"below 1 to {octave_end(profiles):,} samples"
    columns = decay_table(shown)[:-1]
    return _table("What the poles can remember", columns, scale, strips, labels, note)


def _lags(layers: Sequence[LayerReport], labels: Mapping[str, str]) -> Overview:
    shown, note = _few(layers, labels)
    profiles = [layer.lags for _, layer in shown]
    strips = octave_strips(profiles, "kernel energy by octave of lag")
    columns = hearing_table(shown)
    words = columns[-1].cells
    scale = f"lag 0 to {octave_end(profiles):,}"
    title = "What the kernels do hear, by lag"
    return _table(title, columns[:-2], scale, strips, labels, note, words)


def _few(
    layers: Sequence[LayerReport], labels: Mapping[str, str]
) -> tuple[list[tuple[str, LayerReport]], str]:
    rows = [(labels[layer.name], layer) for layer in layers]
    if len(rows) <= MANY:
        return rows, ""
    few, hidden = collapse(rows)
    more = f"; {hidden:,} more differ from their median" if hidden else ""
    return few, f"{len(rows):,} layers as their outliers and their median{more}."


def _table(
    title: str,
    columns: Sequence[terminal.Column],
    strip_title: str,
    strips: Sequence[Strip | None],
    labels: Mapping[str, str],
    note: str,
    words: Sequence[str] = (),
) -> Overview:
    names = {label: name for name, label in labels.items()}
    shown = [c for c in terminal.layout(columns, None)[0][1:] if c.rank <= RANK]
    rows = [
        OverviewRow(
            label=label,
            name=names.get(label, ""),
            cells=tuple(_cell(column.cells[i]) for column in shown),
            strip=strips[i],
            note=words[i] if words else "",
        )
        for i, label in enumerate(columns[0].cells)
    ]
    headings = tuple(Heading(*_WORDS.get(c.header, (c.header, ""))) for c in shown)
    return Overview(title, headings, strip_title, tuple(rows), note.strip())


def _cell(text: str) -> str:
    return "–" if text == NOT_APPLICABLE else text
