"""Small healthy layers of each family as state dicts, drawn as public code draws them."""

import numpy as np


def inverse_softplus(x):
    return x + np.log(-np.expm1(-x))


def steps(r, size):
    return np.exp(r.uniform(np.log(1e-3), np.log(0.1), size))


def s4d(r, h=16, m=16, trained=0.3):
    return {
        "log_dt": np.log(steps(r, h)),
        "log_A_real": np.full((h, m), np.log(0.5)) + trained * r.normal(size=(h, m)),
        "A_imag": np.tile(np.pi * np.arange(m), (h, 1)) + trained * r.normal(size=(h, m)),
        "C": r.normal(size=(h, m, 2)),
    }


def lru(r, n=16, width=8):
    return {
        "nu_log": np.log(r.uniform(0.01, 0.1, n)),
        "theta_log": np.log(r.uniform(0.1, 3.0, n)),
        "gamma_log": np.zeros(n),
        "B_re": r.normal(size=(n, width)),
        "B_im": r.normal(size=(n, width)),
        "C_re": r.normal(size=(width, n)),
        "C_im": r.normal(size=(width, n)),
        "D": np.ones(width),
    }


def mamba(r, d=32, n=16, rank=2, trained=0.1):
    return {
        "A_log": np.tile(np.log(np.arange(1, n + 1)), (d, 1)) + trained * r.normal(size=(d, n)),
        "D": np.ones(d),
        "dt_proj.bias": inverse_softplus(steps(r, d)),
        "dt_proj.weight": r.normal(size=(d, rank)),
        "x_proj.weight": r.normal(size=(rank + 2 * n, d)),
        "in_proj.weight": r.normal(size=(2 * d, d // 2)),
        "out_proj.weight": r.normal(size=(d // 2, d)),
        "conv1d.weight": r.normal(size=(d, 1, 4)),
    }


def mamba2(r, h=8, width=8, n=16):
    inner = h * width
    return {
        "A_log": np.log(r.uniform(1, 16, h)),
        "dt_bias": inverse_softplus(steps(r, h)),
        "D": np.ones(h),
        "in_proj.weight": r.normal(size=(2 * inner + 2 * n + h, inner // 2)),
        "conv1d.weight": r.normal(size=(inner + 2 * n, 1, 4)),
        "norm.weight": np.ones(inner),
        "out_proj.weight": r.normal(size=(inner // 2, inner)),
    }


def deltanet(r, h=16):
    return {
        "A_log": np.log(r.uniform(0.01, 16, h)),
        "dt_bias": inverse_softplus(steps(r, h)),
        "in_proj_qkvz.weight": r.normal(size=(128 + 16 * h, 32)),
        "in_proj_ba.weight": r.normal(size=(2 * h, 32)),
        "conv1d.weight": r.normal(size=(128 + 8 * h, 1, 4)),
        "norm.weight": np.ones(8),
        "out_proj.weight": r.normal(size=(32, 8 * h)),
    }


def s5(r, n=32, blocks=4, width=6):
    # HiPPO's normal part, one of each conjugate pair, the lower one
    q = np.sqrt(np.arange(2 * n // blocks) + 0.5)
    skew = np.triu(np.outer(q, q), 1) - np.tril(np.outer(q, q), -1)
    lower = np.sort(np.linalg.eigvals(skew).imag)[: n // blocks]
    return {
        "Lambda_re": np.full(n, -0.5),
        "Lambda_im": np.tile(lower, blocks),
        "log_step": np.log(steps(r, (n, 1))),
        "B": r.normal(size=(n, width, 2)),
        "C": r.normal(size=(width, n, 2)),
        "D": r.normal(size=width),
    }


def rwkv7(r, channels=64, rank=8):
    place = np.arange(channels) / (channels - 1)
    return {
        "w0": (-6.5 + 5.0 * place ** r.uniform(0.85, 1.85)).reshape(1, 1, channels),
        "w1": np.zeros((channels, rank)),
        "w2": 0.1 * r.normal(size=(rank, channels)),
        "a0": np.zeros((1, 1, channels)),
        "r_k": -0.04 * np.ones((1, channels)),
        "k_k": np.ones((1, 1, channels)),
        "receptance.weight": 0.1 * r.normal(size=(channels, channels)),
        "key.weight": 0.1 * r.normal(size=(channels, channels)),
        "value.weight": 0.1 * r.normal(size=(channels, channels)),
        "output.weight": np.zeros((channels, channels)),
    }


PLACES = {
    s5: "layers_{}.seq",
    rwkv7: "blocks.{}.att",
    s4d: "layers.{}.kernel",
    lru: "layers.{}.lru",
    mamba: "backbone.layers.{}.mixer",
    mamba2: "backbone.layers.{}.mixer",
    deltanet: "model.layers.{}.linear_attn",
}


def stack(make, layers=2, seed=0, **options):
    r = np.random.default_rng(seed)
    return {
        f"{PLACES[make].format(i)}.{name}": values.astype("f4")
        for i in range(layers)
        for name, values in make(r, **options).items()
    }
