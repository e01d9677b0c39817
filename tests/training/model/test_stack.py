"""The model: shapes, padding, causality, seeds, groups of parameters, and how it is read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import ssmspec
from ssmspec.errors import UsageError
from ssmspec.schemes import SCHEMES
from ssmspec.training.config import Decayed, Freeze, ModelConfig, Norm
from ssmspec.training.model.layers import DiagonalLayer
from ssmspec.training.model.stack import Dropout, build_model
from ssmspec.training.tasks.base import Data, Readout, Target

SMALL = ModelConfig(d_model=8, d_state=8, n_layers=2)
LABELS = Data([], [], [], Target.CLASS, d_input=2, d_output=3, seq_len=20)
STEPS = replace(LABELS, target=Target.VALUE_PER_STEP)
NORMS = pytest.mark.parametrize("norm", Norm)
ORDERS = pytest.mark.parametrize("prenorm", [True, False], ids=["prenorm", "postnorm"])
READOUTS = pytest.mark.parametrize("readout", Readout)


def model(data=LABELS, seed=0, **changes):
    return build_model(replace(SMALL, **changes), data, seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("vocabulary", [None, 11])
def test_one_answer_a_sequence_or_one_a_sample(target, vocabulary):
    data = replace(LABELS, target=target, vocabulary=vocabulary)
    draw = torch.Generator().manual_seed(0)
    x = noise(4, 20, 2) if vocabulary is None else torch.randint(0, 11, (4, 20), generator=draw)
    answers = model(data)(x)
    assert answers.shape == ((4, 3) if target is Target.CLASS else (4, 20, 3))
    assert torch.isfinite(answers).all()


@NORMS
@ORDERS
@READOUTS
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both directions"])
def test_padding_is_not_seen(norm, prenorm, readout, bidirectional):
    data = replace(LABELS, readout=readout)
    net = model(data, norm=norm, prenorm=prenorm, bidirectional=bidirectional).eval()
    lengths = torch.tensor([20, 7, 1])
    x = noise(3, 20, 2)
    for row, length in enumerate(lengths):
        x[row, length:] = torch.nan  # garbage
    with torch.no_grad():
        together = net(x, lengths)
        for row, length in enumerate(lengths):
            torch.testing.assert_close(together[row], net(x[row : row + 1, :length])[0])


@NORMS
@ORDERS
def test_training_on_padded_sequences_does_not_depend_on_the_padding(norm, prenorm):
    """Gradients and the running moments of batch norm are those without the extra padding."""
    lengths = torch.tensor([12, 7, 3])
    x = noise(3, 12, 2)
    longer = torch.cat([x, torch.full((3, 8, 2), torch.inf)], dim=1)
    nets = [model(norm=norm, prenorm=prenorm, bidirectional=True) for _ in range(2)]
    for net, given in zip(nets, (x, longer), strict=True):
        net(given, lengths).square().sum().backward()
    for (name, ours), (_, theirs) in zip(*(net.named_parameters() for net in nets), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name, rtol=1e-4, atol=1e-5)
    for (name, ours), (_, theirs) in zip(*(net.named_buffers() for net in nets), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


def test_batch_norm_counts_the_samples_that_are_there():
    net = model(norm=Norm.BATCH)
    lengths, x = torch.tensor([6, 2]), noise(2, 6, 2)
    there = torch.cat([net.encoder(x[0]), net.encoder(x[1, :2])])
    net(x, lengths)
    norm = net.blocks[0].norm
    torch.testing.assert_close(norm.running_mean, 0.1 * there.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * there.var(0))


@READOUTS
def test_the_answer_is_read_from_the_features_of_every_sample_or_of_the_last(readout):
    net = model(replace(LABELS, readout=readout)).eval()
    x = noise(2, 20, 2)
    features = []
    net.decoder.register_forward_hook(lambda _, given, __: features.append(given[0]))
    with torch.no_grad():
        net(x)
        net.pooled = False
        net(x)
    pooled, every = features
    torch.testing.assert_close(pooled, every.mean(1) if readout is Readout.MEAN else every[:, -1])


@NORMS
@pytest.mark.parametrize("scheme", ["dfout", "s4d-lin"])
def test_a_model_of_one_direction_is_causal(norm, scheme):
    net = model(STEPS, norm=norm, scheme=scheme).eval()
    x = noise(2, 20, 2)
    changed = x.clone()
    changed[:, 12:] += 1.0
    with torch.no_grad():
        before, after = net(x), net(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12], rtol=0.0, atol=1e-5)
    assert (before[:, 12] - after[:, 12]).abs().max() > 1e-3


def test_a_bidirectional_model_hears_what_comes_and_is_refused_where_that_would_be_cheating():
    net = model(STEPS, bidirectional=True).eval()
    x = noise(2, 20, 2)
    changed = x.clone()
    changed[:, 12:] += 1.0
    with torch.no_grad():
        assert (net(x)[:, 5] - net(changed)[:, 5]).abs().max() > 1e-4
    with pytest.raises(UsageError, match="causal"):
        model(replace(STEPS, causal=True), bidirectional=True)


def test_weights_follow_from_the_seed_and_leave_the_random_state_alone():
    state = torch.random.get_rng_state()
    first, same, other = model(seed=1), model(seed=1), model(seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [net.state_dict() for net in (first, same, other)]
    for name, ours in weights[0].items():
        assert torch.equal(ours, weights[1][name])
        if name.endswith(("mix.weight", "encoder.bias", "C", "log_xi")):
            assert not torch.equal(ours, weights[2][name]), name
    assert not torch.equal(first.blocks[0].ssm.C, first.blocks[1].ssm.C)


@pytest.mark.parametrize("freeze", Freeze)
@pytest.mark.parametrize("scheme", ["dfout", "s4d-lin"])
def test_every_trained_parameter_is_in_one_group(freeze, scheme):
    net = model(scheme=scheme, norm=Norm.BATCH, freeze=freeze)
    groups = net.parameter_groups(lr=0.01, ssm_lr=0.001, weight_decay=0.05)
    members = [parameter for group in groups for parameter in group["params"]]
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in members} == {id(parameter) for parameter in trained}
    assert len(members) == len(trained)
    settings = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    for name, parameter in net.named_parameters():
        if not parameter.requires_grad:
            assert freeze is not Freeze.NONE
            continue
        leaf = name.rpartition(".")[2]
        if leaf in ("log_dt", "log_A_real", "A_imag", "log_xi", "theta"):
            wanted = (0.001, 0.0)
        elif leaf in ("C", "D", "bias") or "norm" in name:
            wanted = (0.01, 0.0)
        else:
            wanted = (0.01, 0.05)
        assert settings[id(parameter)] == wanted, name
    assert torch.optim.AdamW(groups).param_groups[0]["betas"]


def test_what_decays_in_state_spaces_s4():
    """Read in its `optim_groups.py` and `kernels`: all but dt, A, B, norms, biases, embeddings."""
    for data in (LABELS, replace(LABELS, vocabulary=5)):
        net = build_model(replace(SMALL, norm=Norm.BATCH), data, 0)
        groups = {g["name"]: g for g in net.parameter_groups(0.01, 0.001, 0.05, Decayed.S4)}
        names = {id(parameter): name for name, parameter in net.named_parameters()}
        decayed = {names[id(parameter)] for parameter in groups["decayed"]["params"]}
        assert groups["decayed"]["weight_decay"] == 0.05
        assert decayed == {
            *(name for name in names.values() if name.endswith((".C", ".D", "mix.weight"))),
            "decoder.weight",
            *(["encoder.weight"] if data.vocabulary is None else []),
        }


def test_tied_dropout_drops_a_feature_all_along_a_sequence():
    torch.manual_seed(0)
    x = torch.ones(64, 9, 32)
    kept = Dropout(0.25, tied=True)(x)
    assert torch.equal(kept, kept[:, :1].expand_as(kept))  # one mask for all samples
    first = kept[:, 0]
    torch.testing.assert_close(first, torch.where(first > 0, 1 / 0.75, 0.0))
    assert 0.20 < (first == 0).float().mean() < 0.30  # of 2,048 draws
    loose = Dropout(0.25, tied=False)(x)
    assert not torch.equal(loose, loose[:, :1].expand_as(loose))
    assert torch.equal(Dropout(0.25, tied=True).eval()(x), x)


def test_a_saved_model_is_analyzed(tmp_path):
    for scheme, family in (("dfout", "dfout"), ("s4d-inv", "s4d")):
        net = model(scheme=scheme, bidirectional=True, n_layers=3)
        path = tmp_path / f"{scheme}.safetensors"
        save_file(net.state_dict(), path)
        report = ssmspec.analyze(path)
        assert [layer.name for layer in report.layers] == [f"blocks.{i}.ssm" for i in range(3)]
        assert {layer.family for layer in report.layers} == {family}
        spectra = ssmspec.read_spectra(path)
        for number, spectrum in enumerate(spectra):
            drawn = SCHEMES[scheme].draw(8, 4, (0, number)).log_poles
            np.testing.assert_allclose(spectrum.log_poles, drawn, rtol=1e-5, atol=1e-6)


def test_rate_and_taps_reach_every_layer():
    net = model().eval()
    x = noise(2, 20, 2)
    asked = []
    for block in net.blocks:
        block.ssm.register_forward_hook(lambda _, given, __: asked.append(given[1:]))
    with torch.no_grad():
        plain = net(x)
        net(x, rate=2.0, kernel_taps=4)
        torch.testing.assert_close(net(x, kernel_taps=20), plain)
    assert asked[:4] == [(1.0, None)] * 2 + [(2.0, 4)] * 2


def test_dropout_is_for_training():
    net = model(dropout=0.5)
    x = noise(2, 20, 2)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("scheme", ["dfout", "s4d-lin"])
def test_it_learns_to_remember(scheme):
    """The class is the sign of the first sample, 50 samples before the answer is read."""
    net = model(replace(LABELS, readout=Readout.LAST, d_input=1, d_output=2), scheme=scheme)
    optimizer = torch.optim.AdamW(net.parameter_groups(0.01, 0.001, 0.0))
    x = 0.1 * noise(16, 50, 1)
    y = torch.arange(16) % 2
    x[:, 0, 0] = 2.0 * y - 1.0
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]  # less than a hundredth in fact


@pytest.mark.parametrize("scheme", ["dfout", "s4d-lin"])
def test_another_kernel_function_gives_the_same_model(scheme):
    """What the benchmarks compare."""

    def direct(decay, omega, residues, length):
        powers = torch.exp(torch.complex(-decay, omega)[..., None] * torch.arange(length))
        c = torch.view_as_complex(residues.double())
        return 2.0 * torch.einsum("shn,hnk->shk", c, powers).real.float()

    net, x = model(scheme=scheme, bidirectional=True), noise(2, 20, 2)
    wanted = net(x)
    for layer in net.modules():
        if isinstance(layer, DiagonalLayer):
            layer.kernel_function = direct
    torch.testing.assert_close(net(x), wanted)
