"""Rules on what initialization left behind."""

from __future__ import annotations

import math

import numpy as np

from ssmspec.arrays import Floats, quantile
from ssmspec.outcome import Level, Measured
from ssmspec.rules.base import Bound, Evidence, Fired, Rule
from ssmspec.rules.causes import names_or
from ssmspec.rules.wording import compared, listed, number

DRAWN_TO = 1e-1
"""The largest step size that published code draws (dt_max), unless told otherwise."""

STEP_LOW, STEP_HIGH = 1e-4, 1.0
"""Step sizes that published recipes use: S4's dt_min goes down to 1e-4, DFouT sets dt = 1."""

ROUNDING = 1e-6
"""Relative slack at both ends of that range, for step sizes stored as float32 logarithms."""

COARSE_ROUNDING = 0.05
"""Likewise where a coarse type stores the logarithm: bfloat16 rounds log 0.001 by up to 0.016."""

DEVIATIONS = 6.0
"""Standard deviations that the kurtosis of C must be off that of noise to count as moved."""

TINY = 1e-3
"""Relative slack of nn.Linear's bound: what a few steps of training or a coarse type add to it."""


def _untrained(evidence: Evidence, threshold: float) -> Fired | None:
    drift = evidence.layer.value("init_drift")
    if drift is None or drift >= threshold:
        return None
    scheme = evidence.layer.metrics.get("init_scheme")
    name = f"{scheme.value} " if isinstance(scheme, Measured) else ""
    shown, limit = compared(drift, threshold)
    away = f"({shown} half-widths away rms, threshold {limit})"
    if evidence.spectrum.selective:
        # The poles are compared at the layer's own step sizes, which start at random here: that A
        # did not move is no fault of a fresh layer, and common in a trained one.
        return Fired(
            f"A of every mode stands where the {name}initialization puts it {away}; whether the "
            f"step sizes were trained does not show",
            value=drift,
            level=Level.INFO,
        )
    moved = [part for part, has in (("dt", _steps_moved), ("C", _outputs_moved)) if has(evidence)]
    stand = f"all poles stand where the {name}initialization puts them {away}: "
    if moved:
        return Fired(
            f"{stand}A never moved, while {listed(moved)} did: A was frozen, or nothing was "
            f"learned in it",
            value=drift,
            advice=(
                f"If A is meant to be trained, check that gradients and a learning rate above 0 "
                f"reach {names_or(evidence, 'decay', 'its parameters')}."
            ),
        )
    return Fired(f"{stand}the layer was never trained, or was frozen", value=drift)


def _steps_moved(evidence: Evidence) -> bool:
    """Whether some step sizes, not most, lie above all that they are drawn from.

    A model built with a wider range has it go further down, not up; one built with larger steps
    has most of them there.
    """
    dt = evidence.spectrum.dt
    if dt is None or not np.isfinite(dt).all() or (dt == dt.flat[0]).all():
        return False
    slack = ROUNDING if evidence.rounding is None else COARSE_ROUNDING
    return 0.0 < float((dt > DRAWN_TO * (1.0 + slack)).mean()) < 0.5


def _outputs_moved(evidence: Evidence) -> bool:
    """Whether C is no longer the normal noise that it is drawn as, of whatever size.

    Judged by its kurtosis: a training that moves a few numbers far makes its tails heavy.
    """
    family, source = evidence.family, evidence.source
    if family is None or source is None or family.reset_kernel is None or not source.has("C"):
        return False
    stored = source.read("C")
    parts = np.stack([stored.real, stored.imag]) if np.iscomplexobj(stored) else stored
    parts = parts[np.isfinite(parts)]
    square = float(np.square(parts).mean()) if parts.size else 0.0
    if square == 0.0:
        return False
    excess = float(np.square(np.square(parts / math.sqrt(square))).mean()) - 3.0
    return abs(excess) > DEVIATIONS * math.sqrt(24.0 / parts.size)


NEAR_OWN = 0.05
"""Relative distance from the step size that a family's own constant gives, up to which training
explains it (heuristic): a public trained gated DeltaNet lies within 0.03, a zeroed bias 0.47."""


def _own_constant(evidence: Evidence) -> float | None:
    """What the family's public code starts every step-size parameter of such a layer from."""
    if evidence.family is None:
        return None
    own, decays, steps = (
        evidence.family.parameters,
        evidence.values("decay"),
        evidence.values("step"),
    )
    if decays is not None and steps is not None and steps.size > decays.size:
        return own.own_channel_constant
    return own.own_constant


