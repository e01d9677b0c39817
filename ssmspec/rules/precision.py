"""Rules on the precision that poles are stored with."""

from __future__ import annotations

from ssmspec.outcome import Level
from ssmspec.rules.base import Bound, Evidence, Fired, Rule
from ssmspec.rules.stability import growth_limit
from ssmspec.rules.wording import compared, listed

GROWS = 1.01
"""STB001's threshold: what rounding pushed out of the unit circle is one finding, and that one."""


def _coarse(evidence: Evidence, threshold: float) -> Fired | None:
    rounding = evidence.rounding
    if rounding is None or rounding.half_widths <= threshold:
        return None
    if rounding.explains(evidence.spectrum, growth_limit(evidence, GROWS)):
        return None  # STB001 says so
    shown, limit = compared(rounding.half_widths, threshold)
    return Fired(
        f"parameters that set poles are stored as {' and '.join(rounding.dtypes)}, and rounding "
        f"moves the poles by {shown} half-widths rms (threshold {limit})",
        value=rounding.half_widths,
    )


def _in_single(evidence: Evidence) -> str:
    names = dict.fromkeys(
        name for kind in ("decay", "angle", "step") for name in evidence.stored_in(kind)
    )
    if not names:
        return ""
    return f"Keep {listed(list(names))} in float32; they are a small part of a model."


PRC001 = Rule(
    code="PRC001",
    level=Level.WARNING,
    title="poles rounded away",
    why=(
        "Of a number bfloat16 keeps 8 bits and float16 keeps 11. A frequency or a step size that "
        "is rounded to so few moves a narrow resonance by more than its own width: the stored "
        "model is not the one that was trained."
    ),
    advice=(
        "Keep the parameters that set poles (A, dt and what they are computed from) in float32; "
        "they are a small part of a model."
    ),
    threshold=0.5,
    bound=Bound.MAX,
    source=(
        "measured: parameters moved by half a unit of their last place, uniform errors assumed; "
        "the bound is a heuristic"
    ),
    check=_coarse,
    counsel=_in_single,
)
