"""One layer: its metrics, its profiles, and the rules that fired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ssmspec.families.base import Family
from ssmspec.families.precision import Rounding
from ssmspec.initial_spectra import InitialSpectra
from ssmspec.kernel import Kernel
from ssmspec.metrics import measure_layer
from ssmspec.metrics.base import Context
from ssmspec.metrics.kernel_lags import lag_profile
from ssmspec.metrics.profiles import power_profile, timescale_profile
from ssmspec.outcome import Finding, NotApplicable
from ssmspec.reading import Reading
from ssmspec.results.report import LayerReport
from ssmspec.rules import judge
from ssmspec.rules.base import Evidence
from ssmspec.spectrum import LayerSpectrum

NOT_READ = NotApplicable("B and C were not read")


Judge: TypeAlias = Callable[[Evidence], Sequence[Finding]]
"""What the rules in force find in one measured layer."""


def measure(
    family: Family,
    spectrum: LayerSpectrum,
    reading: Reading,
    kernel: Kernel | NotApplicable = NOT_READ,
    rounding: Rounding | None = None,
    judge: Judge = judge,
) -> tuple[LayerReport, tuple[Finding, ...]]:
    """Everything that is said of one layer: its metrics, its profiles and the rules that fired."""
    context = Context(
        sequence_length=reading.seq_len,
        sample_rate=reading.rate_of(spectrum.name),
        references=InitialSpectra(family, spectrum),
        kernel=None if isinstance(kernel, NotApplicable) else kernel,
        no_kernel=kernel.reason if isinstance(kernel, NotApplicable) else "",
        row_stride=reading.row_stride,
        resample=reading.resample,
    )
    report = layer_report(spectrum, family.title, context)
    return report, tuple(judge(Evidence(spectrum, report, context, rounding)))


def layer_report(spectrum: LayerSpectrum, title: str, context: Context) -> LayerReport:
    """One layer measured: metrics and profiles, without the rules."""
    return LayerReport(
        name=spectrum.name,
        family=spectrum.family,
        family_title=title,
        discretization=spectrum.discretization.value,
        symmetry=spectrum.symmetry.value,
        channels=spectrum.channels,
        modes=spectrum.modes,
        selective=spectrum.selective,
        metrics=measure_layer(spectrum, context),
        power=power_profile(spectrum),
        timescales=timescale_profile(spectrum),
        lags=_lags(context),
    )


def _lags(context: Context) -> tuple[float, ...]:
    if context.kernel is None or context.sequence_length is None:
        return ()
    return lag_profile(context.kernel, context.sequence_length)
