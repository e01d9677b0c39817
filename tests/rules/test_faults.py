"""Faults of real files, recreated small: each finding names its tensor and cause, and no healthy
layer beside it is hidden. Every number is made here."""

import numpy as np
import pytest

from ssmspec import analyze, check
from ssmspec.outcome import Level
from tests.examples.small_models import PLACES, deltanet, lru, mamba, mamba2, s4d, stack


def findings(source, code, **options):
    return [f for f in analyze(source, **options).findings if f.code == code]


def only(source, code, **options):
    [finding] = findings(source, code, **options)
    return finding


# numbers that are none


@pytest.mark.parametrize(
    ("make", "tensor", "place", "bad"),
    [
        (s4d, "C", (3, 0, 1), np.nan),
        (lru, "gamma_log", (2,), np.inf),
        (mamba, "x_proj.weight", (1, 7), np.nan),
        (mamba, "D", (31,), np.inf),
        (mamba2, "conv1d.weight", (0, 0, 2), -np.inf),
        (deltanet, "in_proj_ba.weight", (4, 4), np.nan),
    ],
)
def test_no_tensor_of_a_layer_hides_a_nan(make, tensor, place, bad):
    state = stack(make)
    name = f"{PLACES[make].format(1)}.{tensor}"
    state[name][place] = bad
    finding = only(state, "STB002")
    assert finding.layer == PLACES[make].format(1)
    assert finding.level is Level.ERROR
    kind = {"nan": "1 NaN", "inf": "1 +inf", "-inf": "1 -inf"}[str(bad)]
    size = state[name].size
    assert (
        f"{name} holds {kind} in {size:,} numbers (the first at {list(place)})" in finding.message
    )
    assert check(state).exit_code == 1
    report = analyze(state)
    assert [layer.value("max_radius") is not None for layer in report.layers] == [True, True]


def test_the_skip_around_a_kernel_is_the_layers_and_a_network_beside_it_is_not():
    state = stack(s4d) | {"layers.1.D": np.full(16, np.nan, "f4")}
    assert "layers.1.D holds 16 NaN" in only(state, "STB002").message
    beside = {"layers.1.mlp.weight": np.full(9, np.nan), "head.weight": np.full(9, np.inf)}
    assert findings(stack(s4d) | beside, "STB002") == []
    inside = {"backbone.layers.0.mixer.mlp.up.weight": np.full(9, np.nan)}
    assert findings(stack(mamba) | inside, "STB002") == []


def test_what_is_not_looked_through_is_said():
    state = stack(mamba2)
    state["backbone.layers.1.mixer.in_proj.weight"][5, 5] = np.nan
    assert findings(state, "STB002", scan="poles") == []
    told = [a for a in analyze(state, scan="poles").assumptions if "looked through" in a]
    # per layer 168 x 32, 96 x 1 x 4, 32 x 64, D 8 and norm 64 numbers of 4 bytes
    assert told == [
        "10 tensors of the state-space layers (63 kB) were not looked through for NaN "
        "(--scan layer does)"
    ]
    assert len(findings(state, "STB002", scan="layer")) == 1


@pytest.mark.parametrize(("remote", "found"), [(False, 1), (True, 0)])
def test_of_a_source_elsewhere_only_what_is_read_is_looked_through(remote, found, tmp_path):
    from safetensors.numpy import save_file

    from ssmspec.checkpoints import open_checkpoint

    state = stack(mamba2)
    state["backbone.layers.1.mixer.norm.weight"][5] = np.nan
    save_file(state, tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path / "model.safetensors") as file:
        file.is_remote = remote
        assert len(findings(file, "STB002")) == found


@pytest.mark.parametrize(
    ("make", "tensor", "bad", "left"),
    [
        (deltanet, "A_log", (5,), "15 of 16 channels"),
        (s4d, "A_imag", (3, 4), "15 of 16 channels"),
        (lru, "nu_log", (0,), "15 of 16 modes"),
    ],
)
def test_one_bad_head_does_not_hide_its_neighbors(make, tensor, bad, left):
    whole, broken = stack(make), stack(make)
    name = PLACES[make].format(0)
    broken[f"{name}.{tensor}"][bad] = -np.inf if "log" in tensor else np.nan
    report = analyze(broken)
    assert (
        f"{name} is measured over {left}; the others hold NaN or infinities" in report.assumptions
    )
    there = {k: v for k, v in whole.items() if k.startswith(name)}
    axes = {"C_re": 1, "C_im": 1}
    per_head = (
        "A_log",
        "dt_bias",
        "log_dt",
        "log_A_real",
        "A_imag",
        "C",
        *lru(np.random.default_rng(0)),
    )
    alone = {
        key: np.delete(values, bad[0], axes.get(key.rpartition(".")[2], 0))
        if key.rpartition(".")[2] in per_head and not key.endswith(".D")
        else values
        for key, values in there.items()
    }
    expected = analyze(alone).layers[0]
    layer = report.layers[0]
    for metric in ("max_radius", "coverage", "time_constant_median", "energy_horizon"):
        assert layer.metrics[metric].to_dict() == expected.metrics[metric].to_dict()


