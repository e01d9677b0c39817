"""`Kernel`: what a layer does to its input, from poles, B and C.

Poles say what a layer could hear; the residue c = C B_bar of each says how loud. The kernel at lag
k is a sum of the modes' powers,

    K[k] = gain Re sum_n c_n exp(k l_n),    gain = 2 where one of each conjugate pair is stored,
                                            gain = 1 where all poles are, or where they are real.

The direct feed-through D is an instant gain beside the modes and no part of K.

A SISO layer (`LayerKernel`) has H channels with one input each and S outputs: S = 1 but for layers
built with several kernels a channel, or with a second one that runs backward in time, whose lags
are counted from its own start. A MIMO layer (`MimoKernel`) is one system of I inputs and O outputs,
and c_n is the O x I matrix C[:, n] B_bar[n, :]. What is said of the size of a MIMO kernel means the
Frobenius norm where it is an energy, and the largest singular value where it is a gain; for S
outputs of one channel both come to the root of the sum of squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from ssmspec.arrays import Complexes, Floats
from ssmspec.errors import LayoutError
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry

_BLOCK = 2**18
"""Numbers that a block of channels or lags may work on at once: 2 MiB of float64 (heuristic)."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class LayerKernel:
    """The kernels of a layer of independent SISO channels.

    Attributes:
        spectrum: the poles.
        residues: complex128 (S, H, M), c = C B_bar of each mode, for S kernels a channel.
    """

    spectrum: LayerSpectrum
    residues: Complexes

    def __post_init__(self) -> None:
        name, shape = self.spectrum.name, self.residues.shape
        if len(shape) != 3 or shape[1:] != self.spectrum.shape or shape[0] == 0:
            raise LayoutError(f"{name}: residues {shape} do not fit poles {self.spectrum.shape}")
        if self.residues.dtype != np.complex128:
            raise LayoutError(f"{name}: residues must be complex128, got {self.residues.dtype}")

    @property
    def gain(self) -> float:
        """The factor of K = gain Re sum."""
        return _gain(self.spectrum)

    @cached_property
    def magnitude(self) -> Floats:
        """(H, M), |c| of each mode; over S kernels the root of the sum of squares."""
        squares: Floats = np.sum(self.residues.real**2 + self.residues.imag**2, axis=0)
        return np.sqrt(squares)

    @cached_property
    def largest(self) -> float:
        """Largest absolute value stored; NaN where one is NaN."""
        return float(np.abs(self.residues).max())

    @cached_property
    def non_finite(self) -> int:
        """How many residues hold a NaN or an infinity."""
        return int(self.residues.size - np.count_nonzero(np.isfinite(self.residues)))


@dataclass(frozen=True, eq=False)
class MimoKernel:
    """The kernel of a layer that is one system of several inputs and outputs.

    Attributes:
        spectrum: the poles, (1, M).
        output_matrix: complex128 (O, M), C.
        input_matrix: complex128 (M, I), B_bar.
    """

    spectrum: LayerSpectrum
    output_matrix: Complexes
    input_matrix: Complexes

    def __post_init__(self) -> None:
        name, modes = self.spectrum.name, self.spectrum.modes
        C, B = self.output_matrix, self.input_matrix
        if self.spectrum.channels != 1 or C.shape[1:] != (modes,) or B.shape[:1] != (modes,):
            raise LayoutError(
                f"{name}: C {C.shape} and B {B.shape} do not fit poles {self.spectrum.shape}"
            )
        if C.ndim != 2 or B.ndim != 2 or not C.size or not B.size:
            raise LayoutError(f"{name}: C {C.shape} and B {B.shape} are not matrices")
        if C.dtype != np.complex128 or B.dtype != np.complex128:
            raise LayoutError(f"{name}: C and B must be complex128, got {C.dtype} and {B.dtype}")

    @property
    def gain(self) -> float:
        """The factor of K = gain Re(C diag(l^k) B_bar)."""
        return _gain(self.spectrum)

    @cached_property
    def magnitude(self) -> Floats:
        """(1, M), Frobenius norm of each mode's residue matrix, |C[:, n]| |B_bar[n, :]|."""
        columns: Floats = np.linalg.norm(self.output_matrix, axis=0)
        rows: Floats = np.linalg.norm(self.input_matrix, axis=1)
        return (columns * rows)[None]

    @cached_property
    def largest(self) -> float:
        """Largest absolute value of C and of B_bar; NaN where one is NaN."""
        return float(max(np.abs(self.output_matrix).max(), np.abs(self.input_matrix).max()))

    @cached_property
    def non_finite(self) -> int:
        """How many numbers of C and B_bar are a NaN or an infinity."""
        return sum(
            int(part.size - np.count_nonzero(np.isfinite(part)))
            for part in (self.output_matrix, self.input_matrix)
        )


