"""S4D's diagonal initializations: Re A = -1/2 and a law for Im A, or real poles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ssmspec.arrays import Complexes, Floats
from ssmspec.schemes.base import Kind, Request, Scheme, half_damped
from ssmspec.spectrum import Symmetry

_SOURCE = "arXiv 2206.11893; state-spaces/s4 e757cef, src/models/sequence/kernels/dplr.py"
_OPTIONS = ("dt_min", "dt_max")
_ENTANGLED = "Decay and frequency are both proportional to dt, so entanglement is 1."


def _half(imag: Callable[[Floats, int], Floats]) -> Callable[[Request], Complexes]:
    """Poles -1/2 + i imag(n, N) from a law of the mode number and the state size."""

    def build(request: Request) -> Complexes:
        return half_damped(imag(np.arange(request.modes, dtype=np.float64), 2 * request.modes))

    return build


def lin_frequencies(n: Floats, _: int) -> Floats:
    """S4D-Lin: Im A = pi n, rad/time; (M,) mode numbers to (M,)."""
    return np.pi * n


def _inv(n: Floats, N: int) -> Floats:
    return N / np.pi * (N / (2 * n + 1) - 1)


def _inv2(n: Floats, N: int) -> Floats:
    return N / np.pi * (N / (n + 1) - 1)


def _quad(n: Floats, _: int) -> Floats:
    return (1 + 2 * n) ** 2 / np.pi


def _rand(request: Request) -> Complexes:
    return half_damped(np.exp(request.rng.standard_normal((request.channels, request.modes))))


def _real(request: Request) -> Complexes:
    return np.asarray(-(np.arange(request.modes) + 1.0), dtype=np.complex128)


LIN = Scheme(
    id="s4d-lin",
    title="S4D-Lin",
    summary="frequencies pi n at equal distances, scaled by each channel's step size",
    formula="A[n] = -1/2 + i pi n",
    explanation=(
        "Each channel is a Fourier series over a window of about 2/dt samples. Its frequencies are "
        "equally spaced up to dt pi M: a small step size crowds them into a narrow low band, and "
        "one above 1/(M-1) folds them over Nyquist (about a tenth of the modes at the usual step "
        "sizes and N = 64). " + _ENTANGLED
    ),
    source=_SOURCE,
    kind=Kind.CONTINUOUS,
    build=_half(lin_frequencies),
    options=_OPTIONS,
)

INV = Scheme(
    id="s4d-inv",
    title="S4D-Inv",
    summary="closed-form approximation of the HiPPO-LegS spectrum: frequencies fall off as 1/n",
    formula="A[n] = -1/2 + i (N/pi) (N/(2n+1) - 1)",
    explanation=(
        "A few very high frequencies and a crowd of low ones: at N = 64 the largest is three times "
        "the second, and half of the modes lie below a fiftieth of the largest. The high ones "
        "alias for all but the smallest step sizes (alias-free up to dt = 0.00245 at N = 64), and "
        "coverage leans to low frequencies. " + _ENTANGLED
    ),
    source=_SOURCE,
    kind=Kind.CONTINUOUS,
    build=_half(_inv),
    options=_OPTIONS,
)

INV2 = Scheme(
    id="s4d-inv2",
    title="S4D-Inv2",
    summary="as S4D-Inv with frequencies falling off half as fast",
    formula="A[n] = -1/2 + i (N/pi) (N/(n+1) - 1)",
    explanation=(
        "The same 1/n law as S4D-Inv with about twice its frequencies, so more modes fold over "
        "Nyquist at a given step size and fewer are crowded at the low end. " + _ENTANGLED
    ),
    source=_SOURCE,
    kind=Kind.CONTINUOUS,
    build=_half(_inv2),
    options=_OPTIONS,
)

QUAD = Scheme(
    id="s4d-quad",
    title="S4D-Quad",
    summary="frequencies that grow with the square of the mode number",
    formula="A[n] = -1/2 + i (1 + 2n)^2 / pi",
    explanation=(
        "Modes are dense at low frequencies and ever sparser above. The largest frequency is about "
        "that of S4D-Inv, but here most modes are high, and at the usual step sizes and N = 64 "
        "four in ten of them fold over Nyquist. " + _ENTANGLED
    ),
    source=_SOURCE,
    kind=Kind.CONTINUOUS,
    build=_half(_quad),
    options=_OPTIONS,
)

RAND = Scheme(
    id="s4d-rand",
    title="S4D-Rand",
    summary="random frequencies of order 1",
    formula="A[h,n] = -1/2 + i exp(g[h,n]), g normal with mean 0 and deviation 1",
    explanation=(
        "All frequencies are a few rad per unit of time, so at the usual step sizes every mode "
        "sits at the bottom of the band: no aliasing and little coverage. Entanglement is a little "
        "below 1, by the spread of the draw."
    ),
    source=_SOURCE,
    kind=Kind.CONTINUOUS,
    build=_rand,
    options=_OPTIONS,
    random=True,
)

REAL = Scheme(
    id="s4d-real",
    title="S4D-Real",
    summary="real poles -1, -2, ..., -M: pure exponential memory, as in Mamba",
    formula="A[n] = -(n + 1)",
    explanation=(
        "The eigenvalues of the HiPPO-LegS matrix itself. Poles do not oscillate, so frequency, "
        "coverage, aliasing and entanglement have no meaning; a layer is a set of time constants "
        "1/((n+1) dt)."
    ),
    source=_SOURCE,
    kind=Kind.CONTINUOUS,
    build=_real,
    options=_OPTIONS,
    symmetry=Symmetry.REAL,
)
