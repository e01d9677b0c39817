"""What a sweep of one knob over a model found, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ssmspec.outcome import NotApplicable, Outcome
from ssmspec.results.base import OfOneModel


class Knob(StrEnum):
    """What is scaled. `DT`: every step size. `XI`: every decay, at fixed angles."""

    DT = "dt"
    XI = "xi"


@dataclass(frozen=True)
class SweepPoint:
    """One layer, or the model, at one setting of the knob.

    Attributes:
        factor: what the knob was multiplied with; 1 is the file as it is.
        metrics: outcome by metric id.
        power: share of the poles' power in equal bins of [0, Nyquist]; empty for real poles.
    """

    factor: float
    metrics: Mapping[str, Outcome]
    power: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "factor": self.factor,
            "metrics": {key: outcome.to_dict() for key, outcome in self.metrics.items()},
        }


@dataclass(frozen=True)
class SweptLayer:
    """One layer at every setting, or why it has no such knob."""

    name: str
    family: str
    channels: int
    modes: int
    points: tuple[SweepPoint, ...] | NotApplicable

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        place = {
            "name": self.name,
            "family": self.family,
            "channels": self.channels,
            "modes": self.modes,
        }
        if isinstance(self.points, NotApplicable):
            return {**place, **self.points.to_dict()}
        return {**place, "points": [point.to_dict() for point in self.points]}


@dataclass(frozen=True, kw_only=True)
class Sweep(OfOneModel):
    """A model at every setting of one knob.

    Attributes:
        knob: what was scaled.
        factors: by how much, ascending.
        layers: in natural order of their names.
        model: all layers that have the knob, together, by factor; empty where none has it.
    """

    knob: Knob
    factors: tuple[float, ...]
    layers: tuple[SweptLayer, ...]
    model: tuple[SweepPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON report, free of infinities and NaN."""
        return {
            **self.head(),
            "sweep": {"knob": self.knob.value, "factors": list(self.factors)},
            "layers": [layer.to_dict() for layer in self.layers],
            "model": {"points": [point.to_dict() for point in self.model]},
        }
