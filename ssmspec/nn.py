"""The trainer's state-space layer, for models of your own. Importing this module imports torch.

    import torch
    from ssmspec.nn import DiagonalSSM

    layer = DiagonalSSM(channels=64, states=64, scheme="dfout", xi_min=1e-3)
    y = layer(torch.randn(8, 1024, 64))             # (B, L, H) to (B, L, H)

    state = None                                    # the same, sample by sample
    for t in range(1024):
        y_t, state = layer.step(x[:, t], state)

Its tensors have the names of a known family, so that `ssmspec analyze` reads a checkpoint of any
model it is part of; `ssmspec.parameter_groups` gives its poles their own learning rate.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ssmspec.schemes import SchemeOptions
from ssmspec.training.config import Freeze, InputGain, ModelConfig
from ssmspec.training.model.initialize import new_layer
from ssmspec.training.model.layers import State

__all__ = ["DiagonalSSM", "State"]


class DiagonalSSM(nn.Module):
    """H independent diagonal SSMs with a direct feed-through, from sequence to sequence.

    The kernels are made by two small Vandermonde factors and convolved by FFT, in float32 whatever
    autocast says. No activation, no mixing of channels and no norm: those are yours.

    Args:
        channels: H.
        states: N as in the papers, even; N/2 modes are stored.
        scheme: id of an initialization scheme (`ssmspec list schemes`). One of discrete poles
            makes a layer of log_xi and theta, one of continuous poles an S4D layer.
        bidirectional: a second kernel runs backward in time.
        input_gain: "unit-energy" or "zoh", of a layer of discrete poles.
        freeze: "none", "angles" or "poles": what does not train.
        seed: of the poles, C and D.
        number: the layer's place in a stack; each number draws other poles from the same seed.
        **options: of the scheme, such as xi_min or dt_max.

    Attributes:
        ssm: the layer that holds the parameters.

    Raises:
        UsageError: an argument makes no sense.
        SchemeError: no layer can hold the scheme.
    """

    def __init__(
        self,
        channels: int,
        states: int = 64,
        scheme: str = "dfout",
        *,
        bidirectional: bool = False,
        input_gain: InputGain | str = InputGain.UNIT_ENERGY,
        freeze: Freeze | str = Freeze.NONE,
        seed: int = 0,
        number: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        config = ModelConfig(
            scheme=scheme,
            options=SchemeOptions(**options),
            d_model=channels,
            d_state=states,
            bidirectional=bidirectional,
            input_gain=InputGain(input_gain),
            freeze=Freeze(freeze),
        )
        self.ssm = new_layer(config, seed, number)
        self.ssm.freeze(config.freeze)

    def forward(self, x: Tensor, *, rate: float = 1.0, kernel_taps: int | None = None) -> Tensor:
        """(B, L, H) to (B, L, H), float32.

        Args:
            x: the sequences.
            rate: R > 0 where `x` is sampled at 1/R of the rate the layer was trained at.
            kernel_taps: lags after which every kernel is cut to 0; None for all.
        """
        y: Tensor = self.ssm(x.transpose(1, 2), rate, kernel_taps).transpose(1, 2)
        return y

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One sample, for recurrent inference: what `forward` gives, sample by sample.

        Args:
            x: (B, H).
            state: what the step before returned; None at the first sample.

        Returns:
            (B, H) in float32, and the state for the next step.

        Raises:
            UsageError: the layer is bidirectional.
        """
        return self.ssm.step(x, state)

    def kernels(self, length: int) -> Tensor:
        """The first lags of every kernel, float32 (S, H, length), S = 2 for both directions."""
        return self.ssm.kernels(length)
