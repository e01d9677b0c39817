"""Rules on how long modes remember."""

from __future__ import annotations

import math

from ssmspec.outcome import Level
from ssmspec.rules.base import Bound, Evidence, Fired, Rule, above
from ssmspec.rules.wording import compared, number, percent

UNKNOWN_LENGTH_LIMIT = 1e6
"""Heuristic: samples that a nominal time constant may last when the sequence length is unknown."""


def _accumulator(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether 1/decay of the slowest nominal mode passes `threshold` sequence lengths.

    Growing modes are STB001's and are left out; a mode without any decay has an infinite time
    constant.
    """
    spectrum = evidence.spectrum
    if not spectrum.selective or spectrum.non_finite or not spectrum.stable.any():
        return None
    slowest = float(spectrum.decay[spectrum.stable].min())
    time_constant = 1.0 / slowest if slowest > 0.0 else math.inf
    length = evidence.context.sequence_length
    limit = UNKNOWN_LENGTH_LIMIT if length is None else threshold * length
    if time_constant <= limit:
        return None
    shown, most = compared(time_constant, limit)
    whence = (
        "the sequence length is unknown" if length is None else f"{number(threshold)} sequences"
    )
    return Fired(
        f"the longest nominal time constant is {shown} samples (threshold {most}: {whence}), "
        f"an accumulator in the making",
        value=time_constant,
        threshold=limit,
    )


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
        f"{number(ratio * length)} of {length:,} samples (ratio {shown}, threshold {least}, which "
        f"takes a decay of {number(needed)} nat/sample)",
        value=ratio,
        level=Level.INFO if selective else None,
    )


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
        "the step size from below or leave dt bias and A_log out of weight decay."
    ),
    threshold=10.0,
    bound=Bound.MAX,
    source="heuristic of this project: 10 sequence lengths, or 1e6 samples",
    check=_accumulator,
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
    check=above(
        "memoryless_fraction",
        "{value} of the modes have a time constant below one sample (threshold {threshold})",
        percent,
    ),
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
    check=above(
        "undamped_fraction",
        "{value} of the modes have a time constant longer than the sequence "
        "(threshold {threshold})",
        percent,
    ),
)
