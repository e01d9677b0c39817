"""Fewer points where more would make no difference to the eye, chosen the same way every time."""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Array


def thinned(size: int, most: int) -> Array:
    """Which of `size` things to draw, ascending: all, or `most` of them drawn at random.

    At random, because poles come in a regular order: every k-th of them could be the same mode of
    each channel. The seed is fixed, so that a figure is the same every time.
    """
    if size <= most:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, most, replace=False))
