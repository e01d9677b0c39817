"""Gated delta rules: the published gates in torch, bounded ones, and a trained file."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from ssmspec import analyze
from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.reading import Reading

HEADS, WIDTH = 4, 8


def source_of(tensors, config=None):
    checkpoint = MemoryCheckpoint(tensors)
    checkpoint.config = config or {}
    (layer,), skipped = find_layers(Catalog(checkpoint), Reading())
    assert not skipped
    return layer.family, LayerSource(checkpoint, layer.site, Reading())


def gated_deltanet():
    torch.manual_seed(0)
    return {
        "linear_attn.A_log": torch.randn(HEADS, dtype=torch.float64),
        "linear_attn.dt_bias": torch.ones(HEADS, dtype=torch.float64),
        "linear_attn.in_proj_ba.weight": torch.randn(2 * HEADS, 6),
    }


def kda(shape=(1, 1, HEADS, 1)):
    torch.manual_seed(0)
    return {
        "self_attn.A_log": torch.rand(HEADS, dtype=torch.float64).mul(15).add(1).log().view(shape),
        "self_attn.dt_bias": torch.randn(HEADS * WIDTH, dtype=torch.float64),
        "self_attn.f_a_proj.weight": torch.randn(3, 6),
        "self_attn.f_b_proj.weight": torch.randn(HEADS * WIDTH, 3),
    }


def test_a_head_forgets_by_its_pole_where_no_key_is_written():
    """S <- exp(g) S (I - beta k k^T), at a(x) = 0 and for a key orthogonal to what is held."""
    tensors = gated_deltanet()
    family, source = source_of(tensors)
    spectrum = family.read(source)
    g = -tensors["linear_attn.A_log"].exp() * softplus(tensors["linear_attn.dt_bias"])
    held, key, beta = torch.eye(3, dtype=torch.float64)[0], torch.eye(3).double()[1], 0.7
    for head in range(HEADS):
        S = torch.outer(torch.ones(2, dtype=torch.float64), held)
        for _ in range(6):
            S = torch.exp(g[head]) * S @ (torch.eye(3).double() - beta * torch.outer(key, key))
        np.testing.assert_allclose(
            torch.mv(S, held), np.exp(6 * spectrum.log_poles[head, 0].real), rtol=1e-12
        )
    assert spectrum.dt is None
    assert spectrum.selective
    nominal, part = spectrum.assumptions
    assert "nominal" in nominal
    assert "only part of the spectrum" in part


@pytest.mark.parametrize("shape", [(HEADS,), (1, 1, HEADS, 1)])
def test_kda_has_a_gate_for_every_key_channel(shape):
    tensors = kda(shape)
    family, source = source_of(tensors)
    spectrum = family.read(source)
    rate = tensors["self_attn.A_log"].exp().view(HEADS, 1)
    expected = rate * softplus(tensors["self_attn.dt_bias"].view(HEADS, WIDTH))
    assert spectrum.shape == (HEADS * WIDTH, 1)
    np.testing.assert_allclose(spectrum.decay[:, 0], expected.reshape(-1), rtol=1e-12)
    assert any("safe_gate" in text for text in spectrum.assumptions)


BOUNDED = [
    ({"linear_lower_bound": -5.0}, 5.0),
    ({"text_config": {"linear_lower_bound": -4}}, 4.0),
    ({"kda_safe_gate": True, "kda_lower_bound": -3.0}, 3.0),
    ({"safe_gate": True, "gate_lower_bound": -2.0}, 2.0),
    ({"linear_attn_config": {"safe_gate": True}}, 5.0),
]


@pytest.mark.parametrize(("config", "bound"), BOUNDED)
def test_a_bounded_gate_is_read_where_config_json_asks_for_one(config, bound):
    tensors = kda()
    family, source = source_of(tensors, config)
    rate = tensors["self_attn.A_log"].exp().view(HEADS, 1)
    expected = bound * torch.sigmoid(rate * tensors["self_attn.dt_bias"].view(HEADS, WIDTH))
    spectrum = family.read(source)
    np.testing.assert_allclose(spectrum.decay[:, 0], expected.reshape(-1), rtol=1e-12)
    assert any(f"above {bound:g} nat" in text for text in spectrum.assumptions)
    wanted = replace(spectrum, log_poles=-np.linspace(0.01, 0.9, 32)[:, None] * bound + 0j)
    (dt_bias,) = family.write(source, wanted).values()
    back = bound * torch.sigmoid(rate * torch.tensor(dt_bias).view(HEADS, WIDTH))
    np.testing.assert_allclose(back.reshape(-1), wanted.decay[:, 0], rtol=1e-12)
    with pytest.raises(SchemeError, match="bounds decays"):
        family.write(source, replace(spectrum, log_poles=np.full((32, 1), -bound + 0j)))


@pytest.mark.parametrize(
    "config",
    [
        {"safe_gate": False, "lower_bound": -5.0},
        {"linear_lower_bound": None},
        {"linear_lower_bound": True},
        {"kda_lower_bound": -5.0},
        {"linear_attn_config": [1]},
    ],
)
def test_a_gate_is_not_bounded_where_config_json_does_not_ask(config):
    family, source = source_of(kda(), config)
    _, plain = source_of(kda())
    np.testing.assert_array_equal(family.read(source).log_poles, family.read(plain).log_poles)


def test_gates_that_do_not_divide_among_heads_are_a_layout_error():
    tensors = kda()
    tensors["self_attn.dt_bias"] = torch.zeros(HEADS * WIDTH + 1)
    family, source = source_of(tensors)
    with pytest.raises(LayoutError, match="do not divide"):
        family.read(source)


def fresh(kind, rng):
    """Public initializations: (A_log, dt_bias) of Qwen3-Next, fla's gated DeltaNet, fla's KDA."""
    dt = np.exp(rng.uniform(math.log(1e-3), math.log(1e-1), 32))
    return {
        "qwen": (np.log(rng.uniform(0.01, 16, 32)), np.ones(32)),
        "olmo": (np.log(rng.uniform(1, 16, 32)), np.log(np.expm1(dt))),
        "kda": (np.log(rng.uniform(1, 16, 8)), np.zeros(32)),
        "kimi": (np.log(rng.uniform(1, 16, 8)).reshape(1, 1, 8, 1), np.log(np.expm1(dt))),
    }[kind]


@pytest.mark.parametrize("length", [2048, 131_072])
@pytest.mark.parametrize("kind", ["qwen", "olmo", "kda", "kimi"])
@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_initialization_raises_no_warning(kind, length, seed):
    A_log, dt_bias = fresh(kind, np.random.default_rng(seed))
    tensors = {"self_attn.A_log": A_log, "self_attn.dt_bias": dt_bias}
    report = analyze(tensors | {"self_attn.k_proj.weight": np.eye(2)}, seq_len=length)
    assert report.layers
    assert [f.code for f in report.findings if f.level != "info"] == []


def test_a_trained_file(shared):
    path = shared / "gated_deltanet_pickled_config.pt"
    with open_checkpoint(path) as checkpoint:
        layers, skipped = find_layers(Catalog(checkpoint), Reading())
        assert not skipped
        assert len(layers) == 3
        for number, layer in enumerate(layers):
            name = f"model.transformer.h.{number}.attn"
            assert layer.site.name == name
            spectrum = layer.read(checkpoint, Reading())
            A_log, dt_bias = (checkpoint.read(f"{name}.{leaf}") for leaf in ("A_log", "dt_bias"))
            expected = torch.tensor(A_log).exp() * softplus(torch.tensor(dt_bias))
            np.testing.assert_allclose(spectrum.decay[:, 0], expected, rtol=1e-12)
    report = analyze(path)
    assert report.verdict == "pass"
    assert len(report.layers) == 3


def test_a_mamba_2_is_not_a_delta_rule():
    """At a path that attention has, with the projections of a Mamba-2."""
    tensors = {
        "self_attn.A_log": np.zeros(4),
        "self_attn.dt_bias": np.zeros(4),
        "self_attn.D": np.zeros(4),
    }
    (layer,), _ = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert layer.family.id == "mamba2"
