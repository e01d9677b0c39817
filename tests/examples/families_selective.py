"""Checkpoints of the selective families under the names of real code, with their poles worked out.

As in `families.py`: keys are family ids, or "id/layout", and the expected values come from
loops over Python floats and the formulas of the original code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.examples.families import Example, Tensors, decaying, log_uniform


def softplus(x):
    return math.log1p(math.exp(x)) if x < 30 else x


def nominal(A_log, bias, floor=0.0):
    """Log-poles (H, M) and step sizes (H, 1) at the bias alone."""
    dt = np.array([[softplus(b) + floor] for b in bias])
    rows = [[complex(-math.exp(a) * dt[h, 0]) for a in row] for h, row in enumerate(A_log)]
    return np.array(rows), dt


def mamba_parameters(rng, channels, states):
    A_log = np.log(np.arange(1, states + 1)) + rng.normal(0, 0.2, (channels, states))
    dt = log_uniform(rng, 1e-3, 1e-1, channels)
    return A_log, np.array([math.log(math.expm1(step)) for step in dt])


def mamba_mixer(rng, channels, states, rank=2, width=3):
    """The tensors of mamba_ssm's `Mamba` module."""
    A_log, bias = mamba_parameters(rng, channels, states)
    return {
        "A_log": A_log,
        "D": np.ones(channels),
        "in_proj.weight": rng.normal(size=(2 * channels, width)),
        "conv1d.weight": rng.normal(size=(channels, 1, 4)),
        "conv1d.bias": rng.normal(size=channels),
        "x_proj.weight": rng.normal(size=(rank + 2 * states, channels)),
        "dt_proj.weight": rng.normal(size=(channels, rank)),
        "dt_proj.bias": bias,
        "out_proj.weight": rng.normal(size=(width, channels)),
    }


def mamba(names, extra=()) -> Example:
    rng = np.random.default_rng(21)
    tensors: Tensors = {"backbone.embedding.weight": rng.normal(size=(7, 3))}
    log_poles, dts = {}, {}
    for name in names:
        mixer = mamba_mixer(rng, 6, 4)
        tensors |= {f"{name}.{leaf}": values for leaf, values in mixer.items()}
        tensors |= {f"{name}.{leaf}.weight": np.ones(2) for leaf in extra}
        log_poles[name], dts[name] = nominal(mixer["A_log"], mixer["dt_proj.bias"])
    return Example(tensors, log_poles, dts, decaying)


def vim(*, own_dt: bool) -> Example:
    rng = np.random.default_rng(22)
    name = "layers.0.mixer"
    mixer = mamba_mixer(rng, 5, 4)
    backward = mamba_mixer(rng, 5, 4)
    leaves = mixer | {"A_b_log": backward["A_log"]}
    bias = mixer["dt_proj.bias"]
    if own_dt:
        leaves |= {
            f"{leaf.partition('.')[0]}_b.{leaf.partition('.')[2]}": backward[leaf]
            for leaf in ("conv1d.weight", "x_proj.weight", "dt_proj.weight", "dt_proj.bias")
        }
        leaves["D_b"] = backward["D"]
        bias = backward["dt_proj.bias"]
    log_poles, dts = {}, {}
    log_poles[name], dts[name] = nominal(mixer["A_log"], mixer["dt_proj.bias"])
    other = f"{name} (backward)"
    log_poles[other], dts[other] = nominal(backward["A_log"], bias)
    tensors = {f"{name}.{leaf}": values for leaf, values in leaves.items()}
    return Example(tensors, log_poles, dts, decaying if own_dt else decaying_at_its_dt)


def decaying_at_its_dt(spectrum, rng):
    return replace(decaying(spectrum, rng), dt=spectrum.dt)


def mamba_flax() -> Example:
    rng = np.random.default_rng(23)
    tensors: Tensors = {"Embed_0__embedding": rng.normal(size=(9, 3))}
    log_poles, dts = {}, {}
    channels, states, rank, width = 5, 4, 2, 3
    sizes = [(width, 2 * channels), (channels, rank + 2 * states), (rank, channels),
             (channels, width)]  # fmt: skip
    for layer in range(2):
        A_log, bias = mamba_parameters(rng, channels, states)
        name = f"CheckpointMambaBlock1D_{layer}"
        tensors |= {f"{name}__A_log": A_log, f"{name}__D": np.ones(channels)}
        tensors |= {f"{name}__Conv_0__kernel": rng.normal(size=(4, 1, channels))}
        for number, size in enumerate(sizes):
            tensors[f"{name}__Dense_{number}__kernel"] = rng.normal(size=size)
            tensors[f"{name}__Dense_{number}__bias"] = rng.normal(size=size[1])
        tensors[f"{name}__Dense_2__bias"] = bias
        log_poles[name], dts[name] = nominal(A_log, bias, floor=1e-4)
    return Example(tensors, log_poles, dts, above_floor)


