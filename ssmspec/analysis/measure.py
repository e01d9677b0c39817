"""One layer measured: its metrics, its profiles, and what the rules will look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ssmspec.analysis.measurable import measurable
from ssmspec.families.base import Family, LayerSource
from ssmspec.families.precision import Rounding
from ssmspec.families.scan import LayerScan
from ssmspec.kernel import Kernel
from ssmspec.metrics import measure_layer
from ssmspec.metrics.base import Context, Metric
from ssmspec.metrics.initialization import drift
from ssmspec.metrics.kernel_lags import lag_profile
from ssmspec.metrics.profiles import power_profile, timescale_profile
from ssmspec.naming import printable
from ssmspec.outcome import Finding, NotApplicable
from ssmspec.reading import Reading
from ssmspec.results.report import LayerReport
from ssmspec.rules.base import Evidence
from ssmspec.rules.causes import likely_cause
from ssmspec.schemes import SCHEMES
from ssmspec.spectrum import LayerSpectrum


class InitialSpectra(Mapping[str, LayerSpectrum]):
    """What a layer was, had it been initialized with each scheme its family offers, by scheme id.

    Each is built when it is asked for and not kept: beside a layer of millions of modes stands one
    initialization at a time. Of a scheme with settings a file does not tell, it is the nearest.
    """

    def __init__(self, family: Family, spectrum: LayerSpectrum) -> None:
        self._spectrum = spectrum
        self._schemes = tuple(
            identifier
            for identifier in family.known_inits
            if not (spectrum.non_finite or (spectrum.holds_pairs and spectrum.modes % 2))
            and SCHEMES[identifier].has_references(
                spectrum.modes // (1 + spectrum.holds_pairs) or 1, spectrum.dt, spectrum.decay
            )
        )

    def __getitem__(self, identifier: str) -> LayerSpectrum:
        if identifier not in self._schemes:
            raise KeyError(identifier)
        layer = self._spectrum
        candidates = [
            replace(layer, log_poles=log_poles)
            for log_poles in SCHEMES[identifier].references(
                layer.channels,
                layer.modes,
                layer.dt,
                layer.decay,
                layer.discretization,
                layer.log_poles,
                both=layer.holds_pairs,
            )
        ]
        if len(candidates) == 1:
            return candidates[0]
        return min(candidates, key=lambda start: drift(layer, start))

    def __iter__(self) -> Iterator[str]:
        return iter(self._schemes)

    def __len__(self) -> int:
        return len(self._schemes)


NOT_READ = NotApplicable("B and C were not read")


@dataclass(frozen=True)
class Stored:
    """Where a layer is stored, and what was found there; see `Evidence`."""

    source: LayerSource | None = None
    scan: LayerScan | None = None
    peers: tuple[LayerScan, ...] = ()
    lost: tuple[tuple[str, tuple[str, ...]], ...] = ()


NOWHERE = Stored()

Judge: TypeAlias = Callable[[Evidence], Sequence[Finding]]
"""What the rules in force find in one measured layer."""


def measure(
    family: Family,
    spectrum: LayerSpectrum,
    reading: Reading,
    kernel: Kernel | NotApplicable = NOT_READ,
    rounding: Rounding | None = None,
    metrics: Iterable[Metric] | None = None,
    stored: Stored = NOWHERE,
) -> Evidence:
    """Everything that is measured of one layer, ready for the rules.

    It is measured over the part of it whose numbers are numbers; `Evidence.told` says which.

    Args:
        family: of the layer.
        spectrum: its poles.
        reading: how the model is read.
        kernel: of the layer, or why there is none.
        rounding: how far the stored type moved the poles.
        metrics: which; all by default.
        stored: where it is stored, and what was found there.
    """
    part = measurable(spectrum, kernel, rounding)
    kernel = part.kernel
    context = Context(
        sequence_length=reading.seq_len,
        sample_rate=reading.rate_of(spectrum.name),
        references=InitialSpectra(family, part.spectrum),
        kernel=None if isinstance(kernel, NotApplicable) else kernel,
        no_kernel=kernel.reason if isinstance(kernel, NotApplicable) else "",
        row_stride=reading.row_stride,
        resample=reading.resample,
        slack=part.slack,
    )
    layer = replace(
        layer_report(part.spectrum, family.title, context, metrics),
        channels=spectrum.channels,
        modes=spectrum.modes,
    )
    evidence = Evidence(
        spectrum,
        layer,
        context,
        rounding,
        family,
        stored.source,
        stored.scan,
        stored.peers,
        stored.lost,
        part.told,
    )
    cause = likely_cause(evidence)
    if not cause:
        return evidence
    return replace(evidence, told=(*part.told, f"{printable(spectrum.name)}: {cause}"))


def layer_report(
    spectrum: LayerSpectrum, title: str, context: Context, metrics: Iterable[Metric] | None = None
) -> LayerReport:
    """One layer measured, without the rules: all metrics and its profiles, or some metrics only."""
    whole = LayerReport(
        name=spectrum.name,
        family=spectrum.family,
        family_title=title,
        discretization=spectrum.discretization.value,
        symmetry=spectrum.symmetry.value,
        channels=spectrum.channels,
        modes=spectrum.modes,
        selective=spectrum.selective,
        metrics=measure_layer(spectrum, context, metrics),
    )
    if metrics is not None:
        return whole
    return replace(
        whole,
        power=power_profile(spectrum),
        timescales=timescale_profile(spectrum),
        lags=_lags(context),
        complete=True,
        sample_rate=context.sample_rate,
    )


def _lags(context: Context) -> tuple[float, ...]:
    if context.kernel is None or context.sequence_length is None:
        return ()
    return lag_profile(context.kernel, context.sequence_length)
