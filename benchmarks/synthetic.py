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
