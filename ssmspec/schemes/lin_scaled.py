"""`lin-scaled`: S4D-Lin with its frequencies multiplied by a factor."""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Complexes
from ssmspec.schemes.base import Kind, Request, Scheme, half_damped
from ssmspec.schemes.s4d import lin_frequencies


def _build(request: Request) -> Complexes:
    n = np.arange(request.modes, dtype=np.float64)
    return half_damped(request.knobs.scale * lin_frequencies(n, 2 * request.modes))


LIN_SCALED = Scheme(
    id="lin-scaled",
    title="S4D-Lin, scaled",
    summary="S4D-Lin with every frequency multiplied by a factor",
    formula="A[n] = -1/2 + i scale pi n",
    explanation=(
        "Frequency-bias tuning: a factor above 1 (3 to 5 on the Long Range Arena) spreads the "
        "modes of small step sizes further up the band and folds more of those of large ones over "
        "Nyquist. The ratio of decay to frequency changes; both are still proportional to dt, so "
        "entanglement stays 1."
    ),
    source="arXiv 2410.02035",
    kind=Kind.CONTINUOUS,
    build=_build,
    options=("dt_min", "dt_max", "scale"),
)
