"""Memory: how long modes remember, against one sample and against the sequence.

A mode's time constant is 1/decay samples, infinite where it has no damping; a mode that grows has
none. An infinite value is reported as undamped, not as a number.
"""

from __future__ import annotations

import math

import numpy as np

from ssmspec.arrays import Floats
from ssmspec.metrics.base import (
    SEQUENCE_LENGTH,
    STABLE_MODE,
    Aggregate,
    Context,
    Metric,
    share,
)
from ssmspec.metrics.profiles import time_octaves
from ssmspec.outcome import Direction, NotApplicable
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import DIMENSIONLESS, FRACTION, SAMPLES

LOCAL = 0.05
"""Share of the sequence within which a local channel forgets, as the rule LOC001 draws the line."""
FORGOTTEN = math.log(100.0)
"""Nats after which a hundredth of an impulse is left: where `memory_ratio` says it is forgotten."""


def time_constant_p05(layer: LayerSpectrum, _: Context) -> float | NotApplicable:
    """5 % quantile of the time constants, samples."""
    return _time_constant(layer, 0.05)


def time_constant_median(layer: LayerSpectrum, _: Context) -> float | NotApplicable:
    """Median of the time constants, samples."""
    return _time_constant(layer, 0.5)


def time_constant_p95(layer: LayerSpectrum, _: Context) -> float | NotApplicable:
    """95 % quantile of the time constants, samples."""
    return _time_constant(layer, 0.95)


def memoryless_fraction(layer: LayerSpectrum, _: Context) -> float:
    """Share of modes that forget within a sample (decay > 1), in [0, 1]."""
    return share(layer.decay > 1.0)


def undamped_fraction(layer: LayerSpectrum, context: Context) -> float:
    """Share of modes that lose less than one nat over the sequence, in [0, 1]."""
    return share(layer.stable & (layer.decay < 1.0 / context.length))


def memory_ratio(layer: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Samples in which the slowest stable mode falls to 1 %, over the sequence length."""
    slowest = float(layer.stable_decay.min())
    if slowest == 0.0:
        return NotApplicable("undamped: a mode on the unit circle never forgets")
    return FORGOTTEN / slowest / context.length


def timescale_coverage(layer: LayerSpectrum, context: Context) -> float | NotApplicable:
    """Share of the octaves [2^j, 2^(j+1)) with 2^j < L that hold a time constant, in [0, 1]."""
    octaves = (context.length - 1).bit_length()
    if not octaves:
        return NotApplicable("a sequence of one sample spans no octave of time")
    reached = time_octaves(layer.stable_decay)
    within = reached[(reached >= 0) & (reached < octaves)]
    return np.count_nonzero(np.bincount(within, minlength=octaves)) / octaves


def local_channel_fraction(layer: LayerSpectrum, context: Context) -> float:
    """Share of channels (heads) that fall to 1 % within a twentieth of the sequence, in [0, 1]."""
    return share(_channel_memory(layer) < LOCAL * context.length)


def global_channel_fraction(layer: LayerSpectrum, context: Context) -> float:
    """Share of channels (heads) that have not fallen to 1 % when the sequence ends, in [0, 1]."""
    return share(_channel_memory(layer) >= context.length)


def _channel_memory(layer: LayerSpectrum) -> Floats:
    """(H,) samples in which the slowest mode of each channel falls to 1 %; infinite undamped."""
    with np.errstate(divide="ignore"):
        return np.asarray(FORGOTTEN / np.maximum(layer.decay.min(axis=1), 0.0))


def _time_constant(layer: LayerSpectrum, level: float) -> float | NotApplicable:
    """Linear quantile of 1/decay over stable modes, the definition numpy calls "linear".

    The time constants in ascending order are the decays in descending order, so that only the two
    neighbors of the quantile are ever inverted.
    """
    decay = layer.stable_decay
    position = (decay.size - 1) * level
    below = int(position)
    weight = position - below
    last = decay.size - 1
    ranks = (last - below, last - min(below + 1, last))
    chosen = [float(value) for value in np.partition(decay, ranks)[list(ranks)]]
    if weight == 0.0:
        chosen[1] = chosen[0]
    if chosen[1] == 0.0:
        return NotApplicable(
            f"undamped: {np.count_nonzero(decay == 0.0)} of {decay.size} stable modes never forget"
        )
    return (1.0 - weight) / chosen[0] + weight / chosen[1]


METRICS = (
    Metric(
        id="time_constant_p05",
        unit=SAMPLES,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="5 % quantile of the time constants",
        formula="5 % quantile of 1/decay over decay >= 0",
        measure=time_constant_p05,
        needs=(STABLE_MODE,),
    ),
    Metric(
        id="time_constant_median",
        unit=SAMPLES,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="median time constant",
        formula="median of 1/decay over decay >= 0",
        measure=time_constant_median,
        needs=(STABLE_MODE,),
    ),
    Metric(
        id="time_constant_p95",
        unit=SAMPLES,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="95 % quantile of the time constants",
        formula="95 % quantile of 1/decay over decay >= 0",
        measure=time_constant_p95,
        needs=(STABLE_MODE,),
    ),
    Metric(
        id="memoryless_fraction",
        unit=FRACTION,
        direction=Direction.LOWER,
        aggregate=Aggregate.MEAN,
        summary="share of modes that forget within one sample",
        formula="share of decay > 1",
        measure=memoryless_fraction,
    ),
    Metric(
        id="undamped_fraction",
        unit=FRACTION,
        direction=Direction.LOWER,
        aggregate=Aggregate.MEAN,
        summary="share of modes that hardly decay over the whole sequence",
        formula="share of 0 <= decay < 1/L",
        measure=undamped_fraction,
        needs=(SEQUENCE_LENGTH,),
    ),
    Metric(
        id="memory_ratio",
        unit=DIMENSIONLESS,
        direction=Direction.HIGHER,
        aggregate=Aggregate.MAX,
        summary="time in which the slowest stable mode falls to 1 %, over the sequence length",
        formula="max over decay >= 0 of ln(100) / decay / L",
        measure=memory_ratio,
        needs=(SEQUENCE_LENGTH, STABLE_MODE),
        note=(
            "One slow mode sets it, whether or not C lets that mode be heard: energy_beyond says "
            "which share of the kernel's energy does outlive the sequence."
        ),
    ),
    Metric(
        id="timescale_coverage",
        unit=FRACTION,
        direction=Direction.HIGHER,
        aggregate=Aggregate.MEAN,
        summary="share of the octaves of time up to L that hold a time constant",
        formula="share of [2^j, 2^(j+1)), 2^j < L, that hold a 1/decay",
        measure=timescale_coverage,
        needs=(SEQUENCE_LENGTH,),
    ),
    Metric(
        id="local_channel_fraction",
        unit=FRACTION,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="share of channels (heads) that forget within a twentieth of the sequence",
        formula="share of channels with max over modes of ln(100) / decay < L / 20",
        measure=local_channel_fraction,
        needs=(SEQUENCE_LENGTH,),
    ),
    Metric(
        id="global_channel_fraction",
        unit=FRACTION,
        direction=Direction.NEITHER,
        aggregate=Aggregate.MEAN,
        summary="share of channels (heads) that still remember the start when the sequence ends",
        formula="share of channels with max over modes of ln(100) / decay >= L",
        measure=global_channel_fraction,
        needs=(SEQUENCE_LENGTH,),
    ),
)
