"""Checkpoints of the rarer families under the names of real code, with their poles worked out.

As in `families.py`: keys are family ids, or "id/layout", and the expected values come from
loops over Python numbers and the formulas of the original code.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.examples.families import (
    Example,
    Tensors,
    decaying,
    drawn_dt,
    log_uniform,
    oscillating,
    zoh,
)
from tests.examples.families_selective import mamba_parameters, nominal, softplus


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def one_a_channel(decays):
    return np.array([[complex(-decay)] for decay in decays])


def dss(layout: str, *, separate: bool) -> Example:
    rng = np.random.default_rng(31)
    channels, modes = 4, 3
    real, imag = -log_uniform(rng, 0.2, 1.0, modes), log_uniform(rng, 1.0, 60.0, modes)
    name = "s4.layers.0.kernel"
    leaves: Tensors = {
        "Lambda": {"Lambda": np.stack([real, imag], -1)},
        "im": {"Lambda_log_neg_re": np.log(-real), "Lambda_im": imag},
        "log im": {"Lambda_log_neg_re": np.log(-real), "Lambda_log_im": np.log(imag)},
        "real": {"Lambda_log_neg_re": np.log(-real)},
    }[layout]
    imag = imag if layout != "real" else np.zeros(modes)
    dt = log_uniform(rng, 1e-3, 1e-1, (channels, 2 if separate else 1))
    leaves["log_dt"] = np.log(dt) if separate else np.log(dt[:, 0])
    leaves["W"] = rng.normal(size=(1, channels, modes, 2))
    tensors = {f"{name}.{leaf}": values for leaf, values in leaves.items()}
    tensors["s4.layers.0.D"] = rng.normal(size=(1, channels))
    log_poles = np.array(
        [[complex(row[0] * a, row[-1] * b) for a, b in zip(real, imag, strict=True)] for row in dt]
    )
    vary = shared_poles(separate=separate, real=layout == "real")
    return Example(tensors, {name: log_poles}, {name: dt[:, -1:]}, vary)


def shared_poles(*, separate: bool, real: bool):
    """One random A for all channels, and damping on a scale of each channel's own if separate."""

    def vary(spectrum, rng):
        dt = drawn_dt(spectrum, rng)
        damping = np.exp(rng.uniform(-3, 1, (1, spectrum.modes)))
        imag = 0.0 if real else rng.uniform(0.1, 9.0, (1, spectrum.modes)) / dt.max()
        steps = dt * rng.uniform(0.5, 2.0, dt.shape) if separate else dt
        return replace(spectrum, log_poles=-steps * damping + 1j * dt * imag, dt=dt)

    return vary


def attenuate(*, name: str, events: bool = False, complex_output: bool = False) -> Example:
    rng = np.random.default_rng(32)
    states, inputs, outputs = 6, 3, 2
    real, imag = log_uniform(rng, 0.1, 3.0, states), rng.uniform(0, 60, states)
    dt = log_uniform(rng, 1e-3, 1e-1, states)
    stored = -real if events else np.array([math.log(math.expm1(r)) for r in real])
    tensors = {
        f"{name}.log_dt": np.log(dt),
        f"{name}.A": np.stack([stored, imag], -1),
        f"{name}.B": rng.normal(size=(states, inputs, 2) if events else (states, inputs)),
        f"{name}.C": rng.normal(size=(outputs, states, 2) if complex_output else (outputs, states)),
        "encoder.weight": rng.normal(size=(3, 1)),
    }
    log_poles = zoh((-real + 1j * imag)[None], dt[None])
    return Example(tensors, {name: log_poles}, {name: dt[None]}, oscillating(9.0))


def stripedhyena_1() -> Example:
    rng = np.random.default_rng(33)
    systems, states = 3, 4
    radius, angle = (
        rng.uniform(0.3, 0.999, (2, systems, states)),
        rng.uniform(-3, 3, (2, systems, states)),
    )
    tensors: Tensors = {"blocks.3.inner_mha_cls.Wqkv.weight": rng.normal(size=(9, 3))}
    log_poles = {}
    for block in (0, 1):
        poles = radius[block] * np.exp(1j * angle[block])
        name = f"blocks.{block}.filter"
        tensors |= {
            f"{name}.poles": np.stack([poles.real, poles.imag], -1)[:, :, None],
            f"{name}.residues": rng.normal(size=(systems, states, 1, 2)),
            f"{name}.D": rng.normal(size=systems),
            f"{name}.short_filter_weight": rng.normal(size=(3 * systems, 1, 3)),
        }
        log_poles[name] = np.array([[cmath.log(pole) for pole in row] for row in poles])
    return Example(tensors, log_poles, {}, oscillating(3.14))


