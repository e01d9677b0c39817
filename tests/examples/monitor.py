"""Small models for the tests of the monitor; their poles are worked out here in plain numpy."""

import numpy as np
import torch

CHANNELS, MODES = 4, 3


class Layer(torch.nn.Module):
    """The parameters of a standalone S4D layer: pole A = -exp(log_A_real) + i A_imag."""

    def __init__(self, channels=CHANNELS, modes=MODES, dt=0.01):
        super().__init__()
        steps = dt * torch.arange(1, channels + 1)
        self.log_dt = torch.nn.Parameter(torch.log(steps))
        self.log_A_real = torch.nn.Parameter(torch.full((channels, modes), -0.5))
        imag = torch.pi * torch.arange(1, modes + 1).repeat(channels, 1)
        self.A_imag = torch.nn.Parameter(imag)
        self.C = torch.nn.Parameter(torch.ones(channels, modes, 2))


class Model(torch.nn.Module):
    """A stack of two such layers beside something that is none."""

    def __init__(self, layers=2, **sizes):
        super().__init__()
        self.encoder = torch.nn.Linear(1, 4)
        self.layers = torch.nn.ModuleList(Layer(**sizes) for _ in range(layers))


def log_poles(layer):
    """(H, M) dt A, in float64 from the stored float32."""
    log_dt, log_real, imag = (
        getattr(layer, name).detach().double().numpy()
        for name in ("log_dt", "log_A_real", "A_imag")
    )
    return np.exp(log_dt)[:, None] * (-np.exp(log_real) + 1j * imag)


def half_width(decay):
    """Half-power half-width of a pole, from the definition: |1 - r exp(ib)|^2 = 2 (1 - r)^2."""
    r = np.exp(-decay)
    return np.arccos((4 * r - 1 - r**2) / (2 * r))


def nudge(model, step):
    """Move the poles a little, the same way for the same step."""
    noise = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for layer in model.layers:
            layer.A_imag += 0.01 * torch.randn(layer.A_imag.shape, generator=noise)
            layer.log_dt += 0.01 * torch.randn(layer.log_dt.shape, generator=noise)
