"""Metrics: one topic a file. The table below is in the order of reports and docs."""

from __future__ import annotations

from collections.abc import Iterable

from ssmspec.metrics import (
    aliasing,
    coverage,
    distribution,
    entanglement,
    heard,
    initialization,
    kernel_energy,
    kernel_hankel,
    kernel_redundancy,
    kernel_response,
    memory,
    stability,
    step_size,
)
from ssmspec.metrics.aggregate import combine
from ssmspec.metrics.base import KERNEL, Aggregate, Context, Metric, Requirement
from ssmspec.metrics.profiles import power_profile, timescale_profile
from ssmspec.outcome import Outcome
from ssmspec.registry import Registry
from ssmspec.spectrum import LayerSpectrum

METRICS: Registry[Metric] = Registry(
    "metric",
    "ssmspec.metrics",
    (
        *step_size.METRICS,
        *stability.METRICS,
        *aliasing.METRICS,
        *coverage.METRICS,
        *distribution.METRICS,
        *memory.METRICS,
        *entanglement.METRICS,
        *initialization.METRICS,
        *kernel_response.METRICS,
        *heard.METRICS,
        *kernel_energy.METRICS,
        *kernel_hankel.METRICS,
        *kernel_redundancy.METRICS,
    ),
    key=lambda metric: metric.id,
)


def measure_layer(
    spectrum: LayerSpectrum, context: Context, metrics: Iterable[Metric] | None = None
) -> dict[str, Outcome]:
    """Every metric of one layer: id -> a value with a unit, or why there is none.

    Args:
        spectrum: the layer's poles.
        context: what is known beside them. Its kernel may lack some of the layer's channels, whose
            B or C are not numbers: what needs the kernel is measured over those it has.
        metrics: only these; all by default.

    Returns:
        One entry a metric, in table order.
    """
    chosen = METRICS.values() if metrics is None else metrics
    return {metric.id: measure_one(metric, spectrum, context) for metric in chosen}


def measure_one(metric: Metric, spectrum: LayerSpectrum, context: Context) -> Outcome:
    """One metric of a layer, over the channels of its kernel where it needs that."""
    if KERNEL in metric.needs and context.kernel is not None:
        return metric(context.kernel.spectrum, context)
    return metric(spectrum, context)


__all__ = [
    "METRICS",
    "Aggregate",
    "Context",
    "Metric",
    "Requirement",
    "combine",
    "measure_layer",
    "measure_one",
    "power_profile",
    "timescale_profile",
]
