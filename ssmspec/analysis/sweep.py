"""The use case behind `ssmspec analyze --sweep`: one knob turned over a model, and what it moves.

Scaling the step sizes moves decay and frequency together: under zero-order hold a log-pole is dt A,
so the factor multiplies both. Scaling the decays leaves every angle where it is. What a metric does
under the one and under the other is the argument of the DFouT paper's Figure 3 (arXiv 2508.20441).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np

from ssmspec.analysis.model import Progress, ReadingOptions, Source, open_model
from ssmspec.errors import UsageError
from ssmspec.metrics import METRICS, combine, power_profile
from ssmspec.metrics.base import Context
from ssmspec.outcome import NotApplicable, Outcome
from ssmspec.reading import Discretization, Reading
from ssmspec.results.report import Report
from ssmspec.results.sweep import Knob, Sweep, SweepPoint, SweptLayer
from ssmspec.spectrum import LayerSpectrum, bilinear_to_log_poles, log_poles_to_bilinear

FACTORS = tuple(2.0**j for j in range(-4, 5))
"""1/16 to 16 in powers of 2."""

SWEPT_METRICS = (
    "aliased_fraction", "coverage", "spectral_flatness", "frequency_w1", "largest_gap",
    "entanglement", "time_constant_median", "time_constant_p95", "memoryless_fraction",
    "memory_ratio",
)  # fmt: skip
"""What is measured at every setting: reach, shape, memory and independence."""


def sweep(
    source: Source,
    knob: Knob | str,
    reading: Reading | None = None,
    *,
    factors: Sequence[float] = FACTORS,
    progress: Progress | None = None,
    **options: Unpack[ReadingOptions],
) -> Sweep:
    """Measure a model with its step sizes, or its decays, multiplied by each of several factors.

    Args:
        source: what `analyze` takes.
        knob: `dt` scales every step size; `xi` scales every decay at fixed angles.
        reading: how to read the model; or its fields as keywords.
        factors: positive numbers; 1 is the model as it is.
        progress: called after each layer with (done, all).
        **options: fields of `Reading`.

    Returns:
        `SWEPT_METRICS` at every factor, by layer and for the model. A layer without step sizes has
        no dt to scale and carries that reason.

    Raises:
        UsageError: the knob or a factor makes no sense.
        CheckpointError: the source cannot be read.
        NoLayersError: nothing in it looks like a state-space layer.
    """
    turned, settings = _knob(knob), _settings(factors)
    with open_model(source, reading, **options) as model:
        layers = [
            _swept(
                layer.spectrum,
                turned,
                settings,
                Context(model.reading.seq_len, model.reading.rate_of(layer.spectrum.name)),
            )
            for layer in model.layers(progress)
        ]
        return Sweep(
            **model.about(),
            knob=turned,
            factors=settings,
            layers=tuple(layers),
            model=_model(layers, settings),
        )


def sweep_report(report: Report, knob: Knob | str, *, factors: Sequence[float] = FACTORS) -> Sweep:
    """`sweep` of the model that a report was made of, read as it was then.

    Args:
        report: of `ssmspec.analyze`, not one that was loaded from a file.
        knob: as for `sweep`.
        factors: as for `sweep`.

    Raises:
        UsageError: as for `sweep`, or the report was loaded from a file.
        CheckpointError: the model cannot be read any more.
    """
    turned, settings = _knob(knob), _settings(factors)
    if report.origin is None:
        raise UsageError("a loaded report holds numbers and no poles; sweep the checkpoint itself")
    layers = [
        _swept(view.spectrum, turned, settings, Context(view.sequence_length, view.sample_rate))
        for view in report.origin()
    ]
    return Sweep(
        checkpoint=report.checkpoint,
        knob=turned,
        factors=settings,
        layers=tuple(layers),
        model=_model(layers, settings),
        skipped=report.skipped,
        assumptions=report.assumptions,
        sequence_length=report.sequence_length,
        sample_rate=report.sample_rate,
    )


def scaled(spectrum: LayerSpectrum, knob: Knob, factor: float) -> LayerSpectrum:
    """The layer with one knob turned.

    `DT`: under zero-order hold log-poles are dt A and scale as a whole; under the bilinear rule
    they are formed anew from dt A. `XI`: decays are multiplied, and angles keep every digit.

    Args:
        spectrum: the layer; for `DT` it must have step sizes.
        knob: what to scale.
        factor: by how much, positive.
    """
    if factor == 1.0:
        return spectrum
    log_poles = spectrum.log_poles
    if knob is Knob.XI:
        turned = log_poles.copy()
        turned.real *= factor
        return replace(spectrum, log_poles=turned)
    dt = None if spectrum.dt is None else spectrum.dt * factor
    if spectrum.discretization is Discretization.BILINEAR:
        with np.errstate(divide="ignore", invalid="ignore"):  # a pole at 0 is not finite in log
            steps = log_poles_to_bilinear(log_poles, np.ones(1))
            return replace(
                spectrum, log_poles=bilinear_to_log_poles(steps, np.full(1, factor)), dt=dt
            )
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite stays so
        return replace(spectrum, log_poles=log_poles * factor, dt=dt)


def _knob(name: Knob | str) -> Knob:
    try:
        return Knob(name)
    except ValueError:
        raise UsageError(f"a sweep turns dt or xi, not {name!r}") from None


def _settings(factors: Sequence[float]) -> tuple[float, ...]:
    settings = tuple(sorted(factors))
    if not settings or not all(np.isfinite(f) and f > 0 for f in settings):
        raise UsageError("a sweep needs one or more factors, each positive and finite")
    return settings


def _swept(
    spectrum: LayerSpectrum, knob: Knob, factors: Sequence[float], context: Context
) -> SweptLayer:
    points: tuple[SweepPoint, ...] | NotApplicable
    if knob is Knob.DT and spectrum.dt is None:
        points = NotApplicable("the family has no step size")
    else:
        points = tuple(
            _point(scaled(spectrum, knob, factor), factor, context) for factor in factors
        )
    return SweptLayer(spectrum.name, spectrum.family, spectrum.channels, spectrum.modes, points)


def _point(spectrum: LayerSpectrum, factor: float, context: Context) -> SweepPoint:
    return SweepPoint(
        factor,
        {key: METRICS[key](spectrum, context) for key in SWEPT_METRICS},
        power_profile(spectrum),
    )


def _model(layers: Sequence[SweptLayer], factors: Sequence[float]) -> tuple[SweepPoint, ...]:
    """All layers that have the knob, together, at every factor."""
    swept = [
        (layer.channels * layer.modes, layer.points)
        for layer in layers
        if not isinstance(layer.points, NotApplicable)
    ]
    if not swept:
        return ()
    model = []
    for i, factor in enumerate(factors):
        metrics: dict[str, Outcome] = {
            key: combine(
                METRICS[key], [(weight, points[i].metrics[key]) for weight, points in swept]
            ).outcome
            for key in SWEPT_METRICS
        }
        model.append(
            SweepPoint(factor, metrics, _mixed([(w, points[i].power) for w, points in swept]))
        )
    return tuple(model)


def _mixed(profiles: Sequence[tuple[int, tuple[float, ...]]]) -> tuple[float, ...]:
    """Mean of the profiles, weighted by modes."""
    shown = [(weight, profile) for weight, profile in profiles if profile]
    total = sum(weight for weight, _ in shown)
    if not shown:
        return ()
    return tuple(
        sum(weight * share for (weight, _), share in zip(shown, shares, strict=True)) / total
        for shares in zip(*(profile for _, profile in shown), strict=True)
    )
