"""The kernel of a diagonal SSM as a product of two small matrices, and the convolution with it.

A kernel is a sum of powers, K[k] = 2 Re sum_n c_n exp(k l_n) with l_n = -decay_n + i omega_n, and
written out it is a Vandermonde matrix of H x M x L exponentials. With k = q R + r the powers
factor, exp(k l) = exp(q R l) exp(r l), and the sum over modes becomes one batched product of real
matrices of Q x 2M and 2M x R:

    K[q R + r] = sum_n  Re(2 c_n exp(q R l_n)) Re(exp(r l_n)) - Im(...) Im(...),    Q R >= L.

With Q and R near sqrt(L) the factors hold O(H M sqrt(L)) numbers and nothing of H x M x L exists.
Each factor is in turn the outer product of two tables of about L^(1/4) exponentials, so that what
is left of the work is the product, 4 H M L multiplications and additions.

The gradient is two more products of the same size. With G the gradient of K,

    S0_n = sum_k G[k] exp(k l_n),    S1_n = sum_k k G[k] exp(k l_n),

it is 2 conj(S0) for c, -2 Re(c S1) for the decay and -2 Im(c S1) for omega. The factors are made
again for it rather than kept.

Phases k omega are reduced to [-pi, pi] in float64: at k = 65,536 float32 would be off by 0.01 rad.
Only tables of O(H M L^(1/4)) numbers are ever in float64. The products run in true float32 whatever
a program allows elsewhere: with TF32 the error would be 1e-3 rather than 1e-6 (`product`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

KernelFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""(decay (H, M), omega (H, M), residues (S, H, M, 2), length) to kernels (S, H, length)."""

TWO_PI = 2.0 * math.pi

TABLES = 4
"""Tables of exponentials that are multiplied to make one power."""


KEPT_NUMBERS = 2**23
"""Complex numbers up to which the input's transform is kept for the gradient rather than made
again: a heuristic. Keeping 64 MB a layer is quick; on long sequences they would be gigabytes."""


