"""What the trainer's benchmarks share: the kernel as its formula reads, and peak memory.

An exponential for every channel, mode and lag is how the standalone S4D of state-spaces/s4 computes
its kernel, in complex64.
"""

from __future__ import annotations

from pathlib import Path

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
    powers = torch.exp(
        log_poles.unsqueeze(-1) * torch.arange(length, dtype=dtype, device=decay.device)
    )
    summed = torch.einsum("shn,hnk->shk", torch.view_as_complex(residues), powers)
    return 2.0 * summed.real


def peak_megabytes() -> float:
    """The most memory that this process has held so far, from /proc (Linux).

    Not getrusage: its peak survives exec, so that a child starts with that of its parent.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
