"""What a run's checkpoints say one after another, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ssmspec.outcome import Finding, Level
from ssmspec.results.base import SCHEMA_VERSION, TOOL
from ssmspec.results.report import Report


@dataclass(frozen=True)
class TrackedStep:
    """One checkpoint of the run, measured.

    Attributes:
        step: what its name counts, in the run's `counted`.
        path: as it was given or found.
        report: what `ssmspec.analyze` says of it.
        kept: its numbers were measured by an earlier call and are from the cache.
    """

    step: int
    path: str
    report: Report
    kept: bool = field(default=False, compare=False)

    @property
    def worst(self) -> tuple[Finding, int] | None:
        """The worst finding, and in how many layers its rule fires; None where none does."""
        if not self.report.findings:
            return None
        first = self.report.findings[0]
        return first, len(_layers_of(first.code, self.report))

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {"path": self.path, "step": self.step, "report": self.report.to_dict()}


@dataclass(frozen=True)
class FirstFiring:
    """Where in a run a rule fires for the first time.

    Attributes:
        finding: of the first layer in which it fires there.
        step: the first of the measured steps at which it fires.
        after: the measured step before it, at which it does not; None where the run starts so.
        layers: all in which it fires there, in natural order.
        last: the last of the measured steps at which it fires.
        lasts: it fires at `last` because that is where the run ends.
    """

    finding: Finding
    step: int
    after: int | None
    layers: tuple[str, ...]
    last: int
    lasts: bool

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "code": self.finding.code,
            "level": self.finding.level.value,
            "step": self.step,
            "after": self.after,
            "layers": list(self.layers),
            "message": self.finding.message,
            "last": self.last,
        }


@dataclass(frozen=True)
class Track:
    """A run, checkpoint by checkpoint.

    Attributes:
        run: what was given, as it was given.
        counted: what the names of the checkpoints count: `step`, `checkpoint`, `epoch` or `number`.
        steps: two or more, ascending.
        notes: sentences about what was passed over or could not be kept.
    """

    run: tuple[str, ...]
    counted: str
    steps: tuple[TrackedStep, ...]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> tuple[FirstFiring, ...]:
        """The first step at which each rule fires: errors first, and the earliest of those."""
        firings = [self._first(code) for code in self._codes()]
        return tuple(sorted(firings, key=lambda f: (f.finding.level.rank, f.step, f.finding.code)))

    def _codes(self) -> dict[str, None]:
        return {f.code: None for step in self.steps for f in step.report.findings}

    def _first(self, code: str) -> FirstFiring:
        places = [i for i, step in enumerate(self.steps) if _layers_of(code, step.report)]
        begin = self.steps[places[0]]
        fired = [finding for finding in begin.report.findings if finding.code == code]
        layers = _layers_of(code, begin.report)
        return FirstFiring(
            finding=next(finding for finding in fired if finding.layer == layers[0]),
            step=begin.step,
            after=self.steps[places[0] - 1].step if places[0] else None,
            layers=layers,
            last=self.steps[places[-1]].step,
            lasts=places[-1] == len(self.steps) - 1,
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON report, free of infinities and NaN; `ssmspec check --baseline` reads it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "tool": TOOL,
            "track": {"run": list(self.run), "counted": self.counted, "notes": list(self.notes)},
            "first": [firing.to_dict() for firing in self.first],
            "checkpoints": [step.to_dict() for step in self.steps],
        }


def _layers_of(code: str, report: Report) -> tuple[str, ...]:
    """The layers in which a rule fires, in the order of the report's layers."""
    places = {layer.name: place for place, layer in enumerate(report.layers)}
    names = {finding.layer for finding in report.findings if finding.code == code}
    return tuple(sorted(names, key=lambda name: (places.get(name, len(places)), name)))


def count_of(step: TrackedStep, level: Level) -> int:
    """How many findings of a level there are at a step."""
    return sum(finding.level is level for finding in step.report.findings)
