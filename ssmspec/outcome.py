"""What is said of a measurement: a value, not applicable, a finding; the words of every stage.

A metric's outcome is a `Measured` value with a unit or `NotApplicable` with the reason, never 0.0
for "could not be measured" and never NaN or infinity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from ssmspec.errors import SsmspecError

if TYPE_CHECKING:
    pass


class Direction(StrEnum):
    """Which way a metric is healthier."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class Level(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Level).index(self)


class Verdict(StrEnum):
    """What the findings come to."""

    PASS = "pass"  # noqa: S105
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Measured:
    """A finite number, or a name such as an initialization scheme's, with its unit."""

    value: float | str
    unit: str

    def __post_init__(self) -> None:
        if isinstance(self.value, float) and not math.isfinite(self.value):
            raise SsmspecError(f"internal error: a measured value of {self.value} reached a report")

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {"value": self.value, "unit": self.unit}


@dataclass(frozen=True)
class NotApplicable:
    """Why there is no number."""

    reason: str

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {"not_applicable": self.reason}


@dataclass(frozen=True)
class NotFinite(NotApplicable):
    """A metric came out as NaN: never a pass, but an error finding (STB002)."""


Outcome: TypeAlias = Measured | NotApplicable


def subtract(minuend: Outcome, subtrahend: Outcome) -> float | None:
    """The difference of two numbers in one unit; None where there is no such number."""
    if not (isinstance(minuend, Measured) and isinstance(subtrahend, Measured)):
        return None
    x, y = minuend.value, subtrahend.value
    if isinstance(x, str) or isinstance(y, str) or minuend.unit != subtrahend.unit:
        return None
    difference = x - y
    return difference if math.isfinite(difference) else None


def shared_unit(*outcomes: Outcome) -> str | None:
    """The unit of the outcomes that have one; None where they differ or none has."""
    units = {outcome.unit for outcome in outcomes if isinstance(outcome, Measured)}
    return units.pop() if len(units) == 1 else None


@dataclass(frozen=True)
class Finding:
    """One rule that fired on one layer. A value that is not finite is reported as null."""

    code: str
    level: Level
    layer: str
    message: str
    value: float | None
    threshold: float | None

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "code": self.code,
            "level": self.level.value,
            "layer": self.layer,
            "message": self.message,
            "value": _finite_or_none(self.value),
            "threshold": _finite_or_none(self.threshold),
        }


@dataclass(frozen=True)
class Skipped:
    """Something that looked like a state-space layer and was not measured.

    Attributes:
        name: the layer's.
        reason: one clause.
        lost: tensors that its siblings have and it has not, by their names below the layer.
    """

    name: str
    reason: str
    lost: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {"name": self.name, "reason": self.reason}


def _finite_or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
