"""What families of continuous diagonal systems share: stored numbers to A and dt, and back.

Reading turns a parameter that is NaN or infinite into NaN poles, never into an exception or a
plausible pole (exp(-inf) = 0 would be one), so that a rule can name the layer. Writing refuses what
the file could not give back.
"""

from __future__ import annotations

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.errors import LayoutError, SchemeError, UsageError
from ssmspec.families.base import LayerSource
from ssmspec.naming import printable
from ssmspec.reading import Discretization, DtTransform
from ssmspec.room import require_room
from ssmspec.spectrum import (
    LayerSpectrum,
    Symmetry,
    bilinear_to_log_poles,
    log_poles_to_bilinear,
    log_poles_to_zoh,
    zoh_to_log_poles,
)

TIED_TOLERANCE = 1e-6
"""Relative difference up to which poles of tied channels count as equal. Heuristic: about ten times
the rounding of a float32 parameter."""


def require_dimensions(source: LayerSource, role: str, *dimensions: str) -> tuple[int, ...]:
    """The stored shape of a tensor that must have these dimensions.

    Args:
        source: the layer.
        role: the tensor's role.
        dimensions: what each dimension counts, for the message.

    Raises:
        LayoutError: it has another number of dimensions.
    """
    shape = source.shape(role)
    if len(shape) != len(dimensions):
        raise LayoutError(
            f"{printable(source.site.tensors[role])} has shape {shape}, "
            f"expected ({', '.join(dimensions)}{',' if len(dimensions) == 1 else ''})"
        )
    return shape


def read_real(source: LayerSource, role: str) -> Floats:
    """A real parameter as float64 of its stored shape, NaN where it is not finite.

    Raises:
        LayoutError: it is stored as complex numbers.
    """
    values = source.read(role)
    if np.iscomplexobj(values):
        raise LayoutError(f"{printable(source.site.tensors[role])} is complex, expected real")
    return np.where(np.isfinite(values), values, np.nan)


def to_complex(real: Floats, imag: Floats) -> Complexes:
    """Complex numbers from their parts, without the product 1j * inf, which warns and gives NaN.

    Args:
        real: of any shape that broadcasts against `imag`.
        imag: likewise.

    Returns:
        complex128, the shape that both broadcast to.
    """
    shape = np.broadcast_shapes(real.shape, imag.shape)
    require_room(shape)
    poles = np.empty(shape, dtype=np.complex128)
    poles.real = real
    poles.imag = imag
    return poles


def exp(values: Floats) -> Floats:
    """The exponential of any shape, infinite where it overflows: that is for a rule to report."""
    with np.errstate(over="ignore"):
        return np.exp(values)


def stored_to_dt(stored: Floats, transform: DtTransform) -> Floats:
    """Step sizes in time/sample from their stored form, any shape: exp(x) or softplus(x)."""
    return exp(stored) if transform is DtTransform.EXP else softplus(stored)


def dt_to_stored(dt: Floats, transform: DtTransform) -> Floats:
    """Inverse of `stored_to_dt`, for dt > 0 of any shape."""
    return np.log(dt) if transform is DtTransform.EXP else softplus_inverse(dt)


def choose_dt_transform(
    source: LayerSource, offered: tuple[DtTransform, ...], told: str
) -> tuple[DtTransform, tuple[str, ...]]:
    """The user's choice or the family's default with the sentence that states the assumption.

    Args:
        source: the layer.
        offered: the family's transforms, default first; empty where there is no step size.
        told: what the file does not say, for the assumption's sentence.

    Raises:
        UsageError: the user asked for a transform that does not apply to this family.
    """
    wanted = source.reading.dt_transform
    if wanted is not None and wanted not in offered:
        stored = " or ".join(choice.value for choice in offered)
        reason = f"always stores step sizes through {stored}" if offered else "has no step size"
        raise UsageError(
            f"{printable(source.name)} {reason}; "
            f"--dt-transform {wanted.value} does not apply to it (--layers selects layers)"
        )
    if wanted is not None:
        return wanted, ()
    default = offered[0] if offered else DtTransform.EXP
    if len(offered) < 2:
        return default, ()
    return default, (f"{told}; taken as {default.value} (--dt-transform changes it)",)


def bandlimit_assumption(spectrum: LayerSpectrum, family: str) -> tuple[str, ...]:
    """What `bandlimit` would change: it silences aliased modes through C and moves no pole."""
    if spectrum.discretization is not Discretization.ZOH or not spectrum.aliased.any():
        return ()
    return (
        f"{family} does not store bandlimit; modes beyond Nyquist are counted as heard, "
        f"though a model built with bandlimit silences them",
    )


def to_log_poles(poles: Complexes, dt: Floats, discretization: Discretization) -> Complexes:
    """Log-poles of continuous poles; values that overflow stay infinite or NaN, without a warning.

    Args:
        poles: (H, M) or broadcastable to it, 1/time.
        dt: step sizes that broadcast against `poles`, time/sample.
        discretization: `ZOH` or `BILINEAR`.
    """
    require_room(np.broadcast_shapes(poles.shape, dt.shape))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if discretization is Discretization.BILINEAR:
            return bilinear_to_log_poles(poles, dt)
        return zoh_to_log_poles(poles, dt)


