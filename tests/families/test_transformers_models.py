"""Tiny models of transformers, saved by it and read from the folder, against their own decay.

A layer is run on a silent input, where every projection of the input is 0 and what it decays by is
what is called nominal; the number is taken from inside the running model.
"""

import sys

import numpy as np
import pytest
import torch

from ssmspec import analyze, read_spectra

transformers = pytest.importorskip("transformers")

SIZE = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "pad_token_id": 0}
ATTENTION = {"num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 16}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1}
SELECTIVE = {"state_size": 4, "expand": 2}
DELTA = {"linear_key_head_dim": 4, "linear_value_head_dim": 4}
TOKENS = 3

SETTINGS = {
    "Mamba": SELECTIVE,
    "FalconMamba": SELECTIVE,
    "Jamba": ATTENTION | EXPERTS | {"mamba_d_state": 4, "mamba_dt_rank": 2},
    "Zamba": {
        "num_attention_heads": 2, "intermediate_size": 16, "attention_hidden_size": 32,
        "mamba_d_state": 4, "mamba_dt_rank": 2, "n_mamba_heads": 2, "layer_types": ["mamba"] * 2,
    },
    "Mamba2": SELECTIVE | {"num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 4},
    "Bamba": ATTENTION | {
        "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_n_groups": 1,
        "mamba_chunk_size": 4, "attn_layer_indices": [1],
    },
    "RecurrentGemma": ATTENTION | {"lru_width": 16, "head_dim": 8},
    "Rwkv": {"attention_hidden_size": 16, "intermediate_size": 16},
    "Qwen3Next": ATTENTION | EXPERTS | DELTA | {
        "head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
        "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8,
    },
    "OlmoHybrid": DELTA | {
        "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 16,
        "linear_num_key_heads": 2, "linear_num_value_heads": 2,
        "bos_token_id": 0, "eos_token_id": 0,
    },
    "KimiLinear": ATTENTION | EXPERTS | {
        "linear_num_heads": 2, "linear_head_dim": 4, "moe_intermediate_size": 8,
        "bos_token_id": 0, "eos_token_id": 0, "kv_lora_rank": 4, "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 4, "v_head_dim": 4, "num_local_experts": 2,
    },
}  # fmt: skip


def built(name):
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZE, **SETTINGS[name])
    model = getattr(transformers, f"{name}Model")(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith(("gate_bias", "dt_bias", "A_log", "time_decay")):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def saved(model, folder):
    model.save_pretrained(folder)
    return {spectrum.name: spectrum for spectrum in read_spectra(folder)}


def layer_of(model, name):
    """The module of a layer's name; its parameters may be saved one level above where they are."""
    module = model.get_submodule(name)
    return module.forget_gate if hasattr(module, "forget_gate") else module


def run_in_silence(layer):
    """One pass over zeros, all convolutions without bias."""
    if isinstance(getattr(getattr(layer, "conv1d", None), "bias", None), torch.Tensor):
        torch.nn.init.zeros_(layer.conv1d.bias)
    with torch.no_grad():
        return layer(torch.zeros(1, TOKENS, 16))


def exponentials(layer, monkeypatch):
    """Every exponential that the layer computes on the way."""
    seen, exp = [], torch.exp

    def recorded(values, *args, **kwargs):
        seen.append(exp(values, *args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(torch, "exp", recorded)
    run_in_silence(layer)
    monkeypatch.setattr(torch, "exp", exp)
    return seen


def gate_of(layer, function, monkeypatch):
    """`g` as the layer hands it to its recurrence."""
    module, seen = sys.modules[type(layer).__module__], []
    original = getattr(module, function)

    def recorded(*args, **kwargs):
        seen.append(kwargs["g"])
        return original(*args, **kwargs)

    monkeypatch.setattr(module, function, recorded)
    run_in_silence(layer)
    (g,) = seen
    return g[0, 0]


def close(found, expected):
    return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ["Mamba", "FalconMamba", "Jamba"])
def test_mamba_1(name, tmp_path, monkeypatch):
    model = built(name)
    spectra = saved(model, tmp_path)
    assert len(spectra) == 2
    for path, spectrum in spectra.items():
        poles = np.exp(spectrum.log_poles.real)
        seen = exponentials(layer_of(model, path), monkeypatch)
        assert any(each.ndim == 4 and close(each[0, :, 0].numpy(), poles) for each in seen)


def test_zamba_has_its_own_projections_in_each_head(tmp_path, monkeypatch):
    model = built("Zamba")
    spectra = saved(model, tmp_path)
    assert len(spectra) == 2
    for path, spectrum in spectra.items():
        seen = exponentials(layer_of(model, path), monkeypatch)
        for poles in np.split(np.exp(spectrum.log_poles.real), 2):
            assert any(each.ndim == 4 and close(each[0, :, 0].numpy(), poles) for each in seen)


@pytest.mark.parametrize(("name", "layers"), [("Mamba2", 2), ("Bamba", 1)])
def test_mamba_2(name, layers, tmp_path, monkeypatch):
    model = built(name)
    spectra = saved(model, tmp_path)
    assert len(spectra) == layers
    for path, spectrum in spectra.items():
        poles = np.exp(spectrum.log_poles.real[:, 0])
        seen = exponentials(layer_of(model, path), monkeypatch)
        assert any(each.ndim == 4 and close(each[0, :, 0, 0].numpy(), poles) for each in seen)


def test_recurrent_gemma(tmp_path):
    model = built("RecurrentGemma")
    spectra = saved(model, tmp_path)
    assert len(spectra) == 2
    for path, spectrum in spectra.items():
        layer, seen = layer_of(model, path), []
        scan = layer._rnn_scan
        layer._rnn_scan = lambda **kwargs: seen.append(kwargs) or scan(**kwargs)  # noqa: B023
        with torch.no_grad():
            layer(torch.zeros(1, TOKENS, 16), torch.arange(1, TOKENS + 1)[None])
        assert close(seen[0]["recurrent_gate"][0, 0].numpy(), np.exp(spectrum.log_poles.real[:, 0]))


def test_rwkv(tmp_path):
    """The state is kept as a number and a running exponent: silence lowers the exponent."""
    from transformers.models.rwkv.modeling_rwkv import rwkv_linear_attention_cpu

    model = built("Rwkv")
    spectra = saved(model, tmp_path)
    assert len(spectra) == 2
    for path, spectrum in spectra.items():
        layer = layer_of(model, path)
        silent = torch.full((1, 1, 16), -1e30)
        state = [torch.ones(1, 16), torch.ones(1, 16), torch.zeros(1, 16)]
        with torch.no_grad():
            _, (held, _, exponent) = rwkv_linear_attention_cpu(
                layer.time_decay, layer.time_first, silent, torch.zeros(1, 1, 16), state, True
            )
        log_poles = torch.log(held[0]) + exponent[0]
        assert close(log_poles.numpy(), spectrum.log_poles.real[:, 0])


@pytest.mark.parametrize("name", ["Qwen3Next", "OlmoHybrid"])
def test_gated_delta_rules(name, tmp_path, monkeypatch):
    model = built(name)
    spectra = saved(model, tmp_path)
    assert spectra
    for path, spectrum in spectra.items():
        g = gate_of(layer_of(model, path), "torch_chunk_gated_delta_rule", monkeypatch)
        assert close(g.numpy(), spectrum.log_poles.real[:, 0])


def test_kimi_linear(tmp_path):
    model = built("KimiLinear")
    spectra = saved(model, tmp_path)
    assert len(spectra) == 2
    for path, spectrum in spectra.items():
        g = run_in_silence(layer_of(model, path))
        assert close(g[0, 0].reshape(-1).numpy(), spectrum.log_poles.real[:, 0])


# Their classes leave the dt bias at 0 and at 1, which is what the rule is for.
LOST_STEP_SIZES = {"Jamba", "Bamba"}
# RWKV-4 is not selective, and starts without a channel that remembers so many tokens.
FORGETFUL = {"Rwkv"}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("length", [2048, 131_072])
def test_a_fresh_model_raises_no_warning(name, length, tmp_path):
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(**SIZE, **SETTINGS[name])
    getattr(transformers, f"{name}Model")(config).save_pretrained(tmp_path)
    report = analyze(tmp_path, seq_len=length)
    assert report.layers
    warned = {f.code for f in report.findings if f.level != "info"}
    expected = {"INI002"} if name in LOST_STEP_SIZES else set()
    assert warned == ({"MEM002"} if name in FORGETFUL else expected)
