"""Findings of one rule brought together: which layers, and the one that stands for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ssmspec.naming import printable
from ssmspec.outcome import Finding, Level, Verdict
from ssmspec.writers.base import Page
from ssmspec.writers.parts.terminal import NAMES_SHOWN

LEVEL_WORD = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}
LEVEL_STYLE = {Level.ERROR: "bold red", Level.WARNING: "yellow", Level.INFO: "cyan"}
VERDICT_STYLE = {Verdict.PASS: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def by_rule(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings of one code and one level together, in the order in which the first of each comes.

    A rule that says several things of one layer (two metrics got worse) makes a group of each: of
    messages that begin with the same word.
    """
    groups: dict[tuple[str, Level], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.code, finding.level), []).append(finding)
    return [part for group in groups.values() for part in _parted(group)]


def worst(group: Sequence[Finding]) -> Finding:
    """The finding farthest beyond its threshold; its message stands for all."""
    return max(group, key=excess)


def excess(finding: Finding) -> float:
    """How far the judged number is from its threshold; 0 where one of them is not known."""
    if finding.value is None or finding.threshold is None:
        return 0.0
    return abs(finding.value - finding.threshold)


def where(group: Sequence[Finding], label: Callable[[str], str], layers: int, page: Page) -> str:
    """The layers a rule fired on, and the one its message is about where they differ.

    Args:
        group: findings of one rule.
        label: how a layer's name is shown.
        layers: how many were measured.
        page: a terminal is given counts in place of long lists of names.
    """
    names = [label(finding.layer) for finding in group]
    most = worst(group)
    if len(group) == 1:
        return names[0] if layers == 1 else f"layer {names[0]}"
    if len(group) == layers:
        place = f"{'both' if layers == 2 else f'all {layers}'} layers"
    else:
        place = f"{len(group)} of {layers} layers"
        if page.width is None or page.verbose or len(names) <= NAMES_SHOWN:
            place += f" ({', '.join(names)})"
    alike = all(finding.message == most.message for finding in group)
    return place if alike else f"{place}, most in {names[group.index(most)]}"


def labelled(labels: Mapping[str, str]) -> Callable[[str], str]:
    """Shows a name as `labels` has it; one that is not there, as it is."""
    return lambda name: labels.get(name, printable(name))


def _parted(group: list[Finding]) -> Iterable[list[Finding]]:
    if len({finding.layer for finding in group}) == len(group):
        return (group,)
    parts: dict[str, list[Finding]] = {}
    for finding in group:
        parts.setdefault(finding.message.partition(" ")[0], []).append(finding)
    return parts.values()
