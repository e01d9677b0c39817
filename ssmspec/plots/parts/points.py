"""The poles of a layer as points: finite ones, not too many, with what is told of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Array, Bools, Complexes, Floats
from ssmspec.spectrum import ALIAS_TOLERANCE, LayerSpectrum, Symmetry
from ssmspec.units import unwrapped_to_omega

MOST_POINTS = 20_000
"""Poles of one layer that are drawn; more are a blot all the same (heuristic)."""


@dataclass(frozen=True, eq=False)
class Points:
    """Poles of one layer.

    Attributes:
        log_poles: (n,) -decay + i omega_unwrapped.
        dt: (n,) step size of each; None where the family has none.
        symmetry: which poles of each conjugate pair these are.
        modes: how many the layer has, drawn or not.
        aliased: how many of all its modes lie beyond Nyquist.
        growing: how many of all its modes grow.
        non_finite: how many are NaN or infinite, and not drawn.
    """

    log_poles: Complexes
    dt: Floats | None
    symmetry: Symmetry
    modes: int
    aliased: int
    growing: int
    non_finite: int

    @property
    def decay(self) -> Floats:
        """(n,) nat/sample."""
        return -self.log_poles.real

    @property
    def omega(self) -> Floats:
        """(n,) rad/sample in [0, pi]."""
        return unwrapped_to_omega(self.log_poles.imag)

    @property
    def is_aliased(self) -> Bools:
        """(n,), beyond Nyquist."""
        beyond: Bools = np.abs(self.log_poles.imag) > np.pi * (1.0 + ALIAS_TOLERANCE)
        return beyond

    @property
    def poles_bar(self) -> Complexes:
        """(n,) in the z-plane; where half of them are stored, the upper one of each pair.

        A pole that grows beyond measure is put at radius e.
        """
        radius = np.exp(np.minimum(self.log_poles.real, 1.0))
        is_half = self.symmetry is Symmetry.HALF
        angle = self.omega if is_half else self.log_poles.imag
        return np.asarray(radius * np.exp(1j * angle), dtype=np.complex128)


def points_of(spectrum: LayerSpectrum, most: int = MOST_POINTS) -> Points:
    """At most so many of a layer's poles, and counts over all of them."""
    is_finite = np.isfinite(spectrum.log_poles.reshape(-1))
    finite = np.flatnonzero(is_finite)
    chosen = finite[thinned(finite.size, most)]
    log_poles = spectrum.log_poles.reshape(-1)
    dt = spectrum.dt
    return Points(
        log_poles=log_poles[chosen],
        dt=None if dt is None else np.broadcast_to(dt, spectrum.shape).reshape(-1)[chosen],
        symmetry=spectrum.symmetry,
        modes=log_poles.size,
        aliased=int(np.count_nonzero(spectrum.aliased)),
        growing=int(np.count_nonzero(spectrum.decay < 0.0)),
        non_finite=spectrum.non_finite,
    )


def thinned(size: int, most: int) -> Array:
    """Which of `size` things to draw, int64 (n,) ascending: all, or `most` drawn at random.

    At random, because poles come in a regular order: every k-th of them could be the same mode of
    each channel. The seed is fixed, so that a figure is the same every time.
    """
    if size <= most:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, most, replace=False))
