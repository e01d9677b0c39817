"""The poles a scheme asks of a layer: the scheme's formula, in the form the layer stores.

A scheme gives one pole of each conjugate pair, in the upper half-plane. A layer that stores one of
each pair takes those, below the real axis where that is where its own lie. One that stores every
pole and whose own are pairs takes the poles for half of its states and their conjugates for the
rest; one whose poles are single (LRU) takes them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ssmspec.arrays import Array, Complexes
from ssmspec.errors import SchemeError, UsageError
from ssmspec.families.parts.diagonal import to_log_poles
from ssmspec.naming import printable
from ssmspec.results.reinit import DtPolicy, StepSizes
from ssmspec.schemes import SCHEMES, Kind, Scheme, SchemeOptions
from ssmspec.spectrum import LayerSpectrum, Structure, Symmetry

DT_RANGE = ("dt_min", "dt_max")


@dataclass(frozen=True)
class Wish:
    """What is asked of every layer.

    Attributes:
        scheme: the initialization.
        seed: non-negative.
        options: what was set of the scheme.
        dt: what becomes of step sizes; None, where nothing was said, keeps them unless the options
            give a range to draw them from.
    """

    scheme: Scheme
    seed: int = 0
    options: SchemeOptions = field(default_factory=SchemeOptions)
    dt: DtPolicy | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"a seed is a non-negative integer, got {self.seed}")
        self.options.resolve(self.scheme.id, self.scheme.options)
        if self.dt is DtPolicy.KEEP and self.draws_dt:
            raise UsageError(
                "step sizes are either kept (--dt keep) or drawn from a range (--dt-min, "
                "--dt-max); leave out one of the two"
            )

    @property
    def draws_dt(self) -> bool:
        """Whether a range for step sizes was given."""
        return any(name in DT_RANGE for name in self.options.given)


@dataclass(frozen=True, eq=False)
class Target:
    """What a layer is to become.

    Attributes:
        spectrum: the poles and step sizes asked for.
        step_sizes: what becomes of the layer's own.
    """

    spectrum: LayerSpectrum
    step_sizes: StepSizes


def target(layer: LayerSpectrum, wish: Wish, number: int) -> Target:
    """The poles that a scheme asks of a layer.

    Args:
        layer: as it is.
        wish: what is asked.
        number: the layer's place among all layers of the file; each has a draw of its own.

    Raises:
        SchemeError: the layer stores real poles and the scheme's oscillate.
        UsageError: an option of the scheme makes no sense.
    """
    if not layer.is_complex and wish.scheme.oscillates:
        held = ", ".join(name for name, scheme in SCHEMES.items() if not scheme.oscillates)
        raise SchemeError(
            f"{printable(layer.name)} stores real poles and cannot hold {wish.scheme.id}, whose "
            f"poles oscillate; it can hold {held}"
        )
    place = _places(layer)
    modes = int(place.max()) + 1
    keeps = wish.scheme.kind is Kind.CONTINUOUS and layer.dt is not None and not wish.draws_dt
    draw = wish.scheme.draw(
        layer.channels,
        modes,
        (wish.seed, number),
        options=wish.options,
        dt=np.ones((1, 1)) if keeps else None,  # any will do: only the poles are used below
    )
    if draw.poles is None:
        log_poles, dt = draw.log_poles[:, place], layer.dt
    else:
        steps = layer.dt if keeps else draw.dt
        if steps is None:
            raise SchemeError("internal error: a continuous scheme gave no step sizes")
        dt = steps if keeps or steps.shape[1] == 1 else steps[:, place]
        log_poles = to_log_poles(draw.poles[:, place], dt, layer.discretization)
    log_poles = _in_half_planes(log_poles, layer)
    drawn = draw.poles is not None and not keeps
    step_sizes = StepSizes.DRAWN if drawn else StepSizes.KEPT
    if layer.dt is None:
        dt, step_sizes = None, StepSizes.NONE
    elif wish.dt is DtPolicy.ONE:
        dt, step_sizes = np.ones(layer.dt.shape), StepSizes.ONE
    return Target(replace(layer, log_poles=log_poles, dt=dt), step_sizes)


def stores_pairs(layer: LayerSpectrum) -> bool:
    """Whether a layer stores both poles of each conjugate pair.

    Training never ties the two, so equal counts of signs are the trace. The angles of a natively
    discrete layer fill the circle one by one, which balances too, without there being pairs.
    """
    if layer.symmetry is not Symmetry.FULL or not layer.is_continuous:
        return False
    if layer.structure is Structure.DPLR:
        return layer.modes % 2 == 0
    above = np.count_nonzero(layer.omega_unwrapped > 0.0)
    below = np.count_nonzero(layer.omega_unwrapped < 0.0)
    unpaired = layer.modes % 2 * layer.channels
    return bool(min(above, below) > 0 and abs(above - below) <= unpaired)


def _places(layer: LayerSpectrum) -> Array:
    """(M,) which of a scheme's modes each stored mode takes; the second of a pair the same one."""
    modes = layer.modes
    if not stores_pairs(layer):
        return np.arange(modes)
    half = -(-modes // 2)
    return np.arange(modes) % half


def _in_half_planes(log_poles: Complexes, layer: LayerSpectrum) -> Complexes:
    """(H, M) log-poles, conjugated so that they lie where the layer stores them."""
    upper = log_poles.real + 1j * np.abs(log_poles.imag)
    if stores_pairs(layer):
        is_second = np.arange(layer.modes) >= -(-layer.modes // 2)
        return np.where(is_second, upper.conj(), upper)
    if layer.symmetry is not Symmetry.HALF:
        return log_poles
    below = np.count_nonzero(layer.omega_unwrapped < 0.0)
    above = np.count_nonzero(layer.omega_unwrapped > 0.0)
    return np.asarray(upper.conj() if below > above else upper)
