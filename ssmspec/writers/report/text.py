"""The report for a person at a terminal; plain and complete in a pipe.

The verdict comes first with the worst finding, then one line a layer with a strip of its poles'
power from 0 to Nyquist, one line a finding, what was assumed, what was skipped, and the commands to
run next. `--verbose` has the findings' full sentences.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from ssmspec.naming import printable
from ssmspec.outcome import Level, Measured, Outcome, Verdict
from ssmspec.results.report import LayerReport, Report
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
from ssmspec.writers.report import typical
from ssmspec.writers.report.briefs import brief, headline
from ssmspec.writers.report.tables import (
    Rows,
    collapse,
    decay_table,
    frequency_table,
    hearing_table,
    legend,
)
from ssmspec.writers.report.words import blocks_line, file_line, length_note, model_line, summary

HEADLINES = 3
"""Findings that the verdict names."""


def render(report: Report, page: Page) -> str:
    """The whole report as text; ANSI styles only where the page has color."""
    return to_text(_lines(report, page), page)


def _lines(report: Report, page: Page) -> Iterator[Text]:
    yield from _verdict(report, page)
    yield from _heading(report, page)
    if report.layers:
        if report.verdict is not Verdict.PASS:
            yield from hanging(Text(""), Text(summary(report)), page)
        yield from _tables(report, page)
    yield from _findings(report, page, _labels(report, page)[0])
    if page.verbose:
        yield from _every_metric(report)
    yield from titled("assumed", report.assumptions, page)
    yield from skipped_lines(report.skipped, page)
    yield from _next_steps(report, page)


def _verdict(report: Report, page: Page) -> Iterator[Text]:
    """The verdict, and what it is for: the worst findings, or that there is nothing to report."""
    if not report.layers:
        return
    worse = [group for group in by_rule(report.findings) if group[0].level is not Level.INFO]
    said = list(dict.fromkeys(headline(worst(group)) for group in worse))[:HEADLINES]
    sentence = "; ".join(said) or summary(report)
    style = VERDICT_STYLE[report.verdict]
    label = Text(f"{report.verdict.value.upper()}  ", style=style)
    yield from hanging(label, Text(sentence, style=style), page)


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
    rows = [(labels[layer.name], layer) for layer in report.layers]
    tables: list[Sequence[terminal.Column]] = []
    notes: list[str] = []
    hidden = 0
    for is_decay in (False, True):
        kind, more = _shown([row for row in rows if _only_decays(row[1]) is is_decay], page)
        hidden += more
        if kind and is_decay:
            tables.append(decay_table(kind))
            notes += _nominal(kind)
        elif kind:
            tables.append(frequency_table(kind, report.reference, page.width))
    if heard := _shown([row for row in rows if row[1].lags], page)[0]:
        tables.append(hearing_table(heard))
    for columns in tables:
        yield Text()
        yield from terminal.lines(columns, page.width)
    if pattern:
        notes.append(f"layers are {pattern.replace('{}', '<layer>')}")
    if hidden:
        notes.append(f"{hidden} more layers differ from their median (--verbose)")
    for note in (legend(tables, page.width), *notes):
        yield from hanging(Text(""), Text(note, style="dim"), page)


def _only_decays(layer: LayerReport) -> bool:
    return layer.symmetry == "real"


def _shown(rows: Rows, page: Page) -> tuple[Rows, int]:
    """The rows a page has room for, and how many it leaves out."""
    return (rows, 0) if page.width is None or page.verbose else collapse(rows)


def _nominal(rows: Rows) -> Iterator[str]:
    if any(layer.selective for _, layer in rows):
        has_dt = any(layer.value("step_size_median") is not None for _, layer in rows)
        which = "dt and tau are nominal: they depend" if has_dt else "tau is nominal: it depends"
        yield f"{which} on the input"


def _findings(report: Report, page: Page, labels: Mapping[str, str]) -> Iterator[Text]:
    """One line a rule, and one for what is typical; full sentences in the verbose report."""
    if not report.findings:
        return
    yield Text()
    named, usual = (report.findings, ()) if page.verbose else typical.parted(report)
    for group in by_rule(named):
        code, level = group[0].code, group[0].level
        place = where(group, labelled(labels), len(labels), page)
        what, advice = brief(worst(group))
        among = ", ".join(filter(None, (what, typical.placed(worst(group), report))))
        said = "; ".join(filter(None, (among, advice)))
        text = Text(f"{place}: {printable(worst(group).message) if page.verbose else said}")
        label = f"{code} {LEVEL_WORD[level]}"
        yield from hanging(Text(f"{label:<16}", style=LEVEL_STYLE[level]), text, page)
    for sentence in typical.folded(report, usual):
        style = LEVEL_STYLE[Level.INFO]
        yield from hanging(Text(f"{'typical':<16}", style=style), Text(sentence), page)


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
    """Commands to copy, each on a line of its own under what it is for."""
    command = f"ssmspec analyze {shlex.quote(printable(report.checkpoint.path))}"
    if report.sequence_length is not None:
        command += f" --seq-len {report.sequence_length}"
    steps = []
    if report.layers and report.sequence_length is None:
        steps.append(("memory against the sequence, of L samples", f"{command} --seq-len L"))
    if any(_dfout_helps(layer, report) for layer in report.layers):
        steps.append(("the layers of dfout beside these", f"{command} --against dfout"))
    if report.layers and not page.verbose:
        steps.append(("full sentences, every metric", f"{command} --verbose"))
    if report.findings:
        codes = f"ssmspec explain {report.findings[0].code}"
        steps.append(("what a code means, and what to do", codes))
    if steps:
        yield Text()
        yield Text("next", style="dim")
    for purpose, line in steps:
        yield Text(f"# {purpose}", style="dim")
        if page.width is not None and len(line) > page.width:  # a shell goes on after a backslash
            line = _broken(line, page.width)  # noqa: PLW2901 - the same command
        yield from (Text(part, no_wrap=True) for part in line.split("\n"))


def _broken(command: str, width: int) -> str:
    """A command over several lines, parted before options, as many of them a line as fit."""
    first, *options = command.split(" --")
    lines = [first]
    for option in options:
        if len(lines) > 1 and len(lines[-1]) + len(option) + 5 <= width:
            lines[-1] += f" --{option}"
        else:
            lines.append(f"    --{option}")
    return " \\\n".join(lines)


def _dfout_helps(layer: LayerReport, report: Report) -> bool:
    """Whether the DFouT layer of this shape aliases less or reaches more where that was found."""
    faults = {f.code for f in report.findings if f.layer == layer.name} & {"ALI001", "COV001"}
    reference = report.reference
    if not faults or reference is None or _only_decays(layer):
        return False
    aliased, reached = layer.value("aliased_fraction"), layer.value("coverage")
    fewer, more = reference.value("aliased_fraction"), reference.value("coverage")
    aliases_less = aliased is not None and fewer is not None and fewer < aliased
    return aliases_less or (reached is not None and more is not None and more > reached)


WRITER = Writer("text", "for a person: plain in a pipe, styled in a terminal", render)
