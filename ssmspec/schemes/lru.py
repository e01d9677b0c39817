"""`lru-ring`: poles drawn uniformly from a ring inside the unit circle."""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Complexes
from ssmspec.schemes.base import Kind, Request, Scheme
from ssmspec.spectrum import Symmetry
from ssmspec.units import TWO_PI

_SMALLEST = 2.0**-53


def _build(request: Request) -> Complexes:
    knobs, shape = request.knobs, (request.channels, request.modes)
    # Both ends are kept out: radius 0 and radius 1 have no log(-log r), which LRU stores.
    share = np.clip(request.rng.random(shape), _SMALLEST, 1.0 - _SMALLEST)
    inner, outer = knobs.r_min**2, knobs.r_max**2
    decay = -0.5 * np.log1p(-((1.0 - outer) + (outer - inner) * share))
    phase = knobs.max_phase * request.rng.random(shape)
    return -decay + 1j * np.where(phase > np.pi, phase - TWO_PI, phase)


LRU = Scheme(
    id="lru-ring",
    title="LRU ring",
    summary="poles uniform by area in a ring of the unit disk",
    formula="|pole_bar|^2 uniform in [r_min^2, r_max^2], arg pole_bar uniform in [0, max_phase]",
    explanation=(
        "Poles are drawn directly in discrete time, without a step size, so nothing aliases, and "
        "radius and phase are independent, so nothing is entangled. The band is covered evenly on "
        "average up to max_phase; below a max_phase of pi only its low part is. With r_min = 0 "
        "half of the poles have a radius below 0.71, a memory of less than 3 samples: long "
        "memories need r_min close to 1."
    ),
    source="arXiv 2303.06349; NicolasZucchet/minimal-LRU bbd71b1, lru/model.py",
    kind=Kind.DISCRETE,
    build=_build,
    options=("r_min", "r_max", "max_phase"),
    symmetry=Symmetry.FULL,
    random=True,
)
