"""Least squares between kernels: which C makes given poles sound like a given kernel.

A kernel is linear in the parts of its residues (of C, for a MIMO layer): with c = a + ib,

    K[k] = gain sum_n (a_n Re - b_n Im)(u_n exp(k l_n)),

where u is 1 for SISO channels and B_bar for a MIMO layer. The products of these columns over lags
0 .. L-1 are geometric sums in closed form, also those between the columns of two kernels, so
nothing here grows with L and no lag is ever computed. With p the sums of conj(x) y and q those of
x y over columns x, y,

    Re.Re = Re(p + q) / 2,  Re.(-Im) = -Im(p + q) / 2,  (-Im).Re = Im(p - q) / 2,
    (-Im).(-Im) = Re(p - q) / 2.

The residues of a channel solve the normal equations with Tikhonov's term,

    |K - K_given|^2 + RIDGE^2 sum_n |c_n|^2 |u_n exp(k l_n)|^2  smallest.

Without it, columns that are nearly parallel (poles closer than a half-width, the sine beside
frequency 0 or Nyquist) would get huge residues that cancel one another; with it, each pays the
energy that an error of one in a million of it would put into the kernel, which is what keeps such
residues from mattering once they are rounded to float32. A column of zeros gets no weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.kernel import Kernel, LayerKernel, MimoKernel
from ssmspec.spectrum import Symmetry

RIDGE = 1e-6
"""Relative error of a residue that the fit is protected against (heuristic): 16 times the rounding
of float32, and its square well above the rounding of float64 in the normal equations."""

_BLOCK = 2**17
"""Pairs of modes worked on at once, so that memory does not grow with the layer (heuristic)."""


@dataclass(frozen=True)
class Match:
    """How two kernels of one layer compare, over all lags and channels.

    Attributes:
        kept: 1 - |old - new|^2 / |old|^2: 1 where nothing changed, 0 where the new kernel is no
            nearer than silence, negative where it is farther.
        correlation: mean over channels of the correlation <old, new> / (|old| |new|), over those
            that are silent in neither.
    """

    kept: float
    correlation: float


@dataclass(frozen=True, eq=False)
class _Modes:
    """The columns of a kernel.

    Attributes:
        log_poles: (H, M).
        gain: 1 or 2.
        inputs: u, (M, I), of a MIMO layer; None where it is 1.
    """

    log_poles: Complexes
    gain: float
    inputs: Complexes | None

    @classmethod
    def of(cls, kernel: Kernel) -> _Modes:
        inputs = kernel.input_matrix if isinstance(kernel, MimoKernel) else None
        return cls(kernel.spectrum.log_poles, kernel.gain, inputs)

    def channels(self, some: slice) -> _Modes:
        return replace(self, log_poles=self.log_poles[some])


def fit(given: Kernel, start: Kernel, length: int) -> Kernel:
    """The kernel nearest to a given one that the poles (and B) of another can make.

    Args:
        given: what to reproduce.
        start: whose poles and inputs to use; its residues are not looked at. Of the same kind and
            shape as `given`; every mode must decay or stay.
        length: L, lags that count.

    Returns:
        `start` with other residues (another C).
    """
    columns, wanted = _Modes.of(start), _Modes.of(given)
    parts = _parts(given)
    solved = np.empty((parts.shape[0], 2 * start.spectrum.modes, parts.shape[2]))
    for some in _blocks(columns.log_poles):
        ours = columns.channels(some)
        products = _products(ours, wanted.channels(some), length) @ parts[some]
        gram = _products(ours, ours, length)  # (H, 2 M, 2 M)
        solved[some] = _solve(gram, products, real=start.spectrum.symmetry is Symmetry.REAL)
    return _with_parts(start, _paired(solved, columns.log_poles))


def _paired(parts: Floats, log_poles: Complexes) -> Floats:
    """(H, 2M, S) parts whose conjugate poles, where the second half of them are, share a number.

    Of a pole and its conjugate only the sum of one residue and the other's conjugate is heard. What
    is solved for splits it evenly up to rounding; layers that store one of each pair need it exact.
    """
    modes = log_poles.shape[1]
    first, second = log_poles[:, : modes // 2], log_poles[:, modes // 2 :]
    if first.shape != second.shape or not np.array_equal(first.conj(), second):
        return parts
    real, imag = parts[:, :modes], parts[:, modes:]
    swapped = np.roll(np.arange(modes), modes // 2)
    return np.concatenate([real + real[:, swapped], imag - imag[:, swapped]], axis=1) / 2.0


def search_decay(given: Kernel, start: Kernel, decays: Floats, length: int) -> Floats:
    """The damping of each channel, out of some, with which `fit` keeps most energy.

    All modes of a channel get one damping d. Every sum then depends on d through exp(-d) and
    exp(-d L) alone, and the rest is computed once for all dampings.

    Args:
        given: what to reproduce.
        start: whose angles to use; complex poles.
        decays: (G,) to choose from, nat/sample, > 0.
        length: L, lags that count.

    Returns:
        (H,), each one of `decays`.
    """
    wanted, parts = _Modes.of(given), _parts(given)
    angles = np.asarray(1j * start.spectrum.omega_unwrapped, dtype=np.complex128)
    columns = replace(_Modes.of(start), log_poles=angles)
    chosen = np.empty(start.spectrum.channels)
    for some in _blocks(columns.log_poles):
        ours, theirs = columns.channels(some), wanted.channels(some)
        own, across = _Sums(ours, ours, length), _Sums(ours, theirs, length)
        explained = np.empty((decays.size, parts[some].shape[0]))
        for trial, decay in enumerate(decays):
            products = across.products(decay) @ parts[some]  # (H, 2 M, S)
            solved = _solve(own.products(2.0 * decay), products, real=False)
            explained[trial] = np.einsum("hns,hns->h", solved, products)
        chosen[some] = decays[explained.argmax(axis=0)]
    return chosen


def match(old: Kernel, new: Kernel, length: int | None) -> Match | None:
    """How much of a kernel another one keeps.

    Args:
        old: the kernel to compare with.
        new: of the same kind and shape.
        length: L, lags that count; None for all of them, where every mode decays.

    Returns:
        None where a sum is infinite or a number is not finite, or where a kernel is silent.
    """
    with np.errstate(all="ignore"):
        first = _inner(old, old, length)
        second = _inner(new, new, length)
        between = _inner(old, new, length)
        kept = 1.0 - (first + second - 2.0 * between).sum() / first.sum()
        heard = (first != 0.0) & (second != 0.0)
        correlations = between[heard] / np.sqrt(first[heard] * second[heard])
    if not np.isfinite([kept, *correlations]).all() or not correlations.size:
        return None
    return Match(kept=float(kept), correlation=float(correlations.mean()))


def _inner(one: Kernel, other: Kernel, length: int | None) -> Floats:
    """(H,): the products of two kernels, summed over lags and outputs.

    With residues c and d it is gain gain' / 2 times the real part of the sums of conj(c) p d and
    c q d over all pairs of modes.
    """
    left, right = _Modes.of(one), _Modes.of(other)
    c, d = _residues(one), _residues(other)
    found = np.empty(left.log_poles.shape[0])
    for some in _blocks(left.log_poles):
        p, q = _pair_sums(left.channels(some), right.channels(some), length)
        products = c[some].conj() * (p @ d[some]) + c[some] * (q @ d[some])  # (H, M, S)
        found[some] = left.gain * right.gain / 2.0 * products.real.sum(axis=(1, 2))
    return found


def _solve(gram: Floats, products: Floats, *, real: bool) -> Floats:
    """(H, 2M, S): what minimizes the sum of squares; the sine parts are 0 where poles are real."""
    modes = gram.shape[1] // 2
    count = modes if real else 2 * modes
    diagonal = np.einsum("hnn->hn", gram)  # (H, 2 M)
    norms = np.tile(diagonal[:, :modes] + diagonal[:, modes:], 2)
    diagonal += np.where(norms > 0.0, RIDGE**2 * norms, 1.0)  # a mode without input stays out
    solved = np.zeros(products.shape)
    solved[:, :count] = np.linalg.solve(gram[:, :count, :count], products[:, :count])
    return solved


def _residues(kernel: Kernel) -> Complexes:
    """(H, M, S) residues, or (1, M, O) numbers of C."""
    if isinstance(kernel, MimoKernel):
        return kernel.output_matrix.T[None]
    return kernel.residues.transpose(1, 2, 0)


def _parts(kernel: Kernel) -> Floats:
    """(H, 2M, S): real, then imaginary parts of residues (of C)."""
    values = _residues(kernel)
    return np.concatenate([values.real, values.imag], axis=1)


def _with_parts(kernel: Kernel, parts: Floats) -> Kernel:
    modes = kernel.spectrum.modes
    values = np.asarray(parts[:, :modes] + 1j * parts[:, modes:], dtype=np.complex128)
    if isinstance(kernel, MimoKernel):
        return replace(kernel, output_matrix=np.ascontiguousarray(values[0].T))
    return LayerKernel(kernel.spectrum, np.ascontiguousarray(values.transpose(2, 0, 1)))


def _blocks(log_poles: Complexes) -> Iterator[slice]:
    channels, modes = log_poles.shape
    size = max(1, _BLOCK // modes**2)
    return (slice(begin, begin + size) for begin in range(0, channels, size))


def _products(one: _Modes, other: _Modes, length: int) -> Floats:
    """(H, 2M, 2M'): products of two sets of columns over all lags."""
    return _arranged(one, other, *_pair_sums(one, other, length))


def _pair_sums(one: _Modes, other: _Modes, length: int | None) -> tuple[Array, Array]:
    """P and q of every pair of modes, (H, M, M') each: sums of conj(x) y and of x y over lags.

    A geometric sum is (1 - z^L) / (1 - z), or 1 / (1 - z) to infinity, and NaN where that is
    infinite.
    """
    steps = _expm1_of_sums(one.log_poles, other.log_poles, 1)
    if length is None:
        decays = one.log_poles.real[:, :, None] + other.log_poles.real[:, None, :] < 0.0
        sums = [np.where(decays, -1.0 / step, np.nan) for step in steps]
    else:
        totals = _expm1_of_sums(one.log_poles, other.log_poles, length)
        sums = [_divided(total, step, length) for total, step in zip(totals, steps, strict=True)]
    return _driven(one, other, *sums)


def _expm1_of_sums(left: Complexes, right: Complexes, times: int) -> tuple[Complexes, Complexes]:
    """expm1(times (conj(l) + l')) and expm1(times (l + l')) of every pair, with all its digits.

    With a + ib the argument, it is expm1(a) - 2 exp(a) sin^2(b/2) + 2i exp(a) sin(b/2) cos(b/2),
    and expm1(a), sin and cos of sums follow from those of the terms: one exponential per mode and
    none per pair, which is several times faster.
    """
    a, b = times * left[:, :, None], times * right[:, None, :]  # (H, M, 1), (H, 1, M')
    shrink_a, shrink_b = np.expm1(a.real), np.expm1(b.real)
    shrink = shrink_a + shrink_b + shrink_a * shrink_b  # (H, M, M')
    sin_a, cos_a = np.sin(a.imag / 2.0), np.cos(a.imag / 2.0)
    sin_b, cos_b = np.sin(b.imag / 2.0), np.cos(b.imag / 2.0)
    found = []
    for turned in (-sin_a, sin_a):
        sine = sin_b * cos_a + cos_b * turned
        twice = 2.0 * (1.0 + shrink) * sine
        out = np.empty(shrink.shape, dtype=np.complex128)
        out.real = shrink - twice * sine
        out.imag = twice * (cos_b * cos_a - sin_b * turned)
        found.append(out)
    return found[0], found[1]


class _Sums:
    """What `_products` is made of, once for all dampings that may be added to the poles."""

    def __init__(self, one: _Modes, other: _Modes, length: int) -> None:
        self._sets = one, other
        self._length = length
        left, right = one.log_poles[:, :, None], other.log_poles[:, None, :]
        ratios = (left.conj() + right, left + right)
        self._powers = [(np.exp(ratio), np.exp(length * ratio)) for ratio in ratios]

    def products(self, decay: float) -> Floats:
        """(H, 2M, 2M'): with the ratios of all sums damped by exp(-decay)."""
        one, other = self._sets
        first, last = np.exp(-decay), np.exp(-decay * self._length)
        p, q = (
            _divided(last * many - 1.0, first * each - 1.0, self._length)
            for each, many in self._powers
        )
        return _arranged(one, other, *_driven(one, other, p, q))


def _divided(total: Array, step: Array, length: int) -> Array:
    """Total / step, and the number of lags where each of them is 1."""
    still = step == 0.0
    return np.where(still, length, total / np.where(still, 1.0, step))


def _driven(one: _Modes, other: _Modes, p: Array, q: Array) -> tuple[Array, Array]:
    """The sums of modes without and with their inputs."""
    if one.inputs is None or other.inputs is None:
        return p, q
    return p * (one.inputs.conj() @ other.inputs.T), q * (one.inputs @ other.inputs.T)


def _arranged(one: _Modes, other: _Modes, p: Array, q: Array) -> Floats:
    scale = one.gain * other.gain / 2.0
    plus, minus = scale * (p + q), scale * (p - q)
    top = np.concatenate([plus.real, -plus.imag], axis=-1)
    bottom = np.concatenate([minus.imag, minus.real], axis=-1)
    return np.concatenate([top, bottom], axis=-2)
