"""What a gate found over several checkpoints, as frozen values: what `check` writes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ssmspec._version import __version__
from ssmspec.outcome import Finding, Level, Verdict
from ssmspec.results.base import SCHEMA_VERSION
from ssmspec.results.report import Report

PASSED, GATE_FAILED, COULD_NOT_JUDGE = 0, 1, 2
"""Exit codes. Over several checkpoints the highest counts."""

WHOLE_MODEL = "(model)"
"""Stands for a layer's name in findings about the model as a whole (REG001)."""


class Status(StrEnum):
    """Where a finding stands against a baseline."""

    NEW = "new"
    UNCHANGED = "unchanged"
    FIXED = "fixed"


@dataclass(frozen=True)
class JudgedFinding:
    """A finding after selection, with its place against the baseline (None without one)."""

    finding: Finding
    status: Status | None = None

    def to_dict(self) -> dict[str, Any]:
        """The finding, and its status where there is a baseline."""
        status = {} if self.status is None else {"status": self.status.value}
        return {**self.finding.to_dict(), **status}


@dataclass(frozen=True)
class CheckedFile:
    """One checkpoint, judged.

    Attributes:
        path: as given.
        report: what was measured, with every finding of the preset; None where nothing could be.
        error: why the checkpoint could not be judged, one sentence; None where it was.
        findings: what is left of the report's findings after selection, and what got worse than
            the baseline allows; worst first.
        fixed: findings of the baseline that are gone, after selection.
        tested: codes of the rules that judged each layer, by its name, in table order; those that
            are switched off or not selected are absent. `WHOLE_MODEL` is among the names where
            the model as a whole was compared with a baseline.
        fail_on: the level from which a finding fails the gate.
        seconds: how long it took to open, measure and judge; None where nobody looked at a clock.
    """

    path: str
    report: Report | None
    error: str | None = None
    findings: tuple[JudgedFinding, ...] = ()
    fixed: tuple[Finding, ...] = ()
    tested: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fail_on: Level = Level.ERROR
    seconds: float | None = field(default=None, compare=False)

    @property
    def failing(self) -> tuple[Finding, ...]:
        """Findings at or above `fail_on` that the baseline does not already hold."""
        return tuple(
            judged.finding
            for judged in self.findings
            if judged.status is not Status.UNCHANGED
            and judged.finding.level.rank <= self.fail_on.rank
        )

    @property
    def exit_code(self) -> int:
        """2 where it could not be judged, 1 where a finding fails the gate, else 0."""
        if self.error is not None:
            return COULD_NOT_JUDGE
        return GATE_FAILED if self.failing else PASSED

    @property
    def verdict(self) -> Verdict | None:
        """`fail`, `warn` or `pass` of the findings shown; None where it could not be judged."""
        if self.error is not None:
            return None
        levels = {judged.finding.level for judged in self.findings}
        if Level.ERROR in levels:
            return Verdict.FAIL
        return Verdict.WARN if Level.WARNING in levels else Verdict.PASS

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report: the analysis, with findings as they were judged."""
        judged: dict[str, Any] = {"path": self.path, "exit_code": self.exit_code}
        if self.error is not None:
            judged["error"] = self.error
        if self.report is not None:
            judged["report"] = {
                **self.report.to_dict(),
                "findings": [finding.to_dict() for finding in self.findings],
                "verdict": None if self.verdict is None else self.verdict.value,
            }
        judged["fixed"] = [finding.to_dict() for finding in self.fixed]
        return judged


@dataclass(frozen=True)
class CheckRun:
    """One run of the gate.

    Attributes:
        files: checkpoints in the order given.
        preset: id of the rule preset.
        fail_on: the level from which a finding fails the gate.
        baselines: paths of the reports compared with, as given.
        config: path of the configuration that was used, or None.
        exit_zero: a failed gate still exits 0; what could not be judged does not.
        select: codes and prefixes that findings were narrowed down to; empty for all.
        ignore: codes and prefixes that were left out.
        hints: sentences on what a reader of the verdict should know: a baseline of another
            sequence length, an override that fits no layer.
    """

    files: tuple[CheckedFile, ...]
    preset: str
    fail_on: Level = Level.ERROR
    baselines: tuple[str, ...] = ()
    config: str | None = None
    exit_zero: bool = False
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """The highest of the files' codes; `exit_zero` hides only 1."""
        code = max((file.exit_code for file in self.files), default=COULD_NOT_JUDGE)
        return PASSED if code == GATE_FAILED and self.exit_zero else code

    def to_dict(self) -> dict[str, Any]:
        """The JSON report, free of infinities and NaN."""
        return {
            "schema_version": SCHEMA_VERSION,
            "tool": {"name": "ssmspec", "version": __version__},
            "check": {
                "preset": self.preset,
                "fail_on": self.fail_on.value,
                "select": list(self.select),
                "ignore": list(self.ignore),
                "baselines": list(self.baselines),
                "config": self.config,
                "exit_code": self.exit_code,
                "hints": list(self.hints),
            },
            "checkpoints": [file.to_dict() for file in self.files],
        }
