"""DFouT: angles on the grid of a discrete Fourier transform, damping drawn on its own.

The damping of channel h is decay[h] = xi[h] / 2, with log xi spread over [log xi_min, log xi_max]:
one draw inside each of H equal strata, then permuted so that damping tells nothing of the channel's
place in the band. A layer of one channel (a MIMO one, as S5 or LRU) has a damping a mode, drawn
likewise over its M modes: one damping for all would make it deaf wherever that is small.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ssmspec.arrays import Complexes, Floats
from ssmspec.schemes.base import Kind, Request, Scheme
from ssmspec.units import TWO_PI, unwrapped_to_omega

CORRELATION_LIMIT = 0.01
"""R^2 between log xi and the channel number below which a permutation is taken."""

MAX_PERMUTATIONS = 1000
"""How many are tried (a heuristic); with four channels or fewer none may pass, and the best is
taken."""

_PAPER = "arXiv 2508.20441"
_OPTIONS = ("xi_min", "xi_max")


def draw_damping(request: Request) -> Floats:
    """Damping xi of every channel, decorrelated from the channel's number.

    Returns:
        (H, 1), nat/sample, in [xi_min, xi_max]; the decay is half of it. (1, M) for one channel,
        decorrelated from the mode's number.
    """
    low, high = request.knobs.xi_min, request.knobs.xi_max
    shape = (1, request.modes) if request.channels == 1 else (request.channels, 1)
    return _strata(request.rng, low, high, shape[0] * shape[1]).reshape(shape)


def _strata(rng: np.random.Generator, low: float, high: float, channels: int) -> Floats:
    """One draw in each of so many log-strata of [low, high], permuted."""
    if low == high:
        return np.full(channels, low)
    strata = (np.arange(channels) + rng.random(channels)) / channels
    chosen, smallest = strata, np.inf
    for _ in range(MAX_PERMUTATIONS):
        candidate = rng.permutation(strata)
        correlation = _r_squared(candidate, np.arange(channels, dtype=np.float64))
        if correlation < smallest:
            chosen, smallest = candidate, correlation
        if smallest < CORRELATION_LIMIT:
            break
    return np.clip(low * (high / low) ** chosen, low, high)


def _r_squared(x: Floats, y: Floats) -> float:
    """Squared correlation; 0 for a single point."""
    x, y = x - x.mean(), y - y.mean()
    spread = (x @ x) * (y @ y)
    return float((x @ y) ** 2 / spread) if spread > 0 else 0.0


def _damped(angles: Callable[[Request], Floats]) -> Callable[[Request], Complexes]:
    """Log-poles -xi[h]/2 + i omega[h, n] from a law for the angles.

    Damping is drawn first, so that all schemes of this file draw the same from one seed.
    """

    def build(request: Request) -> Complexes:
        decay = draw_damping(request) / 2.0
        return np.asarray(-decay + 1j * angles(request), dtype=np.complex128)

    return build


def _layer_grid(request: Request) -> Floats:
    H, M = request.channels, request.modes
    h, n = np.arange(H)[:, None], np.arange(M)
    return np.pi * (n * H + h) / (M * H)


def _single_grid(request: Request) -> Floats:
    return np.pi * np.arange(request.modes) / request.modes


def _bands(request: Request) -> Floats:
    H, M = request.channels, request.modes
    h, n = np.arange(H)[:, None], np.arange(M)
    return np.pi * (h * M + n) / (M * H)


def _periods(request: Request) -> Floats:
    return unwrapped_to_omega(TWO_PI / np.arange(1, request.modes + 1))


def _random_angles(request: Request) -> Floats:
    return np.pi * request.rng.random((request.channels, request.modes))


DFOUT = Scheme(
    id="dfout",
    title="S4D-DFouT",
    summary="one uniform grid of all H*M angles for the layer, damping per channel, no step size",
    formula="omega[h,n] = pi (n + h/H) / M, decay[h] = xi[h] / 2, xi log-uniform",
    explanation=(
        "Every channel is a damped discrete Fourier transform of length N = 2M, and channel h is "
        "shifted by h/H of a grid step, so the layer's H*M angles form one uniform grid over the "
        "whole band: coverage is as even as the number of modes allows. Poles are placed directly "
        "in discrete time, between 0 and Nyquist, so nothing can alias. Damping is drawn without "
        "regard to frequency and no step size moves the two together: entanglement is about 0."
    ),
    source=_PAPER,
    kind=Kind.DISCRETE,
    build=_damped(_layer_grid),
    options=_OPTIONS,
)

SINGLE = Scheme(
    id="dfout-single",
    title="S4D-DFouT, one grid for every channel",
    summary="the same M angles in every channel, damping per channel, no step size",
    formula="omega[h,n] = pi n / M, decay[h] = xi[h] / 2, xi log-uniform",
    explanation=(
        "DFouT without the shift between channels: all channels resonate at the same M "
        "frequencies, so the layer is a comb. Nothing aliases and nothing is entangled, yet the "
        "band between the teeth is heard only by channels with strong damping. It is what a layer "
        "whose channels share their poles can hold."
    ),
    source=_PAPER,
    kind=Kind.DISCRETE,
    build=_damped(_single_grid),
    options=_OPTIONS,
)

BATCHED = Scheme(
    id="dfout-batched",
    title="S4D-DFouT, batched",
    summary="the layer's uniform grid cut into one contiguous band per channel",
    formula="omega[h,n] = pi (h + n/M) / H, decay[h] = xi[h] / 2, xi log-uniform",
    explanation=(
        "The same H*M angles as DFouT, dealt out differently: channel h holds the h-th band of "
        "width pi/H. The layer covers the band without aliasing, but each channel alone hears "
        "only its own narrow part, and a weakly damped channel leaves gaps that no other fills. "
        "An ablation of the paper, weaker than DFouT there."
    ),
    source=_PAPER,
    kind=Kind.DISCRETE,
    build=_damped(_bands),
    options=_OPTIONS,
)

TOKEN = Scheme(
    id="dfout-token",
    title="S4D-DFouT, token periods",
    summary="periods of 1, 2, 3, ... M samples in every channel",
    formula="omega[h,n] = 2 pi / (n + 1) folded, decay[h] = xi[h] / 2, xi log-uniform",
    explanation=(
        "Frequencies are those of whole periods, so they crowd towards 0 as 1/n, and the upper "
        "third of the band, between periods of 3 and of 2 samples, is empty. Nothing aliases (a "
        "period of 1 sample is frequency 0) and damping stays free of frequency. An ablation of "
        "the paper, and the weakest there."
    ),
    source=_PAPER,
    kind=Kind.DISCRETE,
    build=_damped(_periods),
    options=_OPTIONS,
)

RANDOM = Scheme(
    id="dfout-random",
    title="S4D-DFouT, random angles",
    summary="angles drawn uniformly from the band, damping per channel, no step size",
    formula="omega[h,n] uniform in [0, pi), decay[h] = xi[h] / 2, xi log-uniform",
    explanation=(
        "The band is covered on average, with the clumps and gaps of independent draws in place "
        "of a grid. Nothing aliases and damping stays free of frequency. An ablation of the paper: "
        "the difference to DFouT is what the grid itself is worth."
    ),
    source=_PAPER,
    kind=Kind.DISCRETE,
    build=_damped(_random_angles),
    options=_OPTIONS,
    random=True,
)
