"""`LayerSpectrum`: the poles of one state-space layer, whatever family it was stored as.

Everything that is measured, compared, drawn or written back starts from this value. Poles are kept
as *log-poles*, l = log(pole_bar) = -decay + i omega_unwrapped, because on the unit circle's edge
(decays of 1e-6 and less are common) 1 - |pole_bar| has lost most of its digits and log does not
lose any.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TypeVar

import numpy as np

from ssmspec.arrays import Bools, Complexes, Floats
from ssmspec.errors import LayoutError
from ssmspec.reading import Discretization
from ssmspec.units import decay_to_half_width, unwrapped_to_omega

Numbers = TypeVar("Numbers", Floats, Complexes)

ALIAS_TOLERANCE = 1e-6
"""Relative slack of the alias limit pi, for angles that sit on it up to rounding."""


class Symmetry(StrEnum):
    """Which poles are stored, and how a kernel is formed from them.

    `HALF`: one of each conjugate pair, K = 2 Re sum c l^k. `FULL`: all of them, K = Re sum c l^k.
    `REAL`: real poles.
    """

    HALF = "half"
    FULL = "full"
    REAL = "real"


class Structure(StrEnum):
    """Whether the state matrix is diagonal as stored or diagonal plus low rank."""

    DIAGONAL = "diagonal"
    DPLR = "dplr"


@dataclass(frozen=True, eq=False)
class Selection:
    """Some channels and some modes of a layer: `channels` (H,), `modes` (M,)."""

    channels: Bools
    modes: Bools

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return bool(self.channels.all() and self.modes.all())

    def of(self, values: Numbers) -> Numbers:
        """The chosen part of an array whose last two axes are (H, M)."""
        return values[..., self.channels, :][..., self.modes]


@dataclass(frozen=True, eq=False)
class LayerSpectrum:
    """The discrete poles of one layer.

    Attributes:
        name: dotted path of the module that holds the poles, as in the file.
        family: id of the family that read it.
        discretization: how the discrete poles came about.
        symmetry: which poles are stored.
        log_poles: complex128 (H, M), log of each discrete pole; -decay + i omega_unwrapped.
            H = 1 for a MIMO layer.
        dt: float64 step sizes that broadcast against (H, M): (H, 1) one per channel, (1, M) one
            per state, (H, M) one per mode. None where the family has none.
        structure: diagonal or diagonal plus low rank.
        selective: the step size depends on the input; `dt` and the poles are nominal.
        condition: (H, M) condition number of each eigenvalue, 1 and up, where poles are those of a
            matrix that is not diagonal; None where poles are stored.
        assumptions: sentences about what the file does not say and was taken for granted.
    """

    name: str
    family: str
    discretization: Discretization
    symmetry: Symmetry
    log_poles: Complexes
    dt: Floats | None = None
    structure: Structure = Structure.DIAGONAL
    selective: bool = False
    condition: Floats | None = field(default=None, compare=False)
    assumptions: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.log_poles.ndim != 2 or self.log_poles.dtype != np.complex128:
            raise LayoutError(
                f"{self.name}: log-poles must be complex128 of shape (H, M), "
                f"got {self.log_poles.dtype} {self.log_poles.shape}"
            )
        if self.log_poles.size == 0:
            raise LayoutError(f"{self.name}: the layer stores no poles (shape {self.shape})")
        if self.dt is not None:
            fits = self.dt.ndim == 2 and all(
                size in (1, full) for size, full in zip(self.dt.shape, self.shape, strict=True)
            )
            if not fits:
                raise LayoutError(
                    f"{self.name}: step sizes of shape {self.dt.shape} do not fit poles of "
                    f"shape {self.shape}"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """(H, M)."""
        channels, modes = self.log_poles.shape
        return channels, modes

    @property
    def channels(self) -> int:
        """H, independent SISO systems; 1 for a MIMO layer."""
        return self.shape[0]

    @property
    def modes(self) -> int:
        """M, stored modes of one channel."""
        return self.shape[1]

    @property
    def is_complex(self) -> bool:
        """Whether poles come in conjugate pairs and can oscillate."""
        return self.symmetry is not Symmetry.REAL

    @property
    def holds_pairs(self) -> bool:
        """Whether both poles of each conjugate pair are stored, as far as their signs tell."""
        below = np.count_nonzero(self.log_poles.imag < 0.0)
        return self.symmetry is Symmetry.FULL and bool(0.25 < below / self.log_poles.size < 0.75)

    @property
    def is_continuous(self) -> bool:
        """Whether the family stores continuous poles and a step size."""
        return self.discretization is not Discretization.NATIVE

    @cached_property
    def non_finite(self) -> int:
        """How many modes hold a NaN or an infinity."""
        return int(self.log_poles.size - np.count_nonzero(np.isfinite(self.log_poles)))

    @cached_property
    def finite(self) -> Bools:
        """(H, M), whether a mode's pole and step size are numbers.

        The step size is looked at by itself because the bilinear rule maps an infinite one to a
        finite pole.
        """
        finite = np.isfinite(self.log_poles)
        return finite if self.dt is None else finite & np.isfinite(self.dt)

    def measurable(self) -> Selection | None:
        """The largest part of the layer whose poles are all numbers; None where there is none.

        Channels that are whole; where no channel is, the modes that are numbers in all of them.
        """
        channels = np.asarray(self.finite.all(axis=1))
        if channels.any():
            return Selection(channels, np.ones(self.modes, dtype=np.bool_))
        modes = np.asarray(self.finite.all(axis=0))
        return Selection(np.ones(self.channels, dtype=np.bool_), modes) if modes.any() else None

    def part(self, chosen: Selection) -> LayerSpectrum:
        """Some channels and modes of the layer; the layer itself where all are chosen."""
        if chosen.is_everything:
            return self
        dt = self.dt
        if dt is not None:
            dt = dt[chosen.channels] if dt.shape[0] == self.channels else dt
            dt = dt[:, chosen.modes] if dt.shape[1] == self.modes else dt
        condition = None if self.condition is None else chosen.of(self.condition)
        return replace(self, log_poles=chosen.of(self.log_poles), dt=dt, condition=condition)

    @cached_property
    def decay(self) -> Floats:
        """(H, M) nat/sample; negative for a growing mode."""
        return -self.log_poles.real

    @property
    def omega_unwrapped(self) -> Floats:
        """(H, M) rad/sample, not folded: ZOH Im(A) dt, otherwise arg(pole_bar)."""
        return self.log_poles.imag

    @cached_property
    def omega(self) -> Floats:
        """(H, M) rad/sample in [0, pi], as a real-valued signal hears it."""
        return unwrapped_to_omega(self.omega_unwrapped)

    @cached_property
    def half_width(self) -> Floats:
        """(H, M) rad/sample, half-power half-width of each mode's resonance."""
        return decay_to_half_width(self.decay)

    @cached_property
    def stable(self) -> Bools:
        """(H, M), decay >= 0."""
        return self.decay >= 0.0

    @cached_property
    def stable_decay(self) -> Floats:
        """(n,) nat/sample of the stable modes."""
        decay = self.decay.reshape(-1)
        return decay if self.stable.all() else decay[self.stable.reshape(-1)]

    @cached_property
    def aliased(self) -> Bools:
        """(H, M), |omega_unwrapped| beyond Nyquist."""
        return np.abs(self.omega_unwrapped) > np.pi * (1.0 + ALIAS_TOLERANCE)


