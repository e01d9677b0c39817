"""Array types used across the package. All diagnostics run in float64 and complex128."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Bools = NDArray[np.bool_]

__all__ = ["Array", "Bools", "Complexes", "Floats"]


def quantile(values: Floats, level: float) -> float:
    """The quantile of all values at a level in [0, 1], a scalar.

    Args:
        values: any shape, at least one of them and all finite.
        level: in [0, 1]; between two values it is their linear interpolation.
    """
    return float(row_quantiles(values.reshape(1, -1), level)[0])


def row_quantiles(values: Floats, level: float) -> Floats:
    """The quantile of each row, (n, m) finite values to (n,), at a level in [0, 1]."""
    position = (values.shape[1] - 1) * level
    below = int(position)
    above = min(below + 1, values.shape[1] - 1)
    ordered = np.partition(values, (below, above), axis=1)
    low, high = ordered[:, below], ordered[:, above]
    return np.asarray(low + (position - below) * (high - low), dtype=np.float64)