def test_three_kinds_of_numbers_that_are_none():
    zero = stack(deltanet)
    zero["model.layers.1.linear_attn.A_log"][5] = -np.inf
    assert "drawn as 0 at initialization" in only(zero, "STB002").message

    again = {
        k: np.log(v) if k.endswith("A_log") else v
        for k, v in stack(mamba2, seed=1).items()
        if not k.endswith("A_log") or np.log(v).min() < 9
    }
    for name in ("backbone.layers.0.mixer.A_log", "backbone.layers.1.mixer.A_log"):
        rates = stack(mamba2, seed=1)[name]
        rates[0] = -0.5  # a trained rate below 1, whose logarithm is negative
        with np.errstate(invalid="ignore"):
            again[name] = np.log(rates)
    for finding in findings(again, "STB002"):
        assert "took the logarithm once more" in finding.message
        assert "second logarithm of A_log" in finding.message

    diverged = stack(mamba2)
    for leaf in ("A_log", "D", "in_proj.weight"):
        diverged[f"backbone.layers.0.mixer.{leaf}"][...] = np.nan
    message = only(diverged, "STB002").message
    assert "from training that diverged" in message
    assert "last checkpoint whose parameters are finite" in message


# slips in what is stored


@pytest.mark.parametrize("make", [mamba, mamba2])
def test_a_under_the_name_of_its_logarithm(make):
    state = {
        k: -np.exp(v) if k.endswith("A_log") else v for k, v in stack(make, trained=0.0).items()
    } if make is mamba else {
        k: -np.exp(v) if k.endswith("A_log") else v for k, v in stack(make).items()
    }  # fmt: skip
    report = analyze(state, seq_len=2048)
    accumulators = [f for f in report.findings if f.code == "ACC001"]
    assert len(accumulators) == 2
    for finding in accumulators:
        assert "it may hold A = -exp(A_log), not A_log" in finding.message
        assert "weight decay" not in finding.message
        assert "floor under the magnitude of A (that is, under A_log)" in finding.message
    assert sum("it may hold A" in told for told in report.assumptions) == 2
    assert not any("may hold A" in told for told in analyze(stack(make)).assumptions)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_forgotten_logarithm(noise):
    r = np.random.default_rng(3)
    state = {
        k: np.exp(v) + noise * r.normal(size=v.shape) if k.endswith("A_log") else v
        for k, v in stack(mamba, trained=0.0).items()
    }
    report = analyze(state, seq_len=2048)
    for finding in (f for f in report.findings if f.code == "MEM001"):
        assert "the logarithm was probably forgotten" in finding.message
    assert sum("counts 1, 2, ... 16" in told for told in report.assumptions) == 2


@pytest.mark.parametrize("factor", [0.01, 0.05])
def test_collapsed_rates(factor):
    state = {k: v * factor if k.endswith("A_log") else v for k, v in stack(mamba).items()}
    [first, _] = findings(state, "INI004")
    assert first.level is Level.WARNING
    assert first.threshold == 1.25
    assert "Leave A_log out of weight decay" in first.message
    assert findings(stack(mamba), "INI004") == []
    # with two states the start is a ratio of 2, and sqrt 2 the threshold's ceiling
    assert findings(stack(mamba, n=2, trained=0.0), "INI004") == []


@pytest.mark.parametrize("rank", [1, 4, 8, 48])
@pytest.mark.parametrize("seed", [1, 7])
def test_a_bias_of_nn_linear_whatever_its_rank(rank, seed):
    r = np.random.default_rng(seed)
    state = stack(mamba, layers=1, rank=rank)
    name = "backbone.layers.0.mixer.dt_proj.bias"
    state[name] = r.uniform(-(rank**-0.5), rank**-0.5, 32).astype("f4")
    finding = only(state, "INI002")
    assert f"1/sqrt({rank})" in finding.message
    assert "dt_proj.bias" in finding.message
    assert finding.threshold == pytest.approx(rank**-0.5)
    state[name][0] = 1.1 * rank**-0.5
    assert findings(state, "INI002") == []


def test_the_constant_of_a_familys_own_code_is_no_fault():
    state = stack(deltanet)
    for i in range(2):
        state[f"model.layers.{i}.linear_attn.dt_bias"][:] = 1.0
    assert findings(state, "INI002") == []
    for i, trained in enumerate((0.95, 1.05)):  # softplus within 3 % of softplus(1)
        state[f"model.layers.{i}.linear_attn.dt_bias"][:] = trained
    assert findings(state, "INI002") == []
    for i in range(2):
        state[f"model.layers.{i}.linear_attn.dt_bias"][:] = 0.0
    assert len(findings(state, "INI002")) == 2


