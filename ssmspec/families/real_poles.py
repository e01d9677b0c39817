"""What the selective families share: real poles stored as `A_log`, and a softplus step size.

Mamba-1 and Mamba-2 store A = -exp(A_log) and compute dt = softplus(projection of the input + bias).
The input is not in the file, so a layer is read at the *nominal* step size softplus(bias), the one
it takes where the projection gives 0.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Floats
from ssmspec.errors import SchemeError
from ssmspec.families.base import LayerSource, choose_discretization
from ssmspec.families.parts.diagonal import (
    choose_dt_transform,
    dt_for,
    exp,
    log_damping,
    require_writable,
    to_complex,
    to_log_poles,
    to_poles,
)
from ssmspec.naming import printable
from ssmspec.reading import Discretization, DtTransform
from ssmspec.spectrum import LayerSpectrum, Symmetry


def nominal_assumption(title: str) -> str:
    """The sentence that every layer of a selective family carries."""
    return (
        f"the step sizes of {title} depend on the input: poles and step sizes are nominal, at "
        f"softplus(bias)"
    )


def real_spectrum(
    source: LayerSource, family: str, A_log: Floats, dt: Floats, assumptions: tuple[str, ...]
) -> LayerSpectrum:
    """The nominal spectrum pole_bar = exp(dt A), A = -exp(A_log).

    The family's own B_bar is dt B (Euler), but its A_bar is the zero-order hold.

    Args:
        source: the layer.
        family: id of the family.
        A_log: (H, M).
        dt: (H, 1), nominal time/sample.
        assumptions: sentences for the report.

    Raises:
        UsageError: a reading option that never applies to these families.
    """
    choose_discretization(source, (Discretization.ZOH,), "")
    choose_dt_transform(source, (DtTransform.SOFTPLUS,), "")
    poles = to_complex(-exp(A_log), np.zeros(1))
    return LayerSpectrum(
        name=source.name,
        family=family,
        discretization=Discretization.ZOH,
        symmetry=Symmetry.REAL,
        log_poles=to_log_poles(poles, dt, Discretization.ZOH),
        dt=dt,
        selective=True,
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
    require_writable(name, spectrum, shape, Symmetry.REAL)
    dt = dt_for(name, spectrum, (shape[0], 1), "one step size per channel")
    poles = to_poles(name, spectrum.log_poles, dt, Discretization.ZOH)
    return log_damping(name, poles, title), dt
