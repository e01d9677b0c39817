"""The report for a person at a terminal; plain and complete in a pipe.

What discriminates comes first: one line a layer with a strip of its poles' power from 0 to Nyquist,
then notes with their codes, what was assumed, what was skipped, and the next command to run.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from rich.text import Text

from ssmspec.naming import printable
from ssmspec.outcome import Measured, Outcome
from ssmspec.results.report import Report
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.finding_groups import (
    LEVEL_STYLE,
    LEVEL_WORD,
    VERDICT_STYLE,
    by_rule,
    labelled,
    where,
    worst,
)
from ssmspec.writers.parts.numbers import near_one
from ssmspec.writers.parts.terminal import hanging, short_names, skipped_lines, titled, to_text
from ssmspec.writers.report.tables import collapse, decay_table, frequency_table, hearing_table
from ssmspec.writers.report.words import blocks_line, file_line, length_note, model_line, summary


def render(report: Report, page: Page) -> str:
    """The whole report as text; ANSI styles only where the page has color."""
    return to_text(_lines(report, page), page)


def _lines(report: Report, page: Page) -> Iterator[Text]:
    yield from _heading(report, page)
    if report.layers:
        yield Text(summary(report), style=VERDICT_STYLE[report.verdict])
        yield from _tables(report, page)
    yield from _findings(report, page, _labels(report, page)[0])
    if page.verbose:
        yield from _every_metric(report)
    yield from titled("assumed", report.assumptions, page)
    yield from skipped_lines(report.skipped, page)
    yield from _next_steps(report, page)


def _heading(report: Report, page: Page) -> Iterator[Text]:
    name = printable(report.checkpoint.path)
    if page.width is not None:
        name = name.rstrip("/").rpartition("/")[2]
    kinds = model_line(report)
    first = Text.assemble((name, "bold"), "   ", kinds[0] if kinds else "no layer measured")
    right = length_note(report)
    room = (page.width or 0) - len(first.plain) - len(right)
    if page.width is None or room >= 3:
        first.append(" " * max(3, room) + right)
        yield first
    else:
        yield first
        kinds.append(right)
    for kind in kinds[1:]:
        yield Text(f"{' ' * (len(name) + 3)}{kind}")
    hybrid = blocks_line(report)
    if page.width is None or page.verbose or hybrid:
        yield Text(" | ".join(filter(None, (hybrid, file_line(report)))), style="dim")


def _labels(report: Report, page: Page) -> tuple[dict[str, str], str]:
    """Layer name -> how it is shown, and the pattern that shortened names were cut from."""
    names = [layer.name for layer in report.layers]
    if page.width is None:
        return {name: printable(name) for name in names}, ""
    labels, pattern = short_names(names)
    return dict(zip(names, labels, strict=True)), pattern


def _tables(report: Report, page: Page) -> Iterator[Text]:
    labels, pattern = _labels(report, page)
    labelled = [(labels[layer.name], layer) for layer in report.layers]
    oscillating = [row for row in labelled if row[1].symmetry != "real"]
    decaying = [row for row in labelled if row[1].symmetry == "real"]
    hidden = 0
    for rows, is_decay in ((oscillating, False), (decaying, True)):
        if not rows:
            continue
        yield Text()
        if page.width is not None and not page.verbose:
            rows, more = collapse(rows)  # noqa: PLW2901 - the shown rows of this kind
            hidden += more
        columns = (
            decay_table(rows) if is_decay else frequency_table(rows, report.reference, page.width)
        )
        yield from terminal.lines(columns, page.width)
        if is_decay and any(layer.selective for _, layer in rows):
            has_dt = any(layer.value("step_size_median") is not None for _, layer in rows)
            nominal = (
                "dt and tau are nominal: they depend" if has_dt else "tau is nominal: it depends"
            )
            yield Text(f"{nominal} on the input", style="dim")
    heard = [row for row in labelled if row[1].lags]
    if heard:
        if page.width is not None and not page.verbose:
            heard, _ = collapse(heard)
        yield Text()
        yield Text("what the kernels do hear, by lag", style="dim")
        yield from terminal.lines(hearing_table(heard), page.width)
    if pattern:
        yield Text(f"layers are {pattern.replace('{}', '<layer>')}", style="dim")
    if hidden:
        yield Text(f"{hidden} more layers differ from their median (--verbose)", style="dim")


def _findings(report: Report, page: Page, labels: Mapping[str, str]) -> Iterator[Text]:
    if not report.findings:
        return
    yield Text()
    for group in by_rule(report.findings):
        code, level = group[0].code, group[0].level
        place = where(group, labelled(labels), len(labels), page)
        text = Text(f"{place}: {printable(worst(group).message)}")
        label = f"{code} {LEVEL_WORD[level]}"
        yield from hanging(Text(f"{label:<16}", style=LEVEL_STYLE[level]), text, page)


def _every_metric(report: Report) -> Iterator[Text]:
    for layer in report.layers:
        yield Text()
        yield Text.assemble(
            (printable(layer.name), "bold"),
            f"   {layer.family_title}, {layer.channels} x {layer.modes}, "
            f"{layer.discretization}, {layer.symmetry}",
        )
        for key, outcome in layer.metrics.items():
            yield _metric_line(key, outcome)
    if len(report.layers) > 1:
        yield Text()
        yield Text("model", style="bold")
        for key, combined in report.model.items():
            yield _metric_line(key, combined.outcome, f"({combined.aggregate})")


def _metric_line(key: str, outcome: Outcome, note: str = "") -> Text:
    if isinstance(outcome, Measured):
        value = outcome.value
        shown = value if isinstance(value, str) else near_one(value)
        unit = "" if outcome.unit == "1" else outcome.unit
        return Text.assemble(f"  {key:<24} {shown:>12} {unit:<14} ", (note, "dim"))
    return Text.assemble(f"  {key:<24} {'-':>12} ", (f"not applicable: {outcome.reason}", "dim"))


def _next_steps(report: Report, page: Page) -> Iterator[Text]:
    command = f"ssmspec analyze {shlex.quote(printable(report.checkpoint.path))}"
    if report.sequence_length is not None:
        command += f" --seq-len {report.sequence_length}"
    steps = []
    if report.layers and report.sequence_length is None:
        steps.append(f"{command} --seq-len L   measures memory against the sequence")
    if any(layer.symmetry != "real" for layer in report.layers):
        steps.append(f"{command} --against dfout   puts the DFouT layer beside each")
    if report.layers and not page.verbose:
        steps.append(f"{command} --verbose   prints every metric")
    yield from titled("next", steps, page)


WRITER = Writer("text", "for a person: plain in a pipe, styled in a terminal", render)
