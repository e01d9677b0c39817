"""Re-initializing a live model, and the groups its parameters train in."""

import numpy as np
import pytest
import torch

import ssmspec
from ssmspec.errors import CheckpointError, NoLayersError, SchemeError, UsageError
from ssmspec.nn import DiagonalSSM


class Model(torch.nn.Module):
    """Two layers of ours among others."""

    def __init__(self, scheme="s4d-lin"):
        super().__init__()
        torch.manual_seed(0)
        self.inside = torch.nn.Linear(3, 6)
        self.first = DiagonalSSM(6, 8, scheme)
        self.second = DiagonalSSM(6, 8, scheme, number=1)
        self.norm = torch.nn.LayerNorm(6)


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("c", ["keep", "fit", "reset"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_live_model_becomes_what_its_checkpoint_would(c, wrapped):
    model, before = Model(), state(Model())
    live = torch.nn.DataParallel(model) if wrapped else model
    if wrapped and torch.cuda.is_available():
        pytest.skip("DataParallel would move the model")
    parameters = {name: id(parameter) for name, parameter in model.named_parameters()}
    change = ssmspec.apply(live, "dfout", c=c, seed=3, seq_len=32)
    assert change.written
    assert [layer.name for layer in change.layers] == ["first.ssm", "second.ssm"]
    assert {name: id(each) for name, each in model.named_parameters()} == parameters
    other = ssmspec.reinit(before, "dfout", c=c, seed=3, seq_len=32, dry_run=True)
    for mine, theirs in zip(change.layers, other.layers, strict=True):
        assert mine.tensors == theirs.tensors
        assert mine.deviation == theirs.deviation
    changed = {name for layer in change.layers for name in layer.tensors}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == (name not in changed), name
    poles = ssmspec.read_spectra(model)[0].log_poles
    assert abs(poles.real - poles.real[:, :1]).max() < 1e-6  # one decay a channel: DFouT's
    assert c == "keep" or "first.ssm.C" in changed


def test_tensors_keep_their_type():
    model = Model().to(torch.bfloat16)
    ssmspec.apply(model, "dfout")
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.bfloat16}
    rounded = ssmspec.read_spectra(model)[0]
    exact = Model()
    ssmspec.apply(exact, "dfout")
    np.testing.assert_allclose(
        rounded.log_poles.real, ssmspec.read_spectra(exact)[0].log_poles.real, rtol=0.05
    )


class Copying(Model):
    """Its state dict is no view of its parameters, as under sharding."""

    def state_dict(self, *args, **kwargs):
        return {name: tensor.clone() for name, tensor in super().state_dict().items()}


def test_all_or_nothing():
    model = Model()
    before = state(model)
    with pytest.raises(UsageError, match="did you mean"):
        ssmspec.apply(model, "dfuot")
    with pytest.raises(SchemeError):
        ssmspec.apply(model, "dfout", options=ssmspec.SchemeOptions(xi_min=0.0, xi_max=0.0))
    with pytest.raises(NoLayersError):
        ssmspec.apply(torch.nn.Linear(2, 2), "dfout")
    copying = Copying()
    with pytest.raises(CheckpointError, match="is a copy; re-initialize its checkpoint"):
        ssmspec.apply(copying, "dfout")
    for tensors in (state(model), state(copying)):
        assert all(torch.equal(tensors[name], value) for name, value in before.items())


@pytest.mark.parametrize("scheme", ["s4d-lin", "dfout"])
def test_poles_and_step_sizes_learn_slowly_and_do_not_decay(scheme):
    model = Model(scheme)
    model.first.ssm.D.requires_grad_(False)
    groups = ssmspec.parameter_groups(torch.nn.DataParallel(model), lr=0.01, weight_decay=0.05)
    torch.optim.AdamW(groups)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        group["name"]: (
            group["lr"], group["weight_decay"], {names[id(each)] for each in group["params"]}
        )
        for group in groups
    }  # fmt: skip
    poles = ("log_dt", "log_A_real", "A_imag") if scheme == "s4d-lin" else ("log_xi", "theta")
    assert found == {
        "poles": (1e-3, 0.0, {f"{n}.ssm.{p}" for n in ("first", "second") for p in poles}),
        "plain": (0.01, 0.0, {"inside.bias", "norm.weight", "norm.bias", "second.ssm.D"}),
        "decayed": (0.01, 0.05, {"inside.weight", "first.ssm.C", "second.ssm.C"}),
    }
    slow = ssmspec.parameter_groups(model, lr=1e-4)
    assert {group["lr"] for group in slow} == {1e-4}
    with pytest.raises(UsageError, match="above 0"):
        ssmspec.parameter_groups(model, lr=0.0)
    with pytest.raises(NoLayersError):
        ssmspec.parameter_groups(torch.nn.Linear(2, 2), lr=0.1)
