"""Maxima of many functions of one variable at once."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ssmspec.arrays import Floats

GOLDEN_RATIO = (1.0 + math.sqrt(5.0)) / 2.0
_PROBE = 2.0 - GOLDEN_RATIO
"""Where in the longer part of an interval to look."""


def highest_between(
    value: Callable[[Floats], Floats], below: Floats, best: Floats, above: Floats, steps: int
) -> tuple[Floats, Floats]:
    """Golden-section search for maxima; the best point found so far is never lost.

    Args:
        value: the functions' values at (n,) points, one for each function.
        below: (n,) lower ends.
        best: (n,) where each search starts, between the ends.
        above: (n,) upper ends.
        steps: each leaves 1 / 1.618 of an interval, or about as much.

    Returns:
        (n,) points and (n,) values there, no value below that at the start.
    """
    highest = value(best)
    for _ in range(steps):
        right = above - best > best - below
        trial = best + _PROBE * np.where(right, above - best, below - best)
        found = value(trial)
        better = found > highest
        worse = np.where(better, best, trial)
        outer = right == better  # the worse of the two inner points becomes an end
        below, above = np.where(outer, worse, below), np.where(outer, above, worse)
        best, highest = np.where(better, trial, best), np.maximum(found, highest)
    return best, highest
