"""A check as Markdown for a pull request's comment and a step's summary: short, worst first.

A comment on GitHub holds 65,536 characters and a model may have thousands of layers, so names, rows
and the whole page are capped, and a line says how many more there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ssmspec.outcome import Level, Skipped
from ssmspec.results.check import CheckedFile, CheckRun, JudgedFinding, Status
from ssmspec.results.report import LayerReport, Report
from ssmspec.writers.base import Page, Writer
from ssmspec.writers.parts.blocks import Block, fitted
from ssmspec.writers.parts.finding_groups import LEVEL_WORD, excess
from ssmspec.writers.parts.markdown import bullets, clipped, code, details, prose, table
from ssmspec.writers.parts.numbers import count
from ssmspec.writers.parts.verdicts import (
    Group,
    file_sentence,
    ground_rules,
    groups,
    outcome,
    verdict_word,
    worst_first,
)
from ssmspec.writers.report.markdown import headline_table, skipped_items
from ssmspec.writers.report.words import length_note, model_line

ROOM = 60_000
"""Bytes of a page, so that it fits a comment of 65,536 characters with some words around it."""
FILES_SHOWN = 50
LAYERS_SHOWN = 20
LIST_SHOWN = 20
"""Rows of a table of checkpoints, of layers, and items of a list of what was skipped or assumed."""
NAME_LENGTH = 80
SENTENCE_LENGTH = 700
"""Characters of a name and of a sentence."""

_REMAINDER = "**Left out for length:** {}. `--format json` has everything.\n"
_NARROW = Page(width=80)
"""What has long lists of names counted."""


def render(run: CheckRun, page: Page) -> str:
    """The run as one page that fits a comment."""
    del page
    return cut(run, ROOM)


def cut(run: CheckRun, room: int) -> str:
    """The run as one page of at most `room` bytes; "" where not even its first line fits."""
    return fitted(list(_blocks(run)), room, _REMAINDER)


def _blocks(run: CheckRun) -> Iterator[Block]:
    head = f"## ssmspec check\n\n**{_sentence(outcome(run))}.**\n"
    yield Block(head, 0, "heading")
    files = worst_first(run.files)
    if len(files) > 1:
        yield Block(_overview(files, bool(run.baselines)), 1, "table")
    for file in files:
        yield from _file(file, single=len(files) == 1)
    yield Block(_ground(run), 4, "list of what was judged and how")


def _sentence(text: str) -> str:
    text = clipped(text, SENTENCE_LENGTH).rstrip(".")
    return prose(text[:1].upper() + text[1:])


def _name(name: str) -> str:
    return code(clipped(name, NAME_LENGTH))


def _overview(files: Sequence[CheckedFile], compared: bool) -> str:
    header = ["checkpoint", "verdict", *(f"{LEVEL_WORD[level]}s" for level in Level)]
    statuses = (Status.NEW, Status.UNCHANGED, Status.FIXED) if compared else ()
    header += [status.value for status in statuses]
    rows = []
    for file in files[:FILES_SHOWN]:
        levels = Counter(judged.finding.level for judged in file.findings)
        standing = Counter(judged.status for judged in file.findings)
        standing[Status.FIXED] = len(file.fixed)
        numbers = [levels[level] for level in Level] + [standing[status] for status in statuses]
        known = file.verdict is not None
        rows.append(
            [
                _name(file.path),
                f"**{verdict_word(file)}**",
                *(str(number) if known else "-" for number in numbers),
            ]
        )
    return table(header, rows, 2) + _more(len(files) - FILES_SHOWN, "checkpoint")


def _more(number: int, noun: str = "") -> str:
    """A line of its own; nothing where nothing is missing."""
    if number <= 0:
        return ""
    return f"\nand {count(number, f'more {noun}') if noun else f'{number} more'}\n"


def _file(file: CheckedFile, *, single: bool) -> Iterator[Block]:
    kind = _kind(file.report)
    head = f"### {_name(file.path)}: {verdict_word(file)}\n\n"
    yield Block(f"{head}{kind}{_sentence(file_sentence(file))}.\n", 2, "checkpoint")
    layers = file.report.layers if file.report else ()
    for i, group in enumerate(groups(file)):
        yield Block(_item(group, len(layers)), 2, "finding", tight=i > 0)
    if layers:
        yield Block(_layers(file, layers, opened=single), 3, "table of layers")
    if file.report is not None:
        yield Block(_notes(file.report), 4, "list of what was assumed and skipped")


def _kind(report: Report | None) -> str:
    if report is None or not report.layers:
        return ""
    return prose(" · ".join([*model_line(report), length_note(report)])) + "\n\n"


def _item(group: Group, layers: int) -> str:
    status = "" if group.status is None else f", {group.status.value}"
    message = prose(clipped(group.message, SENTENCE_LENGTH))
    place = group.where(_name, layers, _NARROW)
    return f"- **{group.code}** ({LEVEL_WORD[group.level]}{status}) {place}: {message}\n"


def _layers(file: CheckedFile, layers: Sequence[LayerReport], *, opened: bool) -> str:
    by_layer: dict[str, list[JudgedFinding]] = {}
    for judged in file.findings:
        by_layer.setdefault(judged.finding.layer, []).append(judged)
    ranked = sorted(layers, key=lambda layer: _badness(by_layer.get(layer.name, [])))
    codes = {
        layer.name: ", ".join(dict.fromkeys(j.finding.code for j in by_layer.get(layer.name, [])))
        for layer in ranked[:LAYERS_SHOWN]
    }
    rows = headline_table(ranked[:LAYERS_SHOWN], codes, _name)
    more = _more(len(layers) - LAYERS_SHOWN, "layer")
    return details("Layers, worst first", rows + more, opened=opened)


def _badness(found: Sequence[JudgedFinding]) -> tuple[int, int, float]:
    """Sort key of a layer: its worst finding, how many there are, how far the worst one is off.

    What the baseline already holds comes after everything that it does not.
    """
    if not found:
        return 2 * len(Level), 0, 0.0
    ranks = [j.finding.level.rank + len(Level) * (j.status is Status.UNCHANGED) for j in found]
    first = min(ranks)
    farthest = max(excess(j.finding) for j, rank in zip(found, ranks, strict=True) if rank == first)
    return first, -len(found), -farthest


def _notes(report: Report) -> str:
    return details(
        "What was assumed and what was skipped",
        _capped("Assumed", [_sentence(text) for text in report.assumptions]),
        _capped("Skipped", list(skipped_items(map(_short, report.skipped)))),
    )


def _short(entry: Skipped) -> Skipped:
    return Skipped(clipped(entry.name, NAME_LENGTH), clipped(entry.reason, SENTENCE_LENGTH))


def _capped(title: str, items: Sequence[str]) -> str:
    return bullets(title, items[:LIST_SHOWN]) + _more(len(items) - LIST_SHOWN)


def _ground(run: CheckRun) -> str:
    hints = "".join(f"- {_sentence(hint)}\n" for hint in run.hints)
    return f"{hints}\n{_sentence(ground_rules(run))}.\n".lstrip()


WRITER: Writer[CheckRun] = Writer(
    "markdown", "for a pull request's comment or a step's summary, worst first and capped", render
)
