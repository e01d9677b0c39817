"""One checkpoint as a page shows it: everything the templates need, and nothing they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from ssmspec.outcome import Finding, Verdict
from ssmspec.results.check import CheckedFile
from ssmspec.results.report import LayerReport, Report
from ssmspec.writers.html.commands import options_given, reading_of
from ssmspec.writers.html.figures import Figures, layer_id
from ssmspec.writers.html.findings import FindingGroup, analyzed_groups, checked_groups
from ssmspec.writers.html.metrics import MetricTable, metric_table
from ssmspec.writers.html.overview import Overview, overviews
from ssmspec.writers.parts.terminal import short_names
from ssmspec.writers.parts.verdicts import counted, file_sentence
from ssmspec.writers.report.words import blocks_line, file_line, length_note, model_line, summary

VERDICT_WORD = {
    Verdict.PASS: "Pass",
    Verdict.WARN: "Warning",
    Verdict.FAIL: "Fail",
    None: "Could not be judged",
}
NOTHING_MEASURED = "no state-space layer could be measured"
NAMES_LISTED = 60
"""Names written out in a list of what was skipped or not drawn, before "and N more"."""


@dataclass(frozen=True)
class LayerSection:
    """One drawn layer: its name, what it is, codes found on it, and its panel as inline SVG."""

    name: str
    kind: str
    codes: tuple[str, ...]
    svg: str


@dataclass(frozen=True)
class SkippedGroup:
    """What was not measured, by reason."""

    reason: str
    names: tuple[str, ...]
    more: int


@dataclass(frozen=True)
class Subject:
    """One checkpoint.

    Attributes:
        anchor: prefix of its ids; different for each checkpoint of a page.
        title: the file's name.
        path: as given.
        verdict: `pass`, `warn`, `fail`, or `none` where it could not be judged.
        verdict_word: the same for people.
        sentence: what the numbers come to, or why it could not be judged.
        counts: how many errors, warnings and notes.
        facts: (what, value) of the file and the model.
        groups: findings, those of a baseline that are gone among them.
        overviews: headline tables.
        names_note: what short layer names were cut from; "" where they are whole.
        layers: drawn layers, in the order of the file.
        figures_note: which layers are not drawn, and why; "" where all are.
        ids: by name, the id of every layer that has a section or a row of the full table.
        drawn: names of the layers with a section.
        table: the full table; None where nothing was measured.
        assumptions: what the file does not say and was taken for granted.
        skipped: what was not measured.
        options: (option, value) the checkpoint was read with.
        fingerprint: of what was read; "" where there is none.
    """

    anchor: str
    title: str
    path: str
    verdict: str
    verdict_word: str
    sentence: str
    counts: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    groups: tuple[FindingGroup, ...] = ()
    overviews: tuple[Overview, ...] = ()
    names_note: str = ""
    layers: tuple[LayerSection, ...] = ()
    figures_note: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    drawn: frozenset[str] = frozenset()
    table: MetricTable | None = None
    assumptions: tuple[str, ...] = ()
    skipped: tuple[SkippedGroup, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    fingerprint: str = ""


def analyzed(report: Report, telling: Sequence[str], figures: Figures) -> Subject:
    """The subject of an analysis.

    Args:
        report: the analysis.
        telling: names of all layers, the most telling first.
        figures: its drawn layers.
    """
    labels, pattern = labels_of(report)
    verdict = report.verdict if report.layers else None
    return Subject(
        **_measured(report, labels, "", telling, figures, report.findings),
        verdict="none" if verdict is None else verdict.value,
        verdict_word=VERDICT_WORD[verdict],
        sentence=summary(report) if report.layers else NOTHING_MEASURED,
        counts=counted(report.findings) or "nothing to report",
        groups=analyzed_groups(report.findings, labels),
        names_note=pattern,
    )


def checked(file: CheckedFile, anchor: str, telling: Sequence[str], figures: Figures) -> Subject:
    """The subject of one checkpoint that went through the gate; arguments as of `analyzed`."""
    verdict = file.verdict
    if file.report is None:
        return Subject(
            anchor=anchor,
            title=_file_name(file.path),
            path=file.path,
            verdict="none",
            verdict_word=VERDICT_WORD[None],
            sentence=file.error or "",
        )
    labels, pattern = labels_of(file.report)
    shown = [judged.finding for judged in file.findings]
    return Subject(
        **_measured(file.report, labels, anchor, telling, figures, shown),
        verdict="none" if verdict is None else verdict.value,
        verdict_word=VERDICT_WORD[verdict],
        sentence=file.error or summary(file.report),
        counts="" if file.error else file_sentence(file),
        groups=checked_groups(file, labels),
        names_note=pattern,
    )


def labels_of(report: Report) -> tuple[dict[str, str], str]:
    """Layer -> how it is shown, and the pattern that short names were cut from ("" for none)."""
    shorter, pattern = short_names([layer.name for layer in report.layers])
    labels = {layer.name: label for layer, label in zip(report.layers, shorter, strict=True)}
    return labels, pattern.replace("{}", "<layer>")


class _Measured(TypedDict):
    """What an analysis tells by itself, whether or not there was a gate."""

    anchor: str
    title: str
    path: str
    facts: tuple[tuple[str, str], ...]
    overviews: tuple[Overview, ...]
    layers: tuple[LayerSection, ...]
    figures_note: str
    ids: Mapping[str, str]
    drawn: frozenset[str]
    table: MetricTable | None
    assumptions: tuple[str, ...]
    skipped: tuple[SkippedGroup, ...]
    options: tuple[tuple[str, str], ...]
    fingerprint: str


def _measured(
    report: Report,
    labels: Mapping[str, str],
    anchor: str,
    telling: Sequence[str],
    figures: Figures,
    findings: Sequence[Finding],
) -> _Measured:
    table = metric_table(report, labels, telling) if report.layers else None
    codes: dict[str, dict[str, None]] = {}
    for finding in findings:
        codes.setdefault(finding.layer, {})[finding.code] = None
    drawn = [layer for layer in report.layers if layer.name in figures.svg]
    return _Measured(
        anchor=anchor,
        title=_file_name(report.checkpoint.path),
        path=report.checkpoint.path,
        facts=tuple(_facts(report)),
        overviews=overviews(report, labels),
        layers=tuple(
            _section(layer, tuple(codes.get(layer.name, ())), figures.svg[layer.name])
            for layer in drawn
        ),
        figures_note=_figures_note(report, drawn, figures),
        ids={
            layer.name: layer_id(anchor, i)
            for i, layer in enumerate(report.layers)
            if layer.name in figures.svg or (table and layer.name in table.names)
        },
        drawn=frozenset(figures.svg),
        table=table,
        assumptions=report.assumptions,
        skipped=_skipped(report),
        options=tuple(options_given(reading_of(report))),
        fingerprint=report.checkpoint.fingerprint or "",
    )


def _file_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path


def _facts(report: Report) -> list[tuple[str, str]]:
    facts = [("model", "; ".join(model_line(report)) or "no layer measured")]
    if hybrid := blocks_line(report):
        facts.append(("blocks", hybrid))
    facts.append(("sequence", length_note(report)))
    if report.sample_rate is not None:
        facts.append(("sample rate", f"{report.sample_rate:g} Hz"))
    facts.append(("file", file_line(report)))
    return facts


def _section(layer: LayerReport, codes: tuple[str, ...], svg: str) -> LayerSection:
    rule = {"zoh": ", ZOH", "bilinear": ", bilinear"}.get(layer.discretization, "")
    nominal = ", nominal: its poles depend on the input" if layer.selective else ""
    kind = f"{layer.family_title}, {layer.channels} x {layer.modes}{rule}{nominal}"
    return LayerSection(name=layer.name, kind=kind, codes=codes, svg=svg)


def _figures_note(report: Report, drawn: Sequence[LayerReport], figures: Figures) -> str:
    left = len(report.layers) - len(drawn)
    if not drawn and figures.missing:
        return f"There are no figures: {figures.missing}."
    if not left:
        return ""
    why = f" ({figures.missing})" if figures.missing else ""
    return (
        f"The {len(drawn)} layers with the worst or most findings are drawn, and {left:,} more are "
        f"not{why}; ssmspec plot --layers GLOB draws them."
    )


def _skipped(report: Report) -> tuple[SkippedGroup, ...]:
    by_reason: dict[str, list[str]] = {}
    for entry in report.skipped:
        by_reason.setdefault(entry.reason, []).append(entry.name)
    return tuple(
        SkippedGroup(reason, tuple(names[:NAMES_LISTED]), max(0, len(names) - NAMES_LISTED))
        for reason, names in by_reason.items()
    )
