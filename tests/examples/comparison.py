"""Small models with known poles, for the tests of comparisons and sweeps."""

import numpy as np


def s4d(name="layers.0.kernel", channels=2, modes=3, dt=0.05, seed=0, **changes):
    """One standalone S4D layer at its S4D-Lin start, float64; `changes` replace parameters."""
    rng = np.random.default_rng(seed)
    parameters = {
        "log_dt": np.log(np.full(channels, dt) * np.linspace(1.0, 2.0, channels)),
        "log_A_real": np.full((channels, modes), np.log(0.5)),
        "A_imag": np.tile(np.pi * np.arange(modes), (channels, 1)),
        "C": rng.standard_normal((channels, modes, 2)),
    } | changes
    return {f"{name}.{key}": value for key, value in parameters.items()}


def mamba2(layers=2, heads=4, seed=0):
    """A Mamba-2 backbone of two or more layers, float32, with the tensors the family looks for."""
    rng = np.random.default_rng(seed)
    model = {"backbone.embedding.weight": rng.standard_normal((8, 16))}
    for i in range(layers):
        mixer = f"backbone.layers.{i}.mixer"
        model |= {
            f"{mixer}.A_log": np.log(rng.uniform(1.0, 16.0, heads)),
            f"{mixer}.D": np.ones(heads),
            f"{mixer}.dt_bias": rng.uniform(-6.0, -2.0, heads),
            f"{mixer}.in_proj.weight": rng.standard_normal((40, 16)),
            f"{mixer}.conv1d.weight": rng.standard_normal((24, 1, 4)),
            f"{mixer}.norm.weight": np.ones(16),
            f"{mixer}.out_proj.weight": rng.standard_normal((16, 16)),
        }
    return {name: values.astype(np.float32) for name, values in model.items()}


def half_width(decay):
    """The half-power half-width from its definition, |1 - 1/z| against its value at resonance."""
    r = np.exp(-decay)
    return np.arccos((4 * r - 1 - r**2) / (2 * r))
