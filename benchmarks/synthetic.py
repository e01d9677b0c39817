"""Layers that benchmarks measure: as large as asked, with nothing in them that matters."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def s4d_layer(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """The tensors of one S4D layer of (channels, modes): S4D-Lin, moved a little by training."""
    moved = 1.0 + 0.01 * rng.standard_normal(shape)
    tensors = {
        "log_dt": np.log(1e-3) + rng.random(shape[0]) * np.log(100.0),
        "log_A_real": np.log(0.5 * moved),
        "A_imag": math.pi * np.arange(shape[1]) * moved,
        "C": rng.standard_normal((*shape, 2)),
    }
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def mamba_layer(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """The tensors of one Mamba-1 mixer that set its poles, of (channels, states)."""
    channels, states = shape
    dt = np.exp(np.log(1e-3) + rng.random(channels) * np.log(100.0))
    moved = 1.0 + 0.02 * rng.standard_normal(shape)
    tensors = {
        "A_log": np.log(np.arange(1, states + 1) * moved),
        "dt_proj.bias": np.log(np.expm1(dt)),
    }
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def mamba2_layer(
    rng: np.random.Generator, shape: tuple[int, int]
) -> dict[str, NDArray[np.float32]]:
    """The tensors of one Mamba-2 mixer that set its poles, of (heads, 1)."""
    heads, _ = shape
    dt = np.exp(np.log(1e-3) + rng.random(heads) * np.log(100.0))
    tensors = {
        "A_log": np.log(rng.uniform(1.0, 16.0, heads)),
        "dt_bias": np.log(np.expm1(dt)),
        "D": np.ones(heads),
    }
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def s5_layer(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """The tensors of one S5 layer of (inputs and outputs, states)."""
    width, states = shape
    half = states // 2
    tensors = {
        "Lambda_re": -0.5 * np.exp(0.1 * rng.standard_normal(half)),
        "Lambda_im": math.pi * np.arange(half) * (1.0 + 0.01 * rng.standard_normal(half)),
        "log_step": np.log(1e-3) + rng.random((half, 1)) * np.log(100.0),
        "B": rng.standard_normal((half, width, 2)) / math.sqrt(2.0 * width),
        "C": rng.standard_normal((width, half, 2)) / math.sqrt(2.0 * half),
    }
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


LAYERS = {
    "s4d": ("s4.{}.kernel.", s4d_layer),
    "mamba": ("backbone.layers.{}.mixer.", mamba_layer),
    "mamba2": ("backbone.layers.{}.mixer.", mamba2_layer),
    "s5": ("layers.{}.seq.", s5_layer),
}
"""Path of a layer's tensors, and what makes them."""