def above_floor(spectrum, rng):
    varied = decaying(spectrum, rng)
    return replace(varied, dt=1.01e-4 + varied.dt)


def mamba2_mixer(rng, *, heads=4, head_dim=3, states=5, groups=1, width=6, D=True, norm=True):
    """The tensors of mamba_ssm's `Mamba2` module; in_proj gives [z, x, B, C, dt]."""
    inner = heads * head_dim
    convolved = inner + 2 * groups * states
    leaves = {
        "dt_bias": np.array([math.log(math.expm1(d)) for d in log_uniform(rng, 1e-3, 0.1, heads)]),
        "A_log": np.log(rng.uniform(1, 16, heads)),
        "in_proj.weight": rng.normal(size=(inner + convolved + heads, width)),
        "conv1d.weight": rng.normal(size=(convolved, 1, 4)),
        "conv1d.bias": rng.normal(size=convolved),
        "out_proj.weight": rng.normal(size=(width, inner)),
    }
    if D:
        leaves["D"] = np.ones(heads)
    if norm:
        leaves["norm.weight"] = np.ones(inner)
    return leaves


def mamba2(names, **options) -> Example:
    rng = np.random.default_rng(24)
    # a hybrid's attention stands beside or between the state-space layers
    tensors: Tensors = {
        f"model.layers.0.self_attn.{p}_proj.weight": rng.normal(size=(6, 6)) for p in "qkvo"
    }
    log_poles, dts = {}, {}
    for name in names:
        mixer = mamba2_mixer(rng, **options)
        tensors |= {f"{name}.{leaf}": values for leaf, values in mixer.items()}
        log_poles[name], dts[name] = nominal(mixer["A_log"][:, None], mixer["dt_bias"])
    return Example(tensors, log_poles, dts, decaying)


def under(example, names) -> Example:
    """An example whose tensors go by other names below their modules; `A` also turns A_log to A."""
    tensors = {}
    for name, values in example.tensors.items():
        module = next((each for each in example.log_poles if name.startswith(f"{each}.")), None)
        leaf = name.removeprefix(f"{module}.")
        stored = names.get(leaf, leaf)
        rates = values if values.ndim > 1 else values[:, None]
        held = -np.exp(rates) if stored == "ssm_a" else values
        tensors[f"{module}.{stored}" if module else name] = held
    return replace(example, tensors=tensors)


GGUF = {
    "A_log": "ssm_a", "dt_bias": "ssm_dt.bias", "dt_proj.bias": "ssm_dt.bias", "D": "ssm_d",
    "dt_proj.weight": "ssm_dt.weight", "x_proj.weight": "ssm_x.weight",
    "in_proj.weight": "ssm_in.weight", "conv1d.weight": "ssm_conv1d.weight",
    "conv1d.bias": "ssm_conv1d.bias", "norm.weight": "ssm_norm.weight",
    "out_proj.weight": "ssm_out.weight",
}  # fmt: skip
"""llama.cpp's names."""

SPELLED = {"dt_proj.weight": "W_delta.weight", "dt_proj.bias": "W_delta.bias"}


EXAMPLES: dict[str, Callable[[], Example]] = {
    "mamba": lambda: mamba([f"backbone.layers.{n}.mixer" for n in (0, 2, 10)]),
    "mamba/jamba": lambda: mamba(
        ["model.layers.0.mamba"], ("dt_layernorm", "b_layernorm", "c_layernorm")
    ),
    "mamba/caduceus": lambda: mamba(
        [f"backbone.layers.0.mixer.submodule.mamba_{way}" for way in ("fwd", "rev")]
    ),
    "mamba/log_A": lambda: under(mamba(["layers.0", "layers.1"]), {"A_log": "log_A"}),
    "mamba/W_delta": lambda: under(mamba(["layers.0"]), SPELLED),
    "mamba/gguf": lambda: under(mamba(["blk.0", "blk.1"]), GGUF),
    "mamba2/gguf": lambda: under(mamba2(["blk.0", "blk.1"]), GGUF),
    "mamba/vim v1": lambda: vim(own_dt=False),
    "mamba/vim v2": lambda: vim(own_dt=True),
    "mamba/flax": mamba_flax,
    "mamba2": lambda: mamba2([f"backbone.layers.{n}.mixer" for n in (0, 1)]),
    "mamba2/bamba": lambda: mamba2(["model.layers.0.mamba"], groups=2),
    "mamba2/zamba2": lambda: mamba2(["model.layers.0.mamba", "model.layers.1.mamba_decoder.mamba"]),
    "mamba2/falcon_h1": lambda: mamba2(["model.layers.0.mamba"], norm=False),
    "mamba2/without D": lambda: mamba2(["token_mixer"], D=False),
}
