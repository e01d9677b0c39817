"""Re-initialization of trained files, and of every container."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import ssmspec
from ssmspec.checkpoints import open_checkpoint
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.metrics import METRICS
from ssmspec.metrics.base import Context
from ssmspec.outcome import Measured
from ssmspec.reading import Discretization, DtTransform, Reading
from ssmspec.reinitialization import changes as planning
from ssmspec.results.reinit import CPolicy, StepSizes
from ssmspec.schemes import SCHEMES
from tests.examples.comparison import s4d
from tests.examples.families import s4d_v4
from tests.examples.reinit import (
    flat,
    raw,
    saved,
    spectra,
    trained_s4d,
)


@pytest.fixture(scope="module")
def cifar(shared, tmp_path_factory):
    """`s4d_cifar10.pth` with dfout poles, as a torch file."""
    path = shared / "s4d_cifar10.pth"
    output = tmp_path_factory.mktemp("cifar") / "out.pth"
    return path, output, ssmspec.reinit(path, "dfout", output, seq_len=1024)


def value(metric, layer, length=1024):
    outcome = METRICS[metric](layer, Context(length))
    assert isinstance(outcome, Measured), outcome
    return outcome.value


def test_a_trained_model_gets_one_uniform_grid_a_layer(cifar):
    _, output, result = cifar
    layers = spectra(output)
    assert len(layers) == 4
    for layer in layers:
        assert layer.shape == (128, 32)
        angles = np.sort(layer.omega.ravel()) / np.pi
        np.testing.assert_allclose(angles, np.arange(4096) / 4096, atol=1e-6)
        assert value("discrepancy", layer) == pytest.approx(1 / 4096, abs=1e-6)
        assert value("frequency_w1", layer) == pytest.approx(0.5 / 4096, abs=1e-6)
        assert value("aliased_fraction", layer) == 0.0
        assert value("spectral_flatness", layer) > 0.99
        assert value("entanglement", layer) < 0.05
        xi = 2 * layer.decay
        np.testing.assert_allclose(np.ptp(xi, axis=1) / xi[:, 0], 0.0, atol=1e-4)
        assert xi.min() > 0.99e-3
        assert xi.max() < 0.101
    for change in result.layers:
        assert change.deviation < 1e-3
        assert change.step_sizes is StepSizes.KEPT
        assert change.before["aliased_fraction"].value > 0.07
        assert change.after["aliased_fraction"].value == 0.0
        assert 0.0 < change.kernel.correlation < 0.2


def test_everything_else_stays_byte_for_byte(cifar):
    path, output, result = cifar
    old, new = (flat(torch.load(p, weights_only=True)) for p in (path, output))
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    leaves = ("log_A_real", "A_imag")
    assert changed == {f"model.s4_layers.{n}.kernel.{leaf}" for n in range(4) for leaf in leaves}
    assert changed == {name for layer in result.layers for name in layer.tensors}
    assert list(old) == list(new)
    assert result.copied == len(old) - len(changed)
    assert output.stat().st_size == path.stat().st_size


def test_entanglement_is_low_for_any_seed(cifar):
    path, _, _ = cifar
    (layer, *_) = spectra(path)
    for seed in range(50):
        wish = planning.Wish(SCHEMES["dfout"], seed)
        wanted = planning.target(layer, wish, 0).spectrum
        assert value("entanglement", wanted) < 0.05
        assert value("spectral_flatness", wanted) > 0.99


def test_the_same_seed_gives_the_same_bytes(cifar, tmp_path):
    path, output, _ = cifar
    again, other = tmp_path / "again.pth", tmp_path / "other.pth"
    ssmspec.reinit(path, "dfout", again, seed=0)
    ssmspec.reinit(path, "dfout", other, seed=1)
    assert again.read_bytes() == output.read_bytes()
    assert other.read_bytes() != output.read_bytes()
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    options = {"seq_len": 1024, "c": "fit", "search_xi": True}
    ssmspec.reinit(trained_s4d(), "dfout", first, **options)
    ssmspec.reinit(trained_s4d(), "dfout", second, **options)
    assert first.read_bytes() == second.read_bytes()


class S4DKernel(torch.nn.Module):
    """The standalone S4D kernel, written from its definition for these tests."""

    def __init__(self, channels, modes):
        super().__init__()
        self.log_dt = torch.nn.Parameter(torch.zeros(channels))
        self.C = torch.nn.Parameter(torch.zeros(channels, modes, 2))
        self.log_A_real = torch.nn.Parameter(torch.zeros(channels, modes))
        self.A_imag = torch.nn.Parameter(torch.zeros(channels, modes))

    def forward(self, length):
        A = -self.log_A_real.exp() + 1j * self.A_imag
        dtA = A * self.log_dt.exp()[:, None]
        C = torch.view_as_complex(self.C) * (dtA.exp() - 1) / A
        lags = torch.arange(length, dtype=self.log_dt.dtype)
        return 2 * torch.einsum("hn,hnl->hl", C, (dtA[..., None] * lags).exp()).real


@pytest.mark.parametrize("c", CPolicy)
def test_an_independent_layer_loads_the_result_and_has_our_kernel(shared, tmp_path, c):
    output = tmp_path / "out.pth"
    ssmspec.reinit(shared / "s4d_cifar10.pth", "dfout", output, seq_len=1024, c=c)
    state = flat(torch.load(output, weights_only=True))
    for layer in spectra(output):
        prefix = f"{layer.name}."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        module = S4DKernel(*layer.shape)
        module.load_state_dict(own)
        with torch.no_grad():
            theirs = module.double()(1024).numpy()
        C = np.asarray(own["C"], dtype=np.float64) @ [1, 1j]
        c_bar = C * np.expm1(layer.log_poles) / (layer.log_poles / layer.dt)
        powers = np.exp(layer.log_poles[..., None] * np.arange(1024))
        ours = 2 * np.einsum("hn,hnl->hl", c_bar, powers).real
        np.testing.assert_allclose(theirs, ours, atol=1e-5 * np.abs(ours).max())


def test_safetensors_keeps_its_header(tmp_path):
    tensors = trained_s4d()
    path, output = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file(tensors, path, metadata={"format": "pt", "note": "mine"})
    before = path.read_bytes()
    ssmspec.reinit(path, "dfout", output)
    assert path.read_bytes() == before
    header = 8 + int.from_bytes(before[:8], "little")
    assert output.read_bytes()[:header] == before[:header]
    old, new = raw(path), raw(output)
    assert {name.rpartition(".")[2] for name in old if old[name] != new[name]} == {
        "A_imag", "log_A_real",
    }  # fmt: skip


def test_shards_in_shards_out(tmp_path):
    tensors, folder = trained_s4d(), tmp_path / "in"
    folder.mkdir()
    names = sorted(tensors)
    parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    placement = {}
    for file, own in parts.items():
        save_file({name: tensors[name] for name in own}, folder / file)
        placement |= dict.fromkeys(own, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": placement}))
    output = tmp_path / "out"
    result = ssmspec.reinit(folder, "dfout", output)
    assert {file.name for file in output.iterdir()} == {*parts, index.name}
    assert (output / index.name).read_text() == index.read_text()
    assert result.written
    for layer in spectra(output):
        np.testing.assert_allclose(
            np.sort(layer.omega.ravel()), np.pi * np.arange(128) / 128, atol=1e-5
        )


def test_npz_and_memory_become_safetensors(tmp_path):
    tensors = trained_s4d()
    path = tmp_path / "in.npz"
    np.savez(path, **tensors)
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    result = ssmspec.reinit(path, "dfout", a)
    assert [note for note in result.notes if note.startswith("converted from npz")]
    ssmspec.reinit(tensors, "dfout", b)
    assert raw(a) == raw(b)


def test_a_module_can_be_the_source(tmp_path):
    module = torch.nn.ModuleDict({"kernel": S4DKernel(4, 8)})
    torch.nn.init.normal_(module["kernel"].C)
    output = tmp_path / "out.safetensors"
    ssmspec.reinit(module, "dfout", output)
    module.load_state_dict({k: torch.tensor(v) for k, v in load_file(output).items()})
    assert module["kernel"].A_imag[1, 0].item() == pytest.approx(np.pi / 32)


def test_an_output_whose_name_tells_no_format_is_refused(tmp_path):
    path = saved(tmp_path, trained_s4d())
    with pytest.raises(UsageError, match=r"from a torch file only.*\.safetensors"):
        ssmspec.reinit(path, "dfout", tmp_path / "out.pth")
    with pytest.raises(UsageError, match="told by its name"):
        ssmspec.reinit(path, "dfout", tmp_path / "out.npz")
    with pytest.raises(UsageError, match="--output"):
        ssmspec.reinit(path, "dfout")
    assert [file.name for file in tmp_path.iterdir()] == ["in.safetensors"]


def test_an_existing_output_and_the_input_are_left_alone(tmp_path):
    path = saved(tmp_path, trained_s4d())
    before = path.read_bytes()
    output = tmp_path / "out.safetensors"
    output.write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        ssmspec.reinit(path, "dfout", output)
    assert output.read_text() == "mine"
    with pytest.raises(UsageError, match="the input itself"):
        ssmspec.reinit(path, "dfout", path, force=True)
    assert path.read_bytes() == before
    assert ssmspec.reinit(path, "dfout", output, force=True).written


def test_a_dry_run_writes_nothing_and_tells_the_same(tmp_path):
    path = saved(tmp_path, trained_s4d())
    output = tmp_path / "out.safetensors"
    dry = ssmspec.reinit(path, "dfout", output, dry_run=True)
    assert not output.exists()
    assert not dry.written
    wet = ssmspec.reinit(path, "dfout", output)
    assert replace(dry, written=True) == wet
    assert ssmspec.reinit(path, "dfout", dry_run=True).output is None


def test_what_does_not_come_back_as_written_is_an_error(tmp_path, monkeypatch):
    path, output = saved(tmp_path, trained_s4d()), tmp_path / "out.safetensors"

    def damaged(checkpoint, changes, output, *, force):
        changes = {name: values + 1e-3 for name, values in changes.items()}
        original(checkpoint, changes, output, force=force)

    from ssmspec.reinitialization import run

    original = run.write_output
    monkeypatch.setattr(run, "write_output", damaged)
    with pytest.raises(CheckpointError, match=r"does not hold .* as it was written"):
        ssmspec.reinit(path, "dfout", output)


def test_reading_options_apply_to_what_is_written(tmp_path):
    example = s4d_v4(6, Reading())
    reading = Reading(discretization=Discretization.BILINEAR, dt_transform=DtTransform.SOFTPLUS)
    output = tmp_path / "out.safetensors"
    ssmspec.reinit(saved(tmp_path, example.tensors), "dfout", output, reading)
    (layer,) = spectra(output, reading)
    np.testing.assert_allclose(np.sort(layer.omega.ravel()), np.pi * np.arange(18) / 18, atol=1e-5)
    (other,) = spectra(output)  # read otherwise, the poles are other poles
    assert np.abs(other.omega - layer.omega).max() > 0.1


def test_the_result_is_json(cifar):
    result = cifar[2].to_dict()
    again = json.loads(json.dumps(result, allow_nan=False))
    assert again == result
    assert again["layers"][0]["metrics"]["aliased_fraction"]["after"]["value"] == 0.0
    assert again["layers"][0]["kernel"]["correlation"] < 0.2
    open_checkpoint(cifar[1]).close()


@pytest.mark.parametrize("key", ["lr_schedulers", "optimizer"])
def test_an_optimizer_that_holds_the_parameters_themselves_gets_them_too(tmp_path, key):
    parameters = {
        name: torch.nn.Parameter(torch.tensor(values, dtype=torch.float32))
        for name, values in s4d("layers.0.kernel").items()
    }
    optimizer = torch.optim.SGD(parameters.values(), lr=0.1)
    source, output = tmp_path / "in.ckpt", tmp_path / "out.ckpt"
    torch.save({"state_dict": parameters, key: [{"scheduler": {"optimizer": optimizer}}]}, source)
    ssmspec.reinit(source, "dfout", output, seq_len=64)
    loaded = torch.load(output, weights_only=False)
    held = loaded[key][0]["scheduler"]["optimizer"].param_groups[0]["params"]
    for (name, values), other in zip(loaded["state_dict"].items(), held, strict=True):
        assert values is other
        assert torch.equal(values, parameters[name]) == (not name.endswith(("real", "imag")))
