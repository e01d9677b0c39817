"""Convolution of a sequence with a long kernel, forward in time or in both directions, by FFT."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


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
    with torch.autocast(u.device.type, enabled=False):
        size = fast_length(u.shape[-1] + taps)
        circle = torch.nn.functional.pad(kernels[0], (0, size - taps))
        if kernels.shape[0] == 2:
            circle = circle + torch.nn.functional.pad(kernels[1].flip(-1), (size - taps, 0))
        circle = circle + torch.nn.functional.pad(feedthrough.unsqueeze(1), (0, size - 1))
        convolved: Tensor = _Circular.apply(  # type: ignore[no-untyped-call]
            u.to(kernels.dtype), circle
        )
    return convolved


class _Circular(torch.autograd.Function):
    """Circular convolution of (B, H, L), padded with zeros, and (H, size); the first L samples.

    PyTorch's own gradient of a real transform goes through a complex one of the same length; two
    real transforms do the same in a third of the time.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, circle: Tensor) -> Tensor:
        size = circle.shape[-1]
        of_input, of_kernel = torch.fft.rfft(u, n=size), torch.fft.rfft(circle)
        ctx.save_for_backward(of_input, of_kernel)
        ctx.size = size
        convolved: Tensor = torch.fft.irfft(of_input * of_kernel, n=size)
        return convolved[..., : u.shape[-1]]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        of_input, of_kernel = ctx.saved_tensors
        length, size = gradient.shape[-1], ctx.size
        with torch.autocast(gradient.device.type, enabled=False):
            of_gradient = torch.fft.rfft(gradient, n=size)
            to_circle = torch.fft.irfft((of_gradient * of_input.conj()).sum(0), n=size)
            to_input = torch.fft.irfft(of_gradient * of_kernel.conj(), n=size)[..., :length]
        return to_input, to_circle


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
