"""Rules on what initialization left behind."""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import quantile
from ssmspec.outcome import Level, Measured
from ssmspec.rules.base import Bound, Evidence, Fired, Rule
from ssmspec.rules.wording import compared, number

LARGE_STEP = 0.1
"""The upper end of the range that Mamba's step sizes are drawn from (dt_max)."""

STEP_LOW, STEP_HIGH = 1e-4, 1.0
"""Step sizes that published recipes use: S4's dt_min goes down to 1e-4, DFouT sets dt = 1."""

ROUNDING = 1e-6
"""Relative slack at both ends of that range, for step sizes stored as float32 logarithms."""


def _untrained(evidence: Evidence, threshold: float) -> Fired | None:
    drift = evidence.layer.value("init_drift")
    if drift is None or drift >= threshold:
        return None
    scheme = evidence.layer.metrics.get("init_scheme")
    name = f"{scheme.value} " if isinstance(scheme, Measured) else ""
    shown, limit = compared(drift, threshold)
    if evidence.spectrum.selective:
        # The poles are compared at the layer's own step sizes, which start at random here: that A
        # did not move is no fault of a fresh layer, and common in a trained one.
        return Fired(
            f"A of every mode stands where the {name}initialization puts it ({shown} half-widths "
            f"away rms, threshold {limit}); whether the step sizes were trained does not show",
            value=drift,
            level=Level.INFO,
        )
    return Fired(
        f"all poles stand where the {name}initialization puts them ({shown} half-widths away rms, "
        f"threshold {limit}): the layer was never trained, or was frozen",
        value=drift,
    )


def _lost_spread(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether nominal step sizes are large and all alike. One step size has no spread to lose."""
    spectrum = evidence.spectrum
    if not spectrum.selective or spectrum.dt is None or spectrum.dt.size < 2:
        return None
    if not np.isfinite(spectrum.dt).all():
        return None
    # A softplus far below zero underflows to 0: log of the least float64 keeps it finite.
    log_dt = np.log(np.maximum(spectrum.dt, np.finfo(np.float64).tiny))
    spread = quantile(log_dt, 0.75) - quantile(log_dt, 0.25)
    median = quantile(spectrum.dt, 0.5)
    if spread >= threshold or median <= LARGE_STEP:
        return None
    shown, limit = compared(spread, threshold)
    return Fired(
        f"the nominal step sizes lost their spread: the middle half spans {shown} nat "
        f"(threshold {limit}) around a median of {number(median)} (a zeroed bias gives "
        f"0.693)",
        value=spread,
    )


def _odd_step_sizes(evidence: Evidence, _: float) -> Fired | None:
    dt = evidence.spectrum.dt
    if dt is None or not np.isfinite(dt).all():
        return None
    inside = (dt >= STEP_LOW * (1.0 - ROUNDING)) & (dt <= STEP_HIGH * (1.0 + ROUNDING))
    if inside.any():
        return None
    least, most = float(dt.min()), float(dt.max())
    nominal = "nominal " if evidence.spectrum.selective else ""
    span = number(least) if least == most else f"{number(least)} to {number(most)}"
    message = (
        f"every {nominal}step size lies outside the usual {STEP_LOW:g} to {STEP_HIGH:g} "
        f"(here {span})"
    )
    if most < STEP_LOW:
        return Fired(message, value=most, threshold=STEP_LOW)
    if least > STEP_HIGH:
        return Fired(message, value=least, threshold=STEP_HIGH)
    return Fired(message, value=None)


INI001 = Rule(
    code="INI001",
    level=Level.WARNING,
    title="the layer was never trained, or was frozen",
    why=(
        "Training moves poles, if only a little. Poles that equal an initialization to float32 "
        "precision mean a fresh file, a frozen layer, or parameters re-initialized on load."
    ),
    advice=(
        "For a trained model, check that this is the checkpoint you meant and that its "
        "state-space parameters get gradients and a learning rate above 0."
    ),
    threshold=1e-6,
    bound=Bound.MIN,
    source="rms distance to the nearest known initialization; the bound is float32 rounding",
    check=_untrained,
)

INI002 = Rule(
    code="INI002",
    level=Level.WARNING,
    title="nominal step sizes lost their spread",
    why=(
        "Mamba draws softplus(dt bias) log-uniform from 0.001 to 0.1, so that channels remember "
        "from tens to thousands of samples. A model-wide initialization that zeroes biases, or "
        "weight decay on them, makes all step sizes about 0.693."
    ),
    advice=(
        "Initialize the dt bias after any model-wide initialization (softplus of it log-uniform "
        "in [0.001, 0.1]), keep it out of weight decay, and train again."
    ),
    threshold=0.25,
    bound=Bound.MIN,
    source="state-spaces/mamba, mamba_simple.py: dt initialization; the bounds are heuristics",
    check=_lost_spread,
)

INI003 = Rule(
    code="INI003",
    level=Level.INFO,
    title="unusual step sizes",
    why=(
        "Published recipes keep step sizes between 1e-4 and 1. A whole layer outside usually "
        "means another unit of time, or a step size that is stored through another transform."
    ),
    advice=(
        "Check which transform the model applies to its stored step sizes (--dt-transform), and "
        "that A is in the same unit of time."
    ),
    threshold=None,
    source="ranges of dt in published S4, S5, Mamba and DFouT recipes; a heuristic",
    check=_odd_step_sizes,
)
