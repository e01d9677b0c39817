"""The learning rate as a pure function of the step: what a run's words come to, in steps."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """How the learning rate goes.

    Attributes:
        warmup: steps over which it rises linearly.
        end: step, counted from the start, at which a cosine reaches 0; None for a constant rate.
    """

    warmup: int = 0
    end: int | None = None

    def factor(self, step: int) -> float:
        """What the learning rate of one optimizer step is multiplied by.

        Linear warm-up (Goyal et al., arXiv 1706.02677), then half a cosine without restarts
        (Loshchilov and Hutter, arXiv 1608.03983). The first step already moves: its factor is
        1 / `warmup`, not 0.

        Args:
            step: number of the step, from 0.

        Returns:
            A number in [0, 1].
        """
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.end is None:
            return 1.0
        if step >= self.end:
            return 0.0
        return 0.5 * (1.0 + math.cos(math.pi * (step - self.warmup) / (self.end - self.warmup)))
