"""Rules on what a layer does hear: its kernel, where B and C are in the file. All are notes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssmspec.families.scan import LayerScan
from ssmspec.naming import printable
from ssmspec.outcome import Level
from ssmspec.rules.base import Bound, Evidence, Fired, Rule, above
from ssmspec.rules.wording import compared, hertz, number, percent

UNTRAINED = 1e-3
"""INI001's threshold."""


NO_EFFECT = 1e-12
"""Largest magnitude over the siblings' median below which a tensor has no effect (heuristic)."""
NOTHING = 1e-20
"""Likewise where all layers are alike: in float32 such factors multiply to nothing (heuristic)."""

EFFECTIVE = frozenset({
    "B", "C", "Bp", "Cp", "C1", "C2", "W", "B_re", "B_im", "C_re", "C_im", "residues", "WB", "WC",
    "Wo", "Win", "in_proj", "out_proj", "x_proj", "o_proj", "q_proj", "k_proj", "v_proj", "BCdt",
    "in_proj_qkvz", "qkv_proj", "in_proj_qkv", "W_B", "W_C", "to_BCdelta", "x_proj_weight",
    "receptance", "key", "value", "output",
})  # fmt: skip
"""Names of B, C and the projections around them; other tensors may well be zero."""

CARRIED = {"bB": "WB", "bC": "WC", "x_proj.bias": "x_proj", "W_B.bias": "W_B", "W_C.bias": "W_C"}
"""Biases that are B or C where the projection beside them is zero: such a layer has an effect."""


def _without_effect(evidence: Evidence, _: float) -> Fired | None:
    """Whether B, C or a projection is numerically zero, beside its siblings or by itself."""
    if evidence.scan is None:
        return None
    sizes = _effects(evidence.scan)
    others = [_effects(scan) for scan in evidence.peers]
    zeroed = _zero_at_start(evidence)
    for name, size in sizes.items():
        if name in zeroed:
            continue
        beside = [other[name] for other in others if name in other]
        typical = float(np.median(beside)) if beside else 0.0
        limit = NO_EFFECT * typical if typical > NOTHING else NOTHING
        if size >= limit and size > 0.0:
            continue
        against = (
            f"below {number(limit)}, {number(NO_EFFECT)} of its siblings' median"
            if typical > NOTHING
            else f"below {number(NOTHING)}"
        )
        return Fired(
            f"the layer has no effect: {printable(name)} is zero for all purposes (its largest "
            f"magnitude is {number(size)}, {against})",
            value=size,
            threshold=limit,
            advice=(
                f"Look for what drove {printable(name)} to zero (weight decay without a gradient, "
                f"say), take the layer out, or go back to a checkpoint before."
            ),
        )
    return None


def _effects(scan: LayerScan) -> dict[str, float]:
    """Largest magnitude of B, C and each projection, real and imaginary part together."""
    sizes: dict[str, float] = {}
    for tensor in scan.tensors:
        name = tensor.relative.removesuffix(".weight").removesuffix(".kernel")
        name = CARRIED.get(name, name)
        if name.rpartition(".")[2] not in EFFECTIVE or tensor.broken:
            continue
        for ending in ("_re", "_im"):
            name = name.removesuffix(ending)
        sizes[name] = max(sizes.get(name, 0.0), tensor.largest)
    return sizes


def _zero_at_start(evidence: Evidence) -> frozenset[str]:
    """Projections that a never-trained layer of this family may hold as zeros.

    RWKV starts most projections of a block at 0, as several recipes do with what ends one.
    """
    drift = evidence.layer.value("init_drift")
    fresh = drift is not None and drift < UNTRAINED
    if evidence.spectrum.family == "rwkv" or fresh:
        return frozenset({"out_proj", "o_proj", "output", "receptance", "key", "value"})
    return frozenset()


def _local(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether the energy sits in the first few lags."""
    share, length = evidence.layer.value("locality"), evidence.context.sequence_length
    if share is None or length is None or share >= threshold:
        return None
    shown, most = compared(share, threshold, percent)
    return Fired(
        f"the kernel is local: 90 % of its energy lies in the first {number(share * length)} "
        f"of {length:,} lags ({shown}, threshold {most})",
        value=share,
    )


def _row_stride(evidence: Evidence, threshold: float) -> Fired | None:
    """Whether the energy follows the rows of an image."""
    energy = evidence.layer.value("stride_energy")
    chance = evidence.layer.value("stride_energy_chance")
    if energy is None or chance is None or threshold * chance > 1.0:
        return None  # with a stride below 15 no energy is three times its chance
    limit = threshold * chance
    if energy <= limit:
        return None
    shown, least = compared(energy, limit, percent)
    return Fired(
        f"the kernel follows the row stride of {evidence.context.row_stride}: {shown} of its "
        f"energy lies within 2 lags of a multiple (threshold {least}: {number(threshold)} times "
        f"chance)",
        value=energy,
        threshold=limit,
    )


def _resampled(evidence: Evidence, threshold: float) -> Fired | None:
    fired = above(
        "resampling_risk",
        "{value} of the modes' energy would alias at the lower rate (threshold {threshold})",
        percent,
    )(evidence, threshold)
    rate, factor = evidence.context.sample_rate, evidence.context.resample
    if fired is None or rate is None or factor is None:
        return fired
    told = f"{fired.message}: Nyquist falls from {hertz(rate / 2)} to {hertz(rate / factor / 2)}"
    return replace(fired, message=told)


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

DEA002 = Rule(
    code="DEA002",
    level=Level.WARNING,
    title="a layer without effect",
    why=(
        "Where B, C or a projection around them is zero for all purposes, nothing of the layer "
        "reaches the rest of the model: it was decayed away, or never learned to matter."
    ),
    advice="Look for what drove it to zero, take the layer out, or go back to an older checkpoint.",
    threshold=None,
    source="largest magnitude against the siblings' median; the bounds are heuristics",
    check=_without_effect,
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
        "short convolution over neighboring samples. Energy kept is not accuracy kept: a model cut "
        "to these lags can fall to chance."
    ),
    advice="No fault; a short convolution in its place would show how much of the state is needed.",
    threshold=0.05,
    bound=Bound.MIN,
    source="arXiv 2508.20441 finds it in trained models; the bounds are heuristics of this project",
    check=_local,
)

LOC002 = Rule(
    code="LOC002",
    level=Level.INFO,
    title="attention along the columns of an image",
    why=(
        "The kernel hears what stands in the same columns of the rows above, and little between: "
        "the layer found out that its sequence is an image."
    ),
    advice="No fault; a change of the image's width would undo it.",
    threshold=3.0,
    bound=Bound.MAX,
    source="arXiv 2508.20441 finds it in trained models; 3 times chance is a heuristic",
    check=_row_stride,
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
    check=_resampled,
)