def zoh_to_log_poles(poles: Complexes, dt: Floats) -> Complexes:
    """Log-poles under zero-order hold: log(exp(dt A)) = dt A, unwrapped.

    Args:
        poles: continuous poles, (H, M) or broadcastable to it, 1/time.
        dt: step sizes that broadcast against `poles`, time/sample.

    Returns:
        complex128 (H, M).
    """
    return np.asarray(poles * dt, dtype=np.complex128)


def bilinear_to_log_poles(poles: Complexes, dt: Floats) -> Complexes:
    """Log-poles under the bilinear rule, log((1 + z) / (1 - z)) with z = dt A / 2.

    Written as log((1+z)/(1-z)) = 2 artanh(z), which keeps the digits of a small z. The imaginary
    part is arg(pole_bar) in (-pi, pi]: the rule warps frequencies and never aliases them.

    Args:
        poles: continuous poles, (H, M) or broadcastable to it, 1/time.
        dt: step sizes that broadcast against `poles`, time/sample.

    Returns:
        complex128 (H, M).
    """
    return np.asarray(2.0 * np.arctanh(poles * dt / 2.0), dtype=np.complex128)


def log_poles_to_zoh(log_poles: Complexes, dt: Floats) -> Complexes:
    """Continuous poles that `zoh_to_log_poles` maps to these log-poles at this step size.

    Args:
        log_poles: (H, M).
        dt: step sizes that broadcast against `log_poles`, time/sample, none of them 0.

    Returns:
        complex128 (H, M), 1/time.
    """
    with np.errstate(all="ignore"):
        return np.asarray(log_poles / dt, dtype=np.complex128)


def log_poles_to_bilinear(log_poles: Complexes, dt: Floats) -> Complexes:
    """Continuous poles that `bilinear_to_log_poles` maps to these log-poles at this step size.

    Args:
        log_poles: (H, M), their angles within [-pi, pi].
        dt: step sizes that broadcast against `log_poles`, time/sample, none of them 0.

    Returns:
        complex128 (H, M), 1/time.
    """
    with np.errstate(all="ignore"):  # a step size that underflowed to 0 gives no finite pole
        return np.asarray(2.0 * np.tanh(log_poles / 2.0) / dt, dtype=np.complex128)