def stripedhyena_2() -> Example:
    rng = np.random.default_rng(34)
    systems, states = 5, 3
    stored = -np.exp(rng.uniform(-7, 1, (systems, states)))
    stored[0, 0] = 1e-4  # training may leave a pole that grows
    name = "blocks.2.filter"
    tensors = {
        f"{name}.log_poles": stored[:, :, None],
        f"{name}.residues": rng.normal(size=(systems, states)),
        f"{name}.D": rng.normal(size=systems),
        "blocks.0.filter.h": rng.normal(size=(systems, 1, 7)),
    }
    return Example(tensors, {name: stored + 0j}, {}, decaying)


def zamba() -> Example:
    rng = np.random.default_rng(35)
    heads, width, states, rank = 2, 3, 4, 2
    tensors: Tensors = {"model.layers.1.shared_transf.o_proj.weight": rng.normal(size=(4, 4))}
    log_poles, dts = {}, {}
    for name in ("model.layers.0.mamba", "model.layers.1.mamba_decoder.mamba"):
        A_log, bias = mamba_parameters(rng, heads * width, states)
        tensors |= {
            f"{name}.A_log": A_log.reshape(heads, width, states),
            f"{name}.D": np.ones((heads, width)),
            f"{name}.dt_proj_bias": bias.reshape(heads, width),
            f"{name}.dt_proj_weight": rng.normal(size=(heads, width, rank)),
            f"{name}.x_proj_weight": rng.normal(size=(heads, rank + 2 * states, width)),
            f"{name}.conv1d.weight": rng.normal(size=(heads * width, 1, 4)),
            f"{name}.in_proj.weight": rng.normal(size=(2 * heads * width, 4)),
        }
        log_poles[name], dts[name] = nominal(A_log, bias)
    return Example(tensors, log_poles, dts, decaying)


def vmamba(*, heads: bool) -> Example:
    rng = np.random.default_rng(36)
    scans, channels, states = 4, 3, 1 if heads else 2
    A_log, bias = mamba_parameters(rng, scans * channels, states)
    name = "layers.0.blocks.0.op"
    tensors = {
        f"{name}.A_logs": A_log.reshape(scans, channels) if heads else A_log,
        f"{name}.Ds": np.ones((scans, channels, 2) if heads else scans * channels),
        f"{name}.dt_projs_bias": bias.reshape(scans, channels),
        f"{name}.x_proj_weight": rng.normal(size=(scans, 2 + 2 * states, channels)),
        f"{name}.conv2d.weight": rng.normal(size=(channels, 1, 3, 3)),
    }
    if not heads:
        tensors[f"{name}.dt_projs_weight"] = rng.normal(size=(scans, channels, 2))
    log_poles, dt = nominal(A_log, bias)
    return Example(tensors, {name: log_poles}, {name: dt}, decaying)


def selective_diagonal() -> Example:
    rng = np.random.default_rng(37)
    A_log, bias = mamba_parameters(rng, 5, 3)
    tensors = {"A_log": A_log, "Wdelta": rng.normal(size=(5, 5)), "bdelta": bias}
    log_poles, dt = nominal(A_log, bias)
    return Example(tensors, {"(root)": log_poles}, {"(root)": dt}, decaying)


def elementwise() -> Example:
    """One state and one step size a channel, nothing selective, A = -softplus(A_log)."""
    rng = np.random.default_rng(47)
    rates = rng.uniform(0.2, 1.5, 5)
    bias = rng.uniform(-4.0, -1.0, 5)
    tensors = {"A_log": np.log(np.expm1(rates)), "Wdelta": np.zeros((5, 5)), "bdelta": bias}
    dt = np.array([[softplus(b)] for b in bias])
    return Example(tensors, {"(root)": -rates[:, None] * dt + 0j}, {"(root)": dt}, decaying)


def gated_deltanet(name: str, projections: dict[str, int], *, dt_per_head: bool = True) -> Example:
    """One gate a head; `projections` are rows of the linear maps beside it."""
    rng = np.random.default_rng(38)
    heads, width = 4, 6
    A_log = np.log(rng.uniform(0.01, 16, heads))
    dt_bias = np.ones(heads) if dt_per_head else rng.normal(size=heads)
    tensors = {f"{name}.A_log": A_log, f"{name}.dt_bias": dt_bias}
    tensors |= {f"{name}.{p}.weight": rng.normal(size=(n, width)) for p, n in projections.items()}
    tensors["model.layers.3.self_attn.q_proj.weight"] = rng.normal(size=(4, 4))
    decays = [math.exp(a) * softplus(b) for a, b in zip(A_log, dt_bias, strict=True)]
    return Example(tensors, {name: one_a_channel(decays)}, {}, decaying)


