"""One look at the poles of a model: what is measured of each layer, and what is kept of it.

Only metrics of poles and step sizes are taken. Those of the kernel need B and C and take far
longer; `ssmspec.analyze` gives them for the model at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.metrics import METRICS
from ssmspec.metrics.base import KERNEL, Metric
from ssmspec.outcome import Finding, Measured, Outcome
from ssmspec.spectrum import LayerSpectrum
from ssmspec.units import decay_to_half_width

MOVED, MOVED_SHARE = "poles_moved", "poles_moved_share"
"""Distance of the poles from where they were at the first look, rms over modes in half-widths of
the pole as it was; and the share of modes that moved by more than one half-width."""

POLES_FOLLOWED = 512
"""Poles of one layer whose paths are kept, at most (heuristic: 4 KiB a look and layer)."""

POLES_OF_MODEL = 4096
"""Likewise of all layers together; a model of more than 8 layers is followed in fewer of each."""

NEVER_TRAINED = "INI001"
"""Says nothing at the first look, when nothing was trained yet."""


@cache
def pole_metrics() -> tuple[Metric, ...]:
    """The metrics that need no kernel, in table order."""
    return tuple(metric for metric in METRICS.values() if KERNEL not in metric.needs)


@cache
def columns() -> tuple[str, ...]:
    """What is kept of each layer at each look, by name."""
    return (MOVED, MOVED_SHARE, *(metric.id for metric in pole_metrics()))


Value = float | str | None
"""A number, a name (of a scheme), or None where there is none."""


@dataclass(frozen=True, eq=False)
class Start:
    """The poles of a layer at the first look, which later ones are measured from.

    Attributes:
        decay: (H, M) nat/sample.
        omega: (H, M) |omega_unwrapped|, rad/sample.
    """

    decay: Floats
    omega: Floats

    @classmethod
    def of(cls, spectrum: LayerSpectrum) -> Start:
        """New arrays: a spectrum may share memory with a model that goes on training."""
        return cls(spectrum.decay, np.abs(spectrum.omega_unwrapped))

    @cached_property
    def half_width(self) -> Floats:
        """(H, M) rad/sample."""
        return decay_to_half_width(self.decay)

    def moved(self, spectrum: LayerSpectrum) -> tuple[float, float] | None:
        """How far the poles are from here: (rms in half-widths, share beyond one half-width).

        The distance of a mode is hypot(change of decay, change of |omega_unwrapped|). Modes are
        matched by position, which a parameterization keeps; the eigenvalues of a matrix have none
        and come in order of their frequencies. Modes without a width (no damping) are left out.

        Returns:
            None where no mode has a width, or where a pole is not finite now or was not then.
        """
        wide = self.half_width > 0.0
        finite = np.isfinite(self.decay).all() and np.isfinite(self.omega).all()
        if spectrum.non_finite or not finite or not wide.any():
            return None
        distance = np.hypot(
            spectrum.decay - self.decay, np.abs(spectrum.omega_unwrapped) - self.omega
        )
        with np.errstate(over="ignore"):
            widths = distance[wide] / self.half_width[wide]
            rms = math.sqrt(np.mean(widths**2))
        return (rms, float(np.mean(widths > 1.0))) if math.isfinite(rms) else None


@dataclass(frozen=True, eq=False)
class Paths:
    """Where the followed poles of one layer were at one look.

    Attributes:
        decay: float32 (h, m) nat/sample; NaN where the pole is none.
        omega: float32 (h, m) rad/sample in [0, pi].
    """

    decay: Array
    omega: Array


@dataclass(frozen=True, eq=False)
class LayerLook:
    """One layer at one look.

    Attributes:
        name: the layer's.
        values: in the order of `columns()`.
        codes: of the rules that fired.
        paths: None once it was thinned out.
    """

    name: str
    values: tuple[Value, ...]
    codes: tuple[str, ...]
    paths: Paths | None

    def number(self, column: str) -> float | None:
        """The number in a column; None where there is none."""
        value = self.values[columns().index(column)]
        return None if isinstance(value, str) else value


@dataclass(frozen=True, eq=False)
class Look:
    """The model at one step.

    Attributes:
        step: optimizer steps taken before it.
        layers: in natural order of their names.
    """

    step: int
    layers: tuple[LayerLook, ...]

    def without_paths(self) -> Look:
        """The same look, with numbers only."""
        if all(layer.paths is None for layer in self.layers):
            return self
        return replace(self, layers=tuple(replace(layer, paths=None) for layer in self.layers))


@dataclass(frozen=True)
class Event:
    """A rule that began to fire on a layer.

    Attributes:
        step: of the look that found it.
        since: step of the look before, which did not; None at the first look.
        finding: what was found.
    """

    step: int
    since: int | None
    finding: Finding


@dataclass(frozen=True, eq=False)
class Seen:
    """Everything a monitor remembers.

    Attributes:
        looks: by ascending step.
        start: the poles at the first look, by layer.
        events: in order.
        findings: of the last look.
    """

    looks: tuple[Look, ...]
    start: Mapping[str, Start]
    events: tuple[Event, ...]
    findings: tuple[Finding, ...]


def values_of(
    metrics: Mapping[str, Outcome], moved: tuple[float, float] | None
) -> tuple[Value, ...]:
    """One value a column."""
    measured = [metrics[metric.id] for metric in pole_metrics()]
    numbers = (item.value if isinstance(item, Measured) else None for item in measured)
    return (*(moved or (None, None)), *numbers)


def followed(spectrum: LayerSpectrum, channels: int, layers: int) -> Paths:
    """The poles whose paths are kept: evenly chosen channels, and evenly chosen modes of each.

    Args:
        spectrum: the layer.
        channels: how many at most; a layer with fewer is followed in more modes of each.
        layers: of the model.
    """
    budget = max(1, min(POLES_FOLLOWED, POLES_OF_MODEL // layers))
    h = _evenly(spectrum.channels, min(channels, budget))
    m = _evenly(spectrum.modes, budget // h.size)
    place = np.ix_(h, m)
    with np.errstate(over="ignore"):  # a run that explodes passes what single precision holds
        return Paths(
            spectrum.decay[place].astype(np.float32), spectrum.omega[place].astype(np.float32)
        )


def _evenly(count: int, most: int) -> Array:
    """Up to `most` of the indices 0 .. count - 1, the first and the last among them."""
    return np.round(np.linspace(0, count - 1, min(count, most))).astype(np.int64)
