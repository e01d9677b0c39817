"""What every version of S4 stores, once read: D, P, Q and dt of A = diag(D) - P Q^T."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.families.base import LayerSource
from ssmspec.families.parts.diagonal import repeat_tied, to_log_poles
from ssmspec.families.parts.dplr import DiagonalLowRank
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum

TITLE = "S4 (DPLR)"
SAME = 1e-12
"""Relative difference up to which a spectrum is the one the layer has. Heuristic: it was read from
the same numbers, and a thread more or less may change the last digits."""


@dataclass(frozen=True)
class Stored:
    """A layer's parameters as they are stored.

    Attributes:
        matrix: S rows; channel h uses row h mod S.
        dt: (H, 1), or (H, N) with one step size a stored mode.
        assumptions: sentences about what the file does not say.
    """

    matrix: DiagonalLowRank
    dt: Floats
    assumptions: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(H, M): channels, and eigenvalues of each."""
        return len(self.dt), self.matrix.states

    @property
    def is_low_rank(self) -> bool:
        """Whether any head has a low-rank part."""
        return bool(self.matrix.left.any() and self.matrix.right.any())

    @property
    def steps(self) -> Floats:
        """Dt that broadcasts against (H, M)."""
        shared = self.dt.shape[1] == 1 or not self.matrix.is_half
        return self.dt if shared else np.concatenate([self.dt, self.dt], axis=1)

    @cached_property
    def solved(self) -> DiagonalLowRank:
        """The matrices whose eigenvectors are those of the layer: A, of each row that is stored.

        With one step size a mode they are those of diag(dt) A, of each channel.
        """
        return self.matrix if self.dt.shape[1] == 1 else self.per_channel

    @cached_property
    def per_channel(self) -> DiagonalLowRank:
        """diag(dt) A of every channel."""
        rows = (self.matrix.diagonal, self.matrix.left, self.matrix.right)
        diagonal, left, right = (repeat_tied(values, len(self.dt), "A") for values in rows)
        with np.errstate(over="ignore", invalid="ignore"):
            return DiagonalLowRank(
                np.asarray(diagonal * self.dt, dtype=np.complex128),
                np.asarray(left * self.dt[..., None], dtype=np.complex128),
                right,
                self.matrix.is_half,
            )

    def log_poles(self, poles: Complexes) -> Complexes:
        """(H, M) from the eigenvalues of `solved`, (S, M) or (H, M)."""
        tied = self.dt.shape[1] == 1
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = repeat_tied(poles, len(self.dt), "A") * self.dt if tied else poles
        return to_log_poles(np.asarray(scaled), np.ones((1, 1)), Discretization.BILINEAR)

    def has(self, log_poles: Complexes, spectrum: LayerSpectrum) -> bool:
        """Whether a spectrum is the one of this layer, whose log-poles (H, M) are given."""
        dt = spectrum.dt
        return (
            dt is not None
            and spectrum.shape == self.shape
            and np.allclose(spectrum.log_poles, log_poles, SAME, 0.0, equal_nan=True)
            and np.allclose(dt, self.steps, SAME, 0.0, equal_nan=True)
        )

    def diagonalized(self) -> Stored:
        """The same layer without a low-rank part, as it would be written."""
        left = np.zeros_like(self.matrix.left)
        return replace(self, matrix=replace(self.matrix, left=left))


@dataclass(frozen=True)
class Layout:
    """One version's tensors.

    Attributes:
        version: what to call it.
        roles: tensors that tell it, all of them in one module.
        read: the stored parameters.
        write: the tensors, by role, of a matrix with this diagonal (S, N), no low-rank part, and
            these step sizes in the shape of `Stored.dt`.
    """

    version: str
    roles: tuple[str, ...]
    read: Callable[[LayerSource], Stored]
    write: Callable[[LayerSource, Complexes, Floats], dict[str, Array]]
