"""Units, and every conversion between them, as functions named `x_to_y`.

====================  ==================  =============================================
quantity              unit                note
====================  ==================  =============================================
`decay`               nat/sample          -log|pole_bar|; negative for a growing pole
`omega`               rad/sample          folded into [0, pi]
`freq`                cycles/sample       omega / 2 pi, in [0, 0.5]; hertz with a rate
`time_constant`       samples             1 / decay
`half_width`          rad/sample          half-power half-width of one pole's resonance
====================  ==================  =============================================
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Floats

TWO_PI = 2.0 * np.pi

CYCLES_PER_SAMPLE = "cycles/sample"
HERTZ = "Hz"
SAMPLES = "samples"
TIME_PER_SAMPLE = "time/sample"
FRACTION = "fraction"
DIMENSIONLESS = "1"


def unwrapped_to_omega(omega_unwrapped: Floats) -> Floats:
    """Fold an unwrapped frequency into [0, pi], as a real-valued signal hears it.

    Angles already inside (-pi, pi] are returned as their exact magnitude; only the others are
    reduced modulo 2 pi.

    Args:
        omega_unwrapped: any shape, rad/sample, any real value.

    Returns:
        Same shape, rad/sample, in [0, pi].
    """
    magnitude = np.abs(omega_unwrapped)
    outside = magnitude > np.pi
    if not outside.any():
        return magnitude
    folded = np.abs(np.remainder(magnitude + np.pi, TWO_PI) - np.pi)
    return np.where(outside, folded, magnitude)


def omega_to_freq(omega: Floats) -> Floats:
    """rad/sample to cycles/sample, any shape."""
    return omega / TWO_PI


def freq_to_hertz(freq: float, sample_rate: float) -> float:
    """cycles/sample to hertz, `sample_rate` in samples per second."""
    return freq * sample_rate


def decay_to_half_width(decay: Floats) -> Floats:
    """Exact half-power half-width of a single pole of radius r = exp(-decay).

    The gain falls to half power at cos b = (4r - 1 - r^2) / (2r). With cos b = 1 - 2 sin^2(b/2)
    that is b = 2 arcsin((1 - r) / (2 sqrt r)) = 2 arcsin(sinh(decay / 2)), which keeps all digits
    near the unit circle. Where r < 3 - 2 sqrt 2 the gain never falls to half power and b = pi.

    Args:
        decay: any shape, nat/sample. The width depends on |decay| only.

    Returns:
        Same shape, rad/sample, in [0, pi].
    """
    with np.errstate(over="ignore"):
        return 2.0 * np.arcsin(np.minimum(np.sinh(np.abs(decay) / 2.0), 1.0))