Kernel: TypeAlias = LayerKernel | MimoKernel
AnyKernel = TypeVar("AnyKernel", LayerKernel, MimoKernel, Kernel)


def _gain(spectrum: LayerSpectrum) -> float:
    return 2.0 if spectrum.symmetry is Symmetry.HALF else 1.0


def once_a_kernel(
    measure: Callable[Concatenate[AnyKernel, Parameters], Result],
) -> Callable[Concatenate[AnyKernel, Parameters], Result]:
    """Remember a function's results for as long as their kernel is alive.

    Several metrics ask for the same energies and gains. Arguments must be hashable and positional.
    """
    results: WeakKeyDictionary[Kernel, dict[tuple[object, ...], Result]] = WeakKeyDictionary()

    @wraps(measure)
    def remembered(
        kernel: AnyKernel, /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        known = results.setdefault(kernel, {})
        if args not in known:
            known[args] = measure(kernel, *args, **kwargs)
        return known[args]

    return remembered


def discretized_input(spectrum: LayerSpectrum) -> Complexes:
    """B_bar / B of every mode: what discretization makes of an input of 1.

    Zero-order hold: (exp(dt A) - 1) / A = dt (exp(l) - 1) / l, and dt at A = 0. Bilinear rule:
    dt / (1 - dt A / 2) = dt (1 + exp(l)) / 2. A family that stores discrete poles has no step and
    B_bar = B.

    Returns:
        complex128 (H, M), time/sample (1 for discrete poles).
    """
    log_poles = spectrum.log_poles
    if spectrum.dt is None or spectrum.discretization is Discretization.NATIVE:
        return np.ones(spectrum.shape, dtype=np.complex128)
    with np.errstate(over="ignore", invalid="ignore"):
        if spectrum.discretization is Discretization.BILINEAR:
            return np.asarray(spectrum.dt * (1.0 + np.exp(log_poles)) / 2.0, dtype=np.complex128)
        ratio = np.ones(spectrum.shape, dtype=np.complex128)
        np.divide(np.expm1(log_poles), log_poles, out=ratio, where=log_poles != 0.0)
        return np.asarray(spectrum.dt * ratio, dtype=np.complex128)


def powers(log_poles: Complexes, count: int, step: int = 1) -> Complexes:
    """exp(k step l) for k = 0 .. count - 1.

    Built by doubling, one exponential for each power of two, which is several times faster than one
    for each k and errs by a few units of the last place.

    Args:
        log_poles: any shape.
        count: at least 1.
        step: lags from one power to the next.

    Returns:
        complex128 (..., count); infinite or NaN where a growing pole overflows.
    """
    table = np.empty((*log_poles.shape, count), dtype=np.complex128)
    table[..., 0] = 1.0
    known = 1
    with np.errstate(over="ignore", invalid="ignore"):
        while known < count:
            more = min(known, count - known)
            factor = np.exp(log_poles * (step * known))[..., None]
            np.multiply(table[..., :more], factor, out=table[..., known : known + more])
            known += more
    return table


def channel_blocks(kernel: LayerKernel, numbers: int) -> Iterator[slice]:
    """Slices of channels, each worth about 2^18 numbers when one channel is worth `numbers`."""
    size = max(1, _BLOCK // max(1, numbers))
    for start in range(0, kernel.spectrum.channels, size):
        yield slice(start, start + size)


def siso_response(residues: Complexes, log_poles: Complexes, gain: float, length: int) -> Floats:
    """The sums gain Re sum_n c_n exp(k l_n), k = 0 .. length - 1, of H channels at once.

    With k = q m + r the M x L Vandermonde matrix falls apart into two of about sqrt(L) columns, and
    the sum over modes becomes a product of matrices: no array of H x M x L.

    Args:
        residues: (S, H, M).
        log_poles: (H, M).
        gain: 1 or 2.
        length: lags, at least 1.

    Returns:
        float64 (S, H, length).
    """
    few = int(np.ceil(np.sqrt(length)))
    many = -(-length // few)
    fine = powers(log_poles, few)  # (H, M, few)
    coarse = powers(log_poles, many, few).swapaxes(-1, -2)  # (H, many, M)
    with np.errstate(over="ignore", invalid="ignore"):
        weighted = gain * residues[..., None, :] * coarse  # (S, H, many, M)
        left = np.concatenate([weighted.real, -weighted.imag], axis=-1)
        right = np.concatenate([fine.real, fine.imag], axis=-2)  # (H, 2 M, few)
        response: Floats = (left @ right).reshape(*residues.shape[:2], many * few)
    return response[..., :length]


def impulse_response(kernel: Kernel, length: int) -> Floats:
    """The kernel's first lags.

    Args:
        kernel: of any kind.
        length: lags, at least 1.

    Returns:
        float64 (S, H, length) of a SISO layer, (O, I, length) of a MIMO layer; infinite or NaN
        where a growing mode overflows.
    """
    log_poles = kernel.spectrum.log_poles
    if isinstance(kernel, MimoKernel):
        return kernel.gain * _mimo_sum(kernel, powers(log_poles[0], length)).real
    blocks = [
        siso_response(kernel.residues[:, block], log_poles[block], kernel.gain, length)
        for block in channel_blocks(kernel, lag_numbers(kernel, length))
    ]
    return np.concatenate(blocks, axis=1)


def lag_numbers(kernel: LayerKernel, length: int) -> int:
    """How many float64 one channel needs in `siso_response`."""
    return int(kernel.residues.shape[0] * (length + 5 * kernel.spectrum.modes * np.sqrt(length)))


def frequency_response(kernel: Kernel, omega: Floats) -> Complexes:
    """The kernel's transform sum_k K[k] exp(-i omega k), summed to infinity in closed form.

    It is gain/2 [A(omega) + conj A(-omega)] with A(omega) = sum_n c_n / (1 - l_n exp(-i omega)),
    because K is the real part of a sum of modes.

    Args:
        kernel: of any kind; every mode must decay.
        omega: (n,) rad/sample.

    Returns:
        complex128 (S, H, n) of a SISO layer, (O, I, n) of a MIMO layer.
    """
    poles = kernel.spectrum.log_poles[..., None]
    ahead, behind = resonance(poles, omega), resonance(poles, -omega)  # (H, M, n)
    if isinstance(kernel, MimoKernel):
        ahead, behind = _mimo_sum(kernel, ahead[0]), _mimo_sum(kernel, behind[0])
    else:
        residues = kernel.residues[..., None, :]
        ahead = (residues @ ahead)[..., 0, :]
        behind = (residues @ behind)[..., 0, :]
    return np.asarray(kernel.gain / 2.0 * (ahead + behind.conj()), dtype=np.complex128)


def _mimo_sum(kernel: MimoKernel, factors: Complexes) -> Complexes:
    """C diag(z) B_bar of every column z of `factors` (M, n), as (O, I, n)."""
    with np.errstate(over="ignore", invalid="ignore"):
        products = (factors.T[:, None, :] * kernel.output_matrix) @ kernel.input_matrix  # (n, O, I)
    return np.moveaxis(products, 0, -1)


def one_minus_products(first: Complexes, second: Complexes) -> Complexes:
    """1 - exp(a + b) for all pairs, with all its digits near 0.

    It is (1 - r) + 2 r sin^2(t/2) - 2 i r sin(t/2) cos(t/2), with r the radius and t the angle of
    the product; of all three the parts of a and b are multiplied, so that no pair costs an
    exponential.

    Args:
        first: log-poles (..., M).
        second: log-poles (..., N) of as many dimensions.

    Returns:
        complex128 (..., M, N).
    """
    a, b = first[..., :, None], second[..., None, :]  # (..., M, 1), (..., 1, N)
    less_a, less_b = np.expm1(a.real), np.expm1(b.real)
    sine_a, cosine_a = np.sin(a.imag / 2.0), np.cos(a.imag / 2.0)
    sine_b, cosine_b = np.sin(b.imag / 2.0), np.cos(b.imag / 2.0)
    sine = sine_a * cosine_b
    sine += cosine_a * sine_b
    twice = (2.0 * (1.0 + less_a)) * (1.0 + less_b)
    twice *= sine
    out = np.empty(sine.shape, dtype=np.complex128)
    cosine = cosine_a * cosine_b
    cosine -= sine_a * sine_b
    cosine *= twice
    np.negative(cosine, out=out.imag)
    sine *= twice
    sine -= less_a * less_b
    sine -= less_a
    sine -= less_b
    out.real = sine
    return out


def resonance(log_poles: Complexes, omega: Floats) -> Complexes:
    """1 / (1 - pole_bar exp(-i omega)), with all its digits near the unit circle.

    With r the radius and t the angle from omega to the pole, the denominator is
    (1 - r) + 2 r sin^2(t/2) - 2 i r sin(t/2) cos(t/2).

    Args:
        log_poles: decaying poles, of a shape that broadcasts against `omega`.
        omega: rad/sample, mostly (n,) with poles (..., 1).

    Returns:
        complex128, the shape that both broadcast to.
    """
    half_turn = (log_poles.imag - omega) / 2.0
    sine, cosine = np.sin(half_turn), np.cos(half_turn)
    twice = 2.0 * np.exp(log_poles.real) * sine
    sine *= twice
    sine -= np.expm1(log_poles.real)
    cosine *= twice
    out = np.empty(sine.shape, dtype=np.complex128)
    out.real, out.imag = sine, -cosine
    np.divide(1.0, out, out=out)
    return out
