"""The two diagonal SSM layers, whose tensors a file describes well enough to be measured.

`S4DLayer` is the standalone S4D of state-spaces/s4, continuous poles under zero-order hold (family
`s4d`); `DiscreteLayer` holds poles per sample (family `dfout`). In both, channel h is one SSM with
M stored modes, one of each conjugate pair, and K = 2 Re sum_n c_n l_n^k.

A bidirectional layer has a second C, stacked on the first as in state-spaces/s4: `C` is
(2, H, M, 2), and the kernel that runs backward shares its poles with the one that runs forward. The
readers measure both kernels; with poles of its own, the second would look like another layer.

Poles, step sizes and input gains are worked out in float64 from float32 parameters. These are
H x M numbers, too few to cost anything, and (exp(dt A) - 1) / A would lose four digits where dt is
1e-3.

Running a layer at 1/R of the rate it was trained at (`rate` = R): its kernel becomes that of the
same system whose input is held for R of the old samples and whose output is read at the last of
them,

    K_R[k] = K[k R] + K[k R + 1] + ... + K[k R + R - 1].

For zero-order hold that is dt R in place of dt. For discrete poles it is l^R in place of l and the
residue c (l^R - 1) / (l - 1) in place of c, which is the same thing: the input gain belongs to the
rate at which the layer was trained and is kept.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssmspec.errors import UsageError
from ssmspec.training.config import Freeze, InputGain
from ssmspec.training.model.kernel import (
    KernelFunction,
    convolve,
    full_precision,
    vandermonde_kernel,
)


class Modes(NamedTuple):
    """The modes of a layer at some rate, float64.

    Attributes:
        decay: (H, M), nat/sample.
        omega: (H, M), rad/sample, unwrapped.
        residues: complex128 (S, H, M).
    """

    decay: Tensor
    omega: Tensor
    residues: Tensor


class State(NamedTuple):
    """Where a recurrence stands, complex128 on the layer's device.

    Attributes:
        poles: (H, M), l.
        residues: (H, M), c.
        values: (B, H, M), s[t] = l s[t - 1] + u[t].
    """

    poles: Tensor
    residues: Tensor
    values: Tensor


class DiagonalLayer(nn.Module):
    """H independent SSMs of M modes each, from sequence to sequence.

    Attributes:
        POLES: names of the parameters that set poles and step sizes.
        ANGLES: those of them that an angle per sample depends on.
        kernel_function: makes kernels from modes; replaced only to compare.
        C: (H, M, 2) or (2, H, M, 2).
        D: (H,), the direct feed-through.
    """

    POLES: tuple[str, ...] = ()
    ANGLES: tuple[str, ...] = ()

    def __init__(self, outputs: Tensor, feedthrough: Tensor) -> None:
        super().__init__()
        self.kernel_function: KernelFunction = vandermonde_kernel
        self.C = _parameter(torch.view_as_real(outputs))
        self.D = _parameter(feedthrough)

    def modes(self, rate: float = 1.0) -> Modes:
        """The modes at 1/`rate` of the rate the layer was trained at."""
        raise NotImplementedError

    def outputs(self) -> Tensor:
        """C as complex128 (S, H, M)."""
        stacked = self.C if self.C.ndim == 4 else self.C.unsqueeze(0)
        return torch.view_as_complex(stacked.double())

    def kernels(self, length: int, rate: float = 1.0) -> Tensor:
        """The first lags of every kernel, float32 (S, H, length), S = 2 for both directions."""
        decay, omega, residues = self.modes(rate)
        return self.kernel_function(decay, omega, torch.view_as_real(residues).float(), length)

    def forward(self, u: Tensor, rate: float = 1.0, kernel_taps: int | None = None) -> Tensor:
        """Convolve with the kernels and add the feed-through.

        Args:
            u: (B, H, L).
            rate: R > 0, samples of training to one sample of `u`.
            kernel_taps: lags after which each kernel is cut to 0; None for all.

        Returns:
            (B, H, L), float32.

        Raises:
            UsageError: a rate or a number of taps that makes no sense.
        """
        if not 0.0 < rate < float("inf"):
            raise UsageError(f"a rate must be a positive number, got {rate}")
        if kernel_taps is not None and kernel_taps < 1:
            raise UsageError(f"a kernel has at least 1 tap, got {kernel_taps}")
        length = u.shape[-1]
        with full_precision(u.device):
            kernels = self.kernels(
                length if kernel_taps is None else min(kernel_taps, length), rate
            )
            return convolve(u, kernels, self.D)

    def step(self, u: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One sample of the recurrence, for inference: as `forward` gives it, sample by sample.

            s[t] = l s[t - 1] + u[t],    y[t] = 2 Re sum_n c_n s_n[t] + D u[t]

        Args:
            u: (B, H).
            state: of the step before; None at the first sample. It holds the poles and residues as
                they were then.

        Returns:
            (B, H) in float32, and the state for the next step.

        Raises:
            UsageError: the layer is bidirectional, and its answer hangs on samples to come.
        """
        if state is None:
            decay, omega, residues = self.modes()
            if len(residues) > 1:
                raise UsageError(
                    "a bidirectional layer has no recurrence: its answers hang on samples to come"
                )
            poles = torch.exp(torch.complex(-decay, omega))
            state = State(poles, residues[0], poles.new_zeros(len(u), *poles.shape))
        values = state.poles * state.values + u.double().unsqueeze(-1)
        heard = 2.0 * (state.residues * values).sum(-1).real + self.D.double() * u
        return heard.float(), state._replace(values=values)

    def freeze(self, what: Freeze) -> None:
        """Stop the training of angles, or of poles and step sizes altogether."""
        chosen = {Freeze.NONE: (), Freeze.ANGLES: self.ANGLES, Freeze.POLES: self.POLES}[what]
        for name in chosen:
            self.get_parameter(name).requires_grad_(False)


