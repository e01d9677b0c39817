"""What an analysis found, as frozen values: the only thing a writer ever sees.

A metric's outcome is a `Measured` value with a unit or `NotApplicable` with the reason, never 0.0
for "could not be measured" and never NaN or infinity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean
from ssmspec.outcome import Finding, Level, Measured, Outcome, Verdict
from ssmspec.results.base import OfOneModel

if TYPE_CHECKING:
    import pandas

    from ssmspec.reading import Reading
    from ssmspec.results.layer_view import Origin


@dataclass(frozen=True)
class ModelMetric:
    """One metric over the whole model, and how the layers were brought together."""

    outcome: Outcome
    aggregate: str

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {**self.outcome.to_dict(), "aggregate": self.aggregate}


@dataclass(frozen=True)
class LayerReport:
    """One layer, measured.

    Attributes:
        name: dotted module path as in the file.
        family: family id.
        family_title: the family's name for people.
        discretization: `zoh`, `bilinear` or `native`.
        symmetry: `half`, `full` or `real`.
        channels: H.
        modes: M, stored modes of one channel.
        selective: poles and step sizes are nominal.
        metrics: outcome by metric id, in table order.
        power: share of the poles' power in equal bins of [0, Nyquist] (sums to 1); empty for a
            layer of real poles.
        timescales: share of the time constants by octave, [1, 2), [2, 4), ... samples; the first
            entry is what lies below 1 sample.
        lags: share of the kernel's energy by octave of lag, 0, [1, 2), [2, 4), ... up to L; empty
            where there is no kernel or no L.
        complete: every metric there is was asked for, so that another id is a mistake.
        sample_rate: of this layer in hertz, where it is known: samples are then told in seconds.
    """

    name: str
    family: str
    family_title: str
    discretization: str
    symmetry: str
    channels: int
    modes: int
    selective: bool
    metrics: Mapping[str, Outcome]
    power: tuple[float, ...] = ()
    timescales: tuple[float, ...] = ()
    lags: tuple[float, ...] = ()
    complete: bool = field(default=False, compare=False)
    sample_rate: float | None = field(default=None, compare=False)

    def value(self, metric: str) -> float | None:
        """The number of a metric, or None when it is not applicable or not a number.

        Raises:
            UsageError: no metric has that id; the message names the nearest.
        """
        outcome = self.metrics.get(metric)
        if outcome is None and self.complete:
            raise UsageError(f"there is no metric {metric!r}; {did_you_mean(metric, self.metrics)}")
        if isinstance(outcome, Measured) and not isinstance(outcome.value, str):
            return outcome.value
        return None

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "name": self.name,
            "family": self.family,
            "discretization": self.discretization,
            "symmetry": self.symmetry,
            "channels": self.channels,
            "modes": self.modes,
            "metrics": {key: outcome.to_dict() for key, outcome in self.metrics.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Report(OfOneModel):
    """A whole analysis.

    Attributes:
        layers: measured layers in natural order of their names.
        model: metric over the whole model by id.
        findings: rules that fired, worst first.
        blocks: (state-space blocks, all blocks) of a stack that also holds other blocks.
        reference: the DFouT layer of the same shape as the first layer that oscillates, measured
            the same way.
        origin: reads the measured layers again, for figures; None for a report that was loaded.
        reading: how the checkpoint was asked to be read; None for a report that was loaded.
    """

    layers: tuple[LayerReport, ...]
    model: Mapping[str, ModelMetric]
    findings: tuple[Finding, ...] = ()
    blocks: tuple[int, int] | None = None
    reference: LayerReport | None = None
    origin: Origin | None = field(default=None, compare=False, repr=False)
    reading: Reading | None = field(default=None, compare=False, repr=False)

    @property
    def verdict(self) -> Verdict:
        """`fail` with an error, `warn` with a warning, else `pass`."""
        levels = {finding.level for finding in self.findings}
        if Level.ERROR in levels:
            return Verdict.FAIL
        return Verdict.WARN if Level.WARNING in levels else Verdict.PASS

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON types, free of infinities and NaN."""
        return {
            **self.head(),
            "layers": [layer.to_dict() for layer in self.layers],
            "model": {"metrics": {key: metric.to_dict() for key, metric in self.model.items()}},
            "findings": [finding.to_dict() for finding in self.findings],
            "verdict": self.verdict.value,
        }

    def to_pandas(self) -> pandas.DataFrame:
        """One row a layer, one column a metric; missing where not applicable. Needs pandas."""
        import pandas  # noqa: PLC0415 - heavy, and only this method needs it

        rows = [
            {
                "layer": layer.name,
                "family": layer.family,
                "channels": layer.channels,
                "modes": layer.modes,
                **{
                    key: outcome.value if isinstance(outcome, Measured) else None
                    for key, outcome in layer.metrics.items()
                },
            }
            for layer in self.layers
        ]
        return pandas.DataFrame(rows).set_index("layer")
