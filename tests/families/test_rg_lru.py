"""RG-LRU: the recurrence of the published module, in torch, and what it can hold."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from ssmspec import analyze
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.reading import Reading

HEADS, BLOCK = 4, 8
WIDTH = HEADS * BLOCK


def source_of(tensors):
    checkpoint = MemoryCheckpoint(tensors)
    (layer,), skipped = find_layers(Catalog(checkpoint), Reading())
    assert not skipped
    return layer.family, LayerSource(checkpoint, layer.site, Reading())


def drawn():
    torch.manual_seed(0)
    return {
        "rg_lru.recurrent_param": torch.randn(WIDTH, dtype=torch.float64),
        "rg_lru.recurrent_gate_weight": torch.randn(HEADS, BLOCK, BLOCK, dtype=torch.float64),
        "rg_lru.recurrent_gate_bias": torch.randn(HEADS, BLOCK, dtype=torch.float64),
    }


def recurrent_gate(tensors, x):
    """a of one token x (WIDTH,), a block of channels a head."""
    weight, bias = tensors["rg_lru.recurrent_gate_weight"], tensors["rg_lru.recurrent_gate_bias"]
    gate = torch.sigmoid(torch.einsum("hi,hij->hj", x.view(HEADS, BLOCK), weight) + bias)
    return torch.exp(-8.0 * gate.reshape(-1) * softplus(tensors["rg_lru.recurrent_param"]))


def test_a_silent_input_makes_the_state_decay_by_the_poles():
    tensors = drawn()
    family, source = source_of(tensors)
    spectrum = family.read(source)
    state = torch.ones(WIDTH, dtype=torch.float64)
    for _ in range(5):
        state = recurrent_gate(tensors, torch.zeros(WIDTH, dtype=torch.float64)) * state
    np.testing.assert_allclose(np.exp(5 * spectrum.log_poles.real[:, 0]), state, rtol=1e-12)
    assert spectrum.shape == (WIDTH, 1)
    assert spectrum.selective
    assert spectrum.dt is None
    (sentence,) = spectrum.assumptions
    assert "nominal" in sentence
    assert "bias" in sentence


def fresh(rng, width=256):
    """The public initialization: radii over a ring, gates without bias."""
    square = rng.uniform(0.9**2, 0.999**2, width)
    return {
        "rg_lru.recurrent_param": np.log(np.expm1(-0.5 * np.log(square))),
        "rg_lru.recurrent_gate_bias": np.zeros((8, width // 8)),
    }


@pytest.mark.parametrize("length", [2048, 131_072])
@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_initialization_raises_no_warning(seed, length):
    report = analyze(fresh(np.random.default_rng(seed)), seq_len=length)
    assert [f.code for f in report.findings if f.level != "info"] == []
    assert report.layers[0].channels == 256


def test_the_radii_of_a_fresh_layer_are_to_the_fourth_power():
    family, source = source_of(fresh(np.random.default_rng(0)))
    radius = np.exp(family.read(source).log_poles.real)
    assert radius.min() > 0.9**4 - 1e-9
    assert radius.max() < 0.999**4 + 1e-9


def test_lrnnx_stores_the_logit_of_a_radius():
    """a_bar = sigmoid(a_log)^(8 gate), lrnnx's own formula."""
    torch.manual_seed(0)
    a_log = torch.randn(WIDTH, 1, dtype=torch.float64)
    bias = torch.randn(WIDTH, dtype=torch.float64)
    family, source = source_of({"m.a_log": a_log, "m.recurrent_gate_proj.bias": bias})
    expected = torch.sigmoid(a_log).pow(8 * torch.sigmoid(bias)[:, None])
    np.testing.assert_allclose(np.exp(family.read(source).log_poles.real), expected, rtol=1e-12)


def test_only_the_decay_parameter_is_written():
    family, source = source_of(drawn())
    spectrum = family.read(source)
    written = family.write(source, replace(spectrum, log_poles=2 * spectrum.log_poles))
    assert set(written) == {"rg_lru.recurrent_param"}


@pytest.mark.parametrize("pole", [0.0, 0.1, -0.1 + 0.5j, -0.1 + np.pi * 1j])
def test_what_it_cannot_hold_is_refused(pole):
    family, source = source_of(drawn())
    spectrum = family.read(source)
    poles = np.full(spectrum.shape, pole, dtype=np.complex128)
    with pytest.raises(SchemeError, match="s4d-real"):
        family.write(source, replace(spectrum, log_poles=poles))


def test_a_gate_that_is_shut_cannot_reach_any_decay():
    tensors = drawn()
    tensors["rg_lru.recurrent_gate_bias"] = torch.full((HEADS, BLOCK), -900.0)
    family, source = source_of(tensors)
    spectrum = family.read(source)
    assert (spectrum.decay == 0).all()
    poles = np.full(spectrum.shape, -0.1 + 0j)
    with pytest.raises(SchemeError, match="gate"):
        family.write(source, replace(spectrum, log_poles=poles))


def test_without_the_bias_of_its_gate_it_is_skipped_with_the_reason():
    tensors = drawn()
    del tensors["rg_lru.recurrent_gate_bias"]
    layers, (skipped,) = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert not layers
    assert "bias of its gate" in skipped.reason
