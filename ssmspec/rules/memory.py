"""Rules on how long modes remember."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ssmspec.outcome import Level
from ssmspec.rules.base import Bound, Evidence, Fired, Rule, above
from ssmspec.rules.causes import likely_cause, names_or
from ssmspec.rules.wording import compared, listed, number, percent, seconds

CHANCE = 0.02
"""Share of heads that hardly decay up to which a uniform draw from 0 explains them: rates of 0 to
16 at steps of 0.001 to 0.1 leave one in a thousand beyond 10 sequences of 1,024. Heuristic."""

UNKNOWN_LENGTH_LIMIT = 1e6
"""Heuristic: samples that a nominal time constant may last when the sequence length is unknown."""


def in_seconds(samples: float, evidence: Evidence) -> str:
    """` (0.3 s)` where the sample rate is known, else nothing."""
    rate = evidence.context.sample_rate
    return "" if rate is None or not math.isfinite(samples) else f" ({seconds(samples, rate)})"


def _accumulator(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether 1/decay of the slowest nominal mode passes `threshold` sequence lengths.

    Growing modes are STB001's and are left out; a mode without any decay has an infinite time
    constant.
    """
    spectrum = evidence.spectrum
    stable = spectrum.finite & spectrum.stable
    if not spectrum.selective or not stable.any():
        return None
    slowest = float(spectrum.decay[stable].min())
    time_constant = 1.0 / slowest if slowest > 0.0 else math.inf
    length = evidence.context.sequence_length
    limit = UNKNOWN_LENGTH_LIMIT if length is None else threshold * length
    if time_constant <= limit or _by_chance(evidence, limit):
        return None
    shown, most = compared(time_constant, limit)
    lasting = in_seconds(time_constant, evidence)
    whence = (
        "the sequence length is unknown" if length is None else f"{number(threshold)} sequences"
    )
    cause = likely_cause(evidence)
    return Fired(
        f"the longest nominal time constant is {shown} samples{lasting} "
        f"(threshold {most}: {whence}), an accumulator in the making{'; ' if cause else ''}{cause}",
        value=time_constant,
        threshold=limit,
    )


def _by_chance(evidence: Evidence, limit: float) -> bool:
    """Whether an initialization that draws rates from 0 up explains so few lasting heads."""
    if evidence.family is None or not evidence.family.parameters.rates_from_zero:
        return False
    decay = evidence.spectrum.decay[evidence.spectrum.finite]
    lasting = int(np.count_nonzero((decay >= 0.0) & (decay * limit < 1.0)))
    return lasting <= 1 or lasting <= CHANCE * decay.size


