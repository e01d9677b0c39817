"""Rules on poles that grow, or are no numbers at all."""

from __future__ import annotations

import math

import numpy as np

from ssmspec.arrays import Bools
from ssmspec.outcome import Level, NotFinite
from ssmspec.rules.base import Bound, Evidence, Fired, Rule
from ssmspec.rules.wording import compared, number, power_of_e
from ssmspec.spectrum import LayerSpectrum

GROWTH_RATE = 1e-6
"""Heuristic: the growth in nat/sample that is let pass when the sequence length is unknown. It is
1 % over 10,000 samples, and float32 rounding of a pole on the unit circle stays below it."""

METRICS_NAMED = 3
"""Metrics that a message names before it counts the rest."""


def _growing(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether the fastest growing mode gains more than `threshold` over L samples.

    Judged on logarithms, -decay L > log(threshold), so that nothing overflows. Modes that are not
    finite are STB002's.
    """
    spectrum = evidence.spectrum
    decay = np.where(_finite(spectrum), spectrum.decay, np.inf)
    worst = np.unravel_index(int(np.argmin(decay)), decay.shape)
    rate = -float(decay[worst])
    length = evidence.context.sequence_length
    limit = GROWTH_RATE if length is None else math.log(threshold) / length
    if rate <= limit:
        return None
    count = int(np.count_nonzero(-decay > limit))
    who = (
        f"{count:,} of {decay.size:,} modes {'grows' if count == 1 else 'grow'}, the fastest "
        f"({_place(int(worst[0]), int(worst[1]), spectrum)})"
    )
    if length is None:
        shown, least = compared(rate, limit)
        return Fired(
            f"{who} e-fold every {number(1.0 / rate)} samples "
            f"({shown} nat/sample, threshold {least} where the sequence length is unknown)",
            value=-rate,
            threshold=-limit,
        )
    growth = rate * length
    return Fired(
        f"{who} by a factor of {power_of_e(growth)} over {length:,} samples "
        f"(threshold {number(threshold)})",
        value=math.exp(growth) if growth < math.log(np.finfo(np.float64).max) else math.inf,
    )


def _not_finite(evidence: Evidence, _: float) -> Fired | None:
    finite = _finite(evidence.spectrum)
    count = int(np.count_nonzero(~finite))
    if count == 0:
        return _nan_metric(evidence)
    channel, mode = np.unravel_index(int(np.argmin(finite)), finite.shape)
    return Fired(
        f"{count:,} of {finite.size:,} modes have a pole or step size that is NaN or infinite "
        f"(the first is {_place(int(channel), int(mode), evidence.spectrum)}), so the layer "
        f"cannot be measured",
        value=None,
    )


def _nan_metric(evidence: Evidence) -> Fired | None:
    """Whether a metric of finite poles is NaN all the same, which no threshold would notice."""
    names = [k for k, outcome in evidence.layer.metrics.items() if isinstance(outcome, NotFinite)]
    if not names:
        return None
    more = f" and {len(names) - METRICS_NAMED:,} more" if len(names) > METRICS_NAMED else ""
    return Fired(
        f"{', '.join(names[:METRICS_NAMED])}{more} came out as NaN although every pole and step "
        f"size is a number, so no rule can judge by it",
        value=None,
        advice=(
            "Look for values near the limits of a float in this layer's parameters; a metric of "
            "an installed extension is for its author to mend."
        ),
    )


def _place(channel: int, mode: int, spectrum: LayerSpectrum) -> str:
    return f"channel {channel}, mode {mode}" if spectrum.channels > 1 else f"mode {mode}"


def _finite(spectrum: LayerSpectrum) -> Bools:
    """(H, M), whether a mode's pole and step size are numbers.

    The step size is looked at by itself because the bilinear rule maps an infinite one to a
    finite pole.
    """
    finite = np.isfinite(spectrum.log_poles)
    return finite if spectrum.dt is None else finite & np.isfinite(spectrum.dt)


STB001 = Rule(
    code="STB001",
    level=Level.ERROR,
    title="a pole grows",
    why=(
        "A pole outside the unit circle multiplies the state at every sample: outputs overflow on "
        "sequences longer than those that were trained on."
    ),
    advice=(
        "Keep Re A negative (store it as a logarithm, or clip it as S5's clip_eigs does) and "
        "train again from a checkpoint before the growth."
    ),
    threshold=1.01,
    bound=Bound.MAX,
    lowest=1.0,
    source="bounded-input bounded-output stability; the 1 % over a sequence is a heuristic",
    check=_growing,
)

STB002 = Rule(
    code="STB002",
    level=Level.ERROR,
    title="a parameter of the poles, or a metric, is NaN or infinite",
    why=(
        "One such parameter makes every output of its channel NaN, and nothing can be measured. A "
        "metric that is NaN compares with no threshold and would pass for a good one."
    ),
    advice=(
        "Go back to the last checkpoint whose parameters are finite, and lower the learning rate "
        "of the state-space parameters or clip their gradients."
    ),
    threshold=None,
    source="IEEE 754: NaN and infinity propagate through the recurrence",
    check=_not_finite,
)
