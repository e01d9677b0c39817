"""Makes the sample checkpoints of this folder, the same bytes every time.

Each file is a small model as its public code would initialize and name it, or such a model with
one defect planted. Nothing is imported from ssmspec: formulas are written out here a second time,
so that the files can stand against it.

    python sample_checkpoints/make.py           writes the files
    python sample_checkpoints/make.py --check   says whether the files are what this script makes
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

Floats = NDArray[np.float64]
Tensors = dict[str, Floats]

HERE = Path(__file__).resolve().parent
DT_MIN, DT_MAX = 1e-3, 1e-1
LAYERS = 2
GROWING_RADIUS = 1.0025


@dataclass(frozen=True)
class Sample:
    """One file: its name, what it is, and a function of a random generator that fills it."""

    name: str
    description: str
    make: Callable[[np.random.Generator], Tensors]

    def to_bytes(self, seed: int) -> bytes:
        """The safetensors file: float32, with one metadata entry (several have no fixed order)."""
        tensors = self.make(np.random.Generator(np.random.PCG64(seed)))
        stored = {name: np.ascontiguousarray(t, np.float32) for name, t in tensors.items()}
        return save(stored, metadata={"description": self.description})


def log_uniform(rng: np.random.Generator, low: float, high: float, count: int) -> Floats:
    """`count` numbers whose logarithm is uniform in [log low, log high)."""
    return low * (high / low) ** rng.random(count)


def linear(rng: np.random.Generator, *shape: int) -> Floats:
    """Weights of a linear layer: uniform within 1 / sqrt(fan in)."""
    return (2.0 * rng.random(shape) - 1.0) / math.sqrt(math.prod(shape[1:]))


def inverse_softplus(values: Floats) -> Floats:
    """What softplus, log(1 + e^x), maps to these values."""
    return values + np.log(-np.expm1(-values))


# S4D: standalone layer, pole_bar = exp(dt (-exp(log_A_real) + i A_imag))


def s4d(
    rng: np.random.Generator, layer: Callable[[int, int], tuple[Floats, Floats, Floats]]
) -> Tensors:
    """A classifier of S4D layers.

    Args:
        rng: source of every random number.
        layer: gives dt (H,), damping -Re A (H, M) and Im A (H, M) for H channels of M modes.
    """
    channels, modes = 16, 32
    tensors = {"encoder.weight": linear(rng, channels, 3), "encoder.bias": np.zeros(channels)}
    for index in range(LAYERS):
        dt, damping, frequency = layer(channels, modes)
        name = f"s4_layers.{index}"
        tensors |= {
            f"{name}.D": rng.standard_normal(channels),
            f"{name}.kernel.log_dt": np.log(dt),
            f"{name}.kernel.log_A_real": np.log(damping),
            f"{name}.kernel.A_imag": frequency,
            f"{name}.kernel.C": rng.standard_normal((channels, modes, 2)) * np.sqrt(0.5),
            f"{name}.output_linear.0.weight": linear(rng, 2 * channels, channels, 1),
            f"{name}.output_linear.0.bias": np.zeros(2 * channels),
            f"norms.{index}.weight": np.ones(channels),
            f"norms.{index}.bias": np.zeros(channels),
        }
    return tensors | {"decoder.weight": linear(rng, 10, channels), "decoder.bias": np.zeros(10)}


def s4d_lin(rng: np.random.Generator, dt_min: float = DT_MIN, dt_max: float = DT_MAX) -> Tensors:
    """A = -1/2 + i pi n."""

    def layer(channels: int, modes: int) -> tuple[Floats, Floats, Floats]:
        frequency = np.pi * np.arange(modes)
        half = np.full((channels, modes), 0.5)
        return log_uniform(rng, dt_min, dt_max, channels), half, np.tile(frequency, (channels, 1))

    return s4d(rng, layer)


def s4d_inv(rng: np.random.Generator) -> Tensors:
    """A = -1/2 + i (N/pi) (N / (2n + 1) - 1), N = 2M."""

    def layer(channels: int, modes: int) -> tuple[Floats, Floats, Floats]:
        order = 2 * modes
        frequency = order / np.pi * (order / (2 * np.arange(modes) + 1) - 1)
        half = np.full((channels, modes), 0.5)
        return log_uniform(rng, DT_MIN, DT_MAX, channels), half, np.tile(frequency, (channels, 1))

    return s4d(rng, layer)


def s4d_dfout(rng: np.random.Generator) -> Tensors:
    """Dt = 1; A = -xi_h / 2 + i pi (n + h/H) / M: one grid of H M angles for the layer.

    xi is log-uniform in [1e-3, 1e-1]: one draw in each of H strata, shuffled until it does not
    follow the channel (R^2 < 0.01).
    """

    def layer(channels: int, modes: int) -> tuple[Floats, Floats, Floats]:
        channel = np.arange(channels)
        while True:
            level = rng.permutation(channel + rng.random(channels)) / channels
            if np.corrcoef(level, channel)[0, 1] ** 2 < 0.01:
                break
        xi = DT_MIN * (DT_MAX / DT_MIN) ** level
        frequency = np.pi * (np.arange(modes) + channel[:, None] / channels) / modes
        return np.ones(channels), np.tile(xi[:, None] / 2, (1, modes)), frequency

    return s4d(rng, layer)


def aliased_s4d(rng: np.random.Generator) -> Tensors:
    """S4D-Lin whose step sizes lie in [0.52, 0.98], as if given in another unit of time.

    Mode n passes Nyquist where n dt > 1, which is n >= 2 for each of them: 30 of 32 modes.
    """
    return s4d_lin(rng, 0.52, 0.98)


# S5: one MIMO layer, pole_bar = exp(exp(log_step) (Lambda_re + i Lambda_im))


def hippo_spectrum(order: int) -> Floats:
    """Imaginary parts that S5 keeps of HiPPO-LegS's normal part: the lower half, ascending."""
    root = np.sqrt(np.arange(order) + 0.5)
    # A + P P^T + 1/2 with A the HiPPO matrix and P = root: skew-symmetric.
    skew = np.triu(np.outer(root, root), 1) - np.tril(np.outer(root, root), -1)
    return np.asarray(np.linalg.eigvalsh(-1j * skew)[: order // 2], np.float64)


def s5(rng: np.random.Generator, *, growing: bool = False) -> Tensors:
    """An encoder of S5 layers: two HiPPO blocks of 32 states, one of each conjugate pair stored."""
    channels, blocks, order = 16, 2, 32
    states = blocks * order // 2
    tensors = {
        "encoder.encoder.kernel": linear(rng, 1, channels),
        "encoder.encoder.bias": np.zeros(channels),
    }
    for index in range(LAYERS):
        damping = np.full(states, -0.5)
        step = log_uniform(rng, DT_MIN, DT_MAX, states)
        if growing and index == LAYERS - 1:
            slowest = np.argmin(step)
            damping[slowest] = np.log(GROWING_RADIUS) / step[slowest]
        name = f"encoder.layers_{index}"
        tensors |= {
            f"{name}.norm.scale": np.ones(channels),
            f"{name}.norm.bias": np.zeros(channels),
            f"{name}.seq.Lambda_re": damping,
            f"{name}.seq.Lambda_im": np.tile(hippo_spectrum(order), blocks),
            f"{name}.seq.B": rng.standard_normal((states, channels, 2)) / np.sqrt(2 * channels),
            f"{name}.seq.C": rng.standard_normal((channels, states, 2)) / np.sqrt(2 * states),
            f"{name}.seq.D": rng.standard_normal(channels),
            f"{name}.seq.log_step": np.log(step)[:, None],
            f"{name}.out2.kernel": linear(rng, channels, channels),
            f"{name}.out2.bias": np.zeros(channels),
        }
    decoder = {"decoder.kernel": linear(rng, channels, 10), "decoder.bias": np.zeros(10)}
    return tensors | decoder


# LRU: stored as discrete poles, pole_bar = exp(-exp(nu_log) + i exp(theta_log))


def lru(rng: np.random.Generator) -> Tensors:
    """An encoder of LRU layers: radii on a ring from 0.9 to 0.999, phases over the full circle."""
    channels, states, least, most = 16, 64, 0.9, 0.999
    tensors = {
        "encoder.encoder.kernel": linear(rng, 1, channels),
        "encoder.encoder.bias": np.zeros(channels),
    }
    for index in range(LAYERS):
        squared_radius = least**2 + (most**2 - least**2) * rng.random(states)
        name = f"encoder.layers_{index}"
        tensors |= {
            f"{name}.norm.scale": np.ones(channels),
            f"{name}.norm.bias": np.zeros(channels),
            f"{name}.seq.nu_log": np.log(-0.5 * np.log(squared_radius)),
            f"{name}.seq.theta_log": np.log(2 * np.pi * rng.random(states)),
            f"{name}.seq.gamma_log": 0.5 * np.log1p(-squared_radius),
            f"{name}.seq.B_re": rng.standard_normal((states, channels)) / np.sqrt(2 * channels),
            f"{name}.seq.B_im": rng.standard_normal((states, channels)) / np.sqrt(2 * channels),
            f"{name}.seq.C_re": rng.standard_normal((channels, states)) / np.sqrt(states),
            f"{name}.seq.C_im": rng.standard_normal((channels, states)) / np.sqrt(states),
            f"{name}.seq.D": rng.standard_normal(channels),
        }
    decoder = {"decoder.kernel": linear(rng, channels, 10), "decoder.bias": np.zeros(10)}
    return tensors | decoder


# Mamba: real poles, nominal step size softplus(bias), pole_bar = exp(-softplus(bias) exp(A_log))


def mamba1(rng: np.random.Generator, *, zeroed: bool = False) -> Tensors:
    """A language model of Mamba-1 blocks; `zeroed` clears every dt bias after initialization."""
    width, inner, states, rank, kernel = 16, 32, 16, 1, 4
    tensors = {"backbone.embedding.weight": 0.02 * rng.standard_normal((32, width))}
    for index in range(LAYERS):
        bias = inverse_softplus(log_uniform(rng, DT_MIN, DT_MAX, inner))
        name = f"backbone.layers.{index}"
        tensors |= {
            f"{name}.norm.weight": np.ones(width),
            f"{name}.mixer.A_log": np.tile(np.log(np.arange(1.0, states + 1)), (inner, 1)),
            f"{name}.mixer.D": np.ones(inner),
            f"{name}.mixer.in_proj.weight": linear(rng, 2 * inner, width),
            f"{name}.mixer.conv1d.weight": linear(rng, inner, 1, kernel),
            f"{name}.mixer.conv1d.bias": linear(rng, inner, kernel)[:, 0],
            f"{name}.mixer.x_proj.weight": linear(rng, rank + 2 * states, inner),
            f"{name}.mixer.dt_proj.weight": linear(rng, inner, rank),
            f"{name}.mixer.dt_proj.bias": np.zeros(inner) if zeroed else bias,
            f"{name}.mixer.out_proj.weight": linear(rng, width, inner),
        }
    return tensors | {"backbone.norm_f.weight": np.ones(width)}


def mamba2(rng: np.random.Generator) -> Tensors:
    """A language model of Mamba-2 blocks: one real pole a head."""
    width, inner, states, heads, kernel = 16, 32, 16, 8, 4
    convolved = inner + 2 * states
    tensors = {"backbone.embedding.weight": 0.02 * rng.standard_normal((32, width))}
    for index in range(LAYERS):
        name = f"backbone.layers.{index}"
        tensors |= {
            f"{name}.norm.weight": np.ones(width),
            f"{name}.mixer.A_log": np.log(1.0 + 15.0 * rng.random(heads)),
            f"{name}.mixer.D": np.ones(heads),
            f"{name}.mixer.dt_bias": inverse_softplus(log_uniform(rng, DT_MIN, DT_MAX, heads)),
            f"{name}.mixer.in_proj.weight": linear(rng, inner + convolved + heads, width),
            f"{name}.mixer.conv1d.weight": linear(rng, convolved, 1, kernel),
            f"{name}.mixer.conv1d.bias": linear(rng, convolved, kernel)[:, 0],
            f"{name}.mixer.norm.weight": np.ones(inner),
            f"{name}.mixer.out_proj.weight": linear(rng, width, inner),
        }
    return tensors | {"backbone.norm_f.weight": np.ones(width)}


SAMPLES = (
    Sample("s4d_lin", "S4D-Lin as initialized", s4d_lin),
    Sample("s4d_inv", "S4D-Inv as initialized", s4d_inv),
    Sample("s4d_dfout", "DFouT written as S4D with dt = 1", s4d_dfout),
    Sample("s5", "S5 as initialized", s5),
    Sample("lru", "LRU as initialized", lru),
    Sample("mamba1", "Mamba-1 as initialized", mamba1),
    Sample("mamba2", "Mamba-2 as initialized", mamba2),
    Sample("defect_aliased_s4d", "S4D-Lin with dt in [0.52, 0.98]", aliased_s4d),
    Sample("defect_unstable_s5", "S5 with one growing pole", lambda rng: s5(rng, growing=True)),
    Sample(
        "defect_zeroed_dt_mamba1", "Mamba-1 with dt bias 0", lambda rng: mamba1(rng, zeroed=True)
    ),
)


def main() -> int:
    """Write or check the files; 1 where a file differs."""
    parser = argparse.ArgumentParser(description="make the sample checkpoints of this folder")
    parser.add_argument("--check", action="store_true", help="compare with the files, write none")
    check = parser.parse_args().check
    different = 0
    for seed, sample in enumerate(SAMPLES):
        path = HERE / f"{sample.name}.safetensors"
        made = sample.to_bytes(seed)
        if not check:
            path.write_bytes(made)
            print(f"{path.name}: {len(made):,} bytes")
        elif not path.is_file() or path.read_bytes() != made:
            different += 1
            print(f"{path.name} is not what make.py makes; run make.py", file=sys.stderr)
    return min(different, 1)


if __name__ == "__main__":
    sys.exit(main())
