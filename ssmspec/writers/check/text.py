"""A check for the person who reads the log: verdicts, findings by rule, and what the exit means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.text import Text

from ssmspec.naming import printable
from ssmspec.outcome import Finding, Level
from ssmspec.results.check import CheckedFile, CheckRun, Status
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.finding_groups import LEVEL_STYLE, LEVEL_WORD, VERDICT_STYLE, labelled
from ssmspec.writers.parts.terminal import (
    Column,
    hanging,
    short_names,
    skipped_lines,
    titled,
    to_text,
)
from ssmspec.writers.parts.verdicts import (
    Group,
    file_sentence,
    ground_rules,
    groups,
    outcome,
    verdict_word,
    without_advice,
    worst_first,
)
from ssmspec.writers.report.words import length_note, model_line

_STATUS = {
    None: ("", ""),
    Status.NEW: ("new", "bold"),
    Status.UNCHANGED: ("unchanged", "dim"),
    Status.FIXED: ("fixed", "green"),
}
_OUTCOME_STYLE = ("green", "bold red", "bold magenta")
"""By exit code."""


def render(run: CheckRun, page: Page) -> str:
    """The whole run as text; ANSI styles only where the page has color."""
    return to_text(_lines(run, page), page)


def _lines(run: CheckRun, page: Page) -> Iterator[Text]:
    for file in run.files:
        yield from _file(file, run, page)
        yield Text()
    if len(run.files) > 1:
        yield from terminal.lines(_summary(run), page.width)
        yield Text()
    assumed = dict.fromkeys(
        sentence for file in run.files if file.report for sentence in file.report.assumptions
    )
    hints = run.hints if page.width is None else ()  # a terminal has just been given them on stderr
    foot = [
        *titled("assumed", assumed, page),
        *titled("hints", hints, page),
        *titled("judged", [ground_rules(run)], page),
    ]
    yield from foot[1:]  # a blank line stands above already
    yield Text()
    style = _OUTCOME_STYLE[run.exit_code]
    yield from hanging(
        Text(), Text(f"{outcome(run)} (exit code {run.exit_code})", style=style), page
    )


def _file(file: CheckedFile, run: CheckRun, page: Page) -> Iterator[Text]:
    word = verdict_word(file)
    style = "bold magenta" if file.verdict is None else VERDICT_STYLE[file.verdict]
    label = Text(f"{word}  ", style=style)
    indent = Text(" " * len(label.plain))
    name = printable(file.path)
    if page.width is not None and len(run.files) == 1:
        name = name.rstrip("/").rpartition("/")[2]
    yield from hanging(label, Text(name, style="bold"), page)
    yield from hanging(indent, Text(file_sentence(file)), page)
    if file.report is not None and file.report.layers:
        kind = " | ".join((*model_line(file.report), length_note(file.report)))
        yield from hanging(indent, Text(kind), page)
    labels, pattern = _labels(file, page)
    rows = groups(file)
    if rows:
        yield Text()
    for group in rows:
        yield from _group(group, labels, bool(run.baselines), page)
    if pattern and rows:
        yield Text(f"layers are {pattern.replace('{}', '<layer>')}", style="dim")
    if file.report is not None:
        yield from skipped_lines(file.report.skipped, page)


def _labels(file: CheckedFile, page: Page) -> tuple[dict[str, str], str]:
    """Layer name -> how it is shown, and the pattern that shortened names were cut from."""
    names = [layer.name for layer in file.report.layers] if file.report else []
    if page.width is None:
        return {name: printable(name) for name in names}, ""
    labels, pattern = short_names(names)
    return dict(zip(names, labels, strict=True)), pattern


def _group(group: Group, labels: dict[str, str], compared: bool, page: Page) -> Iterator[Text]:
    label = Text(
        f"{group.code} {LEVEL_WORD[group.level]}".ljust(16), style=LEVEL_STYLE[group.level]
    )
    if compared:
        word, style = _STATUS[group.status]
        label.append(f"{word:<11}", style=style)
    text = f"{group.where(labelled(labels), len(labels), page)}: {group.message}"
    yield from hanging(label, Text(text), page)
    if not page.verbose or len({finding.message for finding in group.findings}) == 1:
        return
    for finding in group.findings:
        name = Text(f"{' ' * 4}{labelled(labels)(finding.layer)}: ")
        yield from hanging(name, Text(without_advice(finding)), page)


def _summary(run: CheckRun) -> list[Column]:
    """One line a checkpoint, worst first."""
    files = worst_first(run.files)
    columns = [Column("verdict", [verdict_word(file) for file in files], right=False, style="bold")]
    for level in Level:
        cells = [_tally(file, [j.finding for j in file.findings], level) for file in files]
        columns.append(Column(f"{LEVEL_WORD[level]}s", cells, rank=1))
    if run.baselines:
        for status in (Status.NEW, Status.UNCHANGED):
            found = [Counter(judged.status for judged in file.findings) for file in files]
            cells = [_known(file, c[status]) for file, c in zip(files, found, strict=True)]
            columns.append(Column(status.value, cells, rank=2))
        columns.append(Column("fixed", [_known(file, len(file.fixed)) for file in files], rank=2))
    columns.append(Column("layers", [_layers(file) for file in files], rank=3))
    columns.append(Column("checkpoint", [printable(file.path) for file in files], right=False))
    return columns


def _layers(file: CheckedFile) -> str:
    return "-" if file.report is None else str(len(file.report.layers))


def _tally(file: CheckedFile, findings: Sequence[Finding], level: Level) -> str:
    return _known(file, sum(finding.level is level for finding in findings))


def _known(file: CheckedFile, number: int) -> str:
    return "-" if file.verdict is None else str(number)


WRITER: Writer[CheckRun] = Writer(
    "text", "for a person: plain in a pipe, styled in a terminal", render
)
