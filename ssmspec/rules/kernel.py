"""Rules on what a layer does hear: its kernel, where B and C are in the file. All are notes."""

from __future__ import annotations

from ssmspec.outcome import Level
from ssmspec.rules.base import Bound, Evidence, Fired, Rule, above
from ssmspec.rules.wording import compared, number, percent

ABOVE_CHANCE = 3.0
"""How many times its chance the energy on a row stride must be for a layer to count as local."""


def _local(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether the energy sits in a small part of the lags: the first ones, or a row's multiples."""
    share, length = evidence.layer.value("locality"), evidence.context.sequence_length
    if share is not None and length is not None and share < threshold:
        shown, most = compared(share, threshold, percent)
        return Fired(
            f"the kernel is local: 90 % of its energy lies in the first {number(share * length)} "
            f"of {length:,} lags ({shown}, threshold {most})",
            value=share,
        )
    energy = evidence.layer.value("stride_energy")
    chance = evidence.layer.value("stride_energy_chance")
    if energy is None or chance is None or energy <= ABOVE_CHANCE * chance:
        return None
    shown, least = compared(energy, ABOVE_CHANCE * chance, percent)
    return Fired(
        f"the kernel follows the row stride of {evidence.context.row_stride}: {shown} of its "
        f"energy lies within 2 lags of a multiple (threshold {least}: {number(ABOVE_CHANCE)} times "
        f"chance)",
        value=energy,
        threshold=ABOVE_CHANCE * chance,
    )


DEA001 = Rule(
    code="DEA001",
    level=Level.INFO,
    title="channels that are not heard",
    why=(
        "A channel whose peak gain is a thousandth of the loudest one's adds nothing to the "
        "layer's output that later layers would notice."
    ),
    advice="Prune these channels, or look for what silences them: weight decay on C, say.",
    threshold=0.25,
    bound=Bound.MAX,
    source="peak gain of each channel; both bounds are heuristics of this project",
    check=above(
        "dead_channel_fraction",
        "{value} of the channels are dead (threshold {threshold}): their peak gain is below a "
        "thousandth of the loudest one's",
        percent,
    ),
)

RED001 = Rule(
    code="RED001",
    level=Level.INFO,
    title="modes that repeat others",
    why=(
        "Two resonances of one channel that are closer than a fraction of their width sound alike: "
        "one of them, with the sum of both residues, does nearly the same."
    ),
    advice="A smaller state would do, or an initialization that spreads the poles, such as dfout.",
    threshold=0.25,
    bound=Bound.MAX,
    source="pseudo-hyperbolic distance between poles; both bounds are heuristics of this project",
    check=above(
        "redundant_mode_fraction",
        "{value} of the modes have another one of their channel beside them "
        "(threshold {threshold})",
        percent,
    ),
)

LOC001 = Rule(
    code="LOC001",
    level=Level.INFO,
    title="local attention",
    why=(
        "The poles of the layer reach much farther than what B and C let through: it works as a "
        "short convolution, over neighboring samples or over the rows of an image."
    ),
    advice="No fault; a short convolution in its place would show how much of the state is needed.",
    threshold=0.05,
    bound=Bound.MIN,
    source="arXiv 2508.20441 finds it in trained models; the bounds are heuristics of this project",
    check=_local,
)

RES001 = Rule(
    code="RES001",
    level=Level.INFO,
    title="a lower rate would alias",
    why=(
        "At a lower rate step sizes grow in proportion, and modes pass Nyquist that were below it: "
        "the model no longer hears what it was trained on."
    ),
    advice=(
        "Mask these modes (bandlimit) for the run at the lower rate, or train with them masked."
    ),
    threshold=0.05,
    bound=Bound.MAX,
    source="sampling theorem applied to R dt |Im A|; the 5 % is a heuristic",
    check=above(
        "resampling_risk",
        "{value} of the modes' energy would alias at the lower rate (threshold {threshold})",
        percent,
    ),
)
