"""The sentences of a check: what a file's findings come to, and what the exit code means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ssmspec.naming import printable
from ssmspec.outcome import Finding, Level, Verdict
from ssmspec.results.check import (
    COULD_NOT_JUDGE,
    GATE_FAILED,
    WHOLE_MODEL,
    CheckedFile,
    CheckRun,
    Status,
)
from ssmspec.rules import RULES
from ssmspec.writers.base import Page
from ssmspec.writers.parts.finding_groups import LEVEL_WORD, by_rule, where, worst
from ssmspec.writers.parts.numbers import count

NOT_JUDGED = "not judged"
"""Stands where a verdict would."""

_FAILS = {
    Level.ERROR: "fails on errors",
    Level.WARNING: "fails on errors and warnings",
    Level.INFO: "fails on every finding",
}


@dataclass(frozen=True)
class Group:
    """Findings of one rule in one checkpoint that stand alike against the baseline.

    Attributes:
        findings: of one code and one level.
        status: against the baseline; None without one.
    """

    findings: tuple[Finding, ...]
    status: Status | None

    @property
    def code(self) -> str:
        """The rule."""
        return self.findings[0].code

    @property
    def level(self) -> Level:
        """As judged."""
        return self.findings[0].level

    @property
    def message(self) -> str:
        """Of the worst, which stands for all; as it may be shown."""
        message = printable(worst(self.findings).message)
        if self.status is Status.FIXED:
            return f"no longer found; the baseline said: {message}"
        return message

    def where(self, label: Callable[[str], str], layers: int, page: Page) -> str:
        """The layers of so many, or that it is about the model as a whole."""
        if all(finding.layer == WHOLE_MODEL for finding in self.findings):
            return "whole model"
        return where(self.findings, label, layers, page)


def groups(file: CheckedFile) -> list[Group]:
    """Findings by rule: those that fail the gate first, then by level; unchanged and fixed last."""
    found: list[Group] = []
    for status in (Status.NEW, None, Status.UNCHANGED):
        alike = [judged.finding for judged in file.findings if judged.status is status]
        found += _parts(alike, status)
    return [*found, *_parts(file.fixed, Status.FIXED)]


def _parts(findings: Iterable[Finding], status: Status | None) -> Iterator[Group]:
    """Groups of one status, worst level first; what is said of the whole model by itself."""
    ranked = sorted(findings, key=lambda finding: finding.level.rank)
    for group in by_rule(ranked):
        for whole in (True, False):
            part = tuple(f for f in group if (f.layer == WHOLE_MODEL) is whole)
            if part:
                yield Group(part, status)


def title(code: str) -> str:
    """What a rule means in a few words; "" for a rule that is not installed here."""
    rule = RULES.get(code)
    return "" if rule is None else rule.title


def without_advice(finding: Finding) -> str:
    """A finding's message without what its rule advises, which is the same on every layer."""
    rule = RULES.get(finding.code)
    message = finding.message if rule is None else finding.message.removesuffix(rule.advice)
    return printable(message.rstrip())


def counted(findings: Iterable[Finding]) -> str:
    """`1 error, 2 notes`; "" for none."""
    levels = Counter(finding.level for finding in findings)
    return ", ".join(count(levels[level], LEVEL_WORD[level]) for level in Level if levels[level])


def verdict_word(file: CheckedFile) -> str:
    """`pass`, `warn`, `fail`, or that it could not be judged."""
    return NOT_JUDGED if file.verdict is None else file.verdict.value


def worst_first(files: Iterable[CheckedFile]) -> list[CheckedFile]:
    """Files that could not be judged, then those that fail the gate, then by verdict."""
    order = [None, Verdict.FAIL, Verdict.WARN, Verdict.PASS]
    return sorted(files, key=lambda file: (-file.exit_code, order.index(file.verdict)))


def file_sentence(file: CheckedFile) -> str:
    """Why a file could not be judged, or its findings and what they mean for the gate."""
    if file.error is not None:
        reason = printable(file.error).removeprefix(f"{printable(file.path)}: ")
        return f"could not be judged: {reason}"
    return _findings_sentence((file,))


def outcome(run: CheckRun) -> str:
    """What the exit code means: `gate failed: 1 error in 1 of 3 checkpoints; 2 notes besides`."""
    judged = [file for file in run.files if file.error is None]
    failed = [file for file in judged if file.failing]
    clauses = []
    if len(judged) < len(run.files) or not run.files:
        clauses.append(f"could not judge {_of(len(run.files) - len(judged), run)}")
    if failed:
        reason = counted(finding for file in failed for finding in file.failing)
        place = f" in {_of(len(failed), run)}" if len(run.files) > 1 else ""
        clauses.append(f"gate failed: {reason}{place}")
        if run.exit_code not in (COULD_NOT_JUDGE, GATE_FAILED):
            clauses.append("--exit-zero hides it")
    elif judged:
        clauses.append("passed" if len(judged) == len(run.files) else "the others passed")
    rest = _besides(judged, "besides" if failed else "")
    return "; ".join(clause for clause in (*clauses, rest) if clause)


def ground_rules(run: CheckRun) -> str:
    """What was judged by which rules against what."""
    parts = [f"preset {printable(run.preset)}", _FAILS[run.fail_on]]
    for word, codes in (("selected", run.select), ("ignored", run.ignore)):
        if codes:
            parts.append(f"{word} {', '.join(map(printable, codes))}")
    if run.config is not None:
        parts.append(f"settings of {printable(run.config)}")
    if run.baselines:
        parts.append(f"compared with {', '.join(map(printable, run.baselines))}")
    return "; ".join(parts)


def _findings_sentence(files: Iterable[CheckedFile]) -> str:
    several = tuple(files)
    failing = counted(finding for file in several for finding in file.failing)
    rest = _besides(several, "besides" if failing else "")
    head = f"fails the gate: {failing}" if failing else ""
    return "; ".join(clause for clause in (head, rest) if clause) or "nothing found"


def _besides(files: Iterable[CheckedFile], word: str) -> str:
    """What was found and does not fail the gate, what is unchanged and what is fixed."""
    tolerated: list[Finding] = []
    unchanged: list[Finding] = []
    fixed = 0
    for file in files:
        failing = {id(finding) for finding in file.failing}
        for judged in file.findings:
            if judged.status is Status.UNCHANGED:
                unchanged.append(judged.finding)
            elif id(judged.finding) not in failing:
                tolerated.append(judged.finding)
        fixed += len(file.fixed)
    parts = []
    if tolerated:
        parts.append(f"{counted(tolerated)} {word}".rstrip())
    if unchanged:
        parts.append(f"{counted(unchanged)} unchanged")
    if fixed:
        parts.append(f"{fixed} fixed")
    return "; ".join(parts)


def _of(number: int, run: CheckRun) -> str:
    if len(run.files) == 1:
        return "the checkpoint"
    return f"{number} of {len(run.files)} checkpoints"
