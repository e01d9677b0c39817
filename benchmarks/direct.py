"""The kernel as its formula reads, an exponential for every channel, mode and lag.

This is how the standalone S4D of state-spaces/s4 computes it, in complex64. The benchmarks of the
trainer run against it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def direct_kernel(decay: Tensor, omega: Tensor, residues: Tensor, length: int) -> Tensor:
    """2 Re sum_n c_n exp(k l_n), in the precision of the residues.

    Args:
        decay: (H, M), nat/sample.
        omega: (H, M), rad/sample.
        residues: (S, H, M, 2), real and imaginary parts.
        length: lags.

    Returns:
        (S, H, length).
    """
    dtype = residues.dtype
    log_poles = torch.complex(-decay.to(dtype), omega.to(dtype))
    powers = torch.exp(log_poles.unsqueeze(-1) * torch.arange(length, dtype=dtype))
    summed = torch.einsum("shn,hnk->shk", torch.view_as_complex(residues), powers)
    return 2.0 * summed.real
