"""Softplus and its inverse, by which several families store step sizes."""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Floats


def softplus(values: Floats) -> Floats:
    """log(1 + exp(x)) without overflow; any shape, any real values, NaN kept in silence."""
    with np.errstate(all="ignore"):
        return np.logaddexp(0.0, values)


def softplus_inverse(values: Floats) -> Floats:
    """The x with softplus(x) = y, log(exp(y) - 1) written as y + log(1 - exp(-y)).

    NaN or -infinity, in silence, where y <= 0.
    """
    with np.errstate(all="ignore"):
        return values + np.log(-np.expm1(-values))