def test_a_layer_without_effect():
    state = {k: v * 0 + np.float32(5e-42) for k, v in stack(mamba, layers=1).items()}
    assert "in_proj is zero for all purposes" in only(state, "DEA002").message
    state = stack(s4d, layers=3)
    state["layers.2.kernel.C"] *= np.float32(1e-13)
    finding = only(state, "DEA002")
    assert finding.layer == "layers.2.kernel"
    state["layers.2.kernel.C"] *= np.float32(100)
    assert findings(state, "DEA002") == []
    state = stack(lru)
    state["layers.1.lru.B_im"][:] = 0.0  # a real B is no fault
    assert findings(state, "DEA002") == []
    state["layers.1.lru.B_re"][:] = 0.0
    assert only(state, "DEA002").layer == "layers.1.lru"
    fixed = {
        "A_log": np.log(np.expm1(np.linspace(0.2, 1.5, 4))), "bdelta": np.full(4, -1.0),
        "Win": np.ones((4, 3)), "Wdelta": np.zeros((4, 3)), "Wo": np.ones((2, 4)),
        "WB": np.zeros((4, 3)), "bB": np.ones(4), "WC": np.zeros((4, 3)), "bC": np.ones(4),
    }  # fmt: skip
    assert findings(fixed, "DEA002") == []  # B and C are their biases: nothing is selective
    assert "no effect: WB is zero" in only(fixed | {"bB": np.zeros(4)}, "DEA002").message


def test_a_layer_that_lost_a_tensor():
    state = stack(mamba2, layers=3)
    del state["backbone.layers.1.mixer.A_log"]
    finding = only(state, "LST001")
    assert finding.level is Level.WARNING
    assert finding.layer == "backbone.layers.1.mixer"
    assert "lacks A_log, which backbone.layers.0.mixer has" in finding.message
    # a block of another kind under the same name is none that lost something
    other = stack(mamba2, layers=2)
    for leaf in ("q_proj", "k_proj", "v_proj", "o_proj", "norm"):
        other[f"backbone.layers.2.mixer.{leaf}.weight"] = np.ones(4, "f4")
    assert findings(other, "LST001") == []


# growth


def bfloat16(state):
    import torch

    return {k: torch.tensor(v).to(torch.bfloat16) for k, v in state.items()}


@pytest.mark.parametrize("seed", [0, 5, 9])
def test_growth_by_rounding_is_one_finding(seed):
    r = np.random.default_rng(seed)
    radius, angle = 1 - 10 ** -r.uniform(0.3, 3.3, (16, 8, 1)), r.uniform(0, 3.1, (16, 8, 1))
    poles = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    state = {
        "blocks.0.filter.poles": poles.astype("f4"),
        "blocks.0.filter.residues": r.normal(size=(16, 8, 1, 2)).astype("f4"),
    }
    assert findings(state, "STB001", seq_len=2048) == []
    report = analyze(bfloat16(state), seq_len=2048)
    [finding] = [f for f in report.findings if f.code in ("STB001", "PRC001")]
    assert (finding.code, finding.level) == ("STB001", Level.ERROR)
    assert (
        "the rounding of bfloat16 alone put them there. Store poles in float32" in finding.message
    )
    state["blocks.0.filter.poles"][3, 2] = [[1.05, 0.0]]  # grows whatever the type
    grows = {f.code: f.message for f in analyze(bfloat16(state), seq_len=2048).findings}
    assert "alone put them there" not in grows["STB001"]


def test_growth_is_answered_by_the_parameters_that_set_it():
    r = np.random.default_rng(0)
    p = r.normal(size=(6, 4, 2)) * 4
    w = np.stack([np.full(4, -0.5), np.arange(1, 5) * np.pi], -1)
    v1 = {
        "log_dt": np.full(6, -3.0),
        "w": w,
        "B": np.stack([r.normal(size=(6, 4, 2)), p], 1),
        "C": np.stack([r.normal(size=(6, 4, 2)), -p], 1),
        "nodes": r.normal(size=(17, 2)),
        "z": r.normal(size=(17, 2)),
    }
    message = only({f"l.0.kernel.krylov.{k}": v for k, v in v1.items()}, "STB001").message
    assert "p (in B) and q (in C)" in message
    assert "clip_eigs" not in message
    s5 = {
        "Lambda_re": np.array([-0.5, 0.2]),
        "Lambda_im": np.array([1.0, 2.0]),
        "log_step": np.full((2, 1), -3.0),
        "B": r.normal(size=(2, 3, 2)),
        "C": r.normal(size=(3, 2, 2)),
    }
    message = only({f"seq.{k}": v for k, v in s5.items()}, "STB001").message
    assert "real part of Lambda_re negative" in message
    assert "clip_eigs=True" in message


def test_an_accumulator_of_rwkv_is_told_of_its_own_parameter():
    r = np.random.default_rng(0)
    state = {
        "rwkv1.w0": np.linspace(-20, -1, 8).reshape(1, 1, 8),
        "rwkv1.w1": r.normal(size=(8, 4)),
        "rwkv1.w2": r.normal(size=(4, 8)),
        "rwkv1.a0": np.zeros((1, 1, 8)),
    }
    message = only(state, "ACC001").message
    assert "bound w0, which sets the decay, from below" in message
    assert "A_log" not in message


# never trained
