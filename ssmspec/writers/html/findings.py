"""Findings as a page shows them: grouped by rule, worst first, with the layers they fired on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ssmspec.outcome import Finding, Level
from ssmspec.results.check import WHOLE_MODEL, CheckedFile, Status
from ssmspec.rules import RULES
from ssmspec.writers.parts.finding_groups import LEVEL_WORD, by_rule, worst
from ssmspec.writers.parts.numbers import significant
from ssmspec.writers.parts.verdicts import Group, groups, title

PLACES_SHOWN = 200
"""Layers named under one rule; further ones are counted. A page stays readable, and small."""
PLACES_OPEN = 24
"""Layers named without opening a list."""


@dataclass(frozen=True)
class Place:
    """One layer that a rule fired on.

    Attributes:
        layer: its name, as in the file.
        label: how it is shown.
        value: the number that was judged; "" where there is none.
    """

    layer: str
    label: str
    value: str


@dataclass(frozen=True)
class FindingGroup:
    """What one rule found, at one level and with one status.

    Attributes:
        code: the rule.
        level: as judged.
        status: `new`, `unchanged` or `fixed` against a baseline; "" without one.
        title: what it means, a few words; "" for a rule that is not installed.
        where: `all 4 layers`, `layer 3`, ...
        message: what, how much against which threshold, in the worst of the layers.
        most_in: the layer the message is about, where the layers differ; else "".
        advice: what to do about it; "" where the message says it.
        why: why it matters; "" for a rule that is not installed.
        source: where the rule comes from.
        fails: the group fails the gate.
        places: layers, with their numbers.
        more: how many further layers are not named.
    """

    code: str
    level: Level
    status: str
    title: str
    where: str
    message: str
    most_in: str
    advice: str
    why: str
    source: str
    fails: bool
    places: tuple[Place, ...]
    more: int

    @property
    def word(self) -> str:
        """The level, in the report's own word."""
        return LEVEL_WORD[self.level]


def analyzed_groups(
    findings: Iterable[Finding], labels: Mapping[str, str]
) -> tuple[FindingGroup, ...]:
    """Findings of an analysis by rule, in the order of the report: the worst level first.

    Args:
        findings: of the report.
        labels: layer -> how it is shown, for every measured layer.
    """
    return tuple(_group(Group(tuple(group), None), labels, None) for group in by_rule(findings))


def checked_groups(file: CheckedFile, labels: Mapping[str, str]) -> tuple[FindingGroup, ...]:
    """Findings of a checkpoint that went through the gate: what is new before what is not."""
    return tuple(_group(group, labels, file.fail_on) for group in groups(file))


def _group(group: Group, labels: Mapping[str, str], fail_on: Level | None) -> FindingGroup:
    findings, most = group.findings, worst(group.findings)
    rule = RULES.get(group.code)
    alike = all(finding.message == most.message for finding in findings)
    message, advice = _parted(most.message, rule.advice if rule else "")
    shown = findings[:PLACES_SHOWN]
    return FindingGroup(
        code=group.code,
        level=group.level,
        status="" if group.status is None else group.status.value,
        title=title(group.code),
        where=_where(findings, labels),
        message=message,
        most_in="" if alike or len(findings) == 1 else labels.get(most.layer, most.layer),
        advice=advice,
        why=rule.why if rule else "",
        source=rule.source if rule else "",
        fails=fail_on is not None
        and group.level.rank <= fail_on.rank
        and group.status not in (Status.UNCHANGED, Status.FIXED),
        places=tuple(Place(f.layer, labels.get(f.layer, f.layer), _value(f.value)) for f in shown),
        more=len(findings) - len(shown),
    )


def _parted(message: str, advice: str) -> tuple[str, str]:
    """A message without its rule's advice, and the advice; the whole where it has another end."""
    if advice and message.endswith(advice) and message != advice:
        return message.removesuffix(advice).rstrip().removesuffix("."), advice
    return message, ""


def _where(findings: Sequence[Finding], labels: Mapping[str, str]) -> str:
    layers = {finding.layer for finding in findings}
    if layers == {WHOLE_MODEL}:
        return "the model as a whole"
    if len(layers) == 1:
        (name,) = layers
        if name not in labels:
            return name
        return "the layer" if len(labels) == 1 else f"layer {labels[name]}"
    if layers == set(labels):
        return "both layers" if len(layers) == 2 else f"all {len(layers)} layers"
    return f"{len(layers)} of {len(labels)} layers"


def _value(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else significant(value, 3)