def kda(name: str, A_log_shape: tuple[int, ...], projections=("f_a_proj", "f_b_proj")) -> Example:
    rng = np.random.default_rng(39)
    heads, width = 4, 3
    A_log = np.log(rng.uniform(1, 16, heads))
    dt = log_uniform(rng, 1e-3, 1e-1, heads * width)
    tensors = {
        f"{name}.A_log": A_log.reshape(A_log_shape),
        f"{name}.dt_bias": np.array([math.log(math.expm1(step)) for step in dt]),
    }
    tensors |= {f"{name}.{p}.weight": rng.normal(size=(4, 4)) for p in projections}
    decays = [math.exp(A_log[i // width]) * step for i, step in enumerate(dt)]
    return Example(tensors, {name: one_a_channel(decays)}, {}, decaying)


RG_LRU = {
    "": ("model.layers.0.temporal_block.rg_lru", "recurrent_param", "recurrent_gate_bias"),
    "jax": ("params.blocks.0.recurrent_block.rg_lru", "a_param", "a_gate.b"),
    "lrnnx": ("layers.0.mixer", "a_log", "recurrent_gate_proj.bias"),
}


def rg_lru(layout: str) -> Example:
    rng = np.random.default_rng(40)
    heads, block = 2, 3
    name, rate, bias = RG_LRU[layout]
    is_lrnnx = layout == "lrnnx"
    stored = rng.normal(-3, 2, heads * block)
    gate = rng.normal(0, 0.5, heads * block)
    tensors: Tensors = {
        f"{name}.{rate}": stored[:, None] if is_lrnnx else stored,
        f"{name}.{bias}": gate if is_lrnnx else gate.reshape(heads, block),
        f"{name}.input_gate_bias": np.zeros((heads, block)),
    }
    decays = []
    for p, g in zip(stored, gate, strict=True):
        if is_lrnnx:
            decays.append(-math.log(sigmoid(p) ** (8 * sigmoid(g))))
        else:
            decays.append(8 * sigmoid(g) * softplus(p))
    if layout == "jax":
        tensors = {key.replace(".", "/"): values for key, values in tensors.items()}
    return Example(tensors, {name: one_a_channel(decays)}, {}, decaying)


def rwkv(version: str) -> Example:
    rng = np.random.default_rng(41)
    heads, width, rank, embedding = 2, 3, 2, 5
    channels = heads * width
    stored = rng.uniform(-6, 1, channels)
    decays = [math.exp(value) for value in stored]
    name = "blocks.1.att"
    if version == "4":
        name = "rwkv.blocks.1.attention"
        leaves = {"time_decay": stored, "time_first": rng.normal(size=channels)}
    elif version == "5":
        leaves = {
            "time_decay": stored.reshape(heads, width),
            "time_faaaa": rng.normal(size=(heads, width)),
        }
    elif version == "6":
        leaves = {
            "time_decay": stored.reshape(1, 1, channels),
            "time_decay_w1": rng.normal(size=(embedding, rank)),
            "time_decay_w2": rng.normal(size=(rank, channels)),
            "time_faaaa": rng.normal(size=(heads, width)),
        }
    elif version == "6 fla":
        name = "model.layers.1.attn"
        leaves = {
            "w_proj.linear.lora.0.weight": rng.normal(size=(rank, embedding)),
            "w_proj.linear.lora.2.weight": rng.normal(size=(channels, rank)),
            "w_proj.linear.lora.2.bias": stored,
            "bonus": rng.normal(size=(heads, width)),
        }
    elif version == "7":
        leaves = {
            "w0": stored.reshape(1, 1, channels),
            "w1": rng.normal(size=(channels, rank)),
            "w2": rng.normal(size=(rank, channels)),
            "r_k": rng.normal(size=(heads, width)),
        }
    else:
        name = "model.layers.1.attn"
        leaves = {
            "w_lora.lora.0.weight": rng.normal(size=(rank, embedding)),
            "w_lora.lora.2.weight": rng.normal(size=(channels, rank)),
            "w_lora.lora.2.bias": stored,
            "r_k": rng.normal(size=(heads, width)),
        }
    if version.startswith("7"):
        # log decay = -softplus(-w0) - 1/2, as RWKV-LM writes it
        decays = [math.exp(-softplus(-value) - 0.5) for value in stored]
    tensors = {f"{name}.{leaf}": values for leaf, values in leaves.items()}
    tensors["blocks.1.ffn.key.weight"] = rng.normal(size=(4, 4))
    vary = decaying_slowly if version.startswith("7") else decaying
    return Example(tensors, {name: one_a_channel(decays)}, {}, vary)


def decaying_slowly(spectrum, rng):
    """Decays below exp(-1/2), the most that RWKV-7 has."""
    return replace(spectrum, log_poles=-np.exp(rng.uniform(-9, -0.51, spectrum.shape)) + 0j)


QWEN = {"in_proj_qkvz": 9, "in_proj_ba": 8, "out_proj": 6}
FLA = {"q_proj": 8, "k_proj": 8, "v_proj": 8, "a_proj": 4, "b_proj": 4}


def dfout(*, per_mode: bool) -> Example:
    rng = np.random.default_rng(42)
    tensors: Tensors = {"encoder.weight": rng.normal(size=(3, 1))}
    log_poles = {}
    for layer, (channels, modes) in enumerate([(3, 4), (2, 5)]):
        xi = log_uniform(rng, 1e-3, 1e-1, (channels, modes) if per_mode else channels)
        theta = rng.uniform(-3.1, 3.1, (channels, modes))
        theta[0, 0] = 0.0
        name = f"blocks.{layer}.ssm"
        tensors |= {
            f"{name}.log_xi": np.log(xi),
            f"{name}.theta": theta,
            f"{name}.C": rng.normal(size=(channels, modes, 2)),
            f"{name}.D": rng.normal(size=channels),
            f"{name}.unit_energy": np.array(layer == 0),
        }
        log_poles[name] = -(xi if per_mode else xi[:, None]) / 2 + 1j * theta
    return Example(tensors, log_poles, {}, oscillating(3.0) if per_mode else damped_alike)


def damped_alike(spectrum, rng):
    """One random decay for all modes of a channel."""
    varied = oscillating(3.0)(spectrum, rng)
    log_poles = varied.log_poles.real[:, :1] + 1j * varied.omega_unwrapped
    return replace(varied, log_poles=log_poles)


EXAMPLES: dict[str, Callable[[], Example]] = {
    "dss": lambda: dss("Lambda", separate=True),
    "dss/one step": lambda: dss("Lambda", separate=False),
    "dss/exp": lambda: dss("im", separate=True),
    "dss/exp-re-im": lambda: dss("log im", separate=False),
    "dss/real": lambda: dss("real", separate=False),
    "dfout": lambda: dfout(per_mode=False),
    "dfout/per mode": lambda: dfout(per_mode=True),
    "attenuate": lambda: attenuate(name="down_ssms.0.0.0"),
    "attenuate/lrnnx": lambda: attenuate(name="ssm", complex_output=True),
    "attenuate/lrnnx events": lambda: attenuate(name="ssm", events=True, complex_output=True),
    "stripedhyena": stripedhyena_1,
    "stripedhyena/2": stripedhyena_2,
    "mamba/zamba": zamba,
    "vmamba": lambda: vmamba(heads=False),
    "vmamba/heads": lambda: vmamba(heads=True),
    "selective-diagonal": selective_diagonal,
    "selective-diagonal/elementwise": elementwise,
    "gated-deltanet": lambda: gated_deltanet("model.layers.0.linear_attn", QWEN),
    "gated-deltanet/fla": lambda: gated_deltanet("model.layers.0.attn", FLA, dt_per_head=False),
    "gated-deltanet/by name": lambda: gated_deltanet("h.0.attn", {}),
    "gated-deltanet/kimi": lambda: kda("model.layers.0.self_attn", (1, 1, 4, 1)),
    "gated-deltanet/forget gate": lambda: kda("model.layers.0.self_attn.forget_gate", (4,)),
    "gated-deltanet/kda": lambda: kda("model.layers.0.attn", (4,), ("f_proj.0", "f_proj.1")),
    "rg-lru": lambda: rg_lru(""),
    "rg-lru/jax": lambda: rg_lru("jax"),
    "rg-lru/lrnnx": lambda: rg_lru("lrnnx"),
    "rwkv": lambda: rwkv("4"),
    "rwkv/5": lambda: rwkv("5"),
    "rwkv/6": lambda: rwkv("6"),
    "rwkv/6 fla": lambda: rwkv("6 fla"),
    "rwkv/7": lambda: rwkv("7"),
    "rwkv/7 fla": lambda: rwkv("7 fla"),
}
