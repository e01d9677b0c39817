"""What a comparison of a model with an initialization scheme found, as frozen values.

Every difference is measured - reference. "Closer" and "further" say which way training moved a
number: whether the layer's value lies nearer to the reference's than the value that the same layer
had at its start. Neither word says better or worse.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ssmspec.outcome import Measured, NotApplicable, Outcome, shared_unit, subtract
from ssmspec.results.base import OfOneModel
from ssmspec.results.comparison import outcomes_to_dict
from ssmspec.results.report import LayerReport

MATERIAL = 0.01
"""Relative change of a distance below which training is not said to have moved a number. A
heuristic: smaller changes are there in every trained file and say nothing."""

ROUNDING = 1e-6
"""Distance, relative to the number itself, that counts as none: single precision rounds so."""


class Movement(StrEnum):
    """Which way training moved a number, as seen from the reference."""

    CLOSER = "closer"
    FURTHER = "further"
    AS_FAR = "about as far"


@dataclass(frozen=True)
class Contrast:
    """One metric of a measured layer and of the reference layer beside it.

    Attributes:
        value: of the measured layer.
        reference: of the layer that the scheme gives.
        start: of the initialization the measured layer is taken to have started from; None where
            none is known.
    """

    value: Outcome
    reference: Outcome
    start: Outcome | None = None

    @property
    def difference(self) -> float | None:
        """Measured - reference; None where one has no number or the units differ."""
        return subtract(self.value, self.reference)

    @property
    def unit(self) -> str | None:
        """The unit of both."""
        return shared_unit(self.value, self.reference)

    @property
    def movement(self) -> Movement | None:
        """Which way training moved it; None where a number or the start is not known."""
        if self.start is None or self.difference is None:
            return None
        before = subtract(self.start, self.reference)
        if before is None:
            return None
        distance, at_start = abs(self.difference), abs(before)
        rounding = 0.0
        if isinstance(self.value, Measured) and not isinstance(self.value.value, str):
            rounding = ROUNDING * abs(self.value.value)
        if math.isclose(distance, at_start, rel_tol=MATERIAL, abs_tol=rounding):
            return Movement.AS_FAR
        return Movement.CLOSER if distance < at_start else Movement.FURTHER

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        outcomes = {"value": self.value, "reference": self.reference}
        if self.start is not None:
            outcomes["start"] = self.start
        movement = self.movement
        return {
            **outcomes_to_dict(outcomes),
            "difference": self.difference,
            "unit": self.unit,
            "training_moved_it": movement.value if movement else None,
        }


@dataclass(frozen=True)
class Start:
    """The known initialization nearest to a layer.

    Attributes:
        scheme: its id.
        drift: rms distance of the poles to it, half-widths.
    """

    scheme: str
    drift: float

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {"scheme": self.scheme, "drift": self.drift}


@dataclass(frozen=True)
class LayerContrast:
    """One measured layer and the reference layer of its shape.

    Attributes:
        layer: as measured.
        reference: as the scheme gives it, or why it cannot be set beside this layer.
        start: where the layer is taken to have started; None where that is not known.
        metrics: by id, in table order; empty without a reference.
    """

    layer: LayerReport
    reference: LayerReport | NotApplicable
    start: Start | None
    metrics: Mapping[str, Contrast]

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        place = {
            "name": self.layer.name,
            "family": self.layer.family,
            "channels": self.layer.channels,
            "modes": self.layer.modes,
        }
        if isinstance(self.reference, NotApplicable):
            return {**place, **self.reference.to_dict()}
        return {
            **place,
            "reference": {"channels": self.reference.channels, "modes": self.reference.modes},
            "start": self.start.to_dict() if self.start else None,
            "metrics": {key: contrast.to_dict() for key, contrast in self.metrics.items()},
        }


@dataclass(frozen=True, kw_only=True)
class SchemeComparison(OfOneModel):
    """A model beside an initialization scheme.

    Attributes:
        scheme: the scheme's id.
        seed: of its random parts; layer i draws with (seed, i).
        layers: in natural order of their names.
        model: metric over all layers that have a reference, by id.
    """

    scheme: str
    seed: int
    layers: tuple[LayerContrast, ...]
    model: Mapping[str, Contrast]

    def movements(self, metric: str) -> Counter[Movement]:
        """In how many layers training moved a metric closer to the reference, further, neither."""
        contrasts = [layer.metrics[metric] for layer in self.layers if metric in layer.metrics]
        return Counter(movement for c in contrasts if (movement := c.movement) is not None)

    def to_dict(self) -> dict[str, Any]:
        """The JSON report, free of infinities and NaN."""
        return {
            **self.head(),
            "against": {"scheme": self.scheme, "seed": self.seed},
            "layers": [layer.to_dict() for layer in self.layers],
            "model": {"metrics": {key: item.to_dict() for key, item in self.model.items()}},
        }