class S4DLayer(DiagonalLayer):
    """Continuous poles A and one step size a channel, under zero-order hold.

    The residue is C (exp(dt A) - 1) / A with A = -exp(log_A_real) + i A_imag and dt = exp(log_dt).
    An angle per sample is dt A_imag, so that to freeze angles both are frozen.

    Attributes:
        log_dt: (H,).
        log_A_real: (H, M).
        A_imag: (H, M).
    """

    POLES = ("log_dt", "log_A_real", "A_imag")
    ANGLES = ("log_dt", "A_imag")

    def __init__(self, dt: Tensor, poles: Tensor, outputs: Tensor, feedthrough: Tensor) -> None:
        """From step sizes (H,), poles (H, M), C (H, M) or (2, H, M), complex, and D (H,)."""
        super().__init__(outputs, feedthrough)
        self.log_dt = _parameter(torch.log(dt))
        self.log_A_real = _parameter(torch.log(-poles.real))
        self.A_imag = _parameter(poles.imag)

    def modes(self, rate: float = 1.0) -> Modes:
        """Dt times `rate`."""
        dt = rate * torch.exp(self.log_dt.double()).unsqueeze(1)  # (H, 1)
        damping, frequency = torch.exp(self.log_A_real.double()), self.A_imag.double()
        decay, omega = dt * damping, dt * frequency
        held = _exp_minus_one(decay, omega) / torch.complex(-damping, frequency)  # (H, M)
        return Modes(decay, omega, self.outputs() * held)


class DiscreteLayer(DiagonalLayer):
    """Poles per sample, l = exp(-xi/2 + i theta), without a step size.

    The residue is C times an input gain that follows the poles: sqrt(1 - |l|^2), so that every mode
    has unit energy, or |(l - 1) / log l|, as zero-order hold at dt = 1 has.

    Attributes:
        log_xi: (H,), or (H, M) where modes of a channel decay differently.
        theta: (H, M), rad/sample.
        unit_energy: (), bool, which of the two gains it is: part of the state, so that a file tells
            the kernel all by itself.
    """

    POLES = ("log_xi", "theta")
    ANGLES = ("theta",)

    unit_energy: Tensor

    def __init__(
        self, xi: Tensor, theta: Tensor, outputs: Tensor, feedthrough: Tensor, gain: InputGain
    ) -> None:
        """From xi (H,) or (H, M), theta (H, M), C (H, M) or (2, H, M), complex, and D (H,)."""
        super().__init__(outputs, feedthrough)
        self.log_xi = _parameter(torch.log(xi))
        self.theta = _parameter(theta)
        self.register_buffer("unit_energy", torch.tensor(gain is InputGain.UNIT_ENERGY))

    def modes(self, rate: float = 1.0) -> Modes:
        """Poles to the power `rate`, and the input held that long."""
        xi = torch.exp(self.log_xi.double())
        omega = self.theta.double()
        decay = (xi if xi.ndim == 2 else xi.unsqueeze(1)).expand_as(omega) / 2.0
        one_step = _exp_minus_one(decay, omega)
        held_gain = one_step.abs() / torch.sqrt(decay.square() + omega.square())
        unit_gain = torch.sqrt(-torch.expm1(-2.0 * decay))
        residues = self.outputs() * torch.where(self.unit_energy, unit_gain, held_gain)
        if rate != 1.0:
            decay, omega = rate * decay, rate * omega
            residues = residues * (_exp_minus_one(decay, omega) / one_step)
        return Modes(decay, omega, residues)


def _parameter(values: Tensor) -> nn.Parameter:
    """A float32 copy that trains, in memory as a file stores it."""
    return nn.Parameter(values.to(torch.float32, copy=True).contiguous())


def _exp_minus_one(decay: Tensor, omega: Tensor) -> Tensor:
    """exp(-decay + i omega) - 1, complex, with all digits where both are small."""
    shrink = torch.expm1(-decay)
    return torch.complex(
        shrink * torch.cos(omega) - 2.0 * torch.sin(omega / 2.0).square(),
        (shrink + 1.0) * torch.sin(omega),
    )
