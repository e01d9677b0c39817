"""Rules on poles that grow, on numbers that are none, and on tensors that are not there."""

from __future__ import annotations

import math

import numpy as np

from ssmspec.families.scan import ScannedTensor
from ssmspec.naming import printable
from ssmspec.outcome import Level, NotFinite
from ssmspec.rules.base import Bound, Evidence, Fired, Rule
from ssmspec.rules.causes import is_relogged, names_or
from ssmspec.rules.wording import compared, listed, number, power_of_e
from ssmspec.spectrum import LayerSpectrum

GROWTH_RATE = 1e-6
"""Heuristic: the growth in nat/sample that is let pass when the sequence length is unknown. It is
1 % over 10,000 samples, and float32 rounding of a pole on the unit circle stays below it."""

LOGARITHMS = frozenset({"A_real", "inv_A_real", "inv_w_real", "inv_dt", "time_decay"})
"""Tensors that hold a logarithm without saying so in their name."""

NAMED = 3
"""Metrics, tensors or layers that a message names before it counts the rest."""


def _growing(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether the fastest growing mode gains more than `threshold` over L samples.

    Judged on logarithms, -decay L > log(threshold), so that nothing overflows. Modes that are not
    finite are STB002's.
    """
    spectrum = evidence.spectrum
    decay = np.where(spectrum.finite, spectrum.decay, np.inf)
    worst = np.unravel_index(int(np.argmin(decay)), decay.shape)
    rate = -float(decay[worst])
    length = evidence.context.sequence_length
    limit = growth_limit(evidence, threshold)
    if rate <= limit:
        return None
    count = int(np.count_nonzero(-decay > limit))
    rounding = evidence.rounding
    who = (
        f"{count:,} of {decay.size:,} modes {'grows' if count == 1 else 'grow'}, the fastest "
        f"({_place(int(worst[0]), int(worst[1]), spectrum)})"
    )
    advice = None
    told = ""
    if rounding is not None and rounding.explains(spectrum, limit):
        types = " and ".join(rounding.dtypes)
        told = f"; the rounding of {types} alone put them there"
        advice = (
            f"Store {names_or(evidence, 'decay', 'what sets the poles')} in float32: the poles "
            f"that were trained need not have grown."
        )
    if length is None:
        shown, least = compared(rate, limit)
        return Fired(
            f"{who} e-fold every {number(1.0 / rate)} samples "
            f"({shown} nat/sample, threshold {least} where the sequence length is unknown){told}",
            value=-rate,
            threshold=-limit,
            advice=advice,
        )
    growth = rate * length
    return Fired(
        f"{who} by a factor of {power_of_e(growth)} over {length:,} samples "
        f"(threshold {number(threshold)}){told}",
        value=math.exp(growth) if growth < math.log(np.finfo(np.float64).max) else math.inf,
        advice=advice,
    )


def growth_limit(evidence: Evidence, threshold: float) -> float:
    """Growth in nat/sample that passes: by a factor of `threshold` over the sequence."""
    length = evidence.context.sequence_length
    return GROWTH_RATE if length is None else math.log(threshold) / length


def _against_growth(evidence: Evidence) -> str:
    """What keeps the poles of this family from growing."""
    spectrum, source = evidence.spectrum, evidence.source
    name = names_or(evidence, "decay", "")
    again = "and train again from a checkpoint before the growth."
    if source is None or not name:
        return ""
    if spectrum.family == "s4-dplr":
        if source.site.variant in {"v1", "v2"}:
            where = "p (in B) and q (in C)" if source.site.variant == "v1" else "P and Q"
            return (
                f"A = diag(w) - p q* can leave the left half-plane because {where} are free of "
                f"each other: tie them (q = p, as later versions of S4 do), keep Re w negative, "
                f"{again}"
            )
        return f"Keep the real part that {name} set negative, {again}"
    if spectrum.family == "s5":
        return (
            f"Keep the real part of {evidence.stored_in('decay')[0]} negative: build the model "
            f"with clip_eigs=True, which caps it at -1e-4 on use, or store its logarithm, {again}"
        )
    if spectrum.discretization.value == "native" and spectrum.is_complex:
        return f"Keep the magnitude of every entry of {name} below 1, {again}"
    return f"Keep what {name} sets decaying (store a logarithm of the damping, or clip it), {again}"


def _not_finite(evidence: Evidence, _: float) -> Fired | None:
    broken = evidence.scan.broken if evidence.scan is not None else ()
    if broken:
        return _broken_tensors(evidence, broken)
    finite = evidence.spectrum.finite
    count = int(np.count_nonzero(~finite))
    if count == 0:
        return _nan_metric(evidence)
    channel, mode = np.unravel_index(int(np.argmin(finite)), finite.shape)
    left = f"the other {finite.size - count:,} are measured" if count < finite.size else ""
    return Fired(
        f"{count:,} of {finite.size:,} modes have a pole or step size that is NaN or infinite "
        f"(the first is {_place(int(channel), int(mode), evidence.spectrum)}), "
        f"{left or 'so the layer cannot be measured'}",
        value=None,
    )


def _broken_tensors(evidence: Evidence, broken: tuple[ScannedTensor, ...]) -> Fired:
    parts = [_broken(tensor) for tensor in broken[:NAMED]]
    more = f"; and {len(broken) - NAMED:,} more tensors" if len(broken) > NAMED else ""
    kind, advice = _kind(evidence, broken)
    return Fired(f"{'; '.join(parts)}{more}: {kind}", value=None, advice=advice)


def _broken(tensor: ScannedTensor) -> str:
    kinds = (("NaN", tensor.nan), ("+inf", tensor.plus), ("-inf", tensor.minus))
    counts = [f"{count:,} {kind}" for kind, count in kinds if count]
    first = "" if not tensor.first else f" (the first at {list(tensor.first)})"
    return (
        f"{printable(tensor.info.name)} holds {listed(counts)} in {tensor.info.size:,} "
        f"numbers{first}"
    )


def _kind(evidence: Evidence, broken: tuple[ScannedTensor, ...]) -> tuple[str, str | None]:
    """What probably happened, and what to do about it (None for the rule's own advice)."""
    first = broken[0]
    if is_relogged(evidence):
        return (
            "from a loader, most likely, that took the logarithm once more: what is left fits "
            "log(log(-A)), which is NaN where -A was below 1",
            f"Convert the checkpoint again without a second logarithm of {first.relative}.",
        )
    if all(t.minus == t.broken and _is_logarithm(t) for t in broken):
        return (
            "-inf is the logarithm of 0, most likely a rate that was drawn as 0 at initialization "
            "(in a coarse type, say)",
            f"Set these entries of {first.relative} to the logarithm of a small positive rate; "
            f"draw and take the logarithm in float32.",
        )
    if not any(t.nan for t in broken) and any(t.info.dtype == "float16" for t in broken):
        return (
            "infinities alone in float16, which ends at 65,504: most likely an overflow when it "
            "was cast",
            f"Store {first.relative} in float32 or bfloat16.",
        )
    return "from training that diverged, most likely", None


def _is_logarithm(tensor: ScannedTensor) -> bool:
    leaf = tensor.relative.rpartition(".")[2]
    return "log" in leaf.lower() or leaf in LOGARITHMS


def _nan_metric(evidence: Evidence) -> Fired | None:
    """Whether a metric of finite poles is NaN all the same, which no threshold would notice."""
    names = [k for k, outcome in evidence.layer.metrics.items() if isinstance(outcome, NotFinite)]
    if not names:
        return None
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return Fired(
        f"{', '.join(names[:NAMED])}{more} came out as NaN although every pole and step "
        f"size is a number, so no rule can judge by it",
        value=None,
        advice=(
            "Look for values near the limits of a float in this layer's parameters; a metric of "
            "an installed extension is for its author to mend."
        ),
    )


def _place(channel: int, mode: int, spectrum: LayerSpectrum) -> str:
    return f"channel {channel}, mode {mode}" if spectrum.channels > 1 else f"mode {mode}"


def _lost(evidence: Evidence, _: float) -> Fired | None:
    """Whether a layer beside this one lacks a tensor. The first layer of its kind is asked."""
    if not evidence.lost:
        return None
    name, missing = evidence.lost[0]
    others = [printable(other) for other, _ in evidence.lost[1:]]
    more = ""
    if others:
        rest = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
        more = f" (so do {', '.join(others[:NAMED])}{rest})"
    return Fired(
        f"lacks {printable(listed(missing))}, which {printable(evidence.layer.name)} has{more}: a "
        f"loader would draw a new one, and the layer is not measured",
        value=None,
        layer=name,
    )


STB001 = Rule(
    code="STB001",
    level=Level.ERROR,
    title="a pole grows",
    why=(
        "A pole outside the unit circle multiplies the state at every sample: outputs overflow on "
        "sequences longer than those that were trained on."
    ),
    advice=(
        "Keep the real part of every pole negative (store it as a logarithm, or clip it) and "
        "train again from a checkpoint before the growth."
    ),
    threshold=1.01,
    bound=Bound.MAX,
    lowest=1.0,
    source="bounded-input bounded-output stability; the 1 % over a sequence is a heuristic",
    check=_growing,
    counsel=_against_growth,
)

STB002 = Rule(
    code="STB002",
    level=Level.ERROR,
    title="a parameter of the layer, or a metric, is NaN or infinite",
    why=(
        "One such parameter makes outputs of the layer NaN, whichever of its tensors holds it. "
        "What is measured of the layer stands over the modes that are numbers. A metric that is "
        "NaN compares with no threshold and would pass for a good one."
    ),
    advice=(
        "Go back to the last checkpoint whose parameters are finite, and lower the learning rate "
        "of the state-space parameters or clip their gradients."
    ),
    threshold=None,
    source="IEEE 754: NaN and infinity propagate through the recurrence",
    check=_not_finite,
)

LST001 = Rule(
    code="LST001",
    level=Level.WARNING,
    title="a layer lost a tensor",
    why=(
        "A layer that lacks a parameter which its siblings have is no layer of another kind: a "
        "loader that finds no tensor of that name draws a new one, without a word in many "
        "frameworks."
    ),
    advice=(
        "Write the checkpoint again with every tensor in it; where the layers share one, store it "
        "under each name or note it in the file's metadata."
    ),
    threshold=None,
    source="names of the tensors of layers that are numbered in one stack",
    check=_lost,
)
