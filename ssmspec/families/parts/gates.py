"""What families share that store the decay of a gate and no step size: one real pole a channel.

Their recurrence is state = a(x) state + input with a(x) in (0, 1). The rate of decay and the gate
that scales it appear only as a product, so there is no step size to speak of, and where the gate
depends on the input a layer is read at the gate's bias alone: its *nominal* decay.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Floats
from ssmspec.errors import SchemeError
from ssmspec.families.base import LayerSource, choose_discretization
from ssmspec.families.parts.diagonal import choose_dt_transform, require_writable, to_complex
from ssmspec.naming import printable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry

PART_OF_SPECTRUM = (
    "the decay is only part of the spectrum of {title}: one eigenvalue of each state matrix also "
    "depends on the input, through its delta rule"
)


def nominal_decay_assumption(title: str) -> str:
    """The sentence that every layer carries whose gate depends on the input."""
    return (
        f"the gates of {title} depend on the input: its poles are nominal, at the bias of the gate"
    )


def decay_spectrum(
    source: LayerSource,
    family: str,
    decay: Floats,
    assumptions: tuple[str, ...],
    *,
    selective: bool = True,
) -> LayerSpectrum:
    """The spectrum pole_bar = exp(-decay), one pole a channel.

    Args:
        source: the layer.
        family: id of the family.
        decay: (H,) nat/sample.
        assumptions: sentences for the report.
        selective: whether the decay depends on the input and is nominal.

    Raises:
        UsageError: a reading option that never applies to these families.
    """
    discretization, _ = choose_discretization(source, (Discretization.NATIVE,), "")
    choose_dt_transform(source, (), "")
    return LayerSpectrum(
        name=source.name,
        family=family,
        discretization=discretization,
        symmetry=Symmetry.REAL,
        log_poles=to_complex(-decay, np.zeros(1))[:, None],
        selective=selective,
        assumptions=assumptions,
    )


def decay_to_write(name: str, title: str, spectrum: LayerSpectrum, channels: int) -> Floats:
    """The (H,) decays of a spectrum that a layer of one positive decay a channel can hold.

    Raises:
        SchemeError: it oscillates, changes sign, grows, has no damping or another shape.
    """
    require_writable(name, spectrum, (channels, 1), Symmetry.REAL)
    decay = spectrum.decay[:, 0]
    if (spectrum.omega_unwrapped != 0.0).any() or not (decay > 0.0).all():
        raise SchemeError(
            f"{printable(name)}: {title} stores decays above 0 only, so it can hold neither a "
            f"negative pole nor one without damping; s4d-real is a scheme it can hold"
        )
    return decay


def require_finite(name: str, title: str, stored: Floats) -> Floats:
    """Check what is about to be stored.

    Raises:
        SchemeError: the parameterization cannot reach one of the new decays.
    """
    if not np.isfinite(stored).all():
        raise SchemeError(
            f"{printable(name)}: {title} cannot hold all of these decays beside the gate that is "
            f"stored with them; use decays nearer to those of the layer"
        )
    return stored


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow; any shape, NaN kept in silence."""
    with np.errstate(all="ignore"):
        return np.exp(-np.logaddexp(0.0, -values))


def sigmoid_inverse(values: Floats) -> Floats:
    """log(y / (1 - y)); NaN or infinite, in silence, outside (0, 1)."""
    with np.errstate(all="ignore"):
        return np.log(values) - np.log1p(-values)