def product(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product of two float tensors, in IEEE arithmetic even where TF32 is allowed.

    Args:
        a: (..., m, k), or (k,).
        b: (..., k, n).

    Returns:
        (..., m, n), or (..., n).
    """
    # A graph that is being compiled cannot ask what is allowed when it runs.
    if not torch.compiler.is_compiling() and torch.get_float32_matmul_precision() == "highest":
        return a @ b
    true: Tensor = _true_product(a, b)
    return true


@torch.library.custom_op("ssmspec::true_product", mutates_args=())
def _true_product(a: Tensor, b: Tensor) -> Tensor:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        return a @ b
    finally:
        torch.set_float32_matmul_precision(before)


@_true_product.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """A context without autocast, which the meta device does not know."""
    known = device.type != "meta"
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


def vandermonde_kernel(decay: Tensor, omega: Tensor, residues: Tensor, length: int) -> Tensor:
    """The sums 2 Re sum_n c_n exp(k l_n), k = 0 .. length - 1, of H channels at once.

    Args:
        decay: (H, M), nat/sample, at least 0; float32 or, where its digits matter, float64.
        omega: (H, M), rad/sample, of any size and sign; likewise.
        residues: (S, H, M, 2), real and imaginary part of c for S kernels a channel; the result
            has its type, float32 or float64.
        length: lags, at least 1.

    Returns:
        (S, H, length). In float32 the error is below 1e-6 of the largest |K|.
    """
    with full_precision(residues.device):
        kernel: Tensor = _Vandermonde.apply(  # type: ignore[no-untyped-call]
            decay.double(), omega.double(), residues, length
        )
    return kernel


@dataclass(frozen=True)
class _Split:
    """How lags are counted: k = q R + r, with q = q1 fine_rows + q2 and r = r1 fine_columns + r2.

    Square roots, rounded up to powers of two, were the fastest of all splits that were measured.
    """

    rows: int
    columns: int
    fine_rows: int
    fine_columns: int

    @classmethod
    def of(cls, length: int) -> _Split:
        columns = _root(length)
        rows = -(-length // columns)
        fine_rows = _root(rows)
        return cls(-(-rows // fine_rows) * fine_rows, columns, fine_rows, _root(columns))

    @property
    def lags(self) -> int:
        return self.rows * self.columns


def _root(count: int) -> int:
    """The smallest power of two whose square is at least `count`."""
    return 1 << math.ceil(math.log2(count) / 2.0)


@dataclass(frozen=True)
class _Factors:
    """Powers of every pole, complex: exp(q R l) as two tables of rows, and exp(r l).

    Attributes:
        coarse_rows: (H, Q1, M).
        fine_rows: (H, Q2, M).
        columns: (H, R, M).
    """

    coarse_rows: Tensor
    fine_rows: Tensor
    columns: Tensor

    @classmethod
    def of(cls, decay: Tensor, omega: Tensor, split: _Split, dtype: torch.dtype) -> _Factors:
        def table(count: int, step: int) -> Tensor:
            return _exponentials(decay, omega, count, step, dtype)

        rows, columns = split.fine_rows, split.fine_columns
        coarse_columns = table(split.columns // columns, columns)
        return cls(
            table(split.rows // rows, rows * split.columns),
            table(rows, split.columns),
            _outer(coarse_columns, table(columns, 1)),
        )

    def rows(self, weights: Tensor) -> Tensor:
        """Weights (S, H, M) times exp(q R l), as (H, S Q, M)."""
        weighted = weights.movedim(0, 1).unsqueeze(2) * self.coarse_rows.unsqueeze(1)
        return _outer(weighted, self.fine_rows.unsqueeze(1)).flatten(1, 2)


def _exponentials(
    decay: Tensor, omega: Tensor, count: int, step: int, dtype: torch.dtype
) -> Tensor:
    """exp(k step l) for k = 0 .. count - 1, complex (H, count, M).

    Magnitudes so small that a product of all tables could become a denormal number are 0, because
    processors multiply denormals ten times slower. What is lost is below the last place kept.
    """
    lags = step * torch.arange(count, dtype=torch.float64, device=decay.device).unsqueeze(1)
    phase = omega.unsqueeze(1) * lags
    phase = (phase - TWO_PI * torch.round(phase / TWO_PI)).to(dtype)
    exponent = (decay.unsqueeze(1) * lags).to(dtype)
    # one part more than there are tables is left to weights and gradients
    vanishing = -math.log(torch.finfo(dtype).tiny) / (TABLES + 1)
    magnitude = torch.exp(-exponent).masked_fill(exponent > vanishing, 0.0)
    return torch.complex(magnitude * torch.cos(phase), magnitude * torch.sin(phase))


def _outer(coarse: Tensor, fine: Tensor) -> Tensor:
    """(..., a, M) and (..., b, M) to (..., a b, M), the coarse index first."""
    return (coarse.unsqueeze(-2) * fine.unsqueeze(-3)).flatten(-3, -2)


def _real(values: Tensor) -> Tensor:
    """(..., M) complex as (..., 2M) real."""
    return torch.view_as_real(values).flatten(-2)


def _complex(values: Tensor) -> Tensor:
    """(..., 2M) real as (..., M) complex."""
    return torch.view_as_complex(values.reshape(*values.shape[:-1], -1, 2))


class _Vandermonde(torch.autograd.Function):
    """`vandermonde_kernel` with its gradient in closed form."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, omega: Tensor, residues: Tensor, length: int) -> Tensor:
        ctx.save_for_backward(decay, omega, residues)
        split = _Split.of(length)
        # Re(a b) is the dot product of conj(a) and b as pairs, and conj(exp(l)) has -omega.
        factors = _Factors.of(decay, omega, split, residues.dtype)
        weighted = factors.rows(2.0 * torch.view_as_complex(residues.contiguous()))
        left = _real(weighted.conj_physical_())  # (H, S Q, 2 M)
        kernel = product(left, _real(factors.columns).transpose(1, 2))  # (H, S Q, R)
        return kernel.view(decay.shape[0], -1, split.lags)[..., :length].transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        decay, omega, residues = ctx.saved_tensors
        with full_precision(gradient.device):
            moments = _moments(decay, omega, residues, gradient, any(ctx.needs_input_grad[:2]))
        to_residues, weighted = moments
        if weighted is None:
            return None, None, to_residues, None
        return -2.0 * weighted.real.double(), -2.0 * weighted.imag.double(), to_residues, None


def _moments(
    decay: Tensor, omega: Tensor, residues: Tensor, gradient: Tensor, of_poles: bool
) -> tuple[Tensor, Tensor | None]:
    """2 conj(S0) as pairs (S, H, M, 2), and c S1 summed over kernels (H, M) where it is asked for.

    With G cut into Q x R, S0 = sum_q exp(q R l) P[q] where P = G exp(r l); and S1, as k is q R + r,
    is the same sum weighted by q R, and sum_r r exp(r l) T[r] with T = G' exp(q R l).
    """
    kernels, channels, length = gradient.shape
    split = _Split.of(length)
    if split.lags > length:
        gradient = torch.nn.functional.pad(gradient, (0, split.lags - length))
    cut = gradient.transpose(0, 1).reshape(channels, kernels * split.rows, split.columns)
    factors = _Factors.of(decay, omega, split, residues.dtype)
    # P, then P exp(q R l) in its place: (H, S, Q, M)
    products = _complex(product(cut, _real(factors.columns)))
    products = products.view(channels, kernels, split.rows, -1)
    products *= _outer(factors.coarse_rows, factors.fine_rows).unsqueeze(1)
    first_lag = split.columns * torch.arange(split.rows, dtype=cut.dtype, device=cut.device)
    weights = torch.stack([torch.ones_like(first_lag), first_lag])
    sums = _complex(product(weights, _real(products)))  # (H, S, 2, M)
    plain, by_row = sums.unbind(2)
    to_residues = torch.view_as_real(2.0 * plain.movedim(1, 0).conj().resolve_conj())
    if not of_poles:
        return to_residues, None
    c = torch.view_as_complex(residues.contiguous())
    turned = _complex(product(cut.transpose(1, 2), _real(factors.rows(c))))
    turned *= factors.columns  # (H, R, M)
    lag = torch.arange(split.columns, dtype=cut.dtype, device=cut.device)
    by_column = _complex(product(lag, _real(turned)))  # (H, M)
    return to_residues, by_column + (c * by_row.movedim(1, 0)).sum(0)


def convolve(u: Tensor, kernels: Tensor, feedthrough: Tensor) -> Tensor:
    """The first L samples of a sequence's convolution with the kernels of its channels.

        y[t] = D u[t]  +  sum_{k >= 0} K_0[k] u[t - k]  +  sum_{k >= 0} K_1[k] u[t + 1 + k]

    The second sum is there where there are two kernels, and runs backward from the next sample, as
    bidirectional layers of state-spaces/s4 do: sample t itself belongs to the first. All of it goes
    through one transform, with the backward kernel wrapped around its end and D added to lag 0.

    Everything is float32 (float64 where the kernels are) whatever autocast says.

    Args:
        u: (B, H, L).
        kernels: (S, H, K), S = 1 or 2, K at most L.
        feedthrough: D, (H,).

    Returns:
        (B, H, L), of the kernels' type.
    """
    taps = kernels.shape[-1]
    with full_precision(u.device):
        size = fast_length(u.shape[-1] + taps)
        circle = torch.nn.functional.pad(kernels[0], (0, size - taps))  # (H, size)
        if kernels.shape[0] == 2:
            circle = circle + torch.nn.functional.pad(kernels[1].flip(-1), (size - taps, 0))
        circle = circle + torch.nn.functional.pad(feedthrough.unsqueeze(1), (0, size - 1))
        convolved: Tensor = _Circular.apply(u, circle)  # type: ignore[no-untyped-call]
    return convolved


class _Circular(torch.autograd.Function):
    """Circular convolution of (B, H, L), padded with zeros, and (H, size); the first L samples.

    PyTorch's own gradient of a real transform goes through a complex one of the same length; two
    real transforms do the same in a third of the time. For the gradient the input is kept, and its
    transform, which takes two to four times the memory, only where it is small.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, circle: Tensor) -> Tensor:
        size = circle.shape[-1]
        of_input = torch.fft.rfft(u.to(circle.dtype), n=size)
        of_kernel = torch.fft.rfft(circle)
        ctx.keeps = of_input.numel() <= KEPT_NUMBERS
        ctx.save_for_backward(of_input if ctx.keeps else u, of_kernel)
        ctx.size, ctx.kind = size, u.dtype
        convolved: Tensor = torch.fft.irfft(of_input * of_kernel, n=size)
        return convolved[..., : u.shape[-1]]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        kept, of_kernel = ctx.saved_tensors
        length, size = gradient.shape[-1], ctx.size
        with full_precision(gradient.device):
            of_input = kept if ctx.keeps else torch.fft.rfft(kept.to(gradient.dtype), n=size)
            of_gradient = torch.fft.rfft(gradient, n=size)
            to_circle = torch.fft.irfft((of_gradient * of_input.conj()).sum(0), n=size)
            to_input = torch.fft.irfft(of_gradient * of_kernel.conj(), n=size)[..., :length]
        return to_input.to(ctx.kind), to_circle


def fast_length(least: int) -> int:
    """The smallest even 2^a 3^b 5^c that is at least so much: lengths that every FFT is good at.

    Args:
        least: at least 1.
    """
    best = 2 * least
    five = 2
    while five < best:
        three = five
        while three < best:
            size = three
            while size < least:
                size *= 2
            best = min(best, size)
            three *= 3
        five *= 5
    return best
