"""`s5-hippo`: the block-diagonal HiPPO-N spectrum of S5, with one step size per state."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ssmspec.arrays import Complexes
from ssmspec.errors import UsageError
from ssmspec.schemes.base import Kind, Request, Scheme, half_damped
from ssmspec.schemes.hippo import MAX_MODES, legs_frequencies
from ssmspec.schemes.options import SchemeOptions

DEFAULT_BLOCKS = 8
"""Block count of the original code's command line; its experiments use 3 to 16."""


def _build(request: Request) -> Complexes:
    modes, blocks = request.modes, request.knobs.blocks
    if blocks is None:
        blocks = math.gcd(DEFAULT_BLOCKS, modes)
    if modes % blocks:
        raise UsageError(f"{blocks} blocks do not divide {modes} stored modes evenly")
    return half_damped(np.tile(legs_frequencies(modes // blocks), blocks))


def _block_counts(modes: int) -> Iterator[SchemeOptions]:
    """Every way of cutting M modes into equal blocks: a file does not say which was used."""
    for size in range(1, min(modes, MAX_MODES) + 1):
        if modes % size == 0:
            yield SchemeOptions(blocks=modes // size)


S5 = Scheme(
    id="s5-hippo",
    title="S5 HiPPO-N",
    summary="J equal blocks of the S4D-LegS spectrum, one step size per state",
    formula="A = J copies of the S4D-LegS poles of N/J states, dt[n] one per state",
    explanation=(
        "One layer of P states repeats the HiPPO spectrum of a smaller state size J times, which "
        "keeps its largest frequency at about (N/J)^2/pi and so folds less than one large block. "
        "Every state draws its own step size, and that spreads the few distinct frequencies along "
        "the band: what a layer covers is decided by the step sizes, and each of them still moves "
        "decay and frequency of its state together."
    ),
    source="arXiv 2208.04933; lindermanlab/S5 3c18fdb, s5/ssm_init.py and s5/train.py",
    kind=Kind.CONTINUOUS,
    build=_build,
    options=("dt_min", "dt_max", "blocks"),
    dt_per_state=True,
    candidates=_block_counts,
)
