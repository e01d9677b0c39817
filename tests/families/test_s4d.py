"""S4D, standalone, against a matrix exponential, torch and the numbers of real files."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch

from ssmspec.checkpoints import open_checkpoint
from ssmspec.checkpoints.memory import MemoryCheckpoint
from ssmspec.errors import LayoutError, SchemeError, UsageError
from ssmspec.families.base import LayerSource
from ssmspec.families.catalog import Catalog
from ssmspec.families.find import find_layers
from ssmspec.families.s4d import FAMILY
from ssmspec.reading import Discretization, DtTransform, Reading
from ssmspec.spectrum import Symmetry


def layer(**leaves):
    tensors = {
        "log_dt": np.log([0.01, 0.1]),
        "log_A_real": np.log([[0.5, 0.25, 0.5], [2.0, 0.5, 1e-6]]),
        "A_imag": np.array([[0.0, 3.0, -5.0], [40.0, 31.4, 0.5]]),
    } | leaves
    return {f"kernel.{name}": np.asarray(values) for name, values in tensors.items()}


def source_of(tensors, reading=None):
    checkpoint = MemoryCheckpoint(tensors)
    (site,) = FAMILY.find(Catalog(checkpoint))
    return LayerSource(checkpoint, site, reading or Reading())


def read(tensors, reading=None):
    return FAMILY.read(source_of(tensors, reading))


def test_poles_are_those_of_a_recurrence_in_real_block_form():
    tensors = layer()
    spectrum = read(tensors)
    dt = np.exp(tensors["kernel.log_dt"])
    for h, n in np.ndindex(2, 3):
        re = -np.exp(tensors["kernel.log_A_real"][h, n])
        im = tensors["kernel.A_imag"][h, n]
        step = scipy.linalg.expm(dt[h] * np.array([[re, -im], [im, re]]))
        state = np.array([1.0, 0.0])
        for k in range(60):
            impulse = np.exp(spectrum.log_poles[h, n] * k)
            np.testing.assert_allclose([impulse.real, impulse.imag], state, atol=1e-12)
            state = step @ state


def test_the_angle_keeps_its_sign_and_is_not_wrapped():
    spectrum = read(layer())
    np.testing.assert_allclose(spectrum.omega_unwrapped, [[0, 0.03, -0.05], [4.0, 3.14, 0.05]])
    assert spectrum.aliased.tolist() == [[False] * 3, [True, False, False]]
    assert spectrum.symmetry is Symmetry.HALF
    assert spectrum.discretization is Discretization.ZOH
    assert spectrum.dt.shape == (2, 1)
    assert spectrum.assumptions == ()


def test_slow_modes_keep_their_digits():
    spectrum = read(layer(log_A_real=np.full((2, 3), np.log(1e-12))))
    np.testing.assert_allclose(spectrum.decay, [[1e-14] * 3, [1e-13] * 3], rtol=1e-13)


def test_names_below_any_module_path_are_found_in_natural_order():
    tensors = {}
    for name in ("m.10.kernel", "m.2.kernel", "ema.kernel"):
        tensors |= {key.replace("kernel", name): value for key, value in layer().items()}
    tensors |= {f"optimizer.exp_avg.{key}": value for key, value in layer().items()}
    layers, skipped = find_layers(Catalog(MemoryCheckpoint(tensors)), Reading())
    assert [found.site.name for found in layers] == ["ema.kernel", "m.2.kernel", "m.10.kernel"]
    assert not skipped


def test_two_of_the_three_tensors_are_not_a_layer():
    tensors = layer()
    del tensors["kernel.A_imag"]
    assert not list(FAMILY.find(Catalog(MemoryCheckpoint(tensors))))


@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        ({"log_dt": np.zeros(3)}, r"kernel\.log_dt has shape \(3,\), expected \(2,\)"),
        ({"A_imag": np.zeros((2, 4))}, r"kernel\.A_imag has shape \(2, 4\), expected \(2, 3\)"),
        ({"log_A_real": np.zeros(3)}, r"shape \(3,\), expected \(channels, modes\)"),
        ({"log_A_real": np.zeros((2, 3), complex)}, "complex, expected real"),
    ],
)
def test_tensors_that_do_not_fit_name_themselves(leaves, expected):
    with pytest.raises(LayoutError, match=expected):
        read(layer(**leaves))


def test_a_layer_without_modes_is_skipped_with_the_reason():
    empty = layer(log_A_real=np.zeros((2, 0)), A_imag=np.zeros((2, 0)))
    layers, _ = find_layers(Catalog(MemoryCheckpoint(empty)), Reading())
    assert "no poles" in layers[0].read(MemoryCheckpoint(empty), Reading()).reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e4])
@pytest.mark.parametrize("leaf", ["log_dt", "log_A_real", "A_imag"])
def test_parameters_that_are_not_finite_become_poles_that_are_not(leaf, bad):
    tensors = layer()
    tensors[f"kernel.{leaf}"].flat[0] = bad
    spectrum = read(tensors)
    if leaf == "A_imag" and bad == 1e4:
        assert spectrum.non_finite == 0
    else:
        assert spectrum.non_finite == (3 if leaf == "log_dt" else 1)


@pytest.mark.parametrize(
    "reading",
    [
        Reading(discretization=Discretization.BILINEAR),
        Reading(dt_transform=DtTransform.SOFTPLUS),
    ],
)
def test_options_that_this_family_does_not_have(reading):
    with pytest.raises(UsageError, match="does not apply"):
        read(layer(), reading)


def test_a_dft_grid_is_held_at_the_layers_own_step_sizes_and_at_one():
    source = source_of(layer())
    before = FAMILY.read(source)
    grid = np.pi * (np.arange(3) + np.array([[0.0], [0.5]])) / 3
    for dt in (before.dt, np.ones((2, 1))):
        wanted = replace(before, log_poles=-0.01 + 1j * grid, dt=dt)
        written = FAMILY.write(source, wanted)
        np.testing.assert_allclose(written["kernel.A_imag"], grid / dt)
        np.testing.assert_allclose(np.exp(written["kernel.log_A_real"]), 0.01 / dt * np.ones(3))
        np.testing.assert_allclose(written["kernel.log_dt"], np.log(dt[:, 0]), atol=1e-15)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"log_poles": np.full((2, 3), 0.5j)}, "smallest damping above 0"),
        ({"log_poles": np.full((2, 3), 0.1 + 0j)}, "smallest damping above 0"),
        ({"log_poles": np.full((3, 3), -0.1 + 0j)}, "2 channels and 3 modes"),
        ({"dt": None}, "no step size"),
        ({"dt": np.ones((1, 3))}, "one step size per channel"),
        ({"dt": np.array([[0.1], [0.0]])}, "positive"),
        ({"symmetry": Symmetry.REAL}, "symmetry half"),
    ],
)
def test_what_the_layer_cannot_hold_is_refused_with_the_reason(change, expected):
    source = source_of(layer())
    spectrum = replace(FAMILY.read(source), dt=np.ones((2, 1)))
    if change.get("log_poles") is not None and change["log_poles"].shape != (2, 3):
        change = {**change, "dt": np.ones((3, 1))}
    with pytest.raises(SchemeError, match=expected):
        FAMILY.write(source, replace(spectrum, **change))


@pytest.mark.parametrize(
    ("file", "aliased"),
    [
        ("s4d_cifar10.pth", [0.1077, 0.0784, 0.0845, 0.0779]),
        ("s4d_untrained.pth", [0.0774, 0.1104, 0.1304, 0.1113]),
        ("s4d_smnist.pth", [0.0879, 0.1094, 0.0371, 0.1113]),
    ],
)
def test_real_files_agree_with_torch_and_with_independent_numbers(shared, file, aliased):
    loaded = torch.load(shared / file, map_location="cpu", weights_only=True)
    state = loaded
    for wrapper in ("model", "state_dict", "model_state_dict"):
        state = state.get(wrapper, state) if isinstance(state, dict) else state
    checkpoint = MemoryCheckpoint(state)
    layers, skipped = find_layers(Catalog(checkpoint), Reading())
    assert not skipped
    with open_checkpoint(shared / file) as opened:
        again, _ = find_layers(Catalog(opened), Reading())
        spectra = [found.read(opened, Reading()) for found in again]
    assert len(layers) == len(spectra) == 4
    for found, share, without_torch in zip(layers, aliased, spectra, strict=True):
        name = found.site.name
        dt = torch.exp(state[f"{name}.log_dt"].double())
        A = torch.complex(
            -torch.exp(state[f"{name}.log_A_real"].double()), state[f"{name}.A_imag"].double()
        )
        spectrum = found.read(checkpoint, Reading())
        np.testing.assert_allclose(spectrum.log_poles, (A * dt[:, None]).numpy(), rtol=1e-14)
        np.testing.assert_array_equal(without_torch.log_poles, spectrum.log_poles)
        assert without_torch.name.endswith(name)
        assert spectrum.aliased.mean() == pytest.approx(share, abs=5.1e-5)
