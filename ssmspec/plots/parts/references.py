"""The layer that an initialization scheme would give, to stand beside the one in the file."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssmspec.errors import UsageError
from ssmspec.schemes import SCHEMES, Kind, Scheme
from ssmspec.spectrum import LayerSpectrum, Structure


@dataclass(frozen=True, eq=False)
class Reference:
    """A scheme's poles in the shape of a layer.

    Attributes:
        key: equal for layers that have the same reference.
        title: scheme and shape.
        spectrum: the poles.
    """

    key: Hashable
    title: str
    spectrum: LayerSpectrum


def reference_of(spectrum: LayerSpectrum, scheme: str) -> Reference | None:
    """The scheme's layer of the same shape, a continuous scheme at the layer's own step sizes.

    Args:
        spectrum: the layer.
        scheme: id of a scheme.

    Returns:
        The reference, or None where the layer cannot hold the scheme: real poles do not oscillate,
        or the scheme is not computed at this size.

    Raises:
        UsageError: there is no such scheme.
    """
    law = SCHEMES.require(scheme)
    if law.oscillates and not spectrum.is_complex:
        return None
    own_dt = spectrum.dt if law.kind is Kind.CONTINUOUS else None
    if own_dt is not None and not (np.isfinite(own_dt) & (own_dt > 0.0)).all():
        return None
    modes = spectrum.modes
    if spectrum.structure is Structure.DPLR:  # its eigenvalues come in conjugate pairs
        modes = max(1, modes // 2)
    try:
        draw = law.draw(spectrum.channels, modes, dt=own_dt, discretization=spectrum.discretization)
    except UsageError:
        return None
    layer = replace(
        spectrum,
        symmetry=law.symmetry,
        log_poles=draw.log_poles,
        dt=draw.dt,
        structure=Structure.DIAGONAL,
        condition=None,
    )
    shape = (spectrum.channels, modes)
    key = (law.id, shape) if own_dt is None else (law.id, spectrum.name)
    return Reference(key, _title(law, spectrum, own=own_dt is not None, shape=shape), layer)


def _title(law: Scheme, spectrum: LayerSpectrum, *, own: bool, shape: tuple[int, int]) -> str:
    if own:
        return f"{law.id} at the step sizes of {spectrum.name}"
    return f"{law.id}, {size(shape)}"


def size(shape: Sequence[int]) -> str:
    """`128 × 32`, channels times modes; of one channel only its modes."""
    channels, modes = shape
    return f"{modes:,} modes" if channels == 1 else f"{channels:,} × {modes:,}"
