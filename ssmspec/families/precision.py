"""How far the rounding of parameters stored below single precision moves poles.

A number that was rounded to its nearest neighbor in a coarse type is off by up to half a unit in
the last place, uniformly: by h / sqrt(3) rms, where h is that half unit. What this does to poles is
measured, not derived: each coarse tensor is moved by h, up or down at random, the layer is read
again, and the distance of every pole from where it was is set against its half-width. Tensors err
independently of one another, so their squared distances add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.checkpoints.base import Checkpoint, TensorInfo
from ssmspec.checkpoints.dtypes import decode, dtype_named
from ssmspec.errors import SsmspecError
from ssmspec.families.base import Family, LayerSource
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Structure
from ssmspec.units import TWO_PI

COARSE = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
"""Types below single precision."""


@dataclass(frozen=True)
class Rounding:
    """What rounding did to a layer's poles.

    Attributes:
        dtypes: the coarse types that set poles, in the order of the layer's tensors.
        half_widths: rms distance over modes, in half-widths of each mode.
        units: (H, M) how far one unit in the last place of the stored poles, step sizes left out,
            moves each mode: the distance of its log-poles; None where it was not measured.
        decay_error: (H, M) the most that rounding to nearest put each decay off by, from above.
    """

    dtypes: tuple[str, ...]
    half_widths: float
    units: Floats | None = None
    decay_error: Floats | None = None

    def explains(self, spectrum: LayerSpectrum, limit: float) -> bool:
        """Whether every mode that grows by more than `limit` nat/sample may owe it to rounding."""
        if self.decay_error is None:
            return False
        decay = np.where(spectrum.finite, spectrum.decay, np.inf)
        grows = decay < -limit
        return bool(grows.any()) and bool((decay[grows] + self.decay_error[grows] >= 0.0).all())


def rounding_of(family: Family, source: LayerSource, spectrum: LayerSpectrum) -> Rounding | None:
    """The expected distance that rounding moved this layer's poles by.

    Args:
        family: reads the layer.
        source: the layer.
        spectrum: as it was read.

    Returns:
        None where no coarse tensor moves a pole, and where no pole is finite or has a width. Modes
        that are not finite are left out, and 0 in its arrays.
    """
    tensors = dict.fromkeys(source.site.tensors.values())
    coarse = [name for name in tensors if source.checkpoint.info(name).dtype in COARSE]
    if not coarse or not spectrum.finite.any():
        return None
    squares, units, decay_error = np.zeros((3, *spectrum.shape))
    dtypes: dict[str, None] = {}
    rng = np.random.default_rng(0)  # the signs of errors are arbitrary; the figure is to be stable
    for name in coarse:
        moved = _moved(family, source, name, rng)
        apart = None if moved is None else distance(spectrum, moved)
        if moved is None or apart is None or not apart.any():
            continue
        squares += apart**2 / 3.0
        if _same_steps(spectrum, moved):
            units += 2.0 * apart
        if not np.array_equal(spectrum.decay, moved.decay, equal_nan=True):
            decay_error += apart
        dtypes[source.checkpoint.info(name).dtype] = None
    counts = spectrum.finite & (spectrum.half_width > 0.0)
    if not dtypes or not counts.any():
        return None
    relative = squares[counts] / spectrum.half_width[counts] ** 2
    return Rounding(tuple(dtypes), math.sqrt(relative.mean()), units, decay_error)


def _same_steps(spectrum: LayerSpectrum, moved: LayerSpectrum) -> bool:
    if spectrum.dt is None or moved.dt is None:
        return True
    return np.array_equal(spectrum.dt, moved.dt, equal_nan=True)


def half_units(stored: Array, dtype: str) -> Floats:
    """Half the distance from each stored number to the next larger one in magnitude.

    Args:
        stored: as `Checkpoint.load` gives it.
        dtype: its canonical name, one of `COARSE`.

    Returns:
        float64 of the same shape; at the largest number the distance to the next smaller one.
    """
    storage = dtype_named(dtype).storage
    bits = np.ascontiguousarray(stored).view(f"u{storage.itemsize}")
    magnitude = bits & np.array((1 << (8 * storage.itemsize - 1)) - 1, bits.dtype)

    def number(code: Array) -> Array:
        return decode(code.view(storage), dtype)

    with np.errstate(invalid="ignore"):
        above = number(magnitude + np.array(1, bits.dtype)) - number(magnitude)
        below = number(magnitude) - number(magnitude - np.array(1, bits.dtype))
    return np.where(np.isfinite(above), above, below).reshape(stored.shape) / 2.0


def _moved(
    family: Family, source: LayerSource, name: str, rng: np.random.Generator
) -> LayerSpectrum | None:
    """The layer with one tensor half a unit off; None where it cannot be read so."""
    info = source.checkpoint.info(name)
    error = half_units(source.checkpoint.load(name), info.dtype)
    values = source.checkpoint.read(name) + error * rng.choice((-1.0, 1.0), error.shape)
    beside = Beside(source.checkpoint, name, values)
    try:
        return family.read(LayerSource(beside, source.site, source.reading))
    except SsmspecError:
        return None


def distance(spectrum: LayerSpectrum, moved: LayerSpectrum) -> Floats | None:
    """How far each mode of a layer moved.

    Args:
        spectrum: before.
        moved: after.

    Returns:
        (H, M), |difference of log-poles|, 0 where a mode was not finite before; None where the
        moved layer is not alike.
    """
    if moved.shape != spectrum.shape or not (moved.finite | ~spectrum.finite).all():
        return None
    if spectrum.structure is Structure.DPLR:  # eigenvalues come in no order
        if spectrum.non_finite:
            return None
        pairs = zip(spectrum.log_poles, moved.log_poles, strict=True)
        return np.stack([np.abs(here[:, None] - there).min(axis=1) for here, there in pairs])
    with np.errstate(invalid="ignore"):
        turn = moved.omega_unwrapped - spectrum.omega_unwrapped
        if spectrum.discretization is not Discretization.ZOH:  # angles are told up to full turns
            turn = turn - TWO_PI * np.round(turn / TWO_PI)
        distance = np.hypot(moved.decay - spectrum.decay, turn)
    return np.where(spectrum.finite, distance, 0.0)


class Beside(Checkpoint):
    """A checkpoint in which one tensor reads as values that its own type cannot hold."""

    def __init__(self, base: Checkpoint, name: str, values: Array) -> None:
        super().__init__(base.path, base.size)
        self.tensors, self.metadata, self.config = base.tensors, base.metadata, base.config
        self._base, self._name, self._values = base, name, values

    def read(self, name: str) -> Array:
        """The values, of any shape, that stand in for the tensor; every other one as it is."""
        return self._values if name == self._name else self._base.read(name)

    def _load(self, info: TensorInfo) -> Array:
        return self._base.load(info.name)
