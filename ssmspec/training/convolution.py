"""Convolution of a sequence with a long kernel, forward in time or in both directions, by FFT."""

from __future__ import annotations

import torch
from torch import Tensor


def convolve(u: Tensor, kernels: Tensor) -> Tensor:
    """The first L samples of a sequence's convolution with the kernels of its channels.

        y[t] = sum_{k >= 0} K_0[k] u[t - k]  +  sum_{k >= 0} K_1[k] u[t + 1 + k]

    The second sum is there where there are two kernels, and runs backward from the next sample, as
    bidirectional layers of state-spaces/s4 do: sample t itself belongs to the first. Both go
    through one transform, with the backward kernel wrapped around its end.

    Everything is float32 (float64 where the kernels are) whatever autocast says.

    Args:
        u: (B, H, L).
        kernels: (S, H, K), S = 1 or 2, K at most L.

    Returns:
        (B, H, L), of the kernels' type.
    """
    length, taps = u.shape[-1], kernels.shape[-1]
    with torch.autocast(u.device.type, enabled=False):
        size = fast_length(length + taps)
        both = torch.nn.functional.pad(kernels[0], (0, size - taps))
        if kernels.shape[0] == 2:
            both = both + torch.nn.functional.pad(kernels[1].flip(-1), (size - taps, 0))
        spectrum = torch.fft.rfft(u.to(kernels.dtype), n=size) * torch.fft.rfft(both)
        convolved: Tensor = torch.fft.irfft(spectrum, n=size)[..., :length]
    return convolved


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