def to_poles(
    name: str, log_poles: Complexes, dt: Floats, discretization: Discretization
) -> Complexes:
    """Continuous poles that give these log-poles; the inverse of `to_log_poles`.

    Args:
        name: the layer's, for messages.
        log_poles: (H, M).
        dt: step sizes that broadcast against `log_poles`, time/sample, above 0.
        discretization: `ZOH` or `BILINEAR`.

    Returns:
        complex128 (H, M), 1/time.

    Raises:
        SchemeError: an angle that the bilinear rule cannot reach.
    """
    if discretization is not Discretization.BILINEAR:
        return log_poles_to_zoh(log_poles, dt)
    if (np.abs(log_poles.imag) > np.pi).any():
        raise SchemeError(
            f"{printable(name)}: the bilinear rule reaches frequencies up to Nyquist only, and the "
            f"scheme has a mode beyond it"
        )
    return log_poles_to_bilinear(log_poles, dt)


def require_writable(
    name: str, spectrum: LayerSpectrum, shape: tuple[int, int], symmetry: Symmetry
) -> None:
    """Check that a spectrum is one that a layer of this shape and symmetry can hold.

    Raises:
        SchemeError: it is not; the message says what differs.
    """
    if spectrum.shape != shape:
        raise SchemeError(
            f"{printable(name)}: poles of shape {spectrum.shape} do not fit a layer of "
            f"{shape[0]} channels and {shape[1]} modes"
        )
    on_axis = np.isin(np.abs(spectrum.omega_unwrapped), (0.0, np.pi))
    if symmetry is Symmetry.REAL and (spectrum.is_complex or not on_axis.all()):
        raise SchemeError(
            f"{printable(name)}: the layer stores real poles and cannot hold an oscillating "
            f"scheme; s4d-real is one it can hold"
        )
    if spectrum.symmetry is not symmetry:
        raise SchemeError(
            f"{printable(name)}: the layer stores poles of symmetry {symmetry.value}, "
            f"the scheme gives {spectrum.symmetry.value}"
        )
    if spectrum.non_finite:
        raise SchemeError(f"{printable(name)}: {spectrum.non_finite} poles are NaN or infinite")


def dt_for(name: str, spectrum: LayerSpectrum, shape: tuple[int, int], told: str) -> Floats:
    """The spectrum's step sizes in the shape a file stores them in.

    Args:
        name: the layer's name.
        spectrum: whose step sizes.
        shape: what the file holds: (H, 1), (1, M) or (H, M).
        told: what the family stores, for the message: "one step size per channel".

    Raises:
        SchemeError: there are none, they vary along an axis the file does not have, or one of them
            is not a positive number.
    """
    dt = spectrum.dt
    if dt is None:
        raise SchemeError(f"{printable(name)}: the scheme gives no step size to store")
    if any(size not in (1, stored) for size, stored in zip(dt.shape, shape, strict=True)):
        raise SchemeError(
            f"{printable(name)}: the layer stores {told}, the scheme's have shape {dt.shape}"
        )
    if not (np.isfinite(dt).all() and (dt > 0).all()):
        raise SchemeError(f"{printable(name)}: a step size must be a positive number")
    return np.broadcast_to(dt, shape)


def log_damping(name: str, poles: Complexes, title: str) -> Floats:
    """log(-Re A) of poles of any shape, for families that store damping as a logarithm.

    Raises:
        SchemeError: a mode without damping, or a growing one.
    """
    if not (poles.real < 0).all():
        raise SchemeError(
            f"{printable(name)}: {title} stores the logarithm of its damping, so a mode without "
            f"damping (or a growing one) cannot be written; use a smallest damping above 0"
        )
    return np.log(-poles.real)


def repeat_tied(values: Array, channels: int, tensor: str) -> Array:
    """Rows of (S, ...) parameters for each of H channels: channel h uses row h mod S.

    Returns:
        (H, ...).

    Raises:
        LayoutError: S does not divide H.
    """
    rows = values.shape[0]
    if rows == 0 or channels % rows:
        raise LayoutError(
            f"{printable(tensor)} has {rows} rows, which do not divide {channels} channels"
        )
    require_room((channels, *values.shape[1:]))
    return np.tile(values, (channels // rows, *(1,) * (values.ndim - 1)))


def untie(name: str, poles: Complexes, rows: int) -> Complexes:
    """The rows (S, M) that `repeat_tied` spreads over these (H, M) poles.

    Raises:
        SchemeError: channels that share a row need different poles.
    """
    channels, modes = poles.shape
    copies = poles.reshape(channels // rows, rows, modes)
    if not (np.abs(copies - copies[0]) <= TIED_TOLERANCE * np.abs(copies[0])).all():
        raise SchemeError(
            f"{printable(name)} ties A across channels (n_ssm = {rows} < {channels}): it cannot "
            f"hold a layer-wise grid, nor decays that differ from channel to channel while angles "
            f"do not; untie A, or use dfout-single with one decay and one step size"
        )
    untied: Complexes = copies[0]
    return untied


def softplus(values: Floats) -> Floats:
    """log(1 + exp(x)) without overflow; any shape, any real values, NaN kept in silence."""
    with np.errstate(all="ignore"):
        return np.logaddexp(0.0, values)


def softplus_inverse(values: Floats) -> Floats:
    """The x with softplus(x) = y, log(exp(y) - 1) written as y + log(1 - exp(-y)); any shape.

    NaN or -infinity, in silence, where y <= 0.
    """
    with np.errstate(all="ignore"):
        return values + np.log(-np.expm1(-values))
