"""Profiles: how the poles of a layer spread over frequency and over time scales, bin by bin.

A mode is taken as a resonance of unit energy. Its energy density along [0, pi], both conjugates
together, is a pair of Poisson kernels, of radius exp(-d) and about f and -f:

    p(e) = [sinh d / (cosh d - cos(e - f)) + sinh d / (cosh d - cos(e + f))] / 2 pi

and the share of its energy below an edge e is the integral of p from 0,

    G(e) = atan2(tanh(d) sin(e), cos(e) - sech(d) cos(f)) / pi,

as differentiating shows. It loses no digits near the unit circle; at d = 0 it is a step at f.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.spectrum import LayerSpectrum

POWER_BINS = 128
"""Bins of [0, pi] in the definition of `spectral_flatness`."""

OCTAVES = 24
"""Octaves that a profile of time scales resolves. A heuristic: 2^24 is 17 million samples, beyond
any sequence a model is trained on."""

_CHUNK = 512
"""Modes worked on at once, so that modes times edges stays in a core's own cache (heuristic)."""

_PROFILES: WeakKeyDictionary[LayerSpectrum, dict[int, Floats]] = WeakKeyDictionary()
"""Profiles of the layers that are alive: a metric and the report both ask for the same one."""


def band_shares(layer: LayerSpectrum, bins: int = POWER_BINS) -> Floats:
    """Share of the energy of the stable modes in equal bins of [0, pi], in closed form.

    Args:
        layer: finite poles, at least one of them stable.
        bins: how many. A mode without damping lies whole in the bin [lower, upper) that holds it,
            or in the last one at pi.

    Returns:
        (bins,), read-only; sums to 1.
    """
    profiles = _PROFILES.setdefault(layer, {})
    if bins not in profiles:
        profiles[bins] = _band_shares(layer.stable_decay, layer.omega[layer.stable], bins)
        profiles[bins].flags.writeable = False
    return profiles[bins]


def _band_shares(decay: Floats, omega: Floats, bins: int) -> Floats:
    below = np.zeros(bins + 1)
    below[1:-1] = energy_below(decay, omega, np.pi * np.arange(1, bins) / bins)
    below[-1] = 1.0
    shares: Floats = np.maximum(np.diff(below), 0.0)
    return shares


def energy_below(decay: Floats, omega: Floats, edges: Floats) -> Floats:
    """Share of the modes' energy below each edge, in closed form.

    Args:
        decay: (n,) nat/sample, >= 0; n at least 1.
        omega: (n,) rad/sample in [0, pi].
        edges: (k,) rad/sample in (0, pi).

    Returns:
        (k,) in [0, 1].
    """
    sin_e, cos_e = np.sin(edges)[:, None], np.cos(edges)[:, None]
    below = np.zeros(edges.size)
    for start in range(0, decay.size, _CHUNK):
        d, f = np.abs(decay[start : start + _CHUNK]), omega[start : start + _CHUNK]  # no -0.0
        with np.errstate(over="ignore"):  # cosh(d) = inf: sech(d) = 0 is exact enough
            sech_d = 1.0 / np.cosh(d)
        below += np.arctan2(np.tanh(d) * sin_e, cos_e - sech_d * np.cos(f)).sum(axis=1)
    return below / (np.pi * decay.size)


def power_profile(layer: LayerSpectrum, bins: int = POWER_BINS) -> tuple[float, ...]:
    """Share of the poles' energy in equal bins of [0, Nyquist]; sums to 1.

    Empty where there is nothing to show: real poles, no stable mode, or poles that are not finite.
    """
    if not layer.is_complex or layer.non_finite or not layer.stable.any():
        return ()
    return tuple(band_shares(layer, bins).tolist())


def timescale_profile(layer: LayerSpectrum) -> tuple[float, ...]:
    """Share of the stable modes whose time constant lies in each octave; sums to 1.

    Entry 0 holds what is below 1 sample, entry j + 1 the octave [2^j, 2^(j+1)) samples, and the
    last entry, j = 24, everything from 2^24 samples on, undamped modes included. Empty where no
    mode is stable or poles are not finite.
    """
    if layer.non_finite or not layer.stable.any():
        return ()
    octaves = np.clip(time_octaves(layer.stable_decay), -1, OCTAVES)
    counts = np.bincount(octaves + 1, minlength=OCTAVES + 2)
    return tuple((counts / octaves.size).tolist())


def time_octaves(decay: Floats) -> Array:
    """J where a time constant 1/decay lies in [2^j, 2^(j+1)) samples, exactly.

    Args:
        decay: any shape, nat/sample, >= 0.

    Returns:
        Same shape; j = 1024, beyond every finite time constant, where decay is 0.
    """
    with np.errstate(divide="ignore", over="ignore"):
        time_constants = 1.0 / decay
    exponents = np.frexp(time_constants)[1].astype(np.intp) - 1
    return np.where(np.isinf(time_constants), 1024, exponents)