def _forgetful(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether no mode still holds 1 % of its state after the whole sequence."""
    ratio = evidence.layer.value("memory_ratio")
    length = evidence.context.sequence_length
    if ratio is None or length is None or ratio >= threshold:
        return None
    shown, least = compared(ratio, threshold)
    selective = evidence.spectrum.selective
    nominal = "nominal " if selective else ""
    needed = math.log(100.0) / (threshold * length)
    return Fired(
        f"no mode remembers the sequence: the longest {nominal}memory lasts "
        f"{number(ratio * length)} of {length:,} samples{in_seconds(ratio * length, evidence)} "
        f"(ratio {shown}, threshold {least}, which "
        f"takes a decay of {number(needed)} nat/sample)",
        value=ratio,
        level=Level.INFO if selective else None,
    )


def _memoryless(evidence: Evidence, threshold: float) -> Fired | None:
    fired = above(
        "memoryless_fraction",
        "{value} of the modes have a time constant below one sample (threshold {threshold})",
        percent,
    )(evidence, threshold)
    cause = likely_cause(evidence) if fired else ""
    return replace(fired, message=f"{fired.message}; {cause}") if fired and cause else fired


def _undamped(evidence: Evidence, threshold: float) -> Fired | None:
    fired = above(
        "undamped_fraction",
        "{value} of the modes have a time constant longer than the sequence "
        "(threshold {threshold})",
        percent,
    )(evidence, threshold)
    beyond = evidence.layer.value("energy_beyond")
    if fired is None or beyond is None:
        return fired
    heard = f"{percent(beyond)} of the kernel's energy lies beyond its end"
    return replace(fired, message=f"{fired.message}; {heard}")


def _against_accumulation(evidence: Evidence) -> str:
    """What bounds the decay of this family from below."""
    name = names_or(evidence, "decay", "")
    if not name:
        return ""
    drifts = "Test the model on inputs longer than its training sequences; if the state drifts, "
    if not evidence.stored_in("step"):
        return f"{drifts}bound {name}, which sets the decay, from below."
    return (
        f"{drifts}put a floor under the magnitude of A (that is, under {name}), and look whether "
        f"{name} was negated, had its logarithm taken twice, or was drawn in bfloat16."
    )


def _shorter(evidence: Evidence) -> str:
    return _turn(evidence, "Lower", "of these modes if they are meant to remember")


def _longer(evidence: Evidence) -> str:
    return _turn(evidence, "Lower", "unless later layers are to carry the sequence")


def _damped(evidence: Evidence) -> str:
    return _turn(evidence, "Raise", "if that much undamped memory is not wanted")


def _turn(evidence: Evidence, how: str, why: str) -> str:
    """`Lower the step size (log_dt) or the damping (log_A_real) of these modes ...`."""
    steps, decays = evidence.stored_in("step"), evidence.stored_in("decay")
    if not decays:
        return ""
    damping = f"the damping ({listed(decays)})"
    knob = f"the step size ({listed(steps)}) or {damping}" if steps else damping
    return f"{how} {knob} {why}."


ACC001 = Rule(
    code="ACC001",
    level=Level.WARNING,
    title="a nominal time constant far beyond the sequence",
    why=(
        "A mode that hardly forgets sums its input up: its state grows with the length of the "
        "input, past anything that was seen in training."
    ),
    advice=(
        "Test the model on inputs longer than its training sequences; if the state drifts, bound "
        "the rate of decay from below, and look for a rate that was negated or whose logarithm was "
        "taken twice, or drawn in bfloat16."
    ),
    threshold=10.0,
    bound=Bound.MAX,
    source="heuristic of this project: 10 sequence lengths, or 1e6 samples",
    check=_accumulator,
    counsel=_against_accumulation,
)

MEM001 = Rule(
    code="MEM001",
    level=Level.INFO,
    title="modes without memory",
    why=(
        "A mode that decays by more than 1 nat a sample has all but forgotten it at the next: it "
        "is a gain, as the skip connection D is."
    ),
    advice="Lower the step size or the damping of these modes if they are meant to remember.",
    threshold=0.1,
    bound=Bound.MAX,
    source="heuristic of this project",
    check=_memoryless,
    counsel=_shorter,
)

MEM002 = Rule(
    code="MEM002",
    level=Level.WARNING,
    title="no mode remembers the sequence",
    why=(
        "After ln(100)/decay samples a mode holds 1 % of its state. Where that is shorter than "
        "the sequence for every mode, the layer cannot carry its start to its end. A selective "
        "layer can, by lowering its step size: there it is information about nominal values."
    ),
    advice="Lower the smallest step size or damping, unless later layers are to carry it.",
    threshold=1.0,
    bound=Bound.MIN,
    source="memory to 1 % of the state; the bound is a definition, not a fit",
    check=_forgetful,
    counsel=_longer,
)

MEM003 = Rule(
    code="MEM003",
    level=Level.INFO,
    title="modes that do not forget within the sequence",
    why=(
        "A mode whose time constant is longer than the sequence is a plain sinusoid over it: its "
        "decay is hardly trained, and it keeps ringing when the sequences get longer."
    ),
    advice="Raise the smallest step size or damping if that much undamped memory is not wanted.",
    threshold=0.5,
    bound=Bound.MAX,
    source="heuristic of this project",
    check=_undamped,
    counsel=_damped,
)
