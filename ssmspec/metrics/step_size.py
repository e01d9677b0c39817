"""Step sizes of a layer: smallest, median and largest.

A step size sets both the reach in frequency and the length of memory of every mode it scales. For
selective families it depends on the input; what is measured is the nominal value.
"""

from __future__ import annotations

from ssmspec.arrays import Floats, quantile
from ssmspec.errors import SsmspecError
from ssmspec.metrics.base import STEP_SIZE, Aggregate, Context, Metric
from ssmspec.outcome import Direction
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import TIME_PER_SAMPLE


def step_sizes(layer: LayerSpectrum) -> Floats:
    """Step sizes as the layer has them, time/sample: (H, 1), (1, M) or (H, M)."""
    if layer.dt is None:
        raise SsmspecError("internal error: step sizes were measured of a layer without any")
    return layer.dt


def step_size_min(layer: LayerSpectrum, _: Context) -> float:
    """Smallest step size, time/sample."""
    return float(step_sizes(layer).min())


def step_size_median(layer: LayerSpectrum, _: Context) -> float:
    """Median step size, time/sample."""
    return quantile(step_sizes(layer), 0.5)


def step_size_max(layer: LayerSpectrum, _: Context) -> float:
    """Largest step size, time/sample."""
    return float(step_sizes(layer).max())


METRICS = (
    Metric(
        id="step_size_min",
        unit=TIME_PER_SAMPLE,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MIN,
        summary="smallest step size over channels (or states)",
        formula="min dt",
        measure=step_size_min,
        needs=(STEP_SIZE,),
    ),
    Metric(
        id="step_size_median",
        unit=TIME_PER_SAMPLE,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="median step size over channels (or states)",
        formula="median dt",
        measure=step_size_median,
        needs=(STEP_SIZE,),
    ),
    Metric(
        id="step_size_max",
        unit=TIME_PER_SAMPLE,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MAX,
        summary="largest step size over channels (or states)",
        formula="max dt",
        measure=step_size_max,
        needs=(STEP_SIZE,),
    ),
)
