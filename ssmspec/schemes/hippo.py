"""HiPPO-LegS: the spectrum of its normal part, and the diagonal initialization `s4d-legs`.

HiPPO-LegS(N) plus p p^T, p_n = sqrt(n + 1/2), is -1/2 I + K with K skew-symmetric,

    K[n, k] = -sqrt(a_n a_k) for n > k, +sqrt(a_n a_k) for n < k,    a_n = n + 1/2.

Taking differences of successive rows of K x = lambda x leaves a two-term recursion, whose end
conditions give the characteristic equation

    prod_n (lambda - a_n) + prod_n (lambda + a_n) = 0.

With lambda = i w every factor (i w - a_n) / (i w + a_n) lies on the unit circle, and for N even the
equation becomes one of phases:

    sum_n arctan(w / a_n) = pi (j + 1/2),    j = 0 .. N/2 - 1, one positive w each.

The left side is increasing and concave in w, so Newton's method from w = 0 climbs to every root
without overshooting, at a cost of N^2/2 per step instead of the N^3 of a dense eigenproblem, and
small frequencies keep all their digits beside large ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from ssmspec.arrays import Complexes, Floats
from ssmspec.errors import UsageError
from ssmspec.schemes.base import Kind, Request, Scheme, half_damped
from ssmspec.schemes.options import DEFAULTS, SchemeOptions

MAX_MODES = 1024
"""Largest half spectrum that is computed, N = 2048: four times the largest published model's, and
still a third of a second. A bound, so that a file's shape cannot ask for hours."""

_NEWTON_STEPS = 100
_LAST_STEP = 1e-9
"""Newton's error is squared by each step, so the step after this relative size is exact."""


@lru_cache(maxsize=64)
def legs_frequencies(modes: int) -> Floats:
    """Positive imaginary parts of the eigenvalues of the normal part of HiPPO-LegS(2 modes).

    Args:
        modes: M, half the state size, at most `MAX_MODES`.

    Returns:
        Read-only (M,), rad/time, descending: the order in which state-spaces/s4 and S5 store them.

    Raises:
        UsageError: more modes than `MAX_MODES`.
    """
    if modes > MAX_MODES:
        raise UsageError(
            f"the HiPPO spectrum is computed for at most {MAX_MODES} stored modes, got {modes}; "
            f"s4d-inv is its approximation in closed form"
        )
    a = np.arange(2 * modes) + 0.5
    phase = np.pi * (np.arange(modes)[::-1] + 0.5)
    w = np.zeros(modes)
    for _ in range(_NEWTON_STEPS):
        ratio = w[:, None] / a  # (M, 2 M)
        slope = (1.0 / (a * (1.0 + ratio**2))).sum(axis=1)
        step = (phase - np.arctan(ratio).sum(axis=1)) / slope
        w += step
        if (np.abs(step) <= _LAST_STEP * w).all():
            break
    w.setflags(write=False)
    return w


def _legs(request: Request) -> Complexes:
    return half_damped(legs_frequencies(request.modes))


def _affordable(modes: int) -> Iterator[SchemeOptions]:
    if modes <= MAX_MODES:
        yield DEFAULTS


LEGS = Scheme(
    id="s4d-legs",
    title="S4D-LegS",
    summary="the diagonal of S4's own HiPPO-LegS matrix, its low-rank part left out",
    formula="A[n] = eigenvalues of HiPPO-LegS(N) + p p^T in the upper half-plane, Re A = -1/2",
    explanation=(
        "The frequencies are those of the memory that projects a signal's whole past onto "
        "Legendre polynomials: the largest is near N^2/pi and they fall off as 1/n, so half of "
        "all modes sit in a small low part of the band and a few reach far beyond it. Those few "
        "alias for all but the smallest step sizes (alias-free up to dt = 0.0024 at N = 64). "
        "Coverage leans to low frequencies. Decay and frequency are both proportional to dt, so "
        "entanglement is 1."
    ),
    source="arXiv 2206.11893; state-spaces/s4 e757cef, src/models/hippo/hippo.py: nplr",
    kind=Kind.CONTINUOUS,
    build=_legs,
    options=("dt_min", "dt_max"),
    candidates=_affordable,
)
