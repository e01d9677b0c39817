"""What an analysis found, as frozen values: the only thing a writer ever sees.

A metric's outcome is a `Measured` value with a unit or `NotApplicable` with the reason, never 0.0
for "could not be measured" and never NaN or infinity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ssmspec._version import __version__
from ssmspec.outcome import Finding, Level, Measured, Outcome, Skipped, Verdict

if TYPE_CHECKING:
    import pandas

    from ssmspec.reading import Reading
    from ssmspec.results.layer_view import Origin

SCHEMA_VERSION = 1


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

    def value(self, metric: str) -> float | None:
        """The number of a metric, or None when it is not applicable or not a number.

        Raises:
            UsageError: no metric has that id; the message names the nearest.
        """
        outcome = self.metrics.get(metric)
        if outcome is None:  # the table of ids lies above this module and is asked only then
            import_module("ssmspec.metrics").METRICS.require(metric)
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


@dataclass(frozen=True)
class CheckpointSummary:
    """Where the numbers came from.

    Attributes:
        path: as given.
        container: id of the container format.
        size: bytes; None for a source in memory.
        tensors: how many it holds.
        fingerprint: SHA-256 over the names, dtypes and shapes of all tensors and over the poles
            and step sizes that were read: equal for two files only where they hold the same
            state-space layers. None where nothing was read, or it was not saved.
    """

    path: str
    container: str
    size: int | None
    tensors: int
    fingerprint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON report."""
        return {
            "path": self.path,
            "container": self.container,
            "size": self.size,
            "tensors": self.tensors,
            "fingerprint": self.fingerprint,
        }


@dataclass(frozen=True)
class Report:
    """A whole analysis.

    Attributes:
        checkpoint: where the numbers came from.
        layers: measured layers in natural order of their names.
        model: metric over the whole model by id.
        findings: rules that fired, worst first.
        skipped: what was not measured, and why.
        assumptions: sentences about what the file does not say.
        sequence_length: L in samples, or None.
        sample_rate: hertz, or None.
        blocks: (state-space blocks, all blocks) of a stack that also holds other blocks.
        reference: the DFouT layer of the same shape as the first layer that oscillates, measured
            the same way.
        origin: reads the measured layers again, for figures; None for a report that was loaded.
        reading: how the checkpoint was asked to be read; None for a report that was loaded.
    """

    checkpoint: CheckpointSummary
    layers: tuple[LayerReport, ...]
    model: Mapping[str, ModelMetric]
    findings: tuple[Finding, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    assumptions: tuple[str, ...] = ()
    sequence_length: int | None = None
    sample_rate: float | None = None
    blocks: tuple[int, int] | None = None
    reference: LayerReport | None = None
    origin: Origin | None = field(default=None, compare=False, repr=False)
    reading: Reading | None = field(default=None, compare=False, repr=False)

    @property
    def plot(self) -> Any:
        """Figures: `report.plot.poles()`, `report.plot.coverage()`, ... (`ssmspec.plots`).

        What draws lies above this module and is loaded only when a figure is asked for.
        """
        return import_module("ssmspec.plots").ReportPlots(self)

    def _repr_html_(self) -> str:
        """A compact table with strips, for notebooks."""
        text: str = import_module("ssmspec.writers.report.notebook").render(self)
        return text

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
            "schema_version": SCHEMA_VERSION,
            "tool": {"name": "ssmspec", "version": __version__},
            "checkpoint": self.checkpoint.to_dict(),
            "assumptions": list(self.assumptions),
            "sequence_length": self.sequence_length,
            "sample_rate": self.sample_rate,
            "layers": [layer.to_dict() for layer in self.layers],
            "model": {"metrics": {key: metric.to_dict() for key, metric in self.model.items()}},
            "findings": [finding.to_dict() for finding in self.findings],
            "skipped": [entry.to_dict() for entry in self.skipped],
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
