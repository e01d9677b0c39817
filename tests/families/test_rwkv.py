"""RWKV 4 to 7: the published recurrences in torch, and what each version can hold."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

import ssmspec
from ssmspec import analyze
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.reading import Reading
from tests.examples.families_more import EXAMPLES

KEYS = [key for key in EXAMPLES if key.startswith("rwkv")]


def source_of(tensors):
    checkpoint = MemoryCheckpoint(tensors)
    (layer,), skipped = find_layers(Catalog(checkpoint), Reading())
    assert not skipped
    return layer.family, LayerSource(checkpoint, layer.site, Reading())


def test_version_4_forgets_a_token_by_its_pole():
    """The numerator of the WKV operator after one token k = 0, v = 1 and n silent ones."""
    torch.manual_seed(0)
    time_decay, u = torch.randn(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    family, source = source_of({"att.time_decay": time_decay, "att.time_first": u})
    spectrum = family.read(source)
    numerator = torch.ones(5, dtype=torch.float64)
    for _ in range(4):
        numerator = torch.exp(-torch.exp(time_decay)) * numerator
    np.testing.assert_allclose(np.exp(4 * spectrum.log_poles[:, 0].real), numerator, rtol=1e-12)
    assert not spectrum.selective
    assert spectrum.assumptions == ()


def test_version_7_forgets_by_its_pole_where_nothing_is_removed():
    """state <- state diag(w) - state kk^T (a kk) + v k, with k = v = 0 and a = 0."""
    torch.manual_seed(0)
    w0, w1, w2 = torch.randn(6).double(), torch.randn(6, 2).double(), torch.randn(2, 6).double()
    tensors = {"att.w0": w0.view(1, 1, 6), "att.w1": w1, "att.w2": w2, "att.a0": w0.view(1, 1, 6)}
    family, source = source_of(tensors)
    spectrum = family.read(source)
    x = torch.zeros(6, dtype=torch.float64)
    w = -softplus(-(w0 + torch.tanh(x @ w1) @ w2)) - 0.5
    decay = torch.exp(-torch.exp(w))
    np.testing.assert_allclose(np.exp(spectrum.log_poles[:, 0].real), decay, rtol=1e-12)
    assert decay.min() > math.exp(-math.exp(-0.5))
    assert spectrum.selective
    nominal, part = spectrum.assumptions
    assert "nominal" in nominal
    assert "only part of the spectrum of RWKV-7" in part


@pytest.mark.parametrize("key", KEYS)
def test_what_is_selective_says_so(key):
    example = EXAMPLES[key]()
    family, source = source_of(example.tensors)
    spectrum = family.read(source)
    is_fixed = key in ("rwkv", "rwkv/5")
    assert spectrum.selective is not is_fixed
    assert any("nominal" in text for text in spectrum.assumptions) is not is_fixed
    assert spectrum.modes == 1
    assert spectrum.channels == 6


@pytest.mark.parametrize("key", ["rwkv/7", "rwkv/7 fla"])
def test_version_7_cannot_forget_faster_than_its_bound(key):
    family, source = source_of(EXAMPLES[key]().tensors)
    spectrum = family.read(source)
    with pytest.raises(SchemeError, match=r"0\.6065"):
        family.write(source, replace(spectrum, log_poles=np.full((6, 1), -0.61 + 0j)))


def test_a_decay_that_does_not_fit_its_neighbor_is_a_layout_error():
    for key, neighbor in [("rwkv", "time_first"), ("rwkv/6", "time_decay_w2"), ("rwkv/7", "w0")]:
        tensors = EXAMPLES[key]().tensors
        (name,) = [name for name in tensors if name.endswith(neighbor)]
        tensors[name] = np.concatenate([tensors[name]] * 2, axis=-1)
        checkpoint = MemoryCheckpoint(tensors)
        layers, skipped = find_layers(Catalog(checkpoint), Reading())
        if not layers:  # w0 of another size is no longer taken for an RWKV
            assert not skipped
            continue
        with pytest.raises(LayoutError, match=r"\(12,\)|\(1, 1, 12\)"):
            layers[0].family.read(LayerSource(checkpoint, layers[0].site, Reading()))


def test_low_rank_maps_outside_an_rwkv_are_not_taken_for_one():
    leaves = {"w0": np.zeros((1, 1, 6)), "w1": np.zeros((6, 2)), "w2": np.zeros((2, 6))}
    tensors = {f"block.{leaf}": values for leaf, values in leaves.items()}
    assert find_layers(Catalog(MemoryCheckpoint(tensors)), Reading()) == ((), ())


def speed(layer, layers, channels, low, span):
    """The zigzag-free part of the public initializations of the decay."""
    ratio = layer / (layers - 1)
    return low + span * (np.arange(channels) / (channels - 1)) ** (0.7 + 1.3 * ratio)


@pytest.mark.parametrize("length", [2048, 131_072])
@pytest.mark.parametrize("layer", [0, 3, 5])
def test_a_healthy_initialization_of_a_selective_version_raises_no_warning(layer, length):
    log_decay = speed(layer, 6, 64, -6, 5)
    w0 = -6 + 6 * (np.arange(64) / 63) ** (1 + (layer / 5) ** 0.3) + 0.5
    rng = np.random.default_rng(0)
    tensors = {
        "blocks.0.att.time_decay": log_decay.reshape(1, 1, 64),
        "blocks.0.att.time_decay_w1": np.zeros((64, 8)),
        "blocks.0.att.time_decay_w2": rng.uniform(-0.01, 0.01, (8, 64)),
        "blocks.1.att.w0": w0.reshape(1, 1, 64),
        "blocks.1.att.w1": np.zeros((64, 8)),
        "blocks.1.att.w2": rng.normal(size=(8, 64)),
        "blocks.1.att.r_k": np.zeros((1, 64)),
    }
    report = analyze(tensors, seq_len=length)
    assert len(report.layers) == 2
    assert [f.code for f in report.findings if f.level != "info"] == []


def test_version_7_under_the_names_of_a_port():
    rng = np.random.default_rng(0)
    bias = np.linspace(-6.5, -1.5, 8)
    p = "blocks.0.time_mixer.d_lora_mlp."
    tensors = {
        f"{p}A.weight": rng.normal(size=(4, 8)),
        f"{p}B_and_lamb.weight": rng.normal(size=(8, 4)),
        f"{p}B_and_lamb.bias": bias,
    }
    (layer,) = ssmspec.read_spectra(tensors)
    assert (layer.name, layer.family) == ("blocks.0.time_mixer", "rwkv")
    np.testing.assert_allclose(layer.decay[:, 0], np.exp(-0.5) / (1 + np.exp(-bias)), rtol=1e-12)
