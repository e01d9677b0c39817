"""Re-initialization as a library call: C, step sizes, draws and rounding."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import ssmspec
from ssmspec.errors import SchemeError, UsageError
from ssmspec.reading import Discretization
from ssmspec.reinitialization import changes as planning
from ssmspec.results.reinit import DtPolicy, StepSizes
from ssmspec.schemes import SCHEMES, SchemeOptions
from ssmspec.spectrum import LayerSpectrum, Symmetry
from tests.examples.reinit import (
    EXAMPLES,
    flat,
    kernels,
    raw,
    reinitialized,
    spectra,
    trained_s4d,
)


def test_a_search_for_xi_keeps_the_function_of_a_trained_model(shared, tmp_path):
    output = tmp_path / "out.safetensors"
    path = shared / "s4d_cifar10.pth"
    result = ssmspec.reinit(path, "dfout", output, seq_len=1024, c="fit", search_xi=True)
    old = {k: v.numpy() for k, v in flat(torch.load(path, weights_only=True)).items()}
    new = load_file(output)
    for layer, least in zip(result.layers, (0.94, 0.87, 0.78, 0.75), strict=True):
        before, after = (kernels(tensors, layer.name, 1024) for tensors in (old, new))
        kept = 1 - ((before - after) ** 2).sum() / (before**2).sum()
        assert kept > least
        assert layer.kernel.kept == pytest.approx(kept, abs=1e-6)
        between = (before * after).sum(1)
        between /= np.sqrt((before**2).sum(1) * (after**2).sum(1))
        assert layer.kernel.correlation == pytest.approx(between.mean(), abs=1e-6)
        assert 1e-3 <= layer.xi.lowest <= layer.xi.median <= layer.xi.highest <= 0.1
        assert set(layer.tensors) == {
            f"{layer.name}.{leaf}" for leaf in ("log_A_real", "A_imag", "C")
        }
    for layer in spectra(output):
        angles = np.sort(layer.omega.ravel()) / np.pi
        np.testing.assert_allclose(angles, np.arange(4096) / 4096, atol=1e-6)


def test_a_fit_keeps_more_than_c_as_it_was_and_less_than_a_search():
    tensors = trained_s4d(shape=(8, 16))
    kept = [
        ssmspec.reinit(tensors, dry_run=True, seq_len=256, **options).layers[0].kernel.kept
        for options in ({}, {"c": "fit"}, {"c": "fit", "search_xi": True})
    ]
    assert kept == sorted(kept)
    assert 0 < kept[1] < kept[2] < 1


def test_a_fit_to_the_poles_that_were_there_changes_nothing():
    rng = np.random.default_rng(0)
    tensors = trained_s4d()
    for n in range(2):
        name = f"s4_layers.{n}.kernel"
        tensors[f"{name}.A_imag"] = np.float32(np.pi * np.arange(8) * np.ones((16, 1)))
        tensors[f"{name}.log_A_real"] = np.full((16, 8), np.log(0.5), np.float32)
        tensors[f"{name}.log_dt"] = np.float32(rng.uniform(-6, -3, 16))
    result = ssmspec.reinit(tensors, "s4d-lin", dry_run=True, seq_len=512, c="fit")
    assert all(layer.kernel.kept > 1 - 1e-6 for layer in result.layers)


@pytest.mark.parametrize("key", ["s4d-v3/zoh", "s4d-v4/bilinear", "s4d-v4/lrnnx", "s5", "lru"])
def test_other_families_are_fitted_too(key, tmp_path):
    example = EXAMPLES[key]()
    reading = replace(example.reading, seq_len=64)
    tensors = dict(example.tensors)
    if key == "s5":  # the examples have two C: one will do
        tensors = {n.replace("C1", "C"): v for n, v in tensors.items() if "C2" not in n}
    fitted = ssmspec.reinit(tensors, reading=reading, c="fit", dry_run=True)
    kept = ssmspec.reinit(tensors, reading=reading, dry_run=True)
    for one, other in zip(fitted.layers, kept.layers, strict=True):
        assert one.kernel.kept > max(other.kernel.kept, 0.0)
        assert len(one.tensors) > len(other.tensors)
        assert one.deviation == other.deviation


def test_a_reset_draws_c_and_nothing_else_moves():
    tensors = trained_s4d()
    kept = ssmspec.reinit(tensors, dry_run=True)
    reset = ssmspec.reinit(tensors, dry_run=True, c="reset")
    for one, other in zip(reset.layers, kept.layers, strict=True):
        assert set(one.tensors) - set(other.tensors) == {f"{one.name}.C"}
        assert one.after == other.after


def test_a_reset_is_one_of_unit_variance_and_its_own_in_every_layer(tmp_path):
    output = tmp_path / "out.safetensors"
    ssmspec.reinit(trained_s4d(shape=(64, 32)), "dfout", output, c="reset")
    C = [load_file(output)[f"s4_layers.{n}.kernel.C"] for n in range(2)]
    for part in C:
        assert part.var() == pytest.approx(0.5, rel=0.1)
    assert abs(np.corrcoef(C[0].ravel(), C[1].ravel())[0, 1]) < 0.05


def test_a_fit_needs_a_length_and_a_c():
    tensors = trained_s4d()
    with pytest.raises(UsageError, match="--seq-len"):
        ssmspec.reinit(tensors, dry_run=True, c="fit")
    without = {name: v for name, v in tensors.items() if not name.endswith(".C")}
    with pytest.raises(SchemeError, match=r"C cannot be fitted.*--c keep"):
        ssmspec.reinit(without, dry_run=True, c="fit", seq_len=64)
    result = ssmspec.reinit(without, dry_run=True)
    assert result.layers[0].kernel is None
    assert result.layers[0].kernel_unknown == "C is not in the file"


@pytest.mark.parametrize("c", ["fit", "reset"])
def test_selective_layers_have_no_c_to_change(c):
    example = EXAMPLES["mamba"]()
    with pytest.raises(SchemeError, match=r"Mamba-1.*--c keep"):
        ssmspec.reinit(example.tensors, "s4d-real", dry_run=True, c=c, seq_len=64)


def test_a_search_needs_something_to_search():
    tensors = trained_s4d()
    options = {"dry_run": True, "search_xi": True, "seq_len": 64}
    with pytest.raises(UsageError, match="--c fit"):
        ssmspec.reinit(tensors, **options)
    with pytest.raises(UsageError, match="s4d-lin has no damping xi"):
        ssmspec.reinit(tensors, "s4d-lin", c="fit", **options)
    zero = SchemeOptions(xi_min=0.0, xi_max=0.0)
    with pytest.raises(UsageError, match="above 0"):
        ssmspec.reinit(tensors, c="fit", options=zero, **options)


def test_a_search_stays_in_its_range_and_says_when_it_is_narrow():
    narrow = SchemeOptions(xi_min=0.05, xi_max=0.06)
    result = ssmspec.reinit(
        trained_s4d(), dry_run=True, search_xi=True, c="fit", seq_len=256, options=narrow
    )
    for layer in result.layers:
        assert 0.05 <= layer.xi.lowest <= layer.xi.highest <= 0.06
        assert layer.xi.at_end > 0.5
    assert [note for note in result.notes if "a wider range" in note]


def test_step_sizes_are_kept_to_the_last_bit():
    tensors = {k: v.astype(np.float64) for k, v in trained_s4d().items()}
    result = ssmspec.reinit(tensors, dry_run=True)
    assert all("log_dt" not in name for layer in result.layers for name in layer.tensors)


@pytest.mark.parametrize("scheme", ["dfout", "s4d-inv"])
def test_dt_one_changes_the_form_and_not_the_poles(scheme, tmp_path):
    tensors = trained_s4d()
    outputs = {}
    for dt in DtPolicy:
        outputs[dt] = tmp_path / f"{dt}.safetensors"
        ssmspec.reinit(tensors, scheme, outputs[dt], dt=dt)
    kept, one = (spectra(outputs[dt]) for dt in DtPolicy)
    for a, b in zip(kept, one, strict=True):
        np.testing.assert_allclose(b.log_poles, a.log_poles, rtol=1e-5, atol=1e-8)
        assert (b.dt == 1.0).all()
    state = load_file(outputs[DtPolicy.ONE])
    assert not state["s4_layers.0.kernel.log_dt"].any()
    np.testing.assert_allclose(
        state["s4_layers.0.kernel.A_imag"], one[0].omega_unwrapped, rtol=1e-6, atol=1e-9
    )


def test_a_range_draws_step_sizes():
    options = SchemeOptions(dt_min=0.01, dt_max=0.02)
    tensors = trained_s4d()
    with pytest.raises(UsageError, match=r"--dt keep.*leave out one"):
        ssmspec.reinit(tensors, "s4d-lin", dry_run=True, dt="keep", options=options)
    result = ssmspec.reinit(tensors, "s4d-lin", dry_run=True, options=options)
    assert result.layers[0].step_sizes is StepSizes.DRAWN
    output = reinitialized(tensors, "s4d-lin", options=options)
    for layer in spectra(output):
        assert layer.dt.min() >= 0.0099999
        assert layer.dt.max() <= 0.0200001
        np.testing.assert_allclose(layer.decay, layer.dt / 2 * np.ones(8), rtol=1e-6)


def test_one_step_size_a_channel_cannot_be_one_a_state():
    options = SchemeOptions(dt_min=0.01, dt_max=0.02)
    with pytest.raises(SchemeError, match="one step size per channel"):
        ssmspec.reinit(trained_s4d(), "s5-hippo", dry_run=True, options=options)
    result = ssmspec.reinit(trained_s4d(), "s5-hippo", dry_run=True, options=options, dt="one")
    assert result.layers[0].step_sizes is StepSizes.ONE


def test_dt_means_nothing_where_there_is_none():
    tensors = EXAMPLES["lru"]().tensors
    with pytest.raises(UsageError, match="--dt would do nothing"):
        ssmspec.reinit(tensors, dry_run=True, dt="one")
    result = ssmspec.reinit(tensors, "s4d-lin", dry_run=True)
    assert result.layers[0].step_sizes is StepSizes.NONE


def test_options_of_another_scheme_are_refused():
    with pytest.raises(UsageError, match="dfout does not read dt_min"):
        ssmspec.reinit(trained_s4d(), dry_run=True, options=SchemeOptions(dt_min=0.1))
    with pytest.raises(UsageError, match="did you mean 'dfout'"):
        ssmspec.reinit(trained_s4d(), "dfuot", dry_run=True)
    with pytest.raises(UsageError, match="non-negative"):
        ssmspec.reinit(trained_s4d(), dry_run=True, seed=-1)
    with pytest.raises(UsageError, match="did you mean 'keep'"):
        ssmspec.reinit(trained_s4d(), dry_run=True, c="kept")


def test_every_layer_draws_for_itself_whichever_are_selected(tmp_path):
    tensors = trained_s4d(layers=3)
    whole, some = tmp_path / "whole.safetensors", tmp_path / "some.safetensors"
    ssmspec.reinit(tensors, "dfout", whole, seed=5)
    ssmspec.reinit(tensors, "dfout", some, seed=5, layers="s4_layers.[02].*")
    a, b = spectra(whole), spectra(some)
    assert not np.array_equal(a[0].decay, a[2].decay)
    for n in (0, 2):
        np.testing.assert_array_equal(a[n].log_poles, b[n].log_poles)
    assert raw(some)["s4_layers.1.kernel.A_imag"] == tensors["s4_layers.1.kernel.A_imag"].tobytes()


def test_two_names_of_one_layer_stay_one_layer(tmp_path):
    one = {name: torch.tensor(v) for name, v in trained_s4d(layers=1).items()}
    state = {**one, **{k.replace("layers.0", "layers.1"): v for k, v in one.items()}}
    path, output = tmp_path / "in.pth", tmp_path / "out.pth"
    torch.save(state, path)
    ssmspec.reinit(path, "dfout", output)
    found = torch.load(output, weights_only=True)
    name = "s4_layers.{}.kernel.A_imag"
    assert found[name.format(0)].data_ptr() == found[name.format(1)].data_ptr()
    assert not torch.equal(found[name.format(0)], state[name.format(0)])


def test_half_precision_that_moves_poles_is_warned_of(tmp_path):
    tensors = {k: torch.tensor(v) for k, v in trained_s4d(shape=(16, 32)).items()}
    path, output = tmp_path / "in.pth", tmp_path / "out.pth"
    torch.save({k: v.bfloat16() for k, v in tensors.items()}, path)
    result = ssmspec.reinit(path, "dfout", output)
    assert len(result.warnings) == 2
    assert "rounding to bfloat16 moves poles by up to" in result.warnings[0]
    asked = planning.target(spectra(path)[0], planning.Wish(SCHEMES["dfout"]), 0).spectrum
    stored = spectra(output)[0]
    distance = np.abs(stored.log_poles - asked.log_poles) / asked.half_width
    assert result.layers[0].deviation == pytest.approx(distance.max())
    assert distance.max() > 0.5
    torch.save(tensors, path)
    assert not ssmspec.reinit(path, "dfout", output, force=True).warnings


def test_the_distance_to_what_was_asked_goes_around_the_circle():
    asked = LayerSpectrum(
        "a", "lru", Discretization.NATIVE, Symmetry.FULL, np.array([[-0.1 + 1j * math.pi]])
    )
    stored = replace(asked, log_poles=np.array([[-0.1 - 1j * (math.pi - 1e-3)]]))
    width = asked.half_width[0, 0]
    assert planning.deviation(asked, stored) == pytest.approx(1e-3 / width)
    undamped = replace(asked, log_poles=np.array([[1j]]))
    assert planning.deviation(undamped, undamped) == 0.0
    assert planning.deviation(undamped, replace(undamped, log_poles=np.array([[1.1j]]))) is None
