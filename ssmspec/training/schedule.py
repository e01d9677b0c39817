"""The learning rate as a pure function of the step: warm-up, then a cosine or nothing."""

from __future__ import annotations

import math


def rate_factor(step: int, *, warmup: int = 0, schedule: int | None = None) -> float:
    """What the learning rate of one optimizer step is multiplied by.

    Linear warm-up (Goyal et al., arXiv 1706.02677), then half a cosine without restarts
    (Loshchilov and Hutter, arXiv 1608.03983). The first step already moves: its factor is
    1 / `warmup`, not 0.

    Args:
        step: number of the step, from 0.
        warmup: steps until the factor is 1.
        schedule: step, counted from the start, at which a cosine reaches 0; None for 1 ever after.

    Returns:
        A number in [0, 1].
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule is None:
        return 1.0
    if step >= schedule:
        return 0.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / (schedule - warmup)))
