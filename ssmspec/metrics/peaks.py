"""Maxima of many smooth functions of one variable at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ssmspec.arrays import Array, Floats

_CLOSE = 1e-12
"""What is left to gain at a point that is taken for a maximum, relative, by the parabola there."""
_ROUNDS = 60
"""Halvings that bring any interval below rounding."""


class Local(NamedTuple):
    """(n,) values of n functions at a point of each, first and second derivatives."""

    value: Floats
    slope: Floats
    bend: Floats


def highest_between(
    look: Callable[[Array, Floats], Local], below: Floats, best: Floats, above: Floats
) -> Floats:
    """Newton's method inside of a shrinking interval, halved where a step would leave it.

    Args:
        look: the functions with the given places (m,) in the list, each at its own point (m,).
        below: (n,) lower ends.
        best: (n,) where each search starts, between the ends.
        above: (n,) upper ends.

    Returns:
        (n,) the highest values met, none below that at the start; NaN where a value is.
    """
    at, low, high = best.copy(), below.copy(), above.copy()
    highest = np.zeros(best.size)
    places = np.arange(best.size)
    for _ in range(_ROUNDS):
        here = look(places, at[places])
        highest[places] = np.maximum(highest[places], here.value)
        rising = here.slope > 0.0
        low[places[rising]] = at[places[rising]]
        high[places[~rising]] = at[places[~rising]]
        step = np.divide(here.slope, -here.bend, out=np.zeros(at.size)[places], where=here.bend < 0)
        target, middle = at[places] + step, (low[places] + high[places]) / 2.0
        inside = (here.bend < 0.0) & (target >= low[places]) & (target <= high[places])
        done = inside & (here.slope * step <= 2.0 * _CLOSE * here.value)
        done |= np.isnan(here.value) | (middle <= low[places]) | (middle >= high[places])
        at[places] = np.where(inside, target, middle)
        places = places[~done]
        if not places.size:
            break
    return highest