def _never_set(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether the dt bias is one constant, or what nn.Linear draws."""
    if not evidence.spectrum.selective:
        return None
    steps = _nominal_steps(evidence)
    if steps is None or steps.size < 2 or not np.isfinite(steps).all():
        return None
    constant = _own_constant(evidence)
    # A softplus far below zero underflows to 0: log of the least float64 keeps it finite.
    log_dt = np.log(np.maximum(steps, np.finfo(np.float64).tiny))
    spread = quantile(log_dt, 0.75) - quantile(log_dt, 0.25)
    if spread < threshold:
        if constant is not None and math.isclose(
            quantile(steps, 0.5), math.log1p(math.exp(constant)), rel_tol=NEAR_OWN
        ):
            return None
        shown, limit = compared(spread, threshold)
        return Fired(
            f"the nominal step sizes are all alike: the middle half spans {shown} nat "
            f"(threshold {limit}) around a median of {number(quantile(steps, 0.5))} "
            f"(a zeroed bias gives 0.693)",
            value=spread,
        )
    rank = _rank(evidence)
    bias = evidence.values("step")
    if not rank or bias is None or not bias.size:
        return None
    bound, most = 1.0 / math.sqrt(rank), float(np.abs(bias).max())
    if most > bound * (1.0 + TINY):
        return None
    return Fired(
        f"every {names_or(evidence, 'step', 'dt bias')} lies within {number(bound)} = "
        f"1/sqrt({rank}) of 0 (the largest is {number(most)}), where nn.Linear draws it: it was "
        f"never set for a state-space layer",
        value=most,
        threshold=bound,
    )


def _nominal_steps(evidence: Evidence) -> Floats | None:
    """Step sizes at the bias, also of families whose decay alone is read."""
    if evidence.spectrum.dt is not None:
        return evidence.spectrum.dt
    bias = evidence.values("step")
    with np.errstate(invalid="ignore"):  # a bias of NaN has a step size of NaN
        return None if bias is None else np.logaddexp(0.0, bias)


def _rank(evidence: Evidence) -> int | None:
    """Inputs of the linear layer whose bias sets the step sizes; None where there is no such."""
    source, family = evidence.source, evidence.family
    if source is None or family is None:
        return None
    for role in family.parameters.step:
        name = source.site.tensors.get(role, "")
        if name.endswith("bias"):
            for leaf, axis in (("weight", -1), ("kernel", 0)):
                info = source.checkpoint.tensors.get(name.removesuffix("bias") + leaf)
                if info is not None and len(info.shape) >= 2:
                    return info.shape[axis]
    return None


def _collapsed(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether the rates within a channel are all alike."""
    spectrum = evidence.spectrum
    if not spectrum.selective or spectrum.is_complex or spectrum.modes < 2:
        return None
    whole = (spectrum.finite & (spectrum.decay > 0.0)).all(axis=1)
    if not whole.any():
        return None
    decay = spectrum.decay[whole]
    ratio = float(np.median(decay.max(axis=1) / decay.min(axis=1)))
    limit = min(threshold, math.sqrt(spectrum.modes))
    if ratio >= limit:
        return None
    shown, least = compared(ratio, limit)
    return Fired(
        f"the {spectrum.modes} rates of a channel have become one: the largest is {shown} times "
        f"the smallest in the median channel (threshold {least}; {spectrum.modes} at the start)",
        value=ratio,
        threshold=limit,
    )


def _keep_rates(evidence: Evidence) -> str:
    name = names_or(evidence, "decay", "")
    return name and (
        f"Leave {name} out of weight decay, which pulls it toward 0 and every rate toward 1, and "
        f"train again from a checkpoint before the collapse."
    )


def _set_bias(evidence: Evidence) -> str:
    name = names_or(evidence, "step", "")
    return name and (
        f"Initialize {name} after any model-wide initialization (softplus of it log-uniform in "
        f"[0.001, 0.1]), keep it out of weight decay, and train again."
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


def _check_transform(evidence: Evidence) -> str:
    """Only where the transform can be another is it an option."""
    name = names_or(evidence, "step", "")
    if not name or evidence.family is None:
        return ""
    if len(evidence.family.dt_transforms) > 1:
        return (
            f"Check which transform the model applies to {name} (--dt-transform), and that A is in "
            f"the same unit of time."
        )
    return f"Check that {name} and A are in the same unit of time."


INI001 = Rule(
    code="INI001",
    level=Level.WARNING,
    title="the layer was never trained, or was frozen",
    why=(
        "Training moves poles: trained layers read 0.05 half-widths and more. Poles that equal an "
        "initialization, as the stored type rounds it, mean a fresh file, a frozen layer, or "
        "parameters re-initialized on load."
    ),
    advice=(
        "For a trained model, check that this is the checkpoint you meant and that its "
        "state-space parameters get gradients and a learning rate above 0."
    ),
    threshold=1e-3,
    bound=Bound.MIN,
    source=(
        "rms distance to the nearest known initialization, rounded to the stored type; the bound "
        "is far below what 75 public trained models show"
    ),
    check=_untrained,
)

INI002 = Rule(
    code="INI002",
    level=Level.WARNING,
    title="step sizes that were never set",
    why=(
        "Mamba draws softplus(dt bias) log-uniform from 0.001 to 0.1, so that channels remember "
        "from tens to thousands of samples. A model-wide initialization that zeroes biases, one "
        "constant for all, or the default of a linear layer (within 1/sqrt(rank) of 0) makes step "
        "sizes of about 0.693 and a memory of a few samples."
    ),
    advice=(
        "Initialize the dt bias after any model-wide initialization (softplus of it log-uniform "
        "in [0.001, 0.1]), keep it out of weight decay, and train again."
    ),
    threshold=0.02,
    bound=Bound.MIN,
    source="state-spaces/mamba, mamba_simple.py: dt initialization; the bound is a heuristic",
    check=_never_set,
    counsel=_set_bias,
)

INI004 = Rule(
    code="INI004",
    level=Level.WARNING,
    title="the rates of every channel collapsed",
    why=(
        "A Mamba-1 channel starts with rates 1, 2, ... N, so that its states forget at different "
        "speeds. Weight decay on A_log pulls all of them toward rate 1, and N equal states are one."
    ),
    advice=(
        "Leave A_log out of weight decay, and train again from a checkpoint before the collapse."
    ),
    threshold=1.25,
    bound=Bound.MIN,
    lowest=1.0,
    source="ratio of rates of one channel; the bound, and sqrt(N) for N = 2, are heuristics",
    check=_collapsed,
    counsel=_keep_rates,
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
    counsel=_check_transform,
)
