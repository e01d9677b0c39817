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
from ssmspec.families.parts import diagonal
from ssmspec.naming import printable
from ssmspec.reading import Discretization, DtTransform
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
    diagonal.choose_dt_transform(source, (), "")
    return LayerSpectrum(
        name=source.name,
        family=family,
        discretization=discretization,
        symmetry=Symmetry.REAL,
        log_poles=diagonal.to_complex(-decay, np.zeros(1))[:, None],
        selective=selective,
        assumptions=assumptions,
    )


def decay_to_write(name: str, title: str, spectrum: LayerSpectrum, channels: int) -> Floats:
    """The (H,) decays of a spectrum that a layer of one positive decay a channel can hold.

    Raises:
        SchemeError: it oscillates, changes sign, grows, has no damping or another shape.
    """
    diagonal.require_writable(name, spectrum, (channels, 1), Symmetry.REAL)
    decay = spectrum.decay[:, 0]
    if (spectrum.omega_unwrapped != 0.0).any() or not (decay > 0.0).all():
        raise SchemeError(
            f"{printable(name)}: {title} stores decays above 0 only, so it can hold neither a "
            f"negative pole nor one without damping; s4d-real is a scheme it can hold"
        )
    return decay


def require_finite(name: str, title: str, stored: Floats) -> Floats:
    """Check what is about to be stored, of any shape, and give it back.

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
    """log(y / (1 - y)) of any shape; NaN or infinite, in silence, outside (0, 1)."""
    with np.errstate(all="ignore"):
        return np.log(values) - np.log1p(-values)


def nominal_assumption(title: str) -> str:
    """The sentence that every layer of a selective family carries."""
    return (
        f"the step sizes of {title} depend on the input: poles and step sizes are nominal, at "
        f"softplus(bias)"
    )


def real_spectrum(
    source: LayerSource, family: str, A_log: Floats, dt: Floats, assumptions: tuple[str, ...]
) -> LayerSpectrum:
    """`real_poles_spectrum` at A = -exp(A_log), (H, M)."""
    return real_poles_spectrum(source, family, -diagonal.exp(A_log), dt, assumptions)


def real_poles_spectrum(
    source: LayerSource,
    family: str,
    A: Floats,
    dt: Floats,
    assumptions: tuple[str, ...],
    *,
    selective: bool = True,
) -> LayerSpectrum:
    """The nominal spectrum pole_bar = exp(dt A).

    The family's own B_bar is dt B (Euler), but its A_bar is the zero-order hold.

    Args:
        source: the layer.
        family: id of the family.
        A: (H, M), real, 1/time.
        dt: (H, 1), nominal time/sample.
        assumptions: sentences for the report.
        selective: whether the step size depends on the input and is nominal.

    Raises:
        UsageError: a reading option that never applies to these families.
    """
    choose_discretization(source, (Discretization.ZOH,), "")
    diagonal.choose_dt_transform(source, (DtTransform.SOFTPLUS,), "")
    poles = diagonal.to_complex(A, np.zeros(1))
    return LayerSpectrum(
        name=source.name,
        family=family,
        discretization=Discretization.ZOH,
        symmetry=Symmetry.REAL,
        log_poles=diagonal.to_log_poles(poles, dt, Discretization.ZOH),
        dt=dt,
        selective=selective,
        assumptions=assumptions,
    )


def real_poles_to_parameters(
    name: str, title: str, spectrum: LayerSpectrum, shape: tuple[int, int]
) -> tuple[Floats, Floats]:
    """The (A_log, dt) that `real_spectrum` turns into this spectrum.

    Args:
        name: the layer's name, for messages.
        title: the family's title, for messages.
        spectrum: what to hold.
        shape: (H, M) of the layer that is to hold it.

    Returns:
        A_log of shape (H, M) and dt of shape (H, 1).

    Raises:
        SchemeError: the spectrum oscillates, grows or has no damping, has another shape, or has
            not one positive step size per channel.
    """
    if spectrum.is_complex or (spectrum.log_poles.imag != 0.0).any():
        raise SchemeError(
            f"{printable(name)}: {title} stores real poles and cannot hold an oscillating scheme; "
            f"the scheme it can hold is s4d-real"
        )
    diagonal.require_writable(name, spectrum, shape, Symmetry.REAL)
    dt = diagonal.dt_for(name, spectrum, (shape[0], 1), "one step size per channel")
    poles = diagonal.to_poles(name, spectrum.log_poles, dt, Discretization.ZOH)
    return diagonal.log_damping(name, poles, title), dt
