"""The first look against the last, for a person: one line a layer, then when findings appeared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.text import Text

from ssmspec.live.look import MOVED, MOVED_SHARE, Look
from ssmspec.naming import printable
from ssmspec.outcome import Finding
from ssmspec.writers.base import Page
from ssmspec.writers.parts import terminal
from ssmspec.writers.parts.finding_groups import LEVEL_WORD, by_rule, labelled, where, worst
from ssmspec.writers.parts.numbers import NOT_APPLICABLE, fixed, percent, samples, significant
from ssmspec.writers.parts.terminal import Column, hanging, short_names, to_text

Shown = Callable[[float | None], str]

_CHANGES: tuple[tuple[str, str, Shown, int], ...] = (
    ("cover", "coverage", fixed, 1),
    ("aliased", "aliased_fraction", percent, 2),
    ("entangled", "entanglement", fixed, 3),
    ("tau", "time_constant_median", samples, 1),
)
"""Header, metric, how it is shown, and rank: what does not fit a narrow page is left out last
first."""


def summarize(
    looks: Sequence[Look], events: Sequence[tuple[int, Finding]], width: int | None
) -> str:
    """The summary as text without styles, ending in a newline.

    Args:
        looks: at least one.
        events: step and finding, where a rule began to fire on a layer.
        width: columns; None for whole names and no wrapping.
    """
    return to_text(_lines(looks, events, Page(width=width)), Page(width=width))


def _lines(
    looks: Sequence[Look], events: Sequence[tuple[int, Finding]], page: Page
) -> Iterator[Text]:
    first, last = looks[0], looks[-1]
    labels, pattern = [printable(layer.name) for layer in last.layers], ""
    if page.width is not None:
        labels, pattern = short_names(labels)
    if len(looks) == 1:
        yield Text(f"spectrum at step {last.step:,} (one look)")
    else:
        yield Text(f"spectrum, step {first.step:,} -> {last.step:,} ({len(looks):,} looks)")
    yield Text()
    yield from terminal.lines(_columns(first, last, labels), page.width)
    if pattern:
        yield Text(f"layers are {pattern.replace('{}', '<layer>')}")
    moved = [layer.number(MOVED) for layer in last.layers]
    if any(value is not None for value in moved):
        yield from hanging(
            Text(),
            Text(
                "moved: rms distance of the poles from the first look, in half-widths of the "
                "resonance as it was; > 1: share of poles beyond one; tau: median time constant "
                "in samples"
            ),
            page,
        )
    names = dict(zip((layer.name for layer in last.layers), labels, strict=True))
    yield from _events(events, names, page)


def _columns(first: Look, last: Look, labels: list[str]) -> list[Column]:
    columns = [
        Column("layer", labels, right=False),
        Column("moved", [_width(layer.number(MOVED)) for layer in last.layers]),
        Column("> 1", [percent(layer.number(MOVED_SHARE)) for layer in last.layers]),
    ]
    for header, metric, shown, rank in _CHANGES:
        cells = []
        for was, now in zip(first.layers, last.layers, strict=True):
            before, after = was.number(metric), now.number(metric)
            if before is None and after is None:
                cells.append(NOT_APPLICABLE)
            elif first is last:
                cells.append(shown(after))
            else:
                cells.append(f"{shown(before)} -> {shown(after)}")
        columns.append(Column(header, cells, rank=rank))
    return columns


def _width(value: float | None) -> str:
    return significant(value, 3) if value is None or value >= 100 else fixed(value)


def _events(
    events: Sequence[tuple[int, Finding]], labels: Mapping[str, str], page: Page
) -> Iterator[Text]:
    """One entry for each rule and step, with the message of the worst layer."""
    by_step: dict[int, list[Finding]] = {}
    for step, finding in events:
        by_step.setdefault(step, []).append(finding)
    if by_step:
        yield Text()
    for step, findings in by_step.items():
        for group in by_rule(findings):
            label = f"{group[0].code} {LEVEL_WORD[group[0].level]}"
            place = where(group, labelled(labels), len(labels), page)
            body = Text(f"from step {step:,}, {place}: {worst(group).message}")
            yield from hanging(Text(f"{label:<16}"), body, page)
