"""The report as Markdown, for pull requests, model cards and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ssmspec.outcome import Measured, Outcome, Skipped
from ssmspec.results.report import LayerReport, Report
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.parts.markdown import bullets, code, page, prose, table
from ssmspec.writers.parts.numbers import HEADLINE, NOT_APPLICABLE, shown, unit_label
from ssmspec.writers.report.words import file_line, length_note, model_line, summary


def render(report: Report, target: Page) -> str:
    """Heading, headline table, findings and notes; every metric of every layer when verbose."""
    return page(
        f"# {code(report.checkpoint.path)}",
        heading(report),
        f"**{report.verdict.value}**: {prose(summary(report))}." if report.layers else "",
        headline_table(report.layers) if report.layers else "",
        bullets("Findings", _findings(report)),
        bullets("Assumed", map(prose, report.assumptions)),
        bullets("Skipped", skipped_items(report.skipped)),
        *(_every_metric(report) if target.verbose else ()),
    )


def heading(report: Report) -> str:
    """Kinds of layer, sequence length and container on one line."""
    parts = [*model_line(report), length_note(report), file_line(report)]
    return " · ".join(map(prose, parts))


def headline_table(
    layers: Sequence[LayerReport],
    found: Mapping[str, str] | None = None,
    name: Callable[[str], str] = code,
) -> str:
    """One row a layer, the headline metrics that any of them has.

    Args:
        layers: in the order of the rows.
        found: layer name -> what was found there, as a column of its own.
        name: writes a layer's name.
    """
    present = [
        metric
        for metric in HEADLINE
        if any(isinstance(layer.metrics.get(metric), Measured) for layer in layers)
    ]
    rows = [[name(layer.name), *(_cell(layer, m) for m in present)] for layer in layers]
    if found is None:
        return table(["layer", *map(code, present)], rows)
    told = [[row[0], found[layer.name], *row[1:]] for row, layer in zip(rows, layers, strict=True)]
    return table(["layer", "found", *map(code, present)], told, 2)


def _cell(layer: LayerReport, metric: str) -> str:
    outcome = layer.metrics.get(metric)
    return NOT_APPLICABLE if outcome is None else shown(outcome)


def skipped_items(skipped: Iterable[Skipped]) -> Iterator[str]:
    """What was not measured, and why."""
    for entry in skipped:
        yield f"{code(entry.name)}: {prose(entry.reason)}"


def _findings(report: Report) -> Iterator[str]:
    """One item a finding, worst first; a message that several layers share names them all."""
    where: dict[tuple[str, str, str], list[str]] = {}
    for finding in report.findings:
        key = (finding.code, finding.level.value, finding.message)
        where.setdefault(key, []).append(finding.layer)
    for (rule, level, message), layers in where.items():
        yield f"**{rule}** ({level}) {', '.join(map(code, layers))}: {prose(message)}"


def _every_metric(report: Report) -> Iterator[str]:
    for layer in report.layers:
        yield f"## {code(layer.name)}"
        yield table(
            ["metric", "not applicable", "value", "unit"], _metric_rows(layer.metrics.items()), 2
        )
    if len(report.layers) > 1:
        yield "## Model"
        combined = ((key, metric.outcome) for key, metric in report.model.items())
        yield table(["metric", "not applicable", "value", "unit"], _metric_rows(combined), 2)


def _metric_rows(metrics: Iterable[tuple[str, Outcome]]) -> Iterator[list[str]]:
    for key, outcome in metrics:
        if isinstance(outcome, Measured):
            yield [code(key), "", shown(outcome), prose(unit_label(outcome.unit))]
        else:
            yield [code(key), prose(outcome.reason), shown(outcome), ""]


WRITER = Writer("markdown", "tables for pull requests and model cards", render)
