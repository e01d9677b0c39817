"""Rules on which frequencies a layer's poles stand at. All of them are notes, not faults."""

from __future__ import annotations

from ssmspec.outcome import Level
from ssmspec.rules.base import Bound, Evidence, Fired, Rule, above, below, in_several_channels
from ssmspec.rules.wording import compared, hertz, listed, percent

ENERGY = 0.01
"""Share of the modes' energy in aliased ones above which they matter, however few they are."""

MOSTLY = 0.5
"""Share of aliased modes above which aliasing is no note but a warning."""

MOST_TIMES = 1e6
"""Ratio of two frequencies up to which it is said in hertz."""


def _aliasing(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether too many modes alias, or, where B and C are known, too loud ones."""
    modes = evidence.layer.value("aliased_fraction")
    energy = evidence.layer.value("aliased_energy")
    if modes is not None and modes > threshold:
        shown, most = compared(modes, threshold, percent)
        held = "" if energy is None else f" and hold {percent(energy)} of the modes' energy"
        return Fired(
            f"{shown} of the modes alias (threshold {most}){held}: {_beyond(evidence)}",
            value=modes,
            level=Level.WARNING if modes > MOSTLY else None,
        )
    if energy is not None and energy > ENERGY:
        shown, most = compared(energy, ENERGY, percent)
        return Fired(
            f"modes that alias hold {shown} of the modes' energy (threshold {most}): "
            f"{_beyond(evidence)}",
            value=energy,
            threshold=ENERGY,
        )
    return None


def _beyond(evidence: Evidence) -> str:
    """Where Nyquist is passed, in hertz where the rate is known."""
    passed = "dt |Im A| passes pi, so they are heard at a folded frequency"
    rate, headroom = evidence.context.sample_rate, evidence.layer.value("nyquist_headroom")
    if rate is None or headroom is None or not 1.0 / MOST_TIMES < headroom < 1.0:
        return passed
    return (
        f"{passed} (the highest, {hertz(rate / 2 / headroom)}, is beyond Nyquist at "
        f"{hertz(rate / 2)})"
    )


def _against_aliases(evidence: Evidence) -> str:
    steps = evidence.stored_in("step")
    if not steps:
        return ""
    grid = _grid(evidence)
    return (
        f"Lower the largest step size ({listed(steps)}) or mask these modes (bandlimit), or start "
        f"from {grid}, whose angles never pass pi."
    )


def _wider(evidence: Evidence) -> str:
    """Step sizes move the band of a layer that has them; angles of the others do."""
    steps, angles = evidence.stored_in("step"), evidence.stored_in("angle")
    if steps:
        return (
            f"Widen the range of step sizes ({listed(steps)}) upward, or spread the angles evenly "
            f"as {_grid(evidence)} does."
        )
    if not angles:
        return ""
    return f"Spread the angles ({listed(angles)}) evenly, as {_grid(evidence)} does."


def _grid(evidence: Evidence) -> str:
    """The DFouT scheme that the layer can hold: one A for all channels holds no layer-wise grid."""
    return "dfout-single" if evidence.spectrum.family == "dss" else "dfout"


ALI001 = Rule(
    code="ALI001",
    level=Level.INFO,
    title="modes alias",
    why=(
        "A mode that turns by more than pi a sample cannot be told from a slower one: it sounds "
        "at a folded frequency, and at another one when the sample rate changes."
    ),
    advice=(
        "Lower the largest step size or mask these modes (bandlimit), or start from dfout, whose "
        "angles never pass pi."
    ),
    threshold=0.01,
    bound=Bound.MAX,
    source="sampling theorem applied to dt |Im A|; the 1 % is a heuristic",
    check=_aliasing,
    counsel=_against_aliases,
)

COV001 = Rule(
    code="COV001",
    level=Level.INFO,
    title="part of the band is out of reach",
    why="No pole resonates within half power of the frequencies that are left uncovered.",
    advice="Widen the range of step sizes upward, or spread the angles evenly as dfout does.",
    threshold=0.9,
    bound=Bound.MIN,
    source="half-power bandwidth of a pole; the 90 % is a heuristic",
    check=in_several_channels(
        below(
            "coverage",
            "the poles reach {value} of the band from 0 to Nyquist (threshold {threshold})",
            percent,
        )
    ),
    counsel=_wider,
)

COV002 = Rule(
    code="COV002",
    level=Level.INFO,
    title="the poles' power is uneven over the band",
    why=(
        "A low flatness says that most poles crowd into few frequencies. It describes the shape "
        "and is no fault: some tasks train better with it."
    ),
    advice="Compare with a dfout layer (above 0.99) if the task needs the whole band.",
    threshold=0.5,
    bound=Bound.MIN,
    source="spectral flatness (Wiener entropy) of unit-energy Poisson kernels; a heuristic bound",
    check=in_several_channels(
        below(
            "spectral_flatness",
            "the poles' power is spread unevenly over the band: flatness {value} "
            "(threshold {threshold}, 1 is even)",
        )
    ),
)

ENT001 = Rule(
    code="ENT001",
    level=Level.INFO,
    title="decay and frequency are tied",
    why=(
        "Where one step size sets both, a channel cannot remember for long and hear high "
        "frequencies at once, and training moves both together."
    ),
    advice=(
        "Parameterize decay and angle apart, as dfout does, if they should move independently."
    ),
    threshold=0.5,
    bound=Bound.MAX,
    source="R^2 between log decay and log frequency over channels; the bound is a heuristic",
    check=above(
        "entanglement",
        "decay and frequency move together over the channels: R^2 = {value} "
        "(threshold {threshold}, 0 is independent)",
    ),
)
