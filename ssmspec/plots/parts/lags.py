"""A kernel's energy along its lags, in bins that a logarithmic axis can show.

The axis is one of log2(lag), where lag k stands for [k - 1/2, k + 1/2). Lag 0 has no logarithm and
gets the half octave before lag 1's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Array, Floats
from ssmspec.kernel import Kernel, MimoKernel
from ssmspec.metrics.base import KERNEL, SUMMABLE, Context
from ssmspec.metrics.kernel_energy import energy_horizon
from ssmspec.metrics.kernel_lags import can_be_summed, lag_energy
from ssmspec.outcome import NotApplicable
from ssmspec.results.layer_view import LayerView

UNKNOWN_LENGTH = (64, 16_384)
"""Fewest and most lags shown of a kernel whose sequence length is not known (heuristic)."""
MOST_LAGS = 2**16
"""Most lags shown (heuristic): 16 octaves, more than a page has room for."""
MOST_PRODUCTS = 2**31
"""Multiplications up to which lags are summed for a figure, about a second (heuristic)."""


def lags_shown(view: LayerView) -> int | str:
    """How many first lags of a layer's kernel a figure shows, or why it cannot show any.

    The whole sequence where its length is known; otherwise four times what holds 90 % of the
    energy. Fewer where they would take too long to sum.
    """
    context = Context(view.sequence_length, kernel=view.kernel, no_kernel=view.no_kernel)
    for requirement in (KERNEL, SUMMABLE):
        reason = requirement.missing(view.spectrum, context)
        if reason is not None:
            return reason
    if view.kernel is None:  # KERNEL has a reason for it
        return view.no_kernel
    if view.spectrum.non_finite:
        return "poles are NaN or infinite"
    length = view.sequence_length or _enough(view, context)
    if isinstance(length, str):
        return length
    length = min(length, MOST_LAGS)
    while length > 1 and not (
        _products(view.kernel, length) <= MOST_PRODUCTS and can_be_summed(view.kernel, length)
    ):
        length //= 2
    return length


def _enough(view: LayerView, context: Context) -> int | str:
    horizon = energy_horizon(view.spectrum, context)
    if isinstance(horizon, NotApplicable):
        return horizon.reason
    fewest, most = UNKNOWN_LENGTH
    lags: int = 4 * 2 ** (int(horizon) - 1).bit_length()
    return min(most, max(fewest, lags))


def _products(kernel: Kernel, length: int) -> int:
    if isinstance(kernel, MimoKernel):
        return 4 * kernel.spectrum.modes**2 * length
    return 2 * kernel.residues.size * length


@dataclass(frozen=True, eq=False)
class LagEnergies:
    """A kernel's energy over its first lags.

    Attributes:
        energy: (n,) by lag, its sum 1.
        held: lags that hold 90 % of it.
    """

    energy: Floats
    held: int


def lag_energies(view: LayerView) -> LagEnergies | str:
    """Energy by lag of a layer's kernel, or why there is nothing to show."""
    length = lags_shown(view)
    if isinstance(length, str) or view.kernel is None:
        return str(length)
    energy = lag_energy(view.kernel, length)
    total = float(energy.sum())
    if not np.isfinite(total):
        return "the energy of a growing mode is beyond what a float holds"
    if total == 0.0:
        return "the kernel is zero"
    held = np.searchsorted(np.cumsum(energy), 0.9 * total * (1.0 - 1e-12)) + 1
    return LagEnergies(energy / total, min(int(held), length))


LAG_ZERO = -1.5
"""Where lag 0 begins on an axis of log2(lag); it ends where lag 1 begins, at log2(1/2)."""


@dataclass(frozen=True, eq=False)
class LagBins:
    """Neighboring lags drawn as one.

    Attributes:
        first: (n,) first lag of each bin, ascending from 0.
        edges: (n + 1,) where they begin and end on an axis of log2(lag).
    """

    first: Array
    edges: Floats

    def mean(self, values: Floats) -> Floats:
        """Mean over each bin of what is known for each lag, (..., lags) to (..., n)."""
        sizes = np.diff(np.append(self.first, values.shape[-1]))
        means: Floats = np.add.reduceat(values, self.first, axis=-1) / sizes
        return means


def lag_bins(length: int, bins_an_octave: int) -> LagBins:
    """Every lag of its own while they are few an octave, then so many bins an octave.

    Args:
        length: lags, at least 1.
        bins_an_octave: at most so many.
    """
    last = max(length - 1, 1)
    octaves = np.log2(last + 0.5)
    wanted = np.exp2(np.linspace(-1.0, octaves, max(2, round((octaves + 1) * bins_an_octave))))
    first = np.unique(np.concatenate([[0], np.ceil(wanted[:-1] + 0.5)])).astype(np.intp)
    first = first[first < length]
    inner = np.log2(first[1:] - 0.5)
    edges = np.concatenate([[LAG_ZERO], inner, [np.log2(length - 0.5)]])
    return LagBins(first, edges)


def lag_ticks(length: int, most: int) -> tuple[list[float], list[str]]:
    """Places and labels of lag 0 and of powers of two, at most so many."""
    last = max(0, int(np.log2(max(length - 1, 1))))
    step = -(-(last + 1) // most)
    powers = range(0, last + 1, step)
    return [LAG_ZERO + 0.25, *map(float, powers)], ["0", *(f"{2**j:,}" for j in powers)]
